/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_guest.S - small kernels that test_sys.c runs in the engine. Loaded whole at guest physical
 * 0x10000; tables are the host's work. They speak by OUT of EAX to port 0xe9 and end by OUT to 0xf4.
 * Exception handlers log (vector << 24 | error code) and go on at R15 (64-bit) or EBP (32-bit).
 */
	.section .rodata
	.globl sys_blob, sys_blob_end
	.balign 16
sys_blob:

#define BASE 0x10000
#define P(x) (x - sys_blob + BASE)

.macro log val
	mov	\val, %eax
	out	%eax, $0xe9
.endm

/* ================= 64-bit ================= */
	.code64
.macro next64
	lea	1f(%rip), %r15
.endm

	.globl vec64
vec64:	/* 32 stubs of 16 bytes each */
	.set	n, 0
	.rept	32
	.balign	16
	.if	(n == 8) || ((n >= 10) && (n <= 14)) || (n == 17)
	.else
	push	$0
	.endif
	push	$n
	jmp	common64
	.set	n, n + 1
	.endr
	.balign 16
common64:	/* [vec] [err] [rip] [cs] [rflags] [rsp] [ss] */
	push	%rax
	mov	8(%rsp), %rax
	shl	$24, %eax
	or	16(%rsp), %eax
	out	%eax, $0xe9
	cmpl	$1, 8(%rsp)		/* #DB: DR6, and RIP stays */
	je	2f
	cmpl	$14, 8(%rsp)
	jne	1f
	mov	%cr2, %rax
	out	%eax, $0xe9
1:	mov	%r15, 24(%rsp)
	pop	%rax
	add	$16, %rsp
	iretq
2:	mov	%dr6, %rax
	out	%eax, $0xe9
	mov	24(%rsp), %rax
	sub	$P(sys_blob), %rax	/* where, relative to the mark in R14 */
	sub	%r14d, %eax
	out	%eax, $0xe9
	mov	%dr7, %rax		/* instruction breakpoints: RF lets us pass */
	orl	$0x10000, 40(%rsp)
	pop	%rax
	add	$16, %rsp
	iretq

	.globl int64_80, int64_81
int64_80:	/* from ring 3: frame facts */
	log	$0x80
	mov	8(%rsp), %eax		/* CS */
	out	%eax, $0xe9
	mov	32(%rsp), %eax		/* SS */
	out	%eax, $0xe9
	mov	%ss, %eax
	out	%eax, $0xe9
	mov	%esp, %eax		/* which stack */
	out	%eax, $0xe9
	iretq
int64_81:
	log	$0x81
	out	%al, $0xf4
	hlt

	.globl syscall64
syscall64:	/* RCX: return, R11: flags, AX: what came */
	out	%eax, $0xe9
	mov	%cs, %eax
	shl	$16, %eax
	mov	%ss, %ax
	out	%eax, $0xe9
	pushfq
	pop	%rax			/* IF and DF masked by FMASK */
	and	$0x600, %eax
	out	%eax, $0xe9
	swapgs
	mov	%gs:0, %eax
	out	%eax, $0xe9
	swapgs
	sysretq

	.globl gate64
gate64:	/* a far call through a 64-bit gate from ring 3 */
	log	$0x6a7e
	mov	8(%rsp), %eax		/* CS */
	out	%eax, $0xe9
	mov	24(%rsp), %eax		/* SS */
	out	%eax, $0xe9
	lretq

	.globl k_long
k_long:
	mov	$0x30, %eax
	ltr	%ax
	next64
	ud2
1:	next64
	xor	%edx, %edx
	xor	%ecx, %ecx
	div	%ecx
1:	next64
	int3
1:	next64
	mov	$0x8000000000000000, %rax
	mov	(%rax), %rax
1:	next64
	mov	0x40000000, %eax	/* no such page */
1:	next64
	movl	$1, 0x200000		/* read-only, WP on */
1:	next64
	mov	$0x120, %eax		/* beyond the GDT */
	mov	%eax, %ds
