/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_state_guest.S - user code for test_direct_state.c, position-independent. What must not be executed directly has a page of
 * its own each time. Addresses of a runner's pages are those of direct.h.
 */
	.section .rodata
	.globl state_code, state_code_end
	.balign 4096
state_code:

#define G(name) .globl name; name

/*
 * Guest code that means no good goes to where the runner's code stops, with a frame of its own making: that of a SIGSYS behind
 * the SYSCALL at the end. R8, R9: siginfo and ucontext, as the runner has them.
 */
G(s_magic): /* FP_XSTATE_MAGIC2, behind the XSAVE area of the frame */
	call find_frame
	mov 224(%rdx), %rdi /* fpregs */
	mov 464+16(%rdi), %ecx /* sw_reserved.xstate_size */
	movl $0, (%rdi,%rcx)
	jmp stop
G(s_mxcsr): /* a bit that no processor has */
	call find_frame
	mov 224(%rdx), %rdi
	movl $0xffff1f80, 24(%rdi)
	jmp stop
G(s_mask): /* all signals blocked */
	call find_frame
	movq $-1, 296(%rdx)
	jmp stop
G(s_rip): /* not canonical */
	call find_frame
	lea 1f(%rip), %r14
	movabs $0x8000000000000000, %rax
	mov %rax, 168(%rdx)
	jmp stop_there
G(s_ds):
	mov $0x2b, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	call find_frame
	jmp stop
G(s_flags):
	pushfq
	orl $0x204000, (%rsp) /* NT, ID */
	popfq
	syscall
	jmp s_flags
G(s_junk): /* the shared pages are full of it */
	movabs $0x3a5c00001000, %rdi
	movabs $0x6a756e6b6a756e6b, %rax
	mov $0xf000 / 8, %ecx
	rep stosq
	syscall
	jmp s_junk
G(s_step): /* stops with TF set: a step between what is done for us */
	call find_frame
	lea 1f(%rip), %rax
	mov %rax, 168(%rdx)
	mov %rsp, %rcx
	push $0x2b
	push %rcx
	push $0x302
	push $0x33
	lea 5(%r15), %rax /* its SYSCALL */
	push %rax
	mov $110, %eax
	iretq
stop:
	lea 1f(%rip), %rax
	mov %rax, 168(%rdx)
stop_there:
	jmp *%r15
	syscall
1:	syscall
	jmp 1b

/* RDX the ucontext, with a SIGSYS before it; R15 where our code stops. */
find_frame:
	movabs $0x3a5c00001000, %rbx
	mov %r8, %rsi /* as the runner has it: given by the test */
	mov %r9, %rdx
	mov %rsi, 0x38(%rbx)
	mov %rdx, 0x40(%rbx)
	movl $31, (%rsi) /* SIGSYS */
	movq $0, 16(%rsi) /* si_call_addr */
	movabs $0x3a5c00000000, %r15
1:	inc %r15
	cmpl $0x6eb8, (%r15) /* mov $110, %eax; syscall */
	jne 1b
	cmpw $0x050f, 5(%r15)
	jne 1b
	ret

G(s_victim): /* RDI: where YMM0 goes */
	pushfq
	pop %rax
	mov %ds, %ebx
	mov %es, %ecx
	or %ecx, %ebx
	mov %fs, %ecx
	or %ecx, %ebx
	mov %gs, %ecx
	or %ecx, %ebx
	vmovups %ymm0, (%rdi)
	syscall
	jmp s_victim
G(s_look): /* RDI: where the shared pages are copied to, but the stack */
	movabs $0x3a5c00001000, %rsi
	mov $0x10000 / 8, %ecx
	rep movsq
	syscall
	jmp s_look
G(s_segments): /* that of flat data, and that of the processor's number */
	mov $0x2b, %eax
	mov %eax, %ds
	mov $0x7b, %eax
	mov %eax, %es
	syscall
	mov %ds, %ebx
	mov %es, %eax
	syscall
	jmp s_segments

/* What is answered from descriptor tables. RDI: memory; RSI: a selector. */
	.balign 4096
G(s_lar):
	lar %esi, %eax
	setz %bl
	syscall
	jmp s_lar
	.balign 4096
G(s_lsl):
	lsl %esi, %eax
	setz %bl
	syscall
	jmp s_lsl
	.balign 4096
G(s_verr):
	verr %si
	setz %bl
	syscall
	jmp s_verr
	.balign 4096
G(s_verw):
	verw %si
	setz %bl
	syscall
	jmp s_verw
	.balign 4096
G(s_sldt):
	sldt %eax
	syscall
	jmp s_sldt
	.balign 4096
G(s_str):
	str %eax
	syscall
	jmp s_str
	.balign 4096
G(s_smsw):
	smsw %eax
	syscall
	jmp s_smsw
	.balign 4096
G(s_sgdt):
	sgdt (%rdi)
	mov (%rdi), %rax
	mov 8(%rdi), %bx
	syscall
	jmp s_sgdt
	.balign 4096
G(s_sidt):
	sidt (%rdi)
	mov (%rdi), %rax
	mov 8(%rdi), %bx
	syscall
	jmp s_sidt
	.balign 4096
G(s_vmmcall):
	vmmcall
	syscall
	jmp s_vmmcall
	.balign 4096
G(s_int80):
	int $0x80
	syscall
	jmp s_int80
	.balign 4096
	.fill 4094, 1, 0x90
G(s_lar_across):
	lar %esi, %eax /* its last byte on the next page */
	setz %bl
	syscall
	jmp s_lar_across

/* The same bytes, as parts of others. */
	.balign 4096
G(s_looks):
	lea 0x00000f00(%rax), %rcx /* SLDT */
	mov $0x0000340f, %edx /* SYSENTER */
	mov $0x0000a20f, %esi /* CPUID */
	mov $0x000080cd, %ebp /* INT 80h */
	mov $0x01c1020f, %ebx /* LAR */
	test %rsp, %rsp
	.byte 0x0f, 0x84, 0x00, 0x0f, 0x00, 0x00 /* jz */
	syscall
	jmp s_looks
	.balign 16
state_code_end:
	.section .note.GNU-stack, "", @progbits
