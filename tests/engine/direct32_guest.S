/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct32_guest.S - for test_direct32.c: user code of 32 bits, which users see at 0x600000, and a 32-bit kernel that does nothing
 * but report, at 0xc0000000 and its physical address. INT 80h is the system call.
 */
	.section .rodata
	.globl code32, code32_end
	.balign 4096
code32:

#define G(name) .globl name; name
#define AT 0x600000
#define CALL int $0x80

	.code32
G(u32_mix): /* EBP rounds with all registers */
	add %ebx, %eax
	rol $7, %eax
	xor %edx, %ebx
	imul $0x1234567, %edx, %edx
	lea 3(%esi,%edi,2), %esi
	bswap %edi
	adc %ecx, %esi
	push %eax
	pop %ecx
	rol $1, %ecx
	bound %eax, 1f - code32 + AT
	dec %ebp
	jnz u32_mix
	CALL
	jmp u32_mix
	.balign 4
1:	.long 0x80000000, 0x7fffffff
G(u32_tls): /* thread data below and above the base; what FS has */
	mov %gs:-4, %eax
	mov %gs:0, %ebx
	incl %gs:8
	mov %gs:8, %ecx
	CALL
	jmp u32_tls
G(u32_fs): /* a null selector */
	mov %fs:(%esi), %eax
	CALL
G(u32_read):
	mov (%esi), %eax
	CALL
	jmp u32_read
G(u32_write):
	mov %eax, (%esi)
	CALL
	jmp u32_write
G(u32_call):
	call *%esi
	CALL
G(u32_sse):
	addps %xmm1, %xmm0
	movups %xmm0, (%esi)
	fld1
	faddp
	fstpl 16(%esi)
	CALL
G(u32_push):
	xor %esp, %esp
	push %eax
	CALL
G(u32_int3):
	int3
	CALL
G(u32_int3_long):
	.byte 0xcd, 3
	CALL
G(u32_into):
	mov $0x7f, %al
	add $1, %al
	into
	CALL
G(u32_int4):
	int $4
	CALL
G(u32_bound):
	mov $5, %eax
	bound %eax, 1f - code32 + AT
	CALL
	.balign 4
1:	.long 6, 7
G(u32_aam):
	aam $0
	CALL
G(u32_bcd):
	mov $0x79, %al
	add $0x35, %al
	daa
	aaa
	das
	aas
	aam
	aad
	.byte 0xd6 /* SALC */
	arpl %cx, %dx
	pusha
	popa
	CALL
G(u32_ud2):
	ud2
G(u32_hlt):
	hlt
G(u32_cli):
	cli
G(u32_in):
	in $0x60, %al
G(u32_icebp):
	.byte 0xf1
	CALL
G(u32_tf): /* three steps */
	pushf
	orl $0x100, (%esp)
	popf
	nop
	pushf
	andl $~0x100, (%esp)
	popf
	CALL
G(u32_tsc):
	rdtsc
	xor %eax, %eax
	xor %edx, %edx
	CALL
G(u32_short): /* 16-bit addresses and branches */
	mov $0x10, %ebx
	mov $2, %esi
	lea (%bx,%si), %eax
	lea 0x1234(%bx), %ecx
	mov $0x5678, %dx
	CALL
G(u32_spin):
	inc %eax
	jmp u32_spin

/* what has no place in a runner: each page by itself */
	.balign 4096
G(u32_selectors):
	mov %cs, %eax
	mov %ds, %ebx
	mov %gs, %ecx
	push %es
	pop %edx
	mov %ss, %esi
	CALL
	.balign 4096
G(u32_load): /* the guest's own */
	mov %ds, %eax
	mov %eax, %es
	push %ds
	pop %ds
	mov %gs, %ecx
	mov %ecx, %gs
	mov %gs:0, %ebx
	CALL
	.balign 4096
G(u32_sysenter):
	sysenter
	CALL
	.balign 4096
G(u32_syscall):
	syscall
	CALL
	.balign 4096
G(u32_far): /* to 64-bit code and back, where the guest has it */
	ljmp $0x33, $(1f - code32 + AT)
	.code64
1:	mov $0x123456789abcdef0, %rax
	ljmp *2f(%rip)
	.code32
3:	CALL
	.balign 4
2:	.long 3b - code32 + AT
	.word 0x23
	.balign 4096
G(u32_cpuid):
	xor %eax, %eax
	cpuid
	CALL

/* instructions that the look at a page does not find: the immediate parts of others */
	.balign 4096
	.fill 128, 1, 0x90
G(h_far): /* to 64-bit code, which goes to RDI with what RBX has */
	jmp 1f + 2
1:	.byte 0xc7, 5, 0xea
	.long 2f - code32 + AT
	.byte 0x33, 0, 0x90
2:	.byte 0x89, 0xd8 /* mov %ebx, %eax */
	.byte 0xff, 0xe7 /* jmp *%rdi */
	.fill 64, 1, 0x90
G(h_syscall64): /* where it may go */
	jmp 1f + 1
1:	.byte 0xb8, 0x0f, 5, 0xf4, 0xf4
	.fill 64, 1, 0x90
G(h_int80):
	jmp 1f + 1
1:	.byte 0xb8, 0xcd, 0x80, 0xf4, 0xf4
	.fill 64, 1, 0x90
G(h_sysenter):
	mov %ebx, %eax
	mov %esp, %ebp
	jmp 1f + 1
1:	.byte 0xb8, 0x0f, 0x34, 0xf4, 0xf4
	.fill 64, 1, 0x90
G(h_syscall): /* a stack that there is */
	mov %ebx, %eax
	jmp 1f + 1
1:	.byte 0xb8, 0x0f, 5, 0xf4, 0xf4
	.fill 64, 1, 0x90
G(h_load): /* BX into GS */
	jmp 1f + 1
1:	.byte 0xb8, 0x8e, 0xeb, 0x90, 0x90
	CALL
	.fill 64, 1, 0x90

/* ---- kernel ---- */
	.balign 16
G(k32_vectors):
	.set n, 0
	.rept 256
	.balign 16
	.if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17)
	.else
	push $0
	.endif
	push $n
	jmp 1f
	.set n, n + 1
	.endr
1:	pusha
	mov %esp, %eax
	sub $0xc0000000, %eax
	out %eax, $0xe9
G(k32_return):
	popa
	add $8, %esp
	iret
code32_end:
	.section .note.GNU-stack, "", @progbits
