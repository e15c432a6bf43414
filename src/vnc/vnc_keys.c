/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc_keys.c - RFB's QEMU extended key event (the RFB protocol, community version, "QEMU Extended Key Event Message"):
 * a client says which key was pressed, and not only what is printed on it. With that a keyboard of any country works,
 * Korean ones and their Hangul and Hanja keys among them, as long as guest and client agree on what it is.
 */
#include "vnc/vnc.h"
#include "vnc/vnc_keys.h"

#define QEMU_MESSAGE 255u
#define EXTENDED_KEY_EVENT 0u
#define ENCODING (-258)

static vnc_key_fn *told;

/* The client names the encoding; a rectangle of that name, of no size, says that it is understood. */
static rfbBool enable(rfbClientPtr cl, void **data, int encoding)
{
	char update[4 + 12] = { rfbFramebufferUpdate, 0, 0, 1 };

	(void)data;
	if (encoding != ENCODING)
		return FALSE;
	st_le32((u8 *)update + 12, __builtin_bswap32((u32)ENCODING));
	if (rfbWriteExact(cl, update, sizeof(update)) < 0)
		rfbCloseClient(cl);
	return TRUE;
}

/* Its type has been read. */
static rfbBool handle(rfbClientPtr cl, void *data, const rfbClientToServerMsg *m)
{
	u8 rest[11]; /* u8 what, u16 is it pressed?, u32 keysym, u32 key code */

	(void)data;
	if (m->type != QEMU_MESSAGE)
		return FALSE;
	if (rfbReadExact(cl, (char *)rest, sizeof(rest)) <= 0 || rest[0] != EXTENDED_KEY_EVENT)
		rfbCloseClient(cl); /* nothing else was offered */
	else if (!cl->viewOnly)
		told(__builtin_bswap32(ld_le32(rest + 3)), __builtin_bswap32(ld_le32(rest + 7)), rest[1] || rest[2]);
	return TRUE;
}

void vnc_keys_init(vnc_key_fn *fn)
{
	static int encodings[] = { ENCODING, 0 };
	static rfbProtocolExtension extension = {
		.pseudoEncodings = encodings,
		.enablePseudoEncoding = enable,
		.handleMessage = handle,
	};

	told = fn;
	rfbRegisterProtocolExtension(&extension);
}
