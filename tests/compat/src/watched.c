/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watched.c - what watch.gdb looks at. */
#include <stdio.h>
#include <string.h>

struct pair { char c; int n; };
volatile int watched, read_only = 5;
char text[64];
struct pair pairs[4];

static int add(int a, int b)
{
	int sum = a + b;
	return sum;
}

static int recurse(int n)
{
	return n < 2 ? 1 : n * recurse(n - 1);
}

int main(void)
{
	for (int i = 0; i < 20; i++) {
		watched = add(i / 4, 1);
		pairs[i % 4].n = i;
	}
	strcpy(text, "copied by the library, watched in the middle");
	int seen = read_only;
	printf("%d %d %d\n", recurse(6), watched, seen);
	return 3;
}
