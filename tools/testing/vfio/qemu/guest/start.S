/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From QEMU's direct boot of a kernel (PVH: 32-bit mode, no paging, %ebx points to the
 * start info) to guest_main() in 64-bit mode, and from interrupts to interrupt().
 */

	/* The ELF note that names the entry point: name, size of what follows, type. */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 4, 18
	.asciz	"Xen"
	.long	entry

	.text
	.code32
	.globl	entry
entry:
	cld
	movl	$stack_end, %esp
	movl	%ebx, %edi

	/* All of the lower 512 GiB as pages of 1 GiB, where they are. */
	movl	$gigabytes + 3, top_level
	xorl	%ecx, %ecx
1:	movl	%ecx, %eax
	shll	$30, %eax
	orl	$0x83, %eax
	movl	%eax, gigabytes(, %ecx, 8)
	movl	%ecx, %eax
	shrl	$2, %eax
	movl	%eax, gigabytes + 4(, %ecx, 8)
	incl	%ecx
	cmpl	$512, %ecx
	jne	1b

	movl	$top_level, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx	/* EFER: long mode */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax	/* paging */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $entry64

	.code64
entry64:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%edi, %edi
	call	guest_main
	ud2

/* 256 ways in, 16 bytes each. The error code of some exceptions is not removed: they are fatal. */
	.balign	16
	.globl	interrupt_entries
interrupt_entries:
	.set	vector, 0
	.rept	256
	.balign	16
	pushq	$vector
	jmp	interrupt_common
	.set	vector, vector + 1
	.endr

interrupt_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movq	72(%rsp), %rdi		/* the vector */
	movq	80(%rsp), %rsi		/* where, or an exception's error code */
	cld
	call	interrupt
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$8, %rsp
	iretq

	.section .rodata
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9a000000ffff	/* 64-bit code */
	.quad	0x00cf92000000ffff	/* data */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.bss
	.balign	4096
top_level:
	.skip	4096
gigabytes:
	.skip	4096
	.skip	16384
stack_end:

	.section .note.GNU-stack, "", @progbits
