/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exit_status.h - exit statuses of mica-vmm and mica run: the one table (also in mica-run(1)). */
#ifndef MICA_STATUS_H
#define MICA_STATUS_H

enum mica_status {
	STATUS_OK = 0,           /* the guest powered off */
	STATUS_HOST = 1,         /* the VM could not start, or the host failed it */
	STATUS_USAGE = 2,        /* bad command line */
	STATUS_RESET = 3,        /* --no-reboot: the guest reset the machine (also a panic that reboots) */
	STATUS_TRIPLE_FAULT = 4, /* --no-reboot: triple fault */
	STATUS_ENGINE = 5,       /* the CPU engine failed */
	STATUS_SIGNAL = 128,     /* + signal; 130 also when a person quit (Ctrl-a x, the quit command) */
};
#define STATUS_QUIT 130
/* --debug-exit: the byte the guest wrote gives (value << 1) | 1. */
#define STATUS_DEBUG(value) ((((value) << 1) | 1) & 0xff)

#endif
