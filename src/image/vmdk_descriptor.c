/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmdk_descriptor.c - see vmdk_int.h. Here: the descriptor, lines of NAME=VALUE and of extents. */
#include "image/vmdk_int.h"

#include <ctype.h>

/* ---- words of a line; each takes *at behind what it took ---- */

static char *word(char **at)
{
	char *s = *at + strspn(*at, " \t");
	size_t n = strcspn(s, " \t");

	*at = s + n + (s[n] != '\0');
	s[n] = '\0';
	return s;
}

/* "in quotes"; NULL: it is not. */
static char *quoted(char **at)
{
	char *s = *at + strspn(*at, " \t");
	char *end = *s == '"' ? strchr(s + 1, '"') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return s + 1;
}

static bool number(const char *s, u64 *v)
{
	char *end;

	errno = 0;
	*v = strtoull(s, &end, 10);
	return isdigit((unsigned char)*s) && !*end && !errno;
}

/* ---- extents ---- */

static struct vmdk_extent *add_extent(struct vmdk *v, u64 sectors, struct err *e)
{
	if (v->nextents == VMDK_EXTENTS_MAX) {
		err_set(e, E2BIG, "it has more than %u extents", VMDK_EXTENTS_MAX);
		return NULL;
	}
	if (!sectors || sectors > (IMAGE_BYTES_MAX - v->image.bytes) / SECTOR) {
		err_set(e, EINVAL, "an extent of %llu sectors cannot be", (unsigned long long)sectors);
		return NULL;
	}
	struct vmdk_extent *x = &v->extents[v->nextents++];
	*x = (struct vmdk_extent){ .start = v->image.bytes, .bytes = sectors * SECTOR };
	v->image.bytes += x->bytes;
	return x;
}

static int open_file(struct vmdk *v, struct vmdk_extent *x, const char *name, const struct image_open *o, struct err *e)
{
	char format[16] = "";

	if (!o->opener)
		return err_set(e, EPERM, "it has an extent in another file, %s, and none was given", name);
	int rc = o->opener->open(o->opener, IMAGE_WANT_EXTENT, o->file->name, name, format, sizeof(format),
				 v->image.readonly, &x->file, e);
	if (rc < 0)
		return rc;
	v->image.more = xrealloc(v->image.more, (v->image.nmore + 1ul) * sizeof(struct image_file *));
	v->image.more[v->image.nmore++] = x->file;
	return 0;
}

static int open_flat(struct vmdk_extent *x, const char *name, const char *at, struct err *e)
{
	u64 sector = 0;

	if (*at && !number(at, &sector))
		return err_set(e, EINVAL, "extent %s: \"%s\" is no number of a sector", name, at);
	x->kind = VMDK_FLAT;
	if (sector > x->file->bytes / SECTOR || x->bytes > x->file->bytes - sector * SECTOR)
		return err_set(e, EINVAL,
			       "%s: it has %llu bytes, too few for what the descriptor says; it was cut short", name,
			       (unsigned long long)x->file->bytes);
	x->off = sector * SECTOR;
	return 0;
}

/* RW 4192256 SPARSE "disk-s001.vmdk" / RW 63 FLAT "disk-flat.vmdk" 0 / RW 63 ZERO */
static int extent_line(struct vmdk *v, char *line, const struct image_open *o, struct err *e)
{
	char *access = word(&line), *count = word(&line), *type = word(&line), *name;
	u64 sectors;

	if (!number(count, &sectors))
		return err_set(e, EINVAL, "extent \"%s %s\": that is no number of sectors", access, count);
	if (!strcmp(access, "NOACCESS"))
		return err_set(e, EACCES, "its extent number %u is marked as not to be accessed", v->nextents + 1);
	struct vmdk_extent *x = add_extent(v, sectors, e);
	if (!x)
		return -e->code;
	if (!strcmp(access, "RDONLY"))
		v->image.readonly = true;
	if (!strcmp(type, "ZERO")) {
		x->kind = VMDK_ZERO;
		return 0;
	}
	bool flat = !strcmp(type, "FLAT") || !strcmp(type, "VMFS");
	if (!flat && strcmp(type, "SPARSE"))
		return err_set(e, ENOTSUP, "VMDK extents of type %s are not supported", type);
	name = quoted(&line);
	if (!name || !*name)
		return err_set(e, EINVAL, "its extent number %u names no file", v->nextents);
	int rc = open_file(v, x, name, o, e);
	if (rc < 0)
		return rc;
	rc = flat ? open_flat(x, name, word(&line), e) : vmdk_sparse_open(v, x, v->image.readonly, e);
	if (rc == 0 && !flat && x->sparse->compressed)
		rc = err_set(e, ENOTSUP, "%s: a compressed extent in a file of its own is not supported", name);
	return rc;
}

