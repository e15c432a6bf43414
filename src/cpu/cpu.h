/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu.h - the narrow waist between a machine and what executes its instructions.
 *
 * Everything above this line is engine-blind; no engine knows a device. State crosses it only in
 * architectural form (struct cpu_state), so that it can move between engines.
 *
 * Threads: cpu_run() and cpu_get_state()/cpu_set_state() belong to the vCPU's own thread (or to
 * anyone while that thread is not in cpu_run()). cpu_set_intr(), cpu_raise_*() and cpu_stop() may
 * be called from any thread. The cpu_bus callbacks run on the vCPU's thread, with no engine lock
 * held, and may call cpu_set_intr() and friends on any vCPU.
 */
#ifndef MICA_CPU_H
#define MICA_CPU_H

#include "base/base.h"
#include "base/err.h"
#include "base/ram.h"

#define CPU_MAX 64

struct cpu;    /* one vCPU */
struct cpu_vm; /* all vCPUs of one VM */

/* ---- what the engine asks of the machine ---- */
struct cpu_bus {
	void *opaque;
	/* Physical accesses that are not memory, and writes to read-only memory. bytes: 1, 2, 4, 8; naturally or not
	 * aligned. These and the ports may edit the table of guest memory (base/ram.h): it is in force before the
	 * vCPU's next instruction. */
	u64 (*mmio_read)(void *opaque, unsigned cpu, gpa_t gpa, unsigned bytes);
	void (*mmio_write)(void *opaque, unsigned cpu, gpa_t gpa, unsigned bytes, u64 val);
	/* I/O ports; bytes: 1, 2, 4. */
	u32 (*pio_read)(void *opaque, unsigned cpu, u16 port, unsigned bytes);
	void (*pio_write)(void *opaque, unsigned cpu, u16 port, unsigned bytes, u32 val);
	/* INTR is up and the vCPU can take it: the vector (0-255), or -1 if it went away. */
	int (*intr_ack)(void *opaque, unsigned cpu);
	/* MSRs the engine does not hold itself (IA32_APIC_BASE, x2APIC 0x800-0x8ff,
	 * IA32_TSC_DEADLINE, KVM's 0x4b564dxx, ...). false: #GP. `tsc` MSRs are the engine's. */
	bool (*msr_read)(void *opaque, unsigned cpu, u32 msr, u64 *val);
	bool (*msr_write)(void *opaque, unsigned cpu, u32 msr, u64 val);
	/* CR8, 0-15. */
	u8 (*tpr_get)(void *opaque, unsigned cpu);
	void (*tpr_set)(void *opaque, unsigned cpu, u8 tpr);
	/* VMCALL/VMMCALL at CPL 0: the value for RAX (Linux Documentation/virt/kvm/x86/hypercalls). */
	s64 (*hypercall)(void *opaque, unsigned cpu, u64 nr, const u64 arg[4]);
	/*
	 * The vCPU goes to sleep (HLT): returns the CLOCK_MONOTONIC time its local timer is due
	 * (UINT64_MAX: none) and leaves waking for it to the caller. unpark: it is awake again;
	 * raises the timer if it is due, else arms it anew.
	 */
	u64 (*park)(void *opaque, unsigned cpu);
	void (*unpark)(void *opaque, unsigned cpu);
	/* An engine that has the local APICs (cpu_vm_has_lapic()): a level-triggered vector that came through
	 * cpu_vm_set_pin() is finished. */
	void (*eoi)(void *opaque, u8 vector);
};

/* ---- CPU models: what CPUID promises ---- */
struct cpu_model; /* opaque; src/cpu/model.c */

/* name: "mica-v2", "mica-v3", "host", each with ",-FEATURE"... after it to leave features out (names as /proc/cpuinfo
 * has them). Never promises what the host or the engine cannot do. */
int cpu_model_new(struct cpu_model **out, const char *name, unsigned ncpus, struct err *e);
void cpu_model_free(struct cpu_model *m);

struct cpuid_regs {
	u32 eax, ebx, ecx, edx;
};
/* The static part of a leaf, for vCPU `cpu` (its APIC id is its index). The engine fills in what
 * depends on state (OSXSAVE, OSPKE, leaf 0xd sizes by XCR0). */
struct cpuid_regs cpu_model_cpuid(const struct cpu_model *m, unsigned cpu, u32 leaf, u32 subleaf);
/* XCR0 bits this model offers (bit 0 x87, 1 SSE, 2 AVX). */
u64 cpu_model_xcr0(const struct cpu_model *m);
/* The vendor it presents (the host's): AMD, else Intel; they differ in SYSCALL and SYSENTER. */
bool cpu_model_is_amd(const struct cpu_model *m);
/* IA32_ARCH_CAPABILITIES, where leaf 7 offers it. */
u64 cpu_model_arch_capabilities(const struct cpu_model *m);

