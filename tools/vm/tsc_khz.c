// SPDX-License-Identifier: GPL-2.0
/*
 * Prints how fast the time stamp counter of this processor counts, in kHz.
 *
 * QEMU's interpreter gives a guest the counter as it is, and the guest's kernel measures it while
 * it boots. On a busy machine that can be wrong by much, and time in the guest with it.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct moment {
	uint64_t ns, tsc;
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* Both at once, as nearly as it goes: of some tries the one that nothing came between. */
static struct moment look(void)
{
	struct moment best = { 0 };
	uint64_t least = -1;
	int i;

	for (i = 0; i < 100; i++) {
		uint64_t before = now(), tsc = __builtin_ia32_rdtsc(), took = now() - before;

		if (took < least) {
			least = took;
			best = (struct moment){ before + took / 2, tsc };
		}
	}
	return best;
}

int main(void)
{
	struct timespec pause = { .tv_nsec = 50000000 };
	struct moment first = look(), last;

	nanosleep(&pause, NULL);
	last = look();
	printf("%llu\n", (unsigned long long)((last.tsc - first.tsc) * 1000000.0 /
					       (last.ns - first.ns)));
	return 0;
}