1:	next64
	mov	$0x58, %eax		/* not present */
	mov	%eax, %ds
1:	next64
	mov	$0x58, %eax
	mov	%eax, %ss
1:	next64
	mov	$0x08, %eax		/* code is no stack */
	mov	%eax, %ss
1:	next64
	mov	%cr4, %rax
	bts	$31, %rax
	mov	%rax, %cr4
1:	next64
	mov	$0x12345678, %ecx
	rdmsr
1:	next64
	mov	%cr0, %rax
	btr	$31, %rax		/* paging off in 64-bit code */
	mov	%rax, %cr0
1:	next64
	mov	$0xc0000082, %ecx	/* LSTAR: not canonical */
	mov	$0x80000000, %edx
	xor	%eax, %eax
	wrmsr
1:	lea	syscall64(%rip), %rax	/* should it have been taken */
	xor	%edx, %edx
	wrmsr
	next64
	int	$0x30			/* beyond the IDT */
1:	next64
	lcall	*far_null(%rip)
1:	next64
	lcall	*far_data(%rip)
1:
	/* null SS is fine in ring 0 */
	xor	%eax, %eax
	mov	%eax, %ss
	push	%rax
	pop	%rax
	log	$0x55
	/* to compatibility mode and back, by far jumps */
	ljmpl	*far_compat(%rip)
	.globl back64
back64:
	log	$0x64
	/* IST: vector 2 by INT uses IST 1, the stack is aligned */
	mov	%rsp, %rbx
	lea	-3(%rsp), %rsp
	int	$0x82
	mov	%rbx, %rsp

	/* data and instruction breakpoints */
	lea	1f(%rip), %rax
	mov	%rax, %dr0
	mov	$0x7000, %eax
	mov	%rax, %dr1
	mov	$0x00d00405, %eax	/* DR0 execute, DR1 write 4 */
	lea	1f - sys_blob, %r14
	mov	%rax, %dr7
	nop
1:	nop
	movl	$5, 0x7000
	nop
	mov	$0x400, %eax
	mov	%rax, %dr7
	/* general detect */
	lea	2f - sys_blob, %r14
	mov	$0x2400, %eax
	mov	%rax, %dr7
2:	mov	%dr0, %rax
	/* single step: three instructions */
	lea	3f - sys_blob, %r14
	xor	%eax, %eax
	mov	%rax, %dr6
	pushfq
	orl	$0x100, (%rsp)
	popfq
3:	nop
	pushfq
	andl	$~0x100, (%rsp)
	popfq

	/* ring 3 */
	mov	$0xc0000102, %ecx	/* KERNEL_GS_BASE */
	mov	$0x7100, %eax
	xor	%edx, %edx
	wrmsr
	movl	$0x9595, 0x7100
	push	$0x23
	push	$0xb000
	push	$0x202
	push	$0x2b
	lea	user64(%rip), %rax
	push	%rax
	iretq

user64:
	mov	%cs, %eax
	shl	$16, %eax
	mov	%ss, %ax
	next64
	cli
1:	next64
	hlt
1:	next64
	in	$0x71, %al		/* denied by the bitmap */
1:	mov	$0x1234, %eax
	out	%eax, $0xe9		/* allowed */
	next64
	mov	0x400000, %eax		/* a supervisor page */
1:	next64
	movl	$1, 0x400000
1:	next64
	int	$0x20			/* DPL 0 gate */
1:	next64
	mov	%cr3, %rax
1:	next64
	lgdt	(%rsp)
1:	next64
	sgdt	-16(%rsp)		/* UMIP */
1:	int	$0x80
	std
	mov	$0x5ca11, %eax
	syscall
	pushfq
	pop	%rax
	cld
	and	$0x600, %eax
	out	%eax, $0xe9
	mov	%cs, %eax
	shl	$16, %eax
	mov	%ss, %ax
	out	%eax, $0xe9
	/* POPF cannot touch IF or IOPL in ring 3 */
	push	$0x3002
	popfq
	pushfq
	pop	%rax
	and	$0x3200, %eax
	out	%eax, $0xe9
	lcall	*far_gate(%rip)
	mov	%cs, %eax
	out	%eax, $0xe9
	next64
	jmp	*noncanon(%rip)
