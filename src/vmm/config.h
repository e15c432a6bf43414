/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.h - everything mica-vmm is told about one VM, as a struct and as JSON.
 *
 * mica-vmm reads one JSON object from a file descriptor (docs/run.md lists the keys). Reading is
 * strict: an unknown key or a wrong type is an error that names it, so that no wish of the sender is
 * lost. Numbers are checked against the bounds here, whoever the sender is.
 */
#ifndef MICA_VMM_CONFIG_H
#define MICA_VMM_CONFIG_H

#include "base/base.h"
#include "base/err.h"

#include <jansson.h>

#define VMM_MEMORY_MIN (1 * MIB)
#define VMM_MEMORY_MAX (1020 * GIB) /* with 4 GiB of the board's: what 40 bits reach, cpu/model.c */
#define VMM_DISKS_MAX 16
#define VMM_NETS_MAX 8
#define VMM_DEVICES_MAX 16
#define VMM_SHARES_MAX 8
#define VMM_FW_CFG_MAX 16
#define VMM_CID_MIN 3u /* below are the host and all (VIRTIO 1.2, 5.10.4) */
#define VMM_CID_MAX 0xfffffffeu
#define VMM_SERIAL_MAX 20 /* bytes of a virtio-blk serial number */

struct vmm_disk {
	char *path, *format, *serial;
	char *backing; /* NULL: "folder"; block/format.h */
	bool readonly, snapshot, direct;
	bool cdrom; /* readonly; path "": an empty drive */
	char *id;   /* NULL: chosen */
	char *bus;  /* NULL: the default */
	char **params;
	unsigned nparams;
	char **options; /* "name=value", of the image's format, or of a disk on a server */
	unsigned noptions;
};

/* A disk that a process of the host's serves at a socket, by vhost-user. */
struct vmm_vhost_disk {
	char *path;
	char *id; /* NULL: chosen */
	char **params;
	unsigned nparams;
};

struct vmm_net {
	char *type; /* "user", "vhost-user", or "fd" */
	char *path; /* of "vhost-user": the socket of who serves it */
	int fd;     /* of "fd": a connected back end (net/net.h) */
	char *mac;  /* NULL: chosen */
	char **hostfwd;
	unsigned nhostfwd;
	char *tftp, *bootfile; /* of "user": struct net_user_boot */
	char *id;              /* NULL: chosen */
	char *model;           /* NULL: the default */
	char **params;
	unsigned nparams;
};

/* What is neither: --device. params, here and above: "key=value", of the class. */
struct vmm_device {
	char *class, *id; /* id NULL: chosen */
	char **params;
	unsigned nparams;
};

/* A folder that the guest mounts by its tag. */
struct vmm_share {
	char *path, *tag;
	bool readonly;
};

struct vmm_config {
	char *name;
	char *engine;          /* "auto", "kvm", "soft" */
	char **engine_options; /* of "soft": vmm/engine_options.h */
	unsigned nengine_options;
	char *machine; /* "q35", "pc", "micro" */
	char *irqchip; /* of the KVM engine: "split" or "kernel" */
	char *cpu;     /* model name */
	unsigned cpus;
	u64 memory_bytes;
	char *firmware; /* "auto", "none", "bios", "uefi", or a file's name */
	char *nvram;   /* where UEFI's variables are kept; NULL: chosen (firmware_choose()); "": they end with the VM */
	char **fw_cfg; /* vmm_fw_cfg_parse() */
	unsigned nfw_cfg;
	char **smbios; /* words: identity_parse() */
	unsigned nsmbios;
	char **boot; /* words: boot_order_check() */
	unsigned nboot;
	char *kernel, *initrd, *append;
	char **modules;
	unsigned nmodules;
	struct vmm_disk *disks;
	unsigned ndisks;
	struct vmm_vhost_disk *vhost_disks;
	unsigned nvhost_disks;
	struct vmm_net *nets;
	unsigned nnets;
	struct vmm_device *devices;
	unsigned ndevices;
	struct vmm_share *shares;
	unsigned nshares;
	char *vsock; /* a Unix socket that is the guest's other side of AF_VSOCK; NULL: none */
	u64 vsock_cid;
	char *tpm; /* the folder that has the TPM's state; NULL: there is no TPM */
	/* "none", "fd" (console_fd) or "unix" (listen at console_path); the same for virtio-console */
	char *console, *console_path;
	int console_fd;
	char *virtio_console, *virtio_console_path;
	int virtio_console_fd;
	char *serial2, *serial2_path; /* COM2, likewise; "none": there is none */
	int serial2_fd;
	char *screen; /* "none", or what shows the guest's picture: "vga" */
	char *vnc;    /* where VNC clients come to it: "unix:PATH", "ADDRESS:PORT"; NULL: nowhere */
	char *vnc_password_file;
	char *vnc_tls_cert, *vnc_tls_key; /* PEM; key NULL: in the certificate's file */
	int control_fd;     /* a connected control socket of who starts it, told "ready" or "failed"; -1: none */
	bool detached;      /* the VM outlives the end of control_fd */
	char *control_path; /* listen here too */
	char **trace;
	unsigned ntrace;
	bool no_reboot, debug_exit, stats, verbose;
	int restore_fd;      /* a saved state to go on from, open for reading; -1: boot */
	int restore_head_fd; /* what was read from it already, where that cannot be read again; -1: nothing */
	bool restore_disks;  /* disks are not those of the saved configuration, whoever gives them answers for them */
};

/* Defaults: 1 CPU, 512 MiB, no console, no network. */
void vmm_config_init(struct vmm_config *c);
void vmm_config_fini(struct vmm_config *c);
/* Do processes of the host's get the guest's memory? */
bool vmm_config_shares_memory(const struct vmm_config *c);
/* Append a copy of s to a list of strings. */
void vmm_strv_add(char ***v, unsigned *n, const char *s);

/* "name=NAME,file=FILE" or "name=NAME,string=TEXT": a file for firmware to read. The last value may have commas. */
struct vmm_fw_cfg {
	char *name, *file, *string; /* file or string is NULL */
};
int vmm_fw_cfg_parse(struct vmm_fw_cfg *out, const char *text, struct err *e);
void vmm_fw_cfg_fini(struct vmm_fw_cfg *f);

/* The board: what machine_config.kind is. */
int vmm_machine_parse(unsigned *kind, const char *name, struct err *e);

/* "auto", "none", "bios", "uefi": not a file's name. */
bool vmm_firmware_is_word(const char *s);

/* The descriptors that c names, for who starts the VM and for it to keep. */
#define VMM_FDS_MAX (6 + VMM_NETS_MAX)
unsigned vmm_config_fds(const struct vmm_config *c, int fds[VMM_FDS_MAX]);
/* New reference; NULL when a string is not UTF-8 (JSON cannot carry it). */
json_t *vmm_config_to_json(const struct vmm_config *c);
/* c is initialised here, also on failure. */
int vmm_config_from_json(struct vmm_config *c, const json_t *j, struct err *e);
/* "02:00:00:12:34:56", not a multicast address. */
int vmm_mac_parse(u8 mac[6], const char *s, struct err *e);
/* Bounds and what excludes what. Messages name JSON keys, which are spelt as the options are. */
int vmm_config_check(const struct vmm_config *c, struct err *e);

#endif
