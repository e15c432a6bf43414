/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_media.c - media that come and go while the VM runs: `eject` and `insert` of the control socket.
 *
 * The tray opens at once, so that the guest begins nothing more; the image is let go, or another takes its place, when
 * what was under way has ended (blk_change()); then the tray closes over it. The VM can open no files any more: a
 * medium comes as a descriptor. Its name goes into the configuration, so that a saved VM looks for it where it is.
 */
#include "base/i18n.h"
#include "block/block.h"
#include "vmm/vm_int.h"

/* Of a drive whose medium was changed. */
struct vm_medium {
	struct vm_device *d;
	bool ejected; /* the tray stays open */
};

static struct vm_device *find(struct vm *v, const char *id, struct err *e)
{
	for (unsigned i = 0; i < v->ndevices; i++) {
		struct vm_device *d = &v->devices[i];
		if (id ? strcmp(d->dev->id, id) : !d->cls->eject)
			continue;
		if (d->cls->eject)
			return d;
		err_set(e, EINVAL, "device '%s' has no medium that could be changed", id);
		return NULL;
	}
	if (id)
		err_set(e, ENOENT, "there is no device '%.64s'", id);
	else
		err_set(e, ENOENT, "the VM has no CD-ROM; give it one with --cdrom none");
	return NULL;
}

static void changed(void *opaque)
{
	struct vm_medium *m = opaque;

	if (!m->ejected)
		m->d->cls->insert(m->d->dev);
}

static int change(struct vm *v, const char *id, bool force, int fd, const char *path, struct err *e)
{
	struct vm_device *d = find(v, id, e);

	if (!d)
		return -ENOENT;
	struct vm_medium **m = &v->media[d->disk];
	const struct blk_params p = {
		.path = *path ? path : NULL, .fd = fd, .locked = true, .removable = true, .alone = true
	};
	if (!*m)
		*m = xcalloc(1, sizeof(**m));
	bool was_open = d->cls->tray_open(d->dev);
	int r = d->cls->eject(d->dev, force, e);
	if (r < 0)
		return r;
	(*m)->d = d;
	r = blk_change(v->disks[d->disk], &p, changed, *m, e);
	if (r < 0) { /* the old one stays */
		if (!was_open && r != -EBUSY)
			d->cls->insert(d->dev);
		return r;
	}
	(*m)->ejected = !*path;
	free(v->cfg->disks[d->disk].path);
	v->cfg->disks[d->disk].path = xstrdup(path);
	free(v->cfg->disks[d->disk].format); /* of the one before */
	v->cfg->disks[d->disk].format = *path ? xstrdup("raw") : NULL;
	return 0;
}

int vm_eject(struct vm *v, const char *id, bool force, struct err *e)
{
	return change(v, id, force, -1, "", e);
}

int vm_insert(struct vm *v, const char *id, bool force, int fd, const char *path, struct err *e)
{
	int r = change(v, id, force, fd, path, e);

	close(fd);
	return r;
}

void vm_media_free(struct vm *v)
{
	for (unsigned i = 0; i < VMM_DISKS_MAX; i++)
		free(v->media[i]);
}

void vm_media_json(struct vm *v, const struct vm_device *d, json_t *o)
{
	if ((d->cls->role == DEVICE_DISK || d->cls->role == DEVICE_CDROM) && blk_is_url(v->cfg->disks[d->disk].path))
		json_object_set_new(o, "connection", json_string(vm_disk_connection(v, d->disk)));
	if (!d->cls->tray_open)
		return;
	json_object_set_new(o, "medium", json_string(v->cfg->disks[d->disk].path));
	json_object_set_new(o, "tray", json_string(d->cls->tray_open(d->dev) ? "open" : "closed"));
}