1:	/* ring 3 compatibility mode */
	lea	P(c32_1), %r15d
	ljmpl	*far_user32(%rip)
	.globl user64_again
user64_again:
	mov	%cs, %eax
	out	%eax, $0xe9
	int	$0x81

	.globl syscall_compat
syscall_compat:
	log	$0xc57a
	mov	%ecx, %eax
	sub	$P(c32_1), %eax		/* the return address is right behind SYSCALL */
	out	%eax, $0xe9
	sysretl

	.globl int64_82
int64_82:
	lea	1f(%rip), %rax
	mov	%esp, %eax
	out	%eax, $0xe9
1:	iretq

far_user32: .long P(user32c); .word 0x1b
far_null:	.long 0; .word 0
far_data:	.long 0; .word 0x10
far_compat:	.long P(compat); .word 0x50
far_gate:	.long 0; .word 0x43
noncanon:	.quad 0x8000000000000000

	.code32
user32c:
	mov	%cs, %eax
	out	%eax, $0xe9
	int	$0x80
	mov	$0x7fffffff, %eax
	syscall				/* AMD's; #UD on Intel */
c32_1:	mov	%cs, %eax
	out	%eax, $0xe9
	mov	%ss, %eax
	out	%eax, $0xe9
	ljmp	$0x2b, $P(user64_again)

compat:
	mov	%cs, %eax
	out	%eax, $0xe9
	mov	$0x10, %eax
	mov	%eax, %ss
	mov	$-1, %eax
	inc	%eax			/* 0x40: INC in compatibility mode, REX in 64-bit */
	out	%eax, $0xe9
	.byte	0xea			/* ljmp $0x08, $back64 */
	.long	P(back64)
	.word	0x08

/* ================= interrupts: port 0x80 raises one, 0x81 an NMI ================= */
	.code64
.macro mark64
	lea	9f - sys_blob, %r14
.endm
	.globl int64_40, int64_nmi, k_intr, k_triple
int64_40:	/* vector, RIP from the mark, what is left of a REP */
	push	%rax
	mov	$0x40, %eax
	out	%eax, $0xe9
	mov	8(%rsp), %rax
	sub	$P(sys_blob), %rax
	sub	%r14d, %eax
	out	%eax, $0xe9
	mov	%ecx, %eax
	out	%eax, $0xe9
	pop	%rax
	iretq
int64_nmi:
	push	%rax
	dec	%ebx
	jz	1f
	out	%al, $0x81		/* masked until the IRET */
	mov	$0x2a, %eax
	jmp	2f
1:	mov	$0x2b, %eax
2:	out	%eax, $0xe9
	pop	%rax
	iretq

k_intr:
	xor	%ecx, %ecx
	mark64
	out	%al, $0x80		/* STI's shadow covers HLT */
	sti
	hlt
9:	cli
	mark64
	out	%al, $0x80
	sti
	cli				/* no window */
	log	$1
	sti
	nop
9:	cli				/* one here */
	log	$2
	mark64
	sti
	nop
	nop
	out	%al, $0x80
9:	nop
	cli
	mark64
	out	%al, $0x80		/* POPF has no shadow */
	pushfq
	orl	$0x200, (%rsp)
	popfq
9:	nop
	cli
	mark64
	mov	%ss, %eax
	out	%al, $0x80
	sti				/* MOV SS holds back one more */
	mov	%eax, %ss
	nop
9:	cli
	mark64
	out	%al, $0x80
	push	$0x10			/* IRET has no shadow */
	lea	8(%rsp), %rax
	push	%rax
	push	$0x202
	push	$0x08
	lea	9f(%rip), %rax
	push	%rax
	iretq
