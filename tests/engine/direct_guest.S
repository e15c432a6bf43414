/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_guest.S - for test_direct.c: a kernel that does nothing but report, and pieces of user code. The kernel sees this at
 * KERNEL + 0x10000, user code at 0x400000; it is position-independent.
 */
	.section .rodata
	.globl direct_blob, direct_blob_end
	.balign 4096
direct_blob:

#define G(name) .globl name; name

/*
 * ---- kernel ----
 * Every entry saves all registers as struct frame has them and tells where by an OUT to port 0xe9. Then it does what the CPU's
 * page (GS) says, and returns to what the frame holds by then. NMIs only report.
 */
#define CPU_USER_RSP 0
#define CPU_STACK 8
#define CPU_DO 16 /* 1: INVLPG, 2: CR3, 4: global flush, 8: return by SYSRET */
#define CPU_LIN 24
#define CPU_CR3 32

	.balign 16
G(k_vectors): /* 256 stubs of 16 bytes */
	.set n, 0
	.rept 256
	.balign 16
	.if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17)
	.else
	push $0
	.endif
	push $n
	jmp common
	.set n, n + 1
	.endr
	.balign 16
G(k_nmi):
	push %rax
	out %al, $0xea
	pop %rax
	iretq
G(k_syscall):
	swapgs
	mov %rsp, %gs:CPU_USER_RSP
	mov %gs:CPU_STACK, %rsp
	push $0x2b
	push %gs:CPU_USER_RSP
	push %r11
	push $0x33
	push %rcx
	push $0
	push $0x100
	jmp save
common:
	swapgs
save:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %esp, %eax
	out %eax, $0xe9
G(k_return):
	mov %gs:CPU_DO, %ebx
	movl $0, %gs:CPU_DO
	test $1, %bl
	jz 1f
	mov %gs:CPU_LIN, %rax
	invlpg (%rax)
1:	test $2, %bl
	jz 1f
	mov %gs:CPU_CR3, %rax
	mov %rax, %cr3
1:	test $4, %bl
	jz 1f
	mov %cr4, %rax
	xor $0x80, %rax
	mov %rax, %cr4
	xor $0x80, %rax
	mov %rax, %cr4
1:	test $8, %bl
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	lea 16(%rsp), %rsp
	jnz 1f
	swapgs
	iretq
1:	mov (%rsp), %rcx
	mov 16(%rsp), %r11
	mov 24(%rsp), %rsp
	swapgs
	sysretq

/* ---- user ---- */
	.balign 4096
G(u_mix): /* RBP rounds with all registers; then a system call */
	add %rbx, %rax
	rol $7, %rax
	xor %rdx, %rbx
	imul $0x1234567, %rdx, %rdx
	lea 3(%rsi,%rdi,2), %rsi
	bswap %rdi
	sub %r8, %r9
	adc %r10, %r8
	not %r10
	xor %r12, %r13
	add $77, %r12
	ror $3, %r14
	add %r14, %r15
	rol $1, %rcx
	add %rcx, %r11
	dec %rbp
	jnz u_mix
	syscall
	jmp u_mix
G(u_keep): /* changes no flag */
	lea 1(%rax), %rax
	loop u_keep
	syscall
	mov %ebx, %ecx
	jmp u_keep
G(u_spin):
	inc %rax
	jmp u_spin
G(u_read):
	mov (%rdi), %rax
	syscall
	jmp u_read
G(u_write):
	mov %rax, (%rdi)
	syscall
	jmp u_write
G(u_rmw):
	lock incq (%rdi)
	syscall
	jmp u_rmw
G(u_call):
	call *%rdi
	syscall
	jmp u_call
G(u_fp): /* ECX rounds of arithmetic; RDI: where to dump x87 and SSE, RSI: AVX or 0 */
1:	addps %xmm1, %xmm0
	mulpd %xmm3, %xmm2
	paddd %xmm5, %xmm4
	pxor %xmm0, %xmm15
	sqrtsd %xmm2, %xmm14
	fadd %st(1), %st
	fxch %st(2)
	fmul %st(1), %st
	loop 1b
	syscall
	fxsave64 (%rdi)
	test %rsi, %rsi
	jz 2f
	vpaddq %ymm7, %ymm6, %ymm6
	vmovups %ymm0, (%rsi)
	vmovups %ymm1, 0x20(%rsi)
	vmovups %ymm4, 0x40(%rsi)
	vmovups %ymm6, 0x60(%rsi)
	vmovups %ymm7, 0x80(%rsi)
	vmovups %ymm12, 0xa0(%rsi)
	vmovups %ymm15, 0xc0(%rsi)