/* The words of CPUID that hold feature bits. */
enum cpu_word {
	CW_1_ECX,
	CW_1_EDX,
	CW_6_EAX,
	CW_7_EBX,
	CW_7_ECX,
	CW_7_EDX,
	CW_D1_EAX,
	CW_E1_ECX, /* 8000_0001H */
	CW_E1_EDX,
	CW_E7_EDX,
	CW_PV_EAX, /* 4000_0001H */
	CW_E8_EBX,
	CW_E21_EAX,
	CW_E21_ECX,
	CPU_MODEL_WORDS
};
struct cpu_word_place {
	u32 leaf, sub;
	u8 reg; /* 0 EAX ... 3 EDX */
};
extern const struct cpu_word_place cpu_word_places[CPU_MODEL_WORDS];

/* What a VM was promised, host or engine notwithstanding. */
struct cpu_model_promise {
	char name[16];   /* "mica-v2"; NUL-terminated */
	char vendor[12]; /* as CPUID has it */
	u32 word[CPU_MODEL_WORDS];
	unsigned words; /* how many of them are known: early saved states have those before CW_PV_EAX */
	u64 xcr0, arch_capabilities;
	u32 ncpus;
	bool limited; /* by an engine whose guests have the processor's own flaws; not saved */
};
/* Can a host that promises `host` go on with what was promised p? Else -ENOTSUP, with what is missing named. */
int cpu_promise_fits(const struct cpu_model_promise *host, const struct cpu_model_promise *p, struct err *e);
void cpu_model_promise(const struct cpu_model *m, struct cpu_model_promise *p);
/* Make m promise exactly p: -ENOTSUP, with what is missing named, when m (this host, this engine) lacks any of it.
 * What CPUID says about speculation flaws that a processor has not is no promise: it is kept as far as it is true. */
int cpu_model_keep(struct cpu_model *m, const struct cpu_model_promise *p, struct err *e);
/* Only for engines: m keeps of each word what is in `has`, and is given `add`. */
void cpu_model_limit(struct cpu_model *m, const u32 has[CPU_MODEL_WORDS], const u32 add[CPU_MODEL_WORDS], u64 xcr0);

