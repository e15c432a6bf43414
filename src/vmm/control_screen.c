/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control_screen.c - commands of the control socket about the screen and what is typed at it. */
#include "base/i18n.h"
#include "vmm/control_int.h"

#include <fcntl.h>
#include <sys/stat.h>

static void on_shot(void *opaque, const struct err *e, unsigned width, unsigned height)
{
	struct control *c = opaque;
	struct control_client *cl = steal(&c->shooter);
	json_t *id = steal(&c->shot_id);

	if (cl) { /* else it went away meanwhile */
		cl->shooting = false;
		control_answer(cl, id, e ? NULL : json_pack("{s:i s:i}", "width", (int)width, "height", (int)height),
			       e);
		control_go_on(cl);
	}
	json_decref(id);
}

json_t *control_cmd_screenshot(struct control_client *cl, const json_t *req, struct err *e)
{
	struct control *c = cl->c;
	struct stat st;
	auto_close int fd = steal_fd(&cl->passed);

	if (fd < 0) {
		err_set(e, EBADF, "screenshot: no file came along: pass its descriptor with the command (SCM_RIGHTS)");
		return control_fail(e, "no-descriptor");
	}
	/* A file alone: whatever else may keep who writes to it waiting. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
		err_set(e, EINVAL, "screenshot: the descriptor is not a regular file that can be written");
		return control_fail(e, "wrong-kind");
	}
	int r = vm_screenshot(c->vm, fd, on_shot, c, e);
	if (r < 0)
		return r == -ENODEV ? control_fail(e, "no-screen") : NULL;
	steal_fd(&fd);
	c->shooter = cl;
	c->shot_id = json_incref(json_object_get(req, "id"));
	cl->shooting = true;
	control_go_on(cl);
	return &control_later;
}

json_t *control_cmd_screen_text(struct control_client *cl, const json_t *req, struct err *e)
{
	struct vm_text t;
	int r = vm_screen_text(cl->c->vm, &t, e);

	if (r < 0)
		return r == -ENODEV ? control_fail(e, "no-screen") : control_fail(e, "no-text");
	json_t *res = json_pack("{s:i s:i s:s}", "columns", (int)t.columns, "rows", (int)t.rows, "text", t.text);
	free(t.text);
	return res;
}

json_t *control_cmd_clipboard(struct control_client *cl, const json_t *req, struct err *e)
{
	const char *text = NULL;
	int r = vm_clipboard(cl->c->vm, &text, e);
	json_t *s = r < 0 ? NULL : json_string(text);

	if (s)
		return json_pack("{s:o}", "text", s);
	if (r == 0)
		err_set(e, EILSEQ, "what a VNC client cut last is not valid UTF-8");
	return r == -ENODEV ? control_fail(e, "no-screen") : control_fail(e, "no-text");
}
