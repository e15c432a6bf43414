/* SPDX-License-Identifier: GPL-2.0-or-later */
/* entry32.S - from Multiboot into 32-bit protected mode with our own tables, and the exception stubs. */
	.section .multiboot, "a", @progbits
	.align 4
	.long 0x1badb002, 2, -(0x1badb002 + 2)

	.text
	.globl start
start:
	cli
	cld
	movl	$stack_top, %esp
	movl	%ebx, boot_info
	lgdt	boot_gdtr
	ljmp	$0x08, $1f
1:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%cr4, %eax
	orl	$0x600, %eax
	movl	%eax, %cr4
	movl	$0x33, %eax			/* NE ET MP PE */
	movl	%eax, %cr0
	movl	$tss, %eax
	movl	$stack_top - 8192, 4(%eax)	/* ESP0 */
	movl	$0x10, 8(%eax)			/* SS0 */
	movw	$0xffff, 102(%eax)
	call	start_c
	hlt

	.globl stubs
	.balign 16
stubs:
	vec = 0
	.rept 256
	.balign 16
	.if !(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17)
	pushl	$0
	.endif
	pushl	$vec
	jmp	common
	vec = vec + 1
	.endr
common:
	pushl	%ds
	pushl	%es
	pushl	%fs
	pushl	%gs
	pushal
	cld
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%esp, %ebx
	pushl	%ebx
	call	exc_entry
	movl	%ebx, %esp
	testl	%eax, %eax
	jz	unwind
	popal
	popl	%gs
	popl	%fs
	popl	%es
	popl	%ds
	addl	$8, %esp
	iretl

.macro enter_try
	pushl	%ebx
	pushl	%ebp
	pushl	%esi
	pushl	%edi
	pushfl
	movl	%esp, try_sp
	movl	$0xffff, exc
.endm

	.globl try_call, try_user, try_user_cs, unwind
try_call:	/* code, arg (in edi) */
	enter_try
	movl	24(%esp), %eax
	movl	28(%esp), %edi
	call	*%eax
unwind:
	movl	$0x10, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movl	try_sp, %esp
	testl	%esp, %esp
	jz	1f
	movl	$0, try_sp
	popfl
	popl	%edi
	popl	%esi
	popl	%ebp
	popl	%ebx
	movl	exc, %eax
	ret
1:	movl	$stack_top, %esp
	call	unexpected

try_user:	/* code, arg (in edi), flags */
	enter_try
	movl	$0x23, %ecx
	jmp	2f
try_user_cs:	/* ..., cs */
	enter_try
	movl	36(%esp), %ecx
2:	movl	24(%esp), %eax
	movl	28(%esp), %edi
	movl	32(%esp), %edx
	movl	$0x2b, %ebx
	movl	%ebx, %ds
	movl	%ebx, %es
	pushl	$0x2b
	pushl	$user_stack_top
	pushl	%edx
	pushl	%ecx
	pushl	%eax
	iretl

	.data
	.balign 16
boot_gdtr:
	.word 0x17
	.long boot_gdt
	.balign 8
boot_gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
	.globl try_sp
try_sp:	.long 0

	.bss
	.balign 4096
	.skip 32768
	.globl stack_top, user_stack_top
stack_top:
	.skip 8192
user_stack_top:

	.section .note.GNU-stack, "", @progbits