/* ---- architectural state ---- */
enum cpu_seg_name { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* Attribute bits as in the second dword of a descriptor, bits 8-15 and 20-23 (SDM 3A 3.4.5),
 * moved down by 8. */
#define SEG_AR_TYPE 0x000f
#define SEG_AR_S 0x0010
#define SEG_AR_DPL 0x0060
#define SEG_AR_P 0x0080
#define SEG_AR_AVL 0x1000
#define SEG_AR_L 0x2000
#define SEG_AR_DB 0x4000
#define SEG_AR_G 0x8000
#define SEG_AR_UNUSABLE 0x10000 /* loaded with a null selector */

struct cpu_seg {
	u16 sel;
	u32 ar;    /* SEG_AR_* */
	u32 limit; /* in bytes, granularity applied */
	u64 base;
};

enum cpu_gpr { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8 /* .. 15 */ };

enum cpu_run_state { CPU_RUNNING, CPU_HALTED, CPU_WAIT_SIPI };

struct cpu_state {
	u64 gpr[16];
	u64 rip, rflags;
	struct cpu_seg seg[SEG_COUNT];
	u64 gdt_base, idt_base;
	u16 gdt_limit, idt_limit;
	u64 cr0, cr2, cr3, cr4, cr8, xcr0;
	u64 dr[4], dr6, dr7;
	u64 efer, star, lstar, cstar, fmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat, tsc_aux, tsc; /* tsc: value when saved; 0 to cpu_set_state(): leave the TSC alone */
	u64 tsc_adjust;
	u64 misc_enable, spec_ctrl;
	u64 mtrr_def_type;
	u64 mtrr_var[16];                            /* MSRs 200H-20FH: base, mask of each range */
	u64 mtrr_fix[11];                            /* 250H, 258H, 259H, 268H-26FH */
	u8 xsave[1024] __attribute__((aligned(64))); /* standard form, x87 + SSE + AVX (SDM 1 13.4) */
	enum cpu_run_state run_state;
	bool intr_shadow, nmi_masked, nmi_pending;
	bool shadow_ss;    /* intr_shadow is MOV SS's: debug traps wait, too */
	bool kicked;       /* the next HLT falls through (KVM_HC_KICK_CPU came before it) */
	bool init_pending; /* an INIT has arrived and not been acted upon */
	bool sipi_pending; /* ... after it, or while waiting: a SIPI */
	u8 sipi_vector;
	/* An exception whose instruction has run, and which has not been delivered (KVM can stop there; the
	 * soft engine stops before or after). rip is what its frame will hold. */
	struct {
		bool valid, has_error;
		u8 vector;
		u32 error;
		u64 payload;      /* #PF: CR2, #DB: bits to set in DR6 */
		bool has_payload; /* false: CR2, DR6 are set already */
	} exc;
	/* An interrupt taken from its controller (in service there) and not delivered. soft: INT n that rip points
	 * at and that runs again. */
	struct {
		bool valid, soft;
		u8 vector;
	} intr;
	/* The guest may have been offered means against speculation flaws beyond its CPU model (IBRS, IBPB, STIBP,
	 * SSBD: KVM hands the host's through): their MSRs must go on working, wherever it goes. */
	bool spec_msrs;
	/* There is no SMM on this board, hence no SMI state. */
};

/* ---- state that an engine may hold for the board (cpu/board_state.h) ---- */
struct board_state;
/*
 * The chips that the engine has in itself (KVM's in-kernel interrupt controllers, timer, paravirtual clock)
 * put their state over what machine_save() found on the board, and take theirs from what is loaded. The soft engine
 * has none and does nothing. No vCPU is in cpu_run(); when set is called, all vCPUs have their state.
 */
void cpu_vm_get_board(struct cpu_vm *vm, struct board_state *b);
int cpu_vm_set_board(struct cpu_vm *vm, const struct board_state *b, struct err *e);

/* ---- running ---- */
enum cpu_exit {
	CPU_EXIT_STOP,     /* cpu_stop() was called */
	CPU_EXIT_SHUTDOWN, /* triple fault */
	CPU_EXIT_ERROR,    /* the engine cannot go on; the message is in *e */
};

/* KVM_CHIPS: KVM with all interrupt chips in the kernel (cpu_vm_has_chips()). */
enum cpu_engine_kind { CPU_ENGINE_SOFT, CPU_ENGINE_KVM, CPU_ENGINE_KVM_CHIPS };

/* What that engine can keep of m on this host; the rest is taken out of it. Before cpu_model_keep() and cpu_vm_new().
 */
int cpu_engine_limit(enum cpu_engine_kind kind, struct cpu_model *m, struct err *e);

/* Create a VM with ncpus vCPUs. bus, ram, model are borrowed and outlive it. The vCPUs are in
 * reset state: vCPU 0 running at the reset vector, the others waiting for SIPI. */
int cpu_vm_new(struct cpu_vm **out, enum cpu_engine_kind kind, const struct cpu_bus *bus, struct ram *ram,
	       const struct cpu_model *model, unsigned ncpus, struct err *e);
/* "soft", "kvm". */
const char *cpu_vm_engine(const struct cpu_vm *vm);
/* Once, before the first cpu_run(): privileges are gone, the system-call filter is not there yet. What an engine needs
 * processes of its own for it makes now; it does without where this is not called. */
void cpu_vm_ready(struct cpu_vm *vm);
void cpu_vm_free(struct cpu_vm *vm);
struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index);

/* Run until something the caller must handle. Sleeps inside while the vCPU is halted. */
enum cpu_exit cpu_run(struct cpu *c, struct err *e);
/* Make cpu_run() return CPU_EXIT_STOP soon (also when it is entered next, once). */
void cpu_stop(struct cpu *c);

void cpu_get_state(struct cpu *c, struct cpu_state *s);
int cpu_set_state(struct cpu *c, const struct cpu_state *s, struct err *e);
/* As after power-on (SDM 3A 9.1). */
void cpu_reset(struct cpu *c);

/* The interrupt line of the local APIC, a level; where the engine has the local APICs, the 8259s' line into
 * LINT0, which intr_ack() acknowledges. */
void cpu_set_intr(struct cpu *c, bool up);
void cpu_raise_nmi(struct cpu *c);
void cpu_raise_init(struct cpu *c);
void cpu_raise_sipi(struct cpu *c, u8 vector);
/* Wake a halted vCPU as if an interrupt had come (KVM_HC_KICK_CPU). */
void cpu_kick_halted(struct cpu *c);

/* The guest's TSC now, on this vCPU (host TSC + offset). */
u64 cpu_tsc(struct cpu *c);

/*
 * ---- local APICs in the engine ----
 * An engine may run the local APICs itself (KVM's are in the kernel). Then the machine's own step aside: it
 * sends messages with cpu_vm_msi(), the 8259s' output with cpu_set_intr(), and is told of EOIs.
 */
