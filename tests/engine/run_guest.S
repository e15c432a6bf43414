/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_guest.S - guests that do not want to end, and one that does a bit of everything; see test_run.c. 64-bit code,
 * position-independent, copied to guest address 0x10000. */
	.section .rodata
	.globl run_blob, run_blob_end
run_blob:

#define G(name) .globl name; name

/* ---- handlers ---- */
G(h_iret):
	iretq
/* skip two bytes: the length of every instruction below that is meant to fault */
G(h_skip):
	addq $2, (%rsp)
	iretq
G(h_skip_err):
	add $8, %rsp
	addq $2, (%rsp)
	iretq
G(h_again):
	ud2

/* ---- endless ---- */
G(k_spin):
	cli
1:	jmp 1b
G(k_halt):
	cli
1:	hlt
	jmp 1b
G(k_fault):
	ud2
G(k_fetch): /* to where nothing is mapped; so is the handler */
	mov $0x80000000, %eax
	jmp *%rax
G(k_step): /* TF stays on: a #DB after each */
	pushfq
	orl $0x100, (%rsp)
	popfq
1:	inc %eax
	jmp 1b
G(k_movs):
	cli
1:	mov $0x80000, %ecx
	mov $0x200000, %esi
	mov $0x200100, %edi
	rep movsb
	jmp 1b
/* ---- downwards ---- */
	.macro down name, op
G(\name):
	std
	rep \op
	cld
	out %al, $0xf1
1:	jmp 1b
	.endm
	down k_down1, movsb
	down k_down2, movsw
	down k_down4, movsl
	down k_down8, movsq
	down k_fill_down, stosl

G(k_stos): /* a long way through RAM and then devices */
	cli
	mov $0x200000, %edi
	mov $0x1000000000, %rcx
	rep stosb
	jmp k_stos
G(k_lods):
	cli
	mov $0x1000000, %esi /* devices */
	mov $0x1000000000, %rcx
	rep lodsb
	jmp k_lods
G(k_scas):
	cli
	mov $0x300000, %edi
	mov $0x1000000000, %rcx
	xor %eax, %eax
	repe scasb
	jmp k_scas
G(k_cmps):
	cli
	mov $0x300000, %edi
	mov $0x300000, %esi
	mov $0x1000000000, %rcx
	repe cmpsb
	jmp k_cmps
G(k_ins):
	cli
	mov $0x200000, %edi
	mov $0x1000000000, %rcx
	mov $0x90, %edx
	rep insb
	jmp k_ins
G(k_outs):
	cli
	mov $0x200000, %esi
	mov $0x1000000000, %rcx
	mov $0x90, %edx
	rep outsb
	jmp k_outs
G(k_lock):
	cli
	mov $0x200000, %edi
1:	lock incl (%rdi)
	pause
	jmp 1b
G(k_smc): /* writes the immediate of its own next instruction */
	cli
1:	incl 2f+1(%rip)
2:	mov $0, %eax
	jmp 1b
G(k_smc_far): /* the same bytes from two vCPUs, called through another mapping of the page */
	cli
	lea 2f(%rip), %rbx
	lea 0x40000000(%rbx), %rdi
1:	incl 1(%rbx)
	call *%rdi
	call *%rbx
	jmp 1b
2:	mov $0, %eax
	ret
G(k_invlpg):
	cli
	xor %edi, %edi
1:	invlpg (%rdi)
	mov (%rdi), %eax
	mov %eax, (%rdi)
	add $0x1000, %edi
	and $0xfffff, %edi
	or $0x200000, %edi
	jmp 1b
G(k_cr3):
	cli
	mov $0x200000, %edi
1:	mov %cr3, %rax
	mov %rax, %cr3
	incl (%rdi)
	mov %cr4, %rax
	xor $0x80, %eax
	mov %rax, %cr4
	jmp 1b
G(k_sti): /* an interrupt is up all the time; its handler ends at once */
	sti
	out %al, $0x80
	jmp k_sti
