/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_look.c - see boot_look.h. Whatever is not as it should be counts as not there. */
#include "vmm/boot_look.h"

#define SECTOR 512u
#define CODE_BYTES 440u /* of the first sector, before the partition table */
#define MBR_TABLE 446u
#define MBR_EFI 0xef

#define GPT_ENTRIES_MAX 128u
#define GPT_ENTRY_MAX 512u

#define CD_SECTOR 2048u
#define CD_BOOT_RECORD 17u /* El Torito 1.0, 2.0 */
#define CD_PLATFORM_EFI 0xef

struct look {
	boot_read_fn *read_at;
	void *opaque;
};

static bool get(const struct look *l, void *buf, size_t bytes, u64 off)
{
	return l->read_at(l->opaque, buf, bytes, off) == (ssize_t)bytes;
}

/* C12A7328-F81F-11D2-BA4B-00A0C93EC93B */
static const u8 esp_guid[16] = { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
				 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b };

static bool gpt_has_esp(const struct look *l, unsigned sector)
{
	u8 h[92], entry[16];

	if (!get(l, h, sizeof(h), sector) || memcmp(h, "EFI PART", 8))
		return false;
	u64 first = ld_le64(h + 72);
	u32 n = MIN(ld_le32(h + 80), GPT_ENTRIES_MAX), bytes = ld_le32(h + 84);
	if (bytes < 128 || bytes > GPT_ENTRY_MAX || first > UINT32_MAX)
		return false;
	for (u32 i = 0; i < n; i++)
		if (get(l, entry, sizeof(entry), first * sector + (u64)i * bytes) && !memcmp(entry, esp_guid, 16))
			return true;
	return false;
}

/* The boot catalog: a validation entry with a platform, the default entry, then headers of sections with theirs. */
static enum boot_found cd_look(const struct look *l)
{
	u8 d[CD_SECTOR];
	bool bios;

	if (!get(l, d, sizeof(d), CD_BOOT_RECORD * CD_SECTOR) || memcmp(d, "\0CD001\1EL TORITO SPECIFICATION", 30))
		return BOOT_NOTHING;
	u64 catalog = (u64)ld_le32(d + 0x47) * CD_SECTOR;
	if (!get(l, d, sizeof(d), catalog) || d[0] != 1)
		return BOOT_NOTHING;
	if (d[1] == CD_PLATFORM_EFI)
		return BOOT_UEFI;
	bios = d[32] == 0x88;
	for (unsigned at = 64; at + 32 <= sizeof(d);) {
		if (d[at] != 0x90 && d[at] != 0x91)
			break;
		if (d[at + 1] == CD_PLATFORM_EFI)
			return BOOT_UEFI;
		unsigned last = d[at] == 0x91;
		at += 32 * (1u + ld_le16(d + at + 2));
		if (last)
			break;
	}
	return bios ? BOOT_BIOS : BOOT_NOTHING;
}

enum boot_found boot_look_with(boot_read_fn *read_at, void *opaque)
{
	struct look l = { read_at, opaque };
	u8 s[SECTOR];
	bool code = false;

	if (get(&l, s, sizeof(s), 0) && ld_le16(s + 510) == 0xaa55) {
		for (unsigned i = 0; i < 4; i++)
			if (s[MBR_TABLE + 16 * i + 4] == MBR_EFI)
				return BOOT_UEFI;
		for (unsigned i = 0; i < CODE_BYTES; i++)
			code |= s[i] != 0;
	}
	if (gpt_has_esp(&l, SECTOR) || gpt_has_esp(&l, 4096))
		return BOOT_UEFI;
	enum boot_found cd = cd_look(&l);
	return cd != BOOT_NOTHING ? cd : code ? BOOT_BIOS : BOOT_NOTHING;
}
