/* SPDX-License-Identifier: GPL-2.0-or-later */
/* identity.c - see identity.h. */
#include "vmm/identity.h"
#include "base/i18n.h"

#include <ctype.h>
#include <fcntl.h>
#include <xxhash.h>

#define UUID_TEXT 36

static const struct {
	const char *name;
	size_t off;
} texts[] = {
	{ "manufacturer", offsetof(struct smbios_identity, manufacturer) },
	{ "product", offsetof(struct smbios_identity, product) },
	{ "version", offsetof(struct smbios_identity, version) },
	{ "serial", offsetof(struct smbios_identity, serial) },
	{ "sku", offsetof(struct smbios_identity, sku) },
	{ "family", offsetof(struct smbios_identity, family) },
};

/* 8-4-4-4-12 hexadecimal digits. */
static bool uuid_parse(u8 uuid[16], const char *s)
{
	unsigned digits = 0;

	if (strlen(s) != UUID_TEXT)
		return false;
	memset(uuid, 0, 16);
	for (unsigned i = 0; i < UUID_TEXT; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		unsigned char c = (unsigned char)s[i];

		if (dash ? c != '-' : !isxdigit(c))
			return false;
		if (dash)
			continue;
		u8 v = (u8)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
		uuid[digits / 2] = (u8)(uuid[digits / 2] << 4 | v);
		digits++;
	}
	return true;
}

static int check_text(const char *word, const char *value, struct err *e)
{
	size_t n = strlen(value);
	bool ok = n <= SMBIOS_TEXT_MAX;

	for (size_t i = 0; i < n; i++)
		ok &= value[i] >= ' ' && value[i] <= '~';
	return ok ? 0
		  : err_set(e, EINVAL, "smbios: '%s': at most %d characters, all of them of ASCII", word,
			    SMBIOS_TEXT_MAX);
}

int identity_parse(struct smbios_identity *out, char *const *words, unsigned n, struct err *e)
{
	struct smbios_identity id = { .manufacturer = "Mica", .product = "Mica Virtual Machine" };

	for (unsigned i = 0; i < n; i++) {
		size_t key = strcspn(words[i], "=");
		const char *value = words[i][key] ? words[i] + key + 1 : NULL;
		unsigned t = 0;

		for (unsigned k = 0; k < i; k++)
			if (!strncmp(words[k], words[i], key + 1))
				return err_set(e, EINVAL, "smbios: '%s' and '%s'; once is enough", words[k], words[i]);
		if (value && key == 4 && !strncmp(words[i], "uuid", key)) {
			if (!uuid_parse(id.uuid, value))
				return err_set(e, EINVAL,
					       "smbios: '%s' is no UUID; write it as "
					       "uuid=123e4567-e89b-12d3-a456-426614174000",
					       words[i]);
			continue;
		}
		while (t < ARRAY_LEN(texts) && (strlen(texts[t].name) != key || strncmp(texts[t].name, words[i], key)))
			t++;
		if (!value || t == ARRAY_LEN(texts))
			return err_set(e, EINVAL,
				       "smbios: '%s' is not known; write manufacturer=TEXT, product, version, serial, "
				       "sku, family or uuid=UUID",
				       words[i]);
		int r = check_text(words[i], value, e);
		if (r < 0)
			return r;
		*(const char **)((char *)&id + texts[t].off) = value;
	}
	if (out)
		*out = id;
	return 0;
}

static void mix(XXH3_state_t *x, const char *s)
{
	if (s)
		XXH3_128bits_update(x, s, strlen(s) + 1);
}

/* RFC 9562, 5.8: a version for whoever makes UUIDs in a way of their own. */
void identity_choose(struct vmm_config *c)
{
	const char *what = c->ndisks ? c->disks[0].path : c->kernel;
	XXH128_canonical_t u;
	char host[64] = "";

	for (unsigned i = 0; i < c->nsmbios; i++)
		if (!strncmp(c->smbios[i], "uuid=", 5))
			return;
	auto_close int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, host, sizeof(host) - 1);
	host[n > 0 ? n : 0] = '\0';
	char *real = what && *what ? realpath(what, NULL) : NULL;
	XXH3_state_t *x = XXH3_createState();
	must(x);
	XXH3_128bits_reset(x);
	mix(x, host);
	mix(x, c->name);
	mix(x, real ? real : what);
	XXH128_canonicalFromHash(&u, XXH3_128bits_digest(x));
	XXH3_freeState(x);
	free(real);
	u8 *d = u.digest;
	d[6] = (u8)((d[6] & 0x0f) | 0x80);
	d[8] = (u8)((d[8] & 0x3f) | 0x80);
	auto_free char *word =
	    xasprintf("uuid=%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", d[0], d[1], d[2],
		      d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13], d[14], d[15]);
	vmm_strv_add(&c->smbios, &c->nsmbios, word);
}