bool cpu_vm_has_lapic(const struct cpu_vm *vm);
/* An interrupt message as on the bus (SDM 3A 11.11). Any thread. */
void cpu_vm_msi(struct cpu_vm *vm, u64 addr, u32 data);
/* What pin `pin` (< CPU_PINS) of the I/O APIC would send; used: false when the pin is masked. The engine must know,
 * to tell of the EOIs of level-triggered ones. Any thread. */
#define CPU_PINS 24
void cpu_vm_set_pin(struct cpu_vm *vm, unsigned pin, u64 addr, u32 data, bool used);
/* Pulse LINT1 of this vCPU's local APIC. Any thread. */
void cpu_lint1(struct cpu *c);
/*
 * Message routes: writing to fd (an eventfd, borrowed) sends the message, whoever writes, the kernel or another process
 * too, until the route is set anew or ended. id < CPU_ROUTES, the caller's to give out; one thread at a time for an id.
 */
#define CPU_ROUTES 1024
bool cpu_vm_has_routes(const struct cpu_vm *vm);
int cpu_vm_route(struct cpu_vm *vm, unsigned id, int fd, bool on, u64 addr, u32 data);

/*
 * ---- the other interrupt chips in the engine ----
 * An engine may run the I/O APIC, the 8259s and the PIT as well. Then the wires go to it, the machine's own models
 * rest, and cpu_vm_get_board() and set_board() have the state of these, too. Any thread.
 */
bool cpu_vm_has_chips(const struct cpu_vm *vm);
void cpu_vm_wire(struct cpu_vm *vm, unsigned gsi, bool level);

/*
 * ---- doorbells ----
 * A write to [gpa, gpa + bytes) of any value only signals fd (an eventfd, borrowed) and does not stop the vCPU.
 * -ENOTSUP where the engine has no such thing: the write goes to the bus as ever. bytes 0: any width. Any thread.
 */
bool cpu_vm_has_doorbells(const struct cpu_vm *vm);
int cpu_vm_doorbell(struct cpu_vm *vm, gpa_t gpa, unsigned bytes, int fd, bool on);

/*
 * ---- latches ----
 * [at, at + bytes) only remembers what is written to it, until another register is accessed: such a write need not stop
 * the vCPU. It reaches the bus, in order, before any access that does stop one. -ENOTSUP where the engine has no such
 * thing. pio: an I/O port. Any thread.
 */
int cpu_vm_latch(struct cpu_vm *vm, bool pio, u64 at, unsigned bytes, bool on);

/*
 * ---- guest memory moves ----
 * Bring edits of the table (base/ram.h) into force while vCPUs run: they are stopped shortly. Not inside of a bus
 * callback, after which the engine does it by itself, nor on a thread that a device's ops wait for. No vCPU in
 * cpu_run(): ram_commit() does.
 */
int cpu_vm_commit_ram(struct cpu_vm *vm, struct err *e);

/*
 * ---- dirty log ----
 * Which pages of guest memory were written, by vCPUs or devices (INV-RAM-1), wherever they are seen. vCPUs may run
 * meanwhile; one thread at a time, and not one that a device's ops wait for (the event loop's) while vCPUs run: they
 * are stopped shortly.
 */
enum cpu_log {
	CPU_LOG_STATE,  /* who saves or moves the VM: all of the file */
	CPU_LOG_SCREEN, /* who shows video memory */
	CPU_LOGS
};
/* From now on, of [off, off + bytes) of the file, off a multiple of RAM_PIECE_ALIGN; nothing is dirty yet. The logs do
 * not disturb each other. */
int cpu_vm_dirty_start(struct cpu_vm *vm, enum cpu_log who, u64 off, u64 bytes, struct err *e);
/* Adds to `bitmap` (a bit for each page from off on, ROUND_UP(pages, 64) bits) what was written since the last call
 * and forgets it: what is written after the return is told next time. */
int cpu_vm_dirty_collect(struct cpu_vm *vm, enum cpu_log who, u64 *bitmap, struct err *e);
void cpu_vm_dirty_stop(struct cpu_vm *vm, enum cpu_log who);

/* Counters for --stats and the control socket: appended as "name value\n" lines to f. */
void cpu_vm_stats(struct cpu_vm *vm, FILE *f);
/* The same for a person: lines, each beginning with "# ". */
void cpu_vm_report(struct cpu_vm *vm, FILE *f);
/* Which traces are on: bits of enum cpu_trace, any time. */
enum cpu_trace { TRACE_EXEC = 1, TRACE_EXC = 2, TRACE_INTR = 4, TRACE_BLOCK = 8 };
void cpu_vm_trace(struct cpu_vm *vm, unsigned mask);

#endif
