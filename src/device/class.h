/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * class.h - what a kind of device says of itself, in its own file. All classes are listed in table.c, and nowhere else:
 * the command line, its help and completion, the checks of a configuration, and who puts a VM together go through that
 * list. docs/recipe-device.md is how to add one.
 *
 * Roles. A disk or a network card is a front end that the guest sees and a back end on the host; the back end is
 * opened by who puts the VM together, and handed to the constructor. So a class of a role needs no knowledge of images
 * or networks, and an image or network none of classes.
 */
#ifndef MICA_DEVICE_CLASS_H
#define MICA_DEVICE_CLASS_H

#include "base/base.h"
#include "base/err.h"
#include "machine/device.h"

#ifndef N_
#define N_(s) s /* to be translated where it is shown */
#endif

#define DEVICE_MAC_BYTES 6
#define DEVICE_POINT_MAX 0x7fffu

struct blk;         /* block/block.h */
struct boot_screen; /* machine/machine.h */
struct chr;         /* device/chr.h */
struct machine;     /* machine/machine.h */
struct screen;      /* device/display/screen.h */

enum device_role {
	DEVICE_PLAIN,   /* nothing of the host: --device NAME */
	DEVICE_DISK,    /* args.blk, serial: --disk FILE,bus=... */
	DEVICE_CDROM,   /* args.blk, read only, perhaps without a medium: --cdrom FILE,bus=... */
	DEVICE_NIC,     /* args.fd, mac, mtu: --net KIND,model=... */
	DEVICE_SERIAL,  /* args.chr, may be NULL, port: --console, --serial2 */
	DEVICE_CONSOLE, /* args.chr: --virtio-console */
	DEVICE_DISPLAY, /* args.rom: --display; it has screen() */
	DEVICE_INPUT,   /* what is in front of every screen: --display; it has keys() and pointer() */
	DEVICE_VSOCK,   /* args.listen_fd, fd (vsock/vsock.h), cid: --vsock */
	DEVICE_SHARE,   /* args.fd (share/share.h), tag: --share */
	/* args.fd: a connected vhost-user back end, control_fd: mica-vsock for it (vsock/vsock.h), or -1 */
	DEVICE_VHOST_DISK, /* --disk vhost-user=SOCKET */
	DEVICE_VHOST_NIC,  /* mac: --net vhost-user=SOCKET */
	DEVICE_TPM,        /* args.fd (tpm/tpm.h: data), control_fd: --tpm */
};

enum device_value {
	DEVICE_NUMBER, /* a whole number, lo to hi */
	DEVICE_SWITCH, /* on or off */
	DEVICE_TEXT,   /* at most hi bytes */
};

struct device_param {
	const char *name;  /* NULL ends a list */
	const char *shown; /* what --help shows as its value: "N", "on|off" */
	const char *help;  /* N_() */
	enum device_value value;
	u64 lo, hi;
};

/*
 * What a device says of itself unasked, to whoever put it on the board. The control socket makes events of it
 * (docs/control-socket.md). It begins with its link up, and says up and down in turns.
 */
enum device_news {
	DEVICE_LINK,         /* NIC: its link went down, or up again */
	DEVICE_PANICKED,     /* the guest's kernel has failed, and does no more */
	DEVICE_CRASH_LOADED, /* ... and hands over to a kernel for crashes, which goes on */
	DEVICE_EXPIRED,      /* a watchdog: the guest did not call in time */
};

/* fn is called on any thread, with the device's locks held; it notes and returns. NULL: nobody listens. */
struct device_listener {
	void (*fn)(void *opaque, enum device_news what);
	void *opaque;
};

static inline void device_tell(const struct device_listener *l, enum device_news what)
{
	if (l->fn)
		l->fn(l->opaque, what);
}

/* What a constructor gets. Valid during the call; what it keeps, it copies. */
struct device_args {
	const char *id;            /* unique in the machine */
	int slot;                  /* of the PCI bus; -1: the next free one */
	const char *const *params; /* "key=value": those of the class, checked by who read them */
	unsigned nparams;
	struct device_listener listener; /* copied by who has news */
	/* by role */
	struct blk *blk;    /* owned from the call on, also when it fails */
	const char *serial; /* "": none */
	int fd;             /* owned like blk. NIC: a datagram socket, one Ethernet frame a message (net/net.h) */
	int listen_fd;      /* owned like blk */
	int control_fd;     /* owned like blk */
	u64 cid;
	const char *tag;
	u8 mac[DEVICE_MAC_BYTES];
	unsigned mtu;    /* what the network takes */
	bool checked;    /* what it sends has right checksums */
	struct chr *chr; /* borrowed */
	unsigned port;   /* SERIAL: 0 is COM1, 1 is COM2 */
	const u8 *rom;   /* an option ROM; NULL: there is none on this host */
	size_t rom_bytes;
	u64 rom_room; /* NIC: bytes for it, there or not; 0: it is to have none */
};

