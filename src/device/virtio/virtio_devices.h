/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_devices.h - for who puts a machine together: the virtio devices and how they come onto the PCI bus. By their
 * names on the command line they are made through their classes.
 */
#ifndef MICA_VIRTIO_DEVICES_H
#define MICA_VIRTIO_DEVICES_H

#include "base/base.h"
#include "base/err.h"

struct blk;             /* block/block.h */
struct chr;             /* device/chr.h */
struct device;          /* machine/device.h */
struct device_args;     /* device/class.h */
struct device_listener; /* device/class.h */
struct machine;         /* machine/machine.h */
struct loop;            /* base/loop.h */
struct pci_bus;         /* machine/pci.h */
struct ram;             /* base/ram.h */
struct virtio_dev;

/* Puts d, which it owns from then on, also on failure, onto the board, which ends it: with what a says of that. */
int virtio_add(struct machine *m, struct virtio_dev *d, const struct device_args *a, struct device **out,
	       struct err *e);
/* What virtio_add() put there. */
struct virtio_dev *virtio_of(struct device *d);
/* A parameter of classes whose kind is as old as the legacy interface (virtio_legacy.c). */
#define VIRTIO_PARAM_LEGACY(help) \
	{ \
		"legacy", "on|off", help, DEVICE_SWITCH, 0, 0 \
	}

/*
 * Virtio over PCI (virtio_pci.c). Owns d from then on, also on failure; the bus owns the function. slot
 * -1: the next free one. *out, which may be NULL: the function.
 */
int virtio_pci_add(struct pci_bus *bus, struct virtio_dev *d, int slot, struct device **out, struct err *e);
/* The virtio device of a function that virtio_pci_add() made. */
struct virtio_dev *virtio_pci_dev(struct device *d);

int virtio_blk_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct blk *blk /* owned */,
		   unsigned nqueues, const char *serial, struct err *e);
int virtio_net_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, int fd /* owned: datagram socket, one
		   Ethernet frame a message */
		   ,
		   const u8 mac[6], struct err *e);
/* Offer a larger MTU than 1500 (at most 65520), where all that the back end reaches takes it; before virtio_pci_add().
 */
void virtio_net_set_mtu(struct virtio_dev *d, unsigned mtu);
/* The checksums of what comes out of fd are right, says the back end: the driver may take its word. */
void virtio_net_set_checked(struct virtio_dev *d, bool checked);
/* Who hears of the link's ups and downs; *l is copied. Before virtio_pci_add(). */
void virtio_net_listen(struct virtio_dev *d, const struct device_listener *l);
/* Disks and network cards that vhost-user back ends serve. fd, helper_fd: owned, also on failure: a connected stream
 * socket, and one to mica-vsock that finds another (vsock_start_itself()), or -1. nqueues, at most; pairs, at least. */
int vhost_user_blk_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, int fd, int helper_fd,
		       unsigned nqueues, struct err *e);
int vhost_user_net_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, int fd, int helper_fd,
		       unsigned pairs, const u8 mac[6], const struct device_listener *l, struct err *e);
int virtio_console_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct chr *chr /* borrowed */,
		       struct err *e);
int virtio_rng_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct err *e);
int virtio_balloon_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct err *e);
/* Ask the balloon to hold `bytes` of guest RAM back. Any thread. */
void virtio_balloon_target(struct virtio_dev *d, u64 bytes);
/* What the guest says it holds back now. Any thread. */
u64 virtio_balloon_actual(struct virtio_dev *d);
/* Both owned, and -1 where there is none: a listening stream socket, whose clients come to the guest's ports, and a
 * socket to mica-vsock (vsock/vsock.h), which connects for the guest. */
struct virtio_dev *virtio_vsock_new(struct ram *ram, struct loop *loop, u64 cid, int listen_fd, int link_fd);
/* A keyboard, or a tablet; and what happens to it, as device/class.h's keys() and point() have it. Any thread. */
struct virtio_dev *virtio_input_new(struct ram *ram, struct loop *loop, bool tablet);
int virtio_input_keys(struct virtio_dev *d, const u16 *keys, unsigned n);
int virtio_input_point(struct virtio_dev *d, unsigned x, unsigned y, int wheel, unsigned buttons);
/* fd: owned, a socket to mica-share (share/share.h). tag: at most SHARE_TAG_MAX bytes. */
struct virtio_dev *virtio_fs_new(struct ram *ram, struct loop *loop, int fd, const char *tag);

/* A display; 5.7. What it shows is as long there as the device. */
struct virtio_dev *virtio_gpu_new(struct ram *ram, struct loop *loop);
const struct screen *virtio_gpu_screen(struct virtio_dev *d);
/* Whoever looks would like it to be so large; the driver is told. Any thread. */
void virtio_gpu_resize(struct virtio_dev *d, unsigned width, unsigned height);

#endif
