/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm.h - what all vCPUs of a VM share.
 */
#ifndef MICA_SOFT_VM_H
#define MICA_SOFT_VM_H

#include "cpu/dirty.h"
#include "cpu/soft_options.h"
#include "cpu/soft/vcpu.h"

#include <Zydis/Zydis.h>

/* What the CPU model lets integer and system instructions be (soft_vm.isa). */
#define ISA_BMI1 1u
#define ISA_BMI2 2u
#define ISA_LZCNT 4u
#define ISA_ADX 8u
#define ISA_MOVBE 16u
#define ISA_RDRAND 32u
#define ISA_RDSEED 64u
#define ISA_CLFLUSHOPT 128u
#define ISA_CLWB 256u
#define ISA_INVPCID 512u
#define ISA_RDPID 1024u
#define ISA_SMAP 2048u
#define ISA_RDTSCP 4096u
/* Not what CPUID says, but how AMD's differ: 66 on near branches, far pointers, F2 LOOPE, 0F 0D. */
#define ISA_AMD 0x8000u

struct soft_vm {
	const struct soft_hooks *hooks;
	struct ram *ram;
	const struct cpu_bus *bus;
	const struct cpu_model *model;
	unsigned ncpus;
	struct soft_cpu **cpu;
	ZydisDecoder decoder[3];        /* 64, 32, 16-bit code */
	u32 isa;                        /* ISA_*: what the decoder may accept */
	const struct decode_ends *ends; /* decode.h */
	struct code_cache *cache;       /* cache.c */
	struct soft_options options;
	struct jit_code *jit;    /* jit_code.c; NULL: everything is interpreted */
	struct vec_stubs *stubs; /* vec_stub.c */
	struct direct direct;
	struct soft_trim {
		_Atomic u64 since_ns; /* the window began; 0: none has */
		u64 spent_ns;         /* of CPU time then */
		u64 times;            /* that memory was given back */
	} trim;                       /* run/trim.h */
	unsigned phys_bits;           /* MAXPHYADDR */
	_Atomic u64 remaps;           /* how often guest memory has moved; changes while no vCPU is in the guest */
	struct dirty dirty;           /* pages written; wtags are only held for pages that are in it */
};

#endif