struct device_class {
	const char *name;  /* "virtio-blk": in --device, in a VM's status */
	const char *field; /* DISK, CDROM: what bus= calls it, NIC: model=, as in "virtio"; else NULL */
	const char *help;  /* N_(), a few words without a full stop */
	enum device_role role;
	bool standard;                     /* PLAIN: every machine has one, after what was asked for */
	bool single;                       /* PLAIN: and none can be added */
	bool pci;                          /* it is a PCI function: for boards that have that */
	const struct device_param *params; /* NULL: none */
	/* Makes one, puts it on the board (pci_register(), machine_add_device()), which ends it. A failure leaves
	 * nothing. */
	int (*new)(struct device **out, struct machine *m, const struct device_args *a, struct err *e);

	/* Where firmware finds it as something to boot from, in Open Firmware's words: "/pci@i0cf8/scsi@3/disk@0,0"
	 * with its slot in hex. NULL: nothing boots from it. */
	void (*boot_path)(struct device *d, char *path, size_t bytes);

	/* The file of its option ROM (rom, above), of a Debian package; NULL: it needs none. */
	const char *rom, *rom_uefi;

	/* What a person can ask it for while it is there; the loop's thread; optional. */
	void (*line_break)(struct device *d);         /* a break comes in on the line */
	void (*balloon)(struct device *d, u64 bytes); /* hold so much of guest memory back */
	/* CDROM. The tray opens: for the guest there is no medium any more, and none of its requests begins. -EBUSY:
	 * the guest has locked it, and it is not by force; it was told what is wanted. */
	int (*eject)(struct device *d, bool force, struct err *e);
	void (*insert)(struct device *d); /* the tray closes over whatever medium its blk now is */
	bool (*tray_open)(struct device *d);
	/* DISPLAY: what it shows (display/screen.h); the device's, and as long there. */
	const struct screen *(*screen)(struct device *d);
	/* DISPLAY: who looks would like it to be of that size; NULL: it is as large as the guest makes it. */
	void (*resize)(struct device *d, unsigned width, unsigned height);
	/* DISPLAY: set a mode for a kernel that is booted without firmware (machine.h, struct boot_params). */
	int (*boot_mode)(struct device *d, unsigned mode, struct boot_screen *out);
	/* What has keys: they go down and up (input/key.h: keys with KEY_DOWN or not), all of them or none. -EBUSY: the
	 * guest has not taken those before; -EAGAIN: it has no driver that listens, another keyboard is to have them.
	 */
	int (*keys)(struct device *d, const u16 *events, unsigned n);
	/* What points at a place of the screen: x, y from 0 to DEVICE_POINT_MAX of its width and height, the wheel
	 * towards the user, buttons as below. -EAGAIN: as above. */
	int (*point)(struct device *d, unsigned x, unsigned y, int wheel, unsigned buttons);
	/* INPUT: it moves, to the right, down, its wheel towards the user. buttons: bits, left, right, middle. */
	void (*pointer)(struct device *d, int dx, int dy, int wheel, unsigned buttons);
};

/* In table.c; NULL ends. In the order in which help shows them; the first of a role is its default. */
extern const struct device_class *const device_table[];

/* ---- class.c ---- */
/* The next class of a role at or after *at, which moves behind it; NULL: there is no more. */
const struct device_class *device_class_next(enum device_role role, unsigned *at);
/* By name; NULL: there is none. */
const struct device_class *device_class_find(const char *name);
/* By bus= or model=; NULL: the role's default. NULL when there is none. */
const struct device_class *device_class_of(enum device_role role, const char *field);
/* May --device add one? */
bool device_class_addable(const struct device_class *c);
const struct device_param *device_class_param(const struct device_class *c, const char *name);

/* For constructors: a parameter as it was given, or `otherwise`. */
u64 device_number(const struct device_args *a, const char *name, u64 otherwise);
bool device_switch(const struct device_args *a, const char *name, bool otherwise);
const char *device_text(const struct device_args *a, const char *name, const char *otherwise);

#endif
