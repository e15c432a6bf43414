/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extents_guest.S - what test_extents.c lets a guest do with memory that is read-only, that moves, or that is not there.
 * 64-bit code at CPL 0, paging one to one. out $0x10 ends a run; out $0x2x edits the table of extents.
 */
	.section .rodata
	.balign 4096
	.globl ext_blob, ext_blob_end
ext_blob:

/* Exceptions: the vector, then the end. */
	.globl x_handlers
x_handlers:
	.set vec, 0
	.rept 32
	.balign 8
	mov $vec, %al
	out %al, $0x11
	hlt
	.set vec, vec + 1
	.endr

/* Call what is at rbx, rcx times; the sum of its results in r8. */
	.globl x_call
x_call:
	xor %r8d, %r8d
1:	call *%rbx
	add %rax, %r8
	dec %rcx
	jnz 1b
	out %al, $0x10
	hlt

/* Each way to write, at rbx, rcx times. */
	.globl x_write
x_write:
	mov $0x5a5a5a5a5a5a5a5a, %rax
	movq %rax, %xmm0
	punpcklqdq %xmm0, %xmm0
1:	movb %al, (%rbx)
	movw %ax, 2(%rbx)
	movl %eax, 4(%rbx)
	movq %rax, 8(%rbx)
	addl $1, 16(%rbx)
	lock incq 24(%rbx)
	xchg %rax, 32(%rbx)
	mov $0x5a5a5a5a5a5a5a5a, %rax
	movups %xmm0, 48(%rbx)
	movq %rax, 61(%rbx)
	mov %rsp, %rdx
	lea 128(%rbx), %rsp
	push %rax
	mov %rdx, %rsp
	lea 128(%rbx), %rdi
	cld
	stosq
	movb %al, 4095(%rbx)
	movq %rax, 4090(%rbx)
	dec %rcx
	jnz 1b
	movq (%rbx), %r8
	addq 8(%rbx), %r8
	out %al, $0x10
	hlt

/* A store of 8 bytes at rbx, then a load; the other one of 16, and the upper 8 of them are in r8. */
	.globl x_cross, x_cross_wide
x_cross:
	movabs $0x8877665544332211, %rax
	movq %rax, (%rbx)
	movq (%rbx), %r8
	out %al, $0x10
	hlt
x_cross_wide:
	movabs $0x8877665544332211, %rax
	movq %rax, %xmm0
	punpcklqdq %xmm0, %xmm0
	movups %xmm0, (%rbx)
	movups (%rbx), %xmm1
	psrldq $8, %xmm1
	movq %xmm1, %r8
	out %al, $0x10
	hlt

/* Jump to rbx. */
	.globl x_jump
x_jump:
	jmp *%rbx

/*
 * A flash: a store at rbx takes the memory away, and what is there then is a register; the next store brings it back.
 * rcx times; errors in r8.
 */
	.globl x_flash
x_flash:
	xor %r8d, %r8d
1:	movl 8(%rbx), %edx
	movb $0x90, (%rbx)
	movl (%rbx), %eax
	movl 8(%rbx), %esi
	movb $0xff, (%rbx)
	movl 8(%rbx), %edi
	cmp $0x51515151, %eax
	jne 2f
	cmp %eax, %esi
	jne 2f
	cmp %edx, %edi
	jne 2f
	cmp %eax, %edi
	jne 3f
2:	inc %r8
3:	dec %rcx
	jnz 1b
	out %al, $0x10
	hlt

/*
 * The page at rbx goes from ROM to RAM and back, rcx times, while another vCPU calls what is there. rbp: a word that says
 * which of them it is, and bit 63 while it changes. Errors in r8.
 */
	.globl x_switch
x_switch:
	xor %r8d, %r8d
	xor %r9d, %r9d
1:	mov $-1, %rax
	xchg %rax, (%rbp)
	inc %r9
	mov %r9d, %eax
	and $1, %eax
	jz 2f
	out %al, $0x20
	jmp 3f
2:	out %al, $0x21
3:	mov %r9, (%rbp)
	mov %r9d, %edx
	and $1, %edx
	inc %edx
	call *%rbx
	cmp %edx, %eax
	je 4f
	inc %r8
4:	mov 16(%rbx), %eax
	cmp %edx, %eax
	je 5f
	inc %r8
5:	dec %rcx
	jnz 1b
	out %al, $0x10
	hlt

/* The other one, until it is stopped. Counts in r9, errors in r8. */
	.globl x_watch
x_watch:
	xor %r8d, %r8d
	xor %r9d, %r9d
1:	mov (%rbp), %rsi
	test %rsi, %rsi
	js 1b
	call *%rbx
	mov 16(%rbx), %edx
	mov (%rbp), %rdi
	cmp %rsi, %rdi
	jne 1b
	and $1, %esi
	inc %esi
	inc %r9
	cmp %eax, %esi
	jne 2f
	cmp %edx, %esi
	je 1b
2:	inc %r8
	jmp 1b

/* The code itself moves: it runs in the page that out $0x22 takes away. Its copy elsewhere goes on, r8 tells. */
	.globl x_own_page, x_own_page_end
x_own_page:
	xor %r8d, %r8d
	out %al, $0x22
	.globl x_own_page_next
x_own_page_next:
	mov $1, %r8d
	out %al, $0x10
	hlt
x_own_page_end:

	.globl ext_blob_end
ext_blob_end:
	.section .note.GNU-stack,"",@progbits
