/* SPDX-License-Identifier: GPL-2.0-or-later */
/* triple64.c - a double fault that cannot be delivered shuts the processor down (SDM 3A 6.15, #DF). */
#include "lib.h"

int main(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) r = { 0, 0 };

	t("up to here");
	t("a triple fault is the end");
	__asm__ volatile("lidt %0; ud2" ::"m"(r));
	eq(1, 0);
	return 0;
}