/* ---- NAME=VALUE ---- */

static bool plain(char *value, char *out, size_t room)
{
	char *q = quoted(&value), *s = q ? q : word(&value);

	return (size_t)snprintf(out, room, "%s", s) < room;
}

static int setting(struct vmdk *v, const char *name, char *value, u64 at, struct err *e)
{
	char digits[16] = "";
	u32 *cid = !strcasecmp(name, "CID") ? &v->cid : !strcasecmp(name, "parentCID") ? &v->parent_cid : NULL;

	if (!strcasecmp(name, "createType") && !plain(value, v->type, sizeof(v->type)))
		return err_set(e, EINVAL, "its createType is too long");
	if (!strcasecmp(name, "parentFileNameHint") &&
	    !plain(value, v->image.backing_name, sizeof(v->image.backing_name)))
		return err_set(e, EINVAL, "its parent's name is too long");
	if (!cid)
		return 0;
	if (!plain(value, digits, sizeof(digits)) || !*digits ||
	    strspn(digits, "0123456789abcdefABCDEF") != strlen(digits) || strlen(digits) > 8)
		return err_set(e, EINVAL, "%s=%s: that is no identifier", name, value);
	*cid = (u32)strtoul(digits, NULL, 16);
	if (cid == &v->cid && strlen(digits) == 8)
		v->cid_at = at;
	return 0;
}

static bool begins(const char *line, const char *with)
{
	size_t n = strlen(with);

	return !strncmp(line, with, n) && (line[n] == ' ' || line[n] == '\t');
}

static int one_line(struct vmdk *v, char *line, u64 at, bool extents, const struct image_open *o, struct err *e)
{
	char *s = line + strspn(line, " \t"), *equals = strchr(s, '=');

	if (begins(s, "RW") || begins(s, "RDONLY") || begins(s, "NOACCESS"))
		return extents ? extent_line(v, s, o, e) : 0;
	if (*s == '#' || !equals)
		return 0;
	char *value = equals + 1 + strspn(equals + 1, " \t");
	*equals = '\0';
	s[strcspn(s, " \t")] = '\0';
	return setting(v, s, value, at + (u64)(value - line), e);
}

int vmdk_parse(struct vmdk *v, char *text, u64 base, bool extents, const struct image_open *o, struct err *e)
{
	struct err none;
	char *next;

	e = e ? e : &none;
	v->parent_cid = UINT32_MAX;
	for (char *line = text; *line; line = next) {
		size_t n = strcspn(line, "\r\n");
		next = line + n + (line[n] != '\0');
		line[n] = '\0';
		int rc = one_line(v, line, base + (u64)(line - text), extents, o, e);
		if (rc < 0)
			return rc;
	}
	if (!*v->type)
		return err_set(e, EINVAL, "its descriptor does not say what it is (createType)");
	if (v->parent_cid == UINT32_MAX)
		v->image.backing_name[0] = '\0';
	else if (!v->image.backing_name[0])
		return err_set(e, EINVAL, "it has a parent and does not name it");
	else
		snprintf(v->image.backing_format, sizeof(v->image.backing_format), "vmdk");
	return 0;
}