G(k_fpu):
	cli
	fninit
1:	fld1
	fldpi
	fpatan
	fsin
	fstp %st(0)
	jmp 1b

/* ---- a bit of everything: %r15d rounds; out to 0xf0 after 1000 and at the end ---- */
G(k_mix):
	mov $0x200000, %ebp
	xor %r14d, %r14d
	fninit
mix:
	add $3, %eax
	adc %rax, 8(%rbp)
	xchg %eax, 16(%rbp)
	lock xadd %eax, 24(%rbp)
	lock cmpxchg8b 32(%rbp)
	movzbl 1(%rbp), %ecx
	movslq 4(%rbp), %rcx
	lea (%rax,%rcx,4), %rdx
	imul %rdx, %rcx
	mul %ecx
	mov $7, %ecx
	xor %edx, %edx
	div %ecx
	shld $3, %eax, %edx
	rol %cl, %edx
	sar $1, %edx
	bt %ecx, 40(%rbp)
	bsf %ecx, %edx
	bswap %rdx
	setc %al
	cmovz %edx, %eax
	push %rax
	pop %rcx
	pushq 8(%rbp)
	popq 48(%rbp)
	pushfq
	popfq
	cld
	mov $5, %ecx
	mov $0x201000, %esi
	mov $0x202ffe, %edi /* over a page's border */
	rep movsw
	mov $5, %ecx
	rep stosl
	lodsb
	scasb
	cmpsb
	call 1f
	jmp 2f
1:	ret
2:	lea 3f(%rip), %rax
	jmp *%rax
3:	lea 4f(%rip), %rax
	push %rax
	ret
4:	push $8
	lea 5f(%rip), %rax
	push %rax
	lretq
5:	mov $2, %ecx
6:	loop 6b
	jrcxz 7f
7:	enter $16, $0
	leave
	mov $0x200000, %ebp
	movaps (%rbp), %xmm0
	addps %xmm0, %xmm1
	movups %xmm1, 0x2ff9(%rbp)
	pshufd $1, %xmm1, %xmm2
	cvtsi2sd %eax, %xmm3
	movmskps %xmm3, %eax
	fld1
	fstpl 64(%rbp)
	fnstcw 72(%rbp)
	fldcw 72(%rbp)
	fxsave 0x400(%rbp)
	fxrstor 0x400(%rbp)
	stmxcsr 76(%rbp)
	ldmxcsr 76(%rbp)
	movq %mm0, 80(%rbp)
	emms
	xor %eax, %eax
	cpuid
	rdtsc
	mov %cr3, %rax
	mov %rax, %cr3
	mov %cr0, %rax
	mov %rax, %cr0
	mov %dr7, %rax
	mov %rax, %dr7
	invlpg (%rbp)
	sgdt 96(%rbp)
	lgdt 96(%rbp)
	mov %ds, %eax
	mov %eax, %ds
	mov $0xc0000080, %ecx
	rdmsr
	wrmsr
	swapgs
	swapgs
	sti
	nop
	cli
	in $0x90, %al
	out %al, $0x90
	int $0x80                /* a gate */
	ud2                      /* its gate is not present: #NP while #UD is delivered */
	xor %ecx, %ecx
	.byte 0xf6, 0xf1         /* div %cl; no gate either, which makes it #DF */
	int $0x81                /* no gate: #NP */
	mov $0x80000000, %edi
	movb (%rdi), %al         /* #PF */
	movb %al, (%rdi)
	mov $1, %eax
	shl $63, %rax
	movb (%rax), %al         /* #GP */
	incl 8f+1(%rip)          /* own code */
8:	mov $0, %eax
	inc %r14d
	cmp $1000, %r14d
	jne 9f
	out %al, $0xf0
9:	cmp %r15d, %r14d
	jb mix
	out %al, $0xf0
1:	hlt
	jmp 1b
run_blob_end:
	.section .note.GNU-stack, "", @progbits
