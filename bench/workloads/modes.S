/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * modes.S - for `bench/engine --bits 16`: one loop in the modes of a PC that no workload under Linux is in. A Multiboot
 * kernel; interrupts stay off. Around each loop it prints "@begin NAME" and "@end NAME RESULT"; then it halts.
 *
 * The loop in 16-bit protected mode and the one in real mode are the same bytes, in segments with the same bases. The one
 * of 32 bits computes the same with 16-bit operands where that matters, so that all results are equal.
 */
#define CODE16 0x10000 /* bases of the 16-bit segments */
#define DATA16 0x20000
#define ROUNDS 60000
#define TABLE 0x100

/* Loads and stores, calls, pushes, branches that the data decide, and a REP: 64 times, ROUNDS times; to AX. */
.macro work ax, bx, cx, dx, si, di, base
	cld
	movw	$ROUNDS, %dx
	movw	$0, %ax
1:	mov	$TABLE + \base, %\si
	mov	$64, %\cx
2:	movw	(%\si), %bx
	addw	%bx, %ax
	xorw	%cx, %ax
	movw	%ax, 2(%\si)
	push	%\bx
	call	3f
	pop	%\bx
	addw	%bx, %ax
	add	$4, %\si
	dec	%\cx
	jnz	2b
	mov	$TABLE + \base, %\si
	mov	$TABLE + \base + 1024, %\di
	mov	$256, %\cx
	rep	movsb
	decw	%dx
	jnz	1b
	jmp	5f
3:	rolw	$3, %ax
	testb	$1, %al
	jz	4f
	subw	%dx, %ax
4:	ret
5:
.endm

.macro say text
	movl	$8f, %esi
	call	print
	.section .rodata
8:	.asciz	"\text"
	.text
.endm

/* name, and what runs the loop; the table is the same each time */
.macro measure name, how
	movl	$DATA16 + TABLE, %edi
	movl	$0x12345, %eax
	movl	$512, %ecx
9:	imull	$1103515245, %eax
	addl	$12345, %eax
	stosl
	loop	9b
	say	"@begin \name\r\n"
	call	\how
	movzwl	%ax, %ebx
	say	"@end \name "
	call	print_hex
	say	"\r\n"
.endm

	.section .multiboot, "ax", @progbits
	.align	4
	.long	0x1badb002, 2, -(0x1badb002 + 2)

	.text
	.globl	start
start:
	cli
	cld
	movl	$stack_top, %esp
	lgdt	gdtr
	ljmp	$0x08, $1f
1:	call	flat
	movl	$code16, %esi
	movl	$CODE16, %edi
	movl	$code16_end - code16, %ecx
	rep	movsb
	measure	real, real
	measure	prot16, prot16
	measure	prot32, prot32
	movl	$DATA16 + 0x8000, %eax	/* a page that nothing uses */
	movl	%eax, %dr0
	movl	$0xd0002, %eax		/* 4 bytes, writes */
	movl	%eax, %dr7
	measure	watched, prot32
	say	"@done\r\n"
2:	hlt
	jmp	2b

flat:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	ret

prot32:
	work	eax, ebx, ecx, edx, esi, edi, DATA16
	ret

prot16:
	movl	%esp, saved_esp
	ljmp	$0x18, $enter_prot16 - code16
real:
	movl	%esp, saved_esp
	ljmp	$0x18, $enter_real - code16
back:
	movl	%eax, %ebp
	movl	$0x10, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movl	saved_esp, %esp
	movl	%ebp, %eax
	ret

	.code16
code16:
enter_prot16:
	movw	$0x20, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0xf000, %esp
	call	work16
	ljmpl	$0x08, $back
enter_real:
	movw	$0x20, %ax	/* limits of 64 KiB */
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$CODE16 >> 4, $1f - code16
1:	movw	$DATA16 >> 4, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0xf000, %esp
	call	work16
	movw	%ax, %bp
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	%bp, %ax
	ljmpl	$0x08, $back
work16:
	work	ax, bx, cx, dx, si, di, 0
	ret
code16_end:
	.code32

/* The string at ESI; EBX stays. */
print:
	movl	$0x3fd, %edx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	lodsb
	testb	%al, %al
	jz	2f
	movl	$0x3f8, %edx
	outb	%al, %dx
	jmp	print
2:	ret

/* EBX */
print_hex:
	movl	$8, %ecx
	movl	$hex, %edi
1:	roll	$4, %ebx
	movl	%ebx, %eax
	andl	$15, %eax
	movb	digits(%eax), %al
	stosb
	loop	1b
	movl	$hex, %esi
	jmp	print

	.section .rodata
digits:	.ascii	"0123456789abcdef"
	.data
hex:	.asciz	"00000000"
	.align	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* 08: 32-bit code, flat */
	.quad	0x00cf93000000ffff	/* 10: data, flat */
	.quad	0x00009b010000ffff	/* 18: 16-bit code at CODE16 */
	.quad	0x000093020000ffff	/* 20: 16-bit data at DATA16 */
gdt_end:
gdtr:	.word	gdt_end - gdt - 1
	.long	gdt
	.bss
	.align	16
saved_esp: .skip 4
	.skip	4096
stack_top:
	.section .note.GNU-stack, "", @progbits