9:	nop
	cli

	mov	$2, %ebx
	out	%al, $0x81
	log	$4

	/* REP INS, cut by an interrupt that comes with the third byte */
	mark64
	mov	$0x7200, %edi
	mov	$6, %ecx
	mov	$0x90, %edx
	sti
	nop
9:	rep insb
	cli
	mov	0x7200, %eax
	out	%eax, $0xe9
	mov	0x7204, %eax
	out	%eax, $0xe9
	mov	%edi, %eax
	out	%eax, $0xe9
	mov	$0x7203, %esi
	mov	$2, %ecx
	std
	rep outsb
	cld
	out	%al, $0xf4
	hlt

k_triple:
	lidt	no_idt(%rip)
	ud2
no_idt:	.word 0; .quad 0

	.code32
/* ================= 32-bit ================= */
	.globl vec32
	.balign 16
vec32:
	.set	n, 0
	.rept	32
	.balign	16
	.if	(n == 8) || ((n >= 10) && (n <= 14)) || (n == 17)
	.else
	push	$0
	.endif
	push	$n
	jmp	common32
	.set	n, n + 1
	.endr
	.balign 16
common32:	/* [vec] [err] [eip] [cs] [eflags] */
	push	%eax
	mov	4(%esp), %eax
	shl	$24, %eax
	or	8(%esp), %eax
	out	%eax, $0xe9
	mov	%ebp, 12(%esp)
	pop	%eax
	add	$8, %esp
	iret

.macro next32
	mov	$P(1f), %ebp
.endm

	.globl k_prot
k_prot:
	next32
	mov	$0x10, %eax
	mov	%eax, %ds
	ud2
1:	next32
	movl	$0, %fs:0x1000		/* FS: limit 0xfff */
1:	next32
	mov	%fs:0xffd, %eax
1:	next32
	mov	%gs:0x0, %eax		/* GS: null */
1:	next32
	movl	$0, %cs:0x7000		/* code is not writable */
1:	next32
	int	$0x30
1:	next32
	mov	$0x54, %eax		/* LDT: none */
	mov	%eax, %es
1:	next32
	mov	$5, %eax
	bound	%eax, bounds - sys_blob + BASE
	mov	$9, %eax
	bound	%eax, bounds - sys_blob + BASE
1:	next32
	mov	$0x7f, %al
	add	$1, %al
	into
1:
	/* LAR, LSL, VERR, VERW */
	mov	$0x10, %ecx
	lar	%ecx, %eax
	out	%eax, $0xe9
	lsl	%ecx, %eax
	out	%eax, $0xe9
	mov	$0, %eax
	verw	%cx
	setz	%al
	mov	$0x08, %ecx
	verw	%cx
	setz	%ah
	out	%eax, $0xe9

	/* by JMP to task B and back, by CALL with IRET back, by a task gate */
	mov	$0xaaaa, %ebx
	ljmp	$0x30, $0
	log	%ebx
	str	%eax
	out	%eax, $0xe9
	lcall	$0x40, $0		/* task gate to B: goes on after its JMP */
	log	$0x7a5c
	str	%eax
	out	%eax, $0xe9
	smsw	%eax
	and	$8, %eax		/* TS */
	out	%eax, $0xe9
	clts

	/* ring 3 */
	push	$0x23
	push	$0xb000
	pushfl
	push	$0x1b
	push	$P(user32)
	iret

	.globl task_b
task_b:
	log	%esi			/* from the TSS image */
	str	%eax
	out	%eax, $0xe9
	ljmp	$0x28, $0		/* back to A */
	/* here by CALL: NT is set, the link is A */
	pushfl
	pop	%eax
	and	$0x4000, %eax
	out	%eax, $0xe9
	iret
	/* here by the next one */
	log	$0xbad
	out	%al, $0xf4

