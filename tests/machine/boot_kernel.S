/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_kernel.S - a kernel that checks what the loader handed over, and says through the debug-exit port
 * which step failed: 16 is success. Built twice: Multiboot 1, and with -DPVH a PVH one.
 */
#define DEBUG_EXIT 0xf4
#define SUCCESS 16

#ifdef PVH
	.section .note.xen, "a", @note
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start
#else
	.section .multiboot, "a", @progbits
	.align 4
	.long 0x1badb002, 3, -(0x1badb002 + 3)
#endif

/* Fail with this step's number unless the flags say equal. */
.macro expect step
	movb $\step, step
	jne fail
.endm

/* The zero-terminated strings at esi and edi are the same. */
.macro expect_string step
	movb $\step, step
	call compare
	jne fail
.endm

	.text
	.globl start
start:
	/* the processor is as both protocols demand: protected mode, no paging, interrupts off, flat segments */
	movl %eax, %ebp
	movl %cr0, %ecx
	andl $0x80000001, %ecx
	cmpl $1, %ecx
	expect 1
	leal stack_top, %esp
	pushfl
	popl %ecx
	testl $0x20200, %ecx
	expect 2
	movw %ds, %cx
	movw %ss, %dx
	cmpw %cx, %dx
	expect 3
	movl $0x200000, %ecx
	movl $0x5aa55aa5, %es:(%ecx)
	cmpl $0x5aa55aa5, %ss:(%ecx)
	expect 4

#ifdef PVH
	cmpl $0x336ec578, (%ebx)
	expect 5
	cmpl $1, 12(%ebx) /* modules */
	expect 6
	movl 24(%ebx), %esi
	leal cmdline, %edi
	expect_string 7
	movl 16(%ebx), %edx /* the first of them */
	movl (%edx), %esi
	leal content, %edi
	expect_string 8
	cmpl $content_end - content, 8(%edx)
	expect 9
	movl 32(%ebx), %esi /* the RSDP */
	cmpl $4, 48(%ebx)   /* memory map: entries below 4 GiB */
	expect 10
	movl 40(%ebx), %edx
	cmpl $0x100000, 48(%edx) /* the third begins at 1 MiB */
	expect 11
#else
	cmpl $0x2badb002, %ebp
	expect 5
	movl (%ebx), %ecx
	andl $0x24d, %ecx
	cmpl $0x24d, %ecx
	expect 6
	movl 16(%ebx), %esi
	leal cmdline, %edi
	expect_string 7
	movl 24(%ebx), %edx
	movl (%edx), %esi
	leal content, %edi
	expect_string 8
	movl 4(%edx), %ecx
	subl (%edx), %ecx
	cmpl $content_end - content, %ecx
	expect 9
	movl $0xe0000, %esi
	cmpl $639, 4(%ebx) /* KiB of base memory */
	expect 10
	movl 48(%ebx), %edx
	cmpl $0x100000, 52(%edx)
	expect 11
#endif

	cmpl $0x20445352, (%esi) /* "RSD " */
	expect 12
	cmpl $0x20525450, 4(%esi) /* "PTR " */
	expect 13
	/* the host bridge, by ports and by ECAM */
	movl $0x80000000, %eax
	movw $0xcf8, %dx
	outl %eax, %dx
	movw $0xcfc, %dx
	inl %dx, %eax
	cmpl $0x29c08086, %eax
	expect 14
	cmpl %eax, 0xe0000000
	expect 15
	movb $SUCCESS, step
fail:
	movb step, %al
	outb %al, $DEBUG_EXIT
	hlt

compare:
	movb (%esi), %al
	cmpb (%edi), %al
	jne 1f
	incl %esi
	incl %edi
	testb %al, %al
	jne compare
1:
	ret

	.section .rodata
cmdline:
	.asciz "the command  line"
content:
	.asciz "what the module holds"
content_end:

	.data
step:
	.byte 0

	.bss
	.align 16
	.skip 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