2:	int3
	mov %ebx, %ecx
	jmp u_fp
G(u_x87_error): /* 1/0 with all unmasked comes at the next one that waits */
	fninit
	fldcw (%rdi)
	fld1
	fldz
	fdivrp
	nop
	fwait
	syscall
	jmp u_x87_error
G(u_sse_error):
	ldmxcsr (%rdi)
	divps %xmm1, %xmm0
	syscall
	jmp u_sse_error

/* what traps; R15 is where to go on, by the test */
G(u_int3):
	int3
	syscall
G(u_int3_long):
	.byte 0xcd, 3
	syscall
G(u_int3_prefix):
	.byte 0xf2, 0xcc
	syscall
G(u_int4):
	int $4
	syscall
G(u_int_other):
	int $0x41
	syscall
G(u_ud2):
	ud2
	syscall
G(u_div):
	xor %ecx, %ecx
	div %ecx
	syscall
G(u_hlt):
	hlt
	syscall
G(u_cli):
	cli
	syscall
G(u_in):
	in $0x60, %al
	syscall
G(u_mov_cr):
	mov %cr0, %rax
	syscall
G(u_rdmsr):
	rdmsr
	syscall
G(u_icebp):
	.byte 0xf1
	syscall
G(u_popf_tf): /* three steps */
	pushfq
	orl $0x100, (%rsp)
	popfq
	nop
	pushfq
	andl $~0x100, (%rsp)
	popfq
	nop
	syscall
G(u_popf_tf_syscall):
	pushfq
	orl $0x100, (%rsp)
	popfq
	syscall
	nop
	syscall
G(u_popf_if): /* takes no effect */
	pushfq
	andl $~0x3200, (%rsp)
	orl $0x1000, (%rsp)
	popfq
	pushfq
	pop %rax
	syscall
G(u_noncanonical):
	mov $0x8000000000000000, %rdi
	mov (%rdi), %rax
	syscall
G(u_noncanonical_stack):
	mov %rsp, %rbx
	mov $0x8000000000000000, %rsp
	push %rax
	syscall
G(u_noncanonical_jump):
	mov $0x8000000000000000, %rdi
	jmp *%rdi
	syscall
G(u_vsyscall):
	mov $0xffffffffff600000, %rdi
	call *%rdi
	syscall
G(u_vsyscall_odd):
	mov $0xffffffffff600010, %rdi
	call *%rdi
	syscall
G(u_unaligned): /* with EFLAGS.AC set by the test */
	mov 1(%rdi), %rax
	syscall
G(u_compat): /* into 32-bit code and back */
	push $0x23
	lea 1f(%rip), %rax
	push %rax
	lretq
1:	.code32
	inc %eax
	dec %eax
	mov $1000, %ecx
2:	dec %ecx
	jnz 2b
	ud2
	.code64

/* what the host's processor or kernel does otherwise: pages that are not executed directly */
	.balign 4096
G(u_int80):
	int $0x80
	syscall
G(u_sysenter):
	sysenter
	syscall
	.balign 4096
G(u_bases):
	wrfsbase %rsi
	wrgsbase %rdi
	mov %fs:8, %r8
	mov %gs:8, %r9
	rdfsbase %r12
	rdgsbase %r13
	syscall
	rdfsbase %r14
	rdgsbase %r15
	syscall
	jmp u_bases

/* what shows the host */
	.balign 4096
G(u_cpuid):
	cpuid
	syscall
	jmp u_cpuid
	.balign 4096
G(u_xgetbv):
	xor %ecx, %ecx
	xgetbv
	syscall
	jmp u_xgetbv
	.balign 4096
G(u_rdpid):
	rdpid %rax
	syscall
	jmp u_rdpid
	.balign 4096
G(u_rdpid_rex):
	.byte 0xf3, 0x41, 0x0f, 0xc7, 0xf8 /* rdpid %r8 */
	syscall
	jmp u_rdpid_rex
	.balign 4096
G(u_xsave):
	mov $-1, %eax
	mov $-1, %edx
	xsave64 (%rdi)
	syscall
	jmp u_xsave
	.balign 4096
G(u_cpuid_loop): /* asks, and computes */
	mov %ebx, %r8d
1:	mov $1, %eax
	xor %ecx, %ecx
	cpuid
	mov %ecx, %r9d
	mov $100, %ecx