user32:
	mov	%ds, %eax		/* ring 0 DS was dropped */
	out	%eax, $0xe9
	mov	$0x23, %eax
	mov	%eax, %ds
	push	$0x1111
	push	$0x2222
	lcall	$0x3b, $0		/* call gate: two parameters */
	out	%eax, $0xe9
	mov	%esp, %eax
	out	%eax, $0xe9
	lcall	$0x4b, $P(conform)	/* conforming: stays in ring 3 */
	next32
	mov	$0x10, %eax		/* ring 0 data */
	mov	%eax, %es
1:	next32
	int	$0x20
1:	int	$0x82			/* interrupt gate to ring 0, wants VM86 */
	hlt

	.globl gate32
gate32:
	mov	%cs, %eax
	out	%eax, $0xe9
	mov	%ss, %eax
	out	%eax, $0xe9
	mov	8(%esp), %eax
	out	%eax, $0xe9
	mov	12(%esp), %eax
	out	%eax, $0xe9
	mov	20(%esp), %eax		/* SS of the caller */
	out	%eax, $0xe9
	mov	$0x600d, %eax
	lret	$8
conform:
	mov	%cs, %eax
	out	%eax, $0xe9
	lret

	.globl int32_82
int32_82:
	log	$0x82
	mov	$P(int32_83), %eax	/* the monitor takes #GP from here on */
	mov	%ax, 0x2000 + 13 * 8
	shr	$16, %eax
	mov	%ax, 0x2000 + 13 * 8 + 6
	push	$0x1000			/* GS FS DS ES SS ESP EFLAGS CS EIP */
	push	$0x1000
	push	$0x1000
	push	$0x1000
	push	$0x0900
	push	$0x0f00
	push	$0x20202		/* VM, IF, IOPL 0 */
	push	$0x1000
	push	$(vm86 - sys_blob)
	iret

int32_83:	/* #GP from VM86: log CS:IP and the instruction, end on HLT */
	add	$4, %esp
	mov	4(%esp), %eax
	out	%eax, $0xe9
	mov	20(%esp), %eax		/* ES */
	out	%eax, $0xe9
	mov	%ds, %eax
	out	%eax, $0xe9
	mov	8(%esp), %eax
	shr	$17, %eax
	and	$1, %eax
	out	%eax, $0xe9
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	4(%esp), %eax
	shl	$4, %eax
	add	(%esp), %eax
	movzbl	(%eax), %eax
	out	%eax, $0xe9
	cmp	$0xf4, %eax
	je	1f
	addl	$2, (%esp)		/* skip INT n */
	iret
1:
	/* #DF through a task gate: a stack that cannot take a frame */
	mov	$0x78, %eax		/* SS of limit 0xfff, expand-up */
	mov	%eax, %ss
	mov	$0x2000, %esp
	ud2
	.globl task_df
task_df:
	log	$0xdf
	mov	(%esp), %eax		/* error code 0 */
	out	%eax, $0xe9
	str	%eax
	out	%eax, $0xe9
	mov	$0xdead, %eax
	out	%al, $0xf4
	hlt

	.code16
vm86:
	mov	$0x55aa, %eax
	out	%eax, $0xe9		/* allowed by the bitmap */
	mov	%cs, %ax
	movzwl	%ax, %eax
	out	%eax, $0xe9
	mov	$0x2000, %ax
	mov	%ax, %es
	int	$0x10			/* IOPL 0: #GP */
	push	%es
	pop	%ds
	hlt				/* #GP, the monitor ends */
	.balign 4
bounds:	.long -1, 7

/* ================= from the reset vector through all modes ================= */
	.code16
	.globl k_boot, k_boot_int
k_boot:	/* CS = 0x1000, else as after reset */
	mov	%cs, %ax
	mov	%ax, %ds
	movzwl	%ax, %eax
	out	%eax, $0xe9
	xor	%ax, %ax
	mov	%ax, %ss
	mov	$0x9000, %sp
	int	$0x21			/* IVT */
	out	%eax, $0xe9
	movzwl	%sp, %eax
	out	%eax, $0xe9
	push	%cs
	push	$(1f - sys_blob)
	lret
