/* SPDX-License-Identifier: GPL-2.0-or-later */
/* leaky.c - mistakes for valgrind to find. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *unlocked(void *p)
{
	(void)p;
	for (int i = 0; i < 100; i++)
		shared++;
	return NULL;
}

static void *locked(void *p)
{
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&lock);
		(*(int *)p)++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int sum = 0;
	if (argc > 1 && !strcmp(argv[1], "memcheck")) {
		int *a = malloc(10 * sizeof *a), *b = malloc(10 * sizeof *b);
		a[3] = 1;
		if (a[4])
			sum = 1;
		sum += b[10] & 0;
		free(b);
		sum += b[1] & 0;
		a = malloc(77);
		memset(a, 1, 77);
	} else {
		pthread_t t[2];
		int good = 0;
		for (int i = 0; i < 2; i++)
			pthread_create(&t[i], NULL, locked, &good);
		for (int i = 0; i < 2; i++)
			pthread_join(t[i], NULL);
		pthread_create(&t[0], NULL, unlocked, NULL);
		pthread_join(t[0], NULL);
		printf("%d %d\n", good, shared);
	}
	double d = 0;
	for (int i = 1; i < 50000; i++)
		d += 1.0 / i;
	printf("%d %.12f\n", sum, d);
	return 0;
}
