// SPDX-License-Identifier: GPL-2.0
/*
 * Measures drivers that migrate VFIO devices, in turns. Prints a line of JSON for each sample.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define MAX_PAIRS	4
#define MAX_CONTEXT	4096

static const struct {
	const char *name;
	void (*run)(struct bench_pair *pair);
} kinds[] = {
	{ "arcs", measure_arcs },
	{ "stream", measure_stream },
	{ "transfer", measure_transfer },
	{ "precopy", measure_precopy },
	{ "peak", measure_peak },
	{ "logging", measure_logging },
};

static char context[MAX_CONTEXT];
static unsigned int round_number;
static uint64_t enough = 1 << 20;

static void wrong_usage(void)
{
	size_t i;

	fputs("usage: measure [-n ROUNDS] [-e BYTES] [-k KEY=VALUE]... KIND DRIVER=FROM,TO...\n"
	      "  DRIVER=FROM,TO  two devices of a driver, by their paths in sysfs\n"
	      "  -n ROUNDS       each driver in turn, so many times (1)\n"
	      "  -e BYTES        pre-copy is over when no more than that is left (1 MiB)\n"
	      "  -k KEY=VALUE    what else the lines shall say\n"
	      "  KIND            ", stderr);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		fprintf(stderr, "%s%s", kinds[i].name, i + 1 < ARRAY_SIZE(kinds) ? ", " : "\n");
	exit(2);
}

/* Times end in _ns, memory in _kib, bytes per second in _bps. */
void sample(const struct bench_pair *pair, const char *measure, const char *what, uint64_t value)
{
	printf("{%s\"driver\":\"%s\",\"round\":%u,", context, pair->driver, round_number);
	printf("\"measure\":\"%s\",\"what\":\"%s\",\"value\":%llu}\n", measure, what,
	       (unsigned long long)value);
}

/* The change of state alone, without the questions of mig_set(). */
int timed_set(struct mig_device *dev, int state, uint64_t *ns)
{
	uint64_t start = sys_now_ns();
	int fd, ret = __mig_set(dev, state, &fd);

	*ns = sys_now_ns() - start;
	if (ret)
		mig_die("%s to %s: %s", dev->name, mig_state_name(state), strerror(-ret));
	return fd;
}

void timed_close(int fd, uint64_t *ns)
{
	uint64_t start = sys_now_ns();

	close(fd);
	*ns = sys_now_ns() - start;
}

/* Memory that is there already, so that nothing measured has to get it. */
void *touched(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		mig_die("no memory: %s", strerror(errno));
	return memory;
}

uint64_t precopy_enough(void)
{
	return enough;
}

/* Adds a pair to the start of each line. It is text without quotation marks. */
static void add_context(const char *pair)
{
	const char *equals = strchr(pair, '=');
	size_t len = strlen(context);

	if (!equals || strpbrk(pair, "\"\\"))
		wrong_usage();
	len += snprintf(context + len, sizeof(context) - len, "\"%.*s\":\"%s\",",
			(int)(equals - pair), pair, equals + 1);
	if (len >= sizeof(context))
		mig_die("too much context");
}

static void open_one(struct mig_device *dev, const char *path)
{
	int ret = __mig_open(dev, path, mig_mode());

	if (ret)
		mig_die("cannot open %s: %s", path, strerror(-ret));
}

/* DRIVER=FROM,TO, which is taken apart. */
static void open_pair(struct bench_pair *pair, char *text)
{
	char *from = strchr(text, '='), *to = from ? strchr(from, ',') : NULL;

	if (!to)
		wrong_usage();
	*from++ = '\0';
	*to++ = '\0';
	pair->driver = text;
	open_one(&pair->from, from);
	open_one(&pair->to, to);
}

static void fresh(struct mig_device *dev)
{
	int ret = mig_reset(dev);

	if (ret)
		mig_die("%s cannot be reset: %s", dev->name, strerror(-ret));
}

static void run(void (*kind)(struct bench_pair *pair), struct bench_pair *pairs, int count,
		unsigned int rounds)
{
	for (round_number = 0; round_number < rounds; round_number++) {
		int i;

		for (i = 0; i < count; i++) {
			fresh(&pairs[i].from);
			fresh(&pairs[i].to);
			kind(&pairs[i]);
		}
	}
}

int main(int argc, char **argv)
{
	/* Nobody is to read while something is measured. */
	static char lines[1 << 20];
	struct bench_pair pairs[MAX_PAIRS];
	unsigned int rounds = 1;
	int opt, count, i;
	size_t kind;

	setvbuf(stdout, lines, _IOFBF, sizeof(lines));
	while ((opt = getopt(argc, argv, "n:e:k:")) != -1) {
		switch (opt) {
		case 'n':
			rounds = strtoul(optarg, NULL, 10);
			break;
		case 'e':
			enough = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			add_context(optarg);
			break;
		default:
			wrong_usage();
		}
	}
	count = argc - optind - 1;
	if (!rounds || count < 1 || count > MAX_PAIRS)
		wrong_usage();
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		if (!strcmp(kinds[kind].name, argv[optind]))
			break;
	if (kind == ARRAY_SIZE(kinds))
		wrong_usage();
	for (i = 0; i < count; i++)
		open_pair(&pairs[i], argv[optind + 1 + i]);
	run(kinds[kind].run, pairs, count, rounds);
	for (i = 0; i < count; i++) {
		mig_close(&pairs[i].from);
		mig_close(&pairs[i].to);
	}
	if (fflush(stdout))
		mig_die("the lines cannot be written: %s", strerror(errno));
	return 0;
}