1:	xor	%eax, %eax
	div	%al			/* #DE: IP of the DIV itself; the handler skips it */
	out	%eax, $0xe9
	lgdtl	%cs:gdtr - sys_blob
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x08, $P(boot32)
k_boot_int:
	mov	$0x21212121, %eax
	iret
	.globl k_boot_de
k_boot_de:
	push	%bp
	mov	%sp, %bp
	addw	$2, 2(%bp)
	pop	%bp
	mov	$0xdede, %eax
	iret
	.balign 4
gdtr:	.word 0x7f; .long 0x1000
	.code32
boot32:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %ss
	mov	$0x9000, %esp
	mov	%cs, %eax
	out	%eax, $0xe9
	mov	%cr4, %eax
	or	$0x20, %eax
	mov	%eax, %cr4
	mov	$0x4000, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x101, %eax
	wrmsr
	mov	%cr0, %eax
	bts	$31, %eax
	mov	%eax, %cr0
	rdmsr				/* LMA */
	out	%eax, $0xe9
	ljmp	$0x58, $P(boot64)
	.code64
boot64:
	mov	$0x123456789abcdef0, %rax
	shr	$32, %rax
	out	%eax, $0xe9
	/* and all the way back */
	ljmpl	*far_32(%rip)
far_32:	.long P(leave32); .word 0x08
	.code32
leave32:
	mov	%cr0, %eax
	btr	$31, %eax
	mov	%eax, %cr0
	mov	$0xc0000080, %ecx
	rdmsr
	out	%eax, $0xe9		/* LME alone */
	ljmp	$0x60, $(leave16 - sys_blob)	/* 16-bit, base 0x10000 */
	.code16
leave16:
	mov	$0x68, %ax		/* 16-bit data, base 0, 4 GiB: unreal */
	mov	%ax, %ds
	mov	%cr0, %eax
	and	$~1, %al
	mov	%eax, %cr0
	ljmp	$0x1000, $(real2 - sys_blob)
real2:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	$0x300000, %ebx
	movl	$0x77, (%ebx)		/* above 64 KiB, in real mode */
	mov	(%ebx), %eax
	out	%eax, $0xe9
	xor	%ax, %ax
	mov	%ax, %ss
	mov	$0x9000, %sp
	int	$0x21
	out	%eax, $0xe9
	out	%al, $0xf4
	hlt

/* PAE paging: tables at 0x5000 (good), 0x7000 (reserved bits), 0x7020 (as long as nothing there is present) */
	.code32
	.globl k_pae
k_pae:
	mov	$0x7000, %eax
	mov	%eax, %cr3		/* no paging yet: just a number */
	mov	%cr4, %eax
	or	$0x20, %al
	mov	%eax, %cr4
	mov	%cr0, %ebx
	bts	$31, %ebx
	next32
	mov	%ebx, %cr0
1:	mov	$0x5000, %eax
	mov	%eax, %cr3
	mov	%ebx, %cr0
	next32
	mov	$0x7000, %eax
	mov	%eax, %cr3
1:	mov	%cr3, %eax
	out	%eax, $0xe9
	mov	$0x7020, %eax
	mov	%eax, %cr3
	mov	%cr3, %eax
	out	%eax, $0xe9
	orl	$1, 0x7020 + 24
	mov	%cr4, %eax
	xor	$0x80, %al
	next32
	mov	%eax, %cr4		/* PGE */
1:	mov	%cr4, %eax
	out	%eax, $0xe9
	mov	%ebx, %eax
	bts	$30, %eax
	next32
	mov	%eax, %cr0		/* CD */
1:	mov	%ebx, %eax
	btr	$31, %eax
	mov	%eax, %cr0		/* paging off: not looked at */
	next32
	mov	%ebx, %cr0
1:	mov	%cr0, %eax
	out	%eax, $0xe9
	out	%al, $0xf4
	hlt

sys_blob_end:
	.section .note.GNU-stack, "", @progbits
