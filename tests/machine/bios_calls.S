/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bios_calls.S - a kernel that goes to real mode and takes a BIOS for granted. It says on the serial port what came of
 * that, and ends by JUMP: an address in the ROM. bios_calls.py has what it must say.
 */
#define BASE 0x8000
#define SERIAL 0x3f8

	.text
	.code32
	.globl start
header:
	.long 0x1badb002, 1 << 16, -(0x1badb002 + (1 << 16))
	.long BASE, BASE, end, end, start
start:
	lgdt	gdtr
	ljmp	$0x08, $pm16

	.code16
pm16:
	mov	$0x10, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	%cr0, %eax
	and	$~1, %al
	mov	%eax, %cr0
	ljmp	$0, $real

/* The letter, if the last test was well. */
.macro say letter, jump_if_not
	\jump_if_not 9f
	mov	$\letter, %al
	call	put
9:
.endm

real:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7000, %sp
	lidtw	idtr

	/* Read a sector: carry, AH = 86h, and the other registers as they were. */
	mov	$0x11223344, %ebx
	mov	$0x55667788, %edx
	mov	$0x0201, %ax
	clc
	int	$0x13
	say	'C', jnc
	mov	$0x0201, %ax
	int	$0x13 /* again: one line in the log is enough */
	cmp	$0x8601, %ax
	say	'A', jne
	cmp	$0x11223344, %ebx
	say	'B', jne
	cmp	$0x7000, %sp
	say	'S', jne
	mov	$0xe820, %eax
	int	$0x15
	say	'c', jnc

	/* Timer interrupts, as a BIOS would have set them up: each is finished, or there were only one. */
	mov	$0x11, %al
	out	%al, $0x20
	mov	$0x08, %al
	out	%al, $0x21
	mov	$0x04, %al
	out	%al, $0x21
	mov	$0x01, %al
	out	%al, $0x21
	mov	$0xfe, %al
	out	%al, $0x21
	mov	$0x34, %al
	out	%al, $0x43
	xor	%al, %al
	out	%al, $0x40
	mov	$0x10, %al
	out	%al, $0x40
	mov	$0x1234, %ax
	clc
	sti
	hlt
	hlt
	hlt
	cli
	say	'I', jc
	mov	$'\n', %al
	call	put
	ljmp	$0xf000, $JUMP

put:
	push	%dx
	mov	$SERIAL, %dx
	out	%al, %dx
	pop	%dx
	ret

	.balign 8
gdt:
	.quad 0
	.quad 0x00009b000000ffff
	.quad 0x000093000000ffff
gdtr:
	.word gdtr - gdt - 1
	.long gdt
idtr:
	.word 0x3ff
	.long 0
end:
