/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe.h - can the KVM of this host run an unmodified kernel?
 *
 * /dev/kvm may be there and yet be of no use: some hosts (virtual machines themselves, mostly) offer one that runs
 * paravirtual guests only and emulates every instruction in kernel mode, thousands of times slower. So the
 * probe runs a little code in ring 0 of a 64-bit guest, in a child process under a time limit.
 */
#ifndef MICA_CPU_PROBE_H
#define MICA_CPU_PROBE_H

#include "base/base.h"
#include "base/err.h"

enum kvm_verdict {
	KVM_USABLE,
	KVM_ABSENT,   /* no /dev/kvm, or it may not be opened */
	KVM_LACKING,  /* it lacks what the engine needs, or the guest does not run */
	KVM_EMULATED, /* it runs kernel code far too slowly */
};

struct kvm_probe {
	enum kvm_verdict verdict;
	u64 cycles_per_100; /* host cycles for a hundred guest instructions; 0: not measured */
	char why[256];      /* one line, for people */
};

/* Takes at most half a second; a few milliseconds where KVM is usable. */
void kvm_probe(struct kvm_probe *p);

/* What the engine needs of the KVM behind fd (/dev/kvm): 0, or -ENOTSUP with the first thing lacking. */
int kvm_check_caps(int fd, struct err *e);

#endif
