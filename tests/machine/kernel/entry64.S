/* SPDX-License-Identifier: GPL-2.0-or-later */
/* entry64.S - from Multiboot into long mode with 4 GiB mapped one to one, and the exception stubs. */
	.section .multiboot, "a", @progbits
	.align 4
	.long 0x1badb002, 2, -(0x1badb002 + 2)

	.text
	.code32
	.globl start
start:
	cli
	cld
	movl	$stack_top, %esp
	movl	%ebx, boot_info
	/* 2 MiB pages, all of them the user's too */
	movl	$pml4, %edi
	movl	$pdpt + 7, (%edi)
	movl	$pdpt, %edi
	movl	$pd + 7, %eax
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	loop	1b
	movl	$pd, %edi
	movl	$0x87, %eax
	movl	$2048, %ecx
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	1b
	call	to_long
	.code64
	xorl	%ebp, %ebp
	movl	$stack_top, %esp
	movl	$tss, %eax
	movq	$stack_top - 8192, 4(%rax)	/* RSP0 */
	movq	$ist_top, 36(%rax)		/* IST1 */
	movw	$104, 102(%rax)
	call	start_c
	hlt

/* Turn on long mode; returns in 64-bit code. Clobbers eax, ecx, edx. */
	.code32
	.globl to_long
to_long:
	movl	%cr4, %eax
	orl	$0x620, %eax			/* PAE OSFXSR OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x901, %eax			/* LME NXE SCE */
	wrmsr
	movl	$0x80010033, %eax		/* PG WP NE ET MP PE */
	movl	%eax, %cr0
	lgdt	boot_gdtr
	popl	%edx
	ljmp	$0x08, $1f
	.code64
1:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%edx, %edx
	jmp	*%rdx

/* Where an application processor starts, once copied to AP_START; ap_main() gets its number from 0. */
	AP_START = 0x8000
	.globl ap_start, ap_end
	.code16
ap_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	AP_START + ap_gdtr - ap_start
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$0x18, $ap_prot
ap_gdtr:
	.word 0x1f
	.long boot_gdt
ap_end:
	.code32
ap_prot:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$1, %ebx
	lock	xaddl %ebx, ap_started
	movl	%ebx, %esp
	andl	$7, %esp
	incl	%esp
	shll	$13, %esp
	addl	$ap_stacks, %esp
	call	to_long
	.code64
	movl	%esp, %esp
	movl	%ebx, %edi
	call	ap_main
	hlt
	.weak	ap_main

	.globl stubs
	.balign 16
stubs:
	vec = 0
	.rept 256
	.balign 16
	.if !(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17)
	pushq	$0
	.endif
	pushq	$vec
	jmp	common
	vec = vec + 1
	.endr
common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbx
	andq	$-16, %rsp
	call	exc_entry
	movq	%rbx, %rsp
	testl	%eax, %eax
	jz	unwind
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	addq	$16, %rsp
	iretq

.macro enter_try
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	movq	%rsp, try_sp
	movq	$0xffff, exc
.endm

	.globl try_call, try_user, try_user_cs
try_call:
	enter_try
	movq	%rdi, %rax
	movq	%rsi, %rdi
	call	*%rax
unwind:
	movq	try_sp, %rsp
	testq	%rsp, %rsp
	jz	1f
	movq	$0, try_sp
	movl	$0x10, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	popfq
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	movq	exc, %rax
	ret
1:	movq	$stack_top, %rsp
	call	unexpected

try_user:	/* code, arg, flags */
	movl	$0x33, %ecx
try_user_cs:	/* code, arg, flags, cs */
	enter_try
	movl	$0x2b, %eax
	movl	%eax, %ds
	movl	%eax, %es
	pushq	$0x2b
	pushq	$user_stack_top
	pushq	%rdx
	pushq	%rcx
	pushq	%rdi
	movq	%rsi, %rdi
	iretq

	.data
	.balign 16
boot_gdtr:
	.word 0x1f
	.quad boot_gdt
	.balign 8
boot_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
try_sp:	.quad 0

	.bss
	.balign 4096
	.globl pml4, pdpt, pd, ap_started
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 4 * 4096
ap_stacks:
	.skip 8 * 8192
ap_started:
	.skip 4096
	.skip 32768
stack_top:
	.skip 4096
	.globl ist_top, user_stack_top, stack_top
ist_top:
	.skip 4096
user_stack_top:

	.section .note.GNU-stack, "", @progbits
