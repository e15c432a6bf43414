/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu_promise_json.h - what CPUs were promised to a guest, and what a host's engines can promise, as JSON.
 *
 * So that whoever moves a VM finds out whether it can go on elsewhere before it is stopped: `mica doctor --json` of the
 * other host has "engines", a VM's control socket has "promise".
 */
#ifndef MICA_VMM_PROMISE_H
#define MICA_VMM_PROMISE_H

#include "cpu/cpu.h"

#include <jansson.h>

json_t *promise_to_json(const struct cpu_model_promise *p);
int promise_from_json(struct cpu_model_promise *p, const json_t *j, struct err *e);

/* All that the engines of this host can promise: an array of {"name", "limited", "promise"}. kvm: it is usable. */
json_t *promise_of_host(bool kvm);
/* Which of those engines can go on with a VM: their names in buf, or -ENOTSUP with what each lacks. */
int promise_find_engine(const json_t *engines, const struct cpu_model_promise *p, char *buf, size_t bytes,
			struct err *e);

#endif
