/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hello.S - a boot sector and the program behind it, as PCs of the real-mode age had them: everything by the BIOS. Output goes to the screen
 * (int 10h, 0eh). The points that the gallery waits for are lines: "@disk N" (a sum of the sectors read with CHS and, again, with LBA),
 * "@memory N K", "@ticks ok", "@keys" and what was typed, "@mode 13" and back, "@end".
 */
	.code16
	.globl start
start:
	ljmp $0, $1f
1:	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7c00, %sp
	mov %dl, drive
	sti
	cld
	/* The program: 8 sectors from cylinder 0, head 0, sector 2 on. */
	mov $0x0208, %ax
	mov $program, %bx
	mov $0x0002, %cx
	mov $0, %dh
	int $0x13
	jc fault
	jmp program
fault:
	mov $text_fault, %si
	call say
2:	hlt
	jmp 2b

say:	/* the string at si */
	lodsb
	test %al, %al
	jz 3f
	mov $0x0e, %ah
	mov $7, %bx
	int $0x10
	jmp say
3:	ret

number:	/* ax, decimal */
	push %dx
	xor %dx, %dx
	mov $10, %bx
	div %bx
	test %ax, %ax
	jz 4f
	call number
4:	mov %dl, %al
	add $'0', %al
	mov $0x0e, %ah
	mov $7, %bx
	int $0x10
	pop %dx
	ret

drive:	.byte 0
text_fault: .asciz "@fault\r\n"
	.org 510
	.word 0xaa55

/* ---- read by the above to 7e00 ---- */
program:
	mov $text_disk, %si
	call say
	call sum_program
	push %ax
	call number
	/* The same again by its number (EDD, 42h), to elsewhere. */
	mov $packet, %si
	mov drive, %dl
	mov $0x42, %ah
	int $0x13
	jc fault
	mov $' ', %al
	mov $0x0e, %ah
	int $0x10
	mov $0x9000, %si
	call sum
	pop %bx
	cmp %ax, %bx
	jne fault
	call number
	mov $text_memory, %si
	call say
	int $0x12
	call number
	mov $0x88, %ah
	int $0x15
	jc fault
	mov $' ', %al
	push %ax
	mov $0x0e20, %ax
	mov $7, %bx
	int $0x10
	mov $0x88, %ah
	int $0x15
	call number
	pop %ax
	/* Nine ticks by int 1ch, which the BIOS calls at its timer's interrupt; and its own count of them. */
	mov $text_ticks, %si
	call say
	xor %ah, %ah
	int $0x1a
	mov %dx, first
	movw $tick, 0x1c * 4
	movw $0, 0x1c * 4 + 2
5:	hlt
	cmpb $9, ticks
	jb 5b
	xor %ah, %ah
	int $0x1a
	sub first, %dx
	cmp $9, %dx
	jb fault
	cmp $12, %dx
	ja fault
	mov $text_ok, %si
	call say
	mov $text_keys, %si
	call say
	/* Until Enter: what is typed, each key's letter and scan code. */
6:	xor %ah, %ah
	int $0x16
	cmp $13, %al
	je 7f
	push %ax
	mov $0x0e, %ah
	mov $7, %bx
	int $0x10
	pop %ax
	mov %ah, %al
	xor %ah, %ah
	call number
	jmp 6b
	/* 320x200 with 256 colours: what is written is read again. */
7:	mov $0x0013, %ax
	int $0x10
	mov $0xa000, %ax
	mov %ax, %es
	xor %di, %di
	mov $64000, %cx
8:	mov %di, %ax
	stosb
	loop 8b
	xor %bx, %bx
	xor %di, %di
	mov $64000, %cx
9:	movzbw %es:(%di), %ax
	add %ax, %bx
	inc %di
	loop 9b
	mov %bx, first
	mov $0x0003, %ax
	int $0x10
	mov $text_mode, %si
	call say
	mov first, %ax
	call number
	/* The sector behind the program: written, and read back. */
	mov $0x5a5a, %ax
	mov %ax, 0x8e00
	xor %ax, %ax
	mov %ax, %es
	mov $0x0301, %ax
	call tenth
	movw $0, 0x8e00
	mov $0x0201, %ax
	call tenth
	cmpw $0x5a5a, 0x8e00
	jne bad
	mov $text_end, %si
	call say
10:	hlt
	jmp 10b
bad:	jmp fault

tenth:
	mov $0x8e00, %bx
	mov $0x000a, %cx
	mov drive, %dl
	mov $0, %dh
	int $0x13
	jc bad
	ret

sum_program:
	mov $program, %si
sum:	/* the words of 512 bytes at si that are never written, in ax */
	xor %bx, %bx
	mov $256, %cx
11:	lodsw
	add %ax, %bx
	loop 11b
	mov %bx, %ax
	ret

tick:
	incb %cs:ticks
	iret

	.balign 4
packet:	.byte 16, 0
	.word 8, 0x9000, 0
	.quad 1

text_disk: .asciz "@disk "
text_memory: .asciz "\r\n@memory "
text_ticks: .asciz "\r\n@ticks "
text_ok: .asciz "ok"
text_keys: .asciz "\r\n@keys "
text_mode: .asciz "@mode 13 "
text_end: .asciz "\r\n@end\r\n"
	.balign 4
	.org 512 * 5
first:	.word 0
ticks:	.byte 0
	.org 512 * 2048