2:	loop 2b
	dec %r8d
	jnz 1b
	syscall
	mov $1000, %ebx
	jmp u_cpuid_loop
	.balign 4096
	.fill 4095, 1, 0x90
G(u_cpuid_across):
	cpuid /* its second byte on the next page */
	syscall
	jmp u_cpuid_across
	.balign 4096
	.fill 4094, 1, 0x90
G(u_xgetbv_across):
	xgetbv
	syscall
	jmp u_xgetbv_across
	.balign 4096
G(u_tsc): /* RBX rounds: RAX is 1 if time went backwards; R8 first, R9 last */
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	mov %rax, %r8
	mov %rax, %r9
1:	rdtscp
	shl $32, %rdx
	or %rdx, %rax
	cmp %r9, %rax
	jb 2f
	mov %rax, %r9
	dec %rbx
	jnz 1b
	xor %eax, %eax
	syscall
2:	mov $1, %eax
	syscall

/* modifies code: RDI points at MOV EAX, imm32; RET */
	.balign 4096
G(u_smc):
	mov %r12d, 1(%rdi)
	call *%rdi
	mov %eax, %r8d
	inc %r12d
	mov %r12d, 1(%rdi)
	call *%rdi
	mov %eax, %r9d
	syscall
	inc %r12d
	jmp u_smc
G(u_smc_loop): /* RBX rounds; R8 counts what was not as written */
	xor %r8d, %r8d
1:	inc %r12d
	mov %r12d, 1(%rdi)
	call *%rdi
	cmp %eax, %r12d
	je 2f
	inc %r8d
2:	dec %rbx
	jnz 1b
	syscall
	jmp u_smc_loop

/* ---- two vCPUs ---- */
G(u_writer): /* (RSI): turn; RDI: code as above. RBX rounds: writes n into the code and gives the turn, waits for it */
	mov %r12d, 1(%rdi)
	mov %r12d, 64(%rsi)
	mov %r12, (%rsi)
1:	pause
	cmpq %r12, 8(%rsi)
	jne 1b
	inc %r12
	dec %rbx
	jnz u_writer
	syscall
	jmp u_writer
G(u_executer): /* R8: wrong ones */
	xor %r8d, %r8d
1:	pause
	cmpq %r12, (%rsi)
	jne 1b
	mov %rsp, %rax /* IRET: so that what was written is what will be executed */
	push $0x2b
	push %rax
	pushfq
	push $0x33
	lea 2f(%rip), %rax
	push %rax
	iretq
2:	call *%rdi
	cmp %r12d, %eax
	je 3f
	inc %r8d
3:	mov 64(%rsi), %eax
	cmp %r12d, %eax
	je 4f
	inc %r8d
4:	mov %r12, 8(%rsi)
	inc %r12
	dec %rbx
	jnz 1b
	syscall
	jmp u_executer
G(u_fill): /* for ever: R8 into a word of each of RCX pages from RDI on */
	xor %r8d, %r8d
1:	mov %rdi, %rsi
	mov %rcx, %rdx
	inc %r8
2:	mov %r8, (%rsi)
	add $4096, %rsi
	dec %rdx
	jnz 2b
	jmp 1b

/* ---- hostile ---- */
	.balign 4096
G(u_jump):
	jmp *%r15
G(u_syscalls): /* RAX: number; RBX: where to after it */
	syscall
	jmp *%rbx
G(u_forge): /* a frame of its own, then stops as the runner does: R15 is there. R12: offset into the frame, R13: value */
	movabs $0x3a5c00001000, %rbx
	mov 0x40(%rbx), %rdx
	mov 0x38(%rbx), %rsi
	movl $10, (%rsi)
	mov %r13, (%rdx,%r12)
	lea u_spin(%rip), %rax
	mov %rax, 168(%rdx)
	jmp *%r15
G(u_forge_base): /* FS base R13 */
	movabs $0x3a5c00001000, %rbx
	mov %r13, 8(%rbx)
	mov 0x40(%rbx), %rdx
	mov 0x38(%rbx), %rsi
	movl $4, (%rsi)
	lea u_read(%rip), %rax
	mov %rax, 168(%rdx)
	jmp *%r15
G(u_stop_again): /* for ever stops as the runner does */
	movabs $0x3a5c00001000, %rbx
	mov 0x40(%rbx), %rdx
	mov 0x38(%rbx), %rsi
	movl $10, (%rsi)
	lea u_stop_again(%rip), %rax
	mov %rax, 168(%rdx)
	jmp *%r15
direct_blob_end:
	.section .note.GNU-stack, "", @progbits
