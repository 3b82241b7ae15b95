// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of the machine, and a control group for the test that has only this process and
 * what it forks.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "system.h"
#include "vfio_migration.h"

#define ROOT	"/sys/fs/cgroup"

static char group[64];

long memory_available(void)
{
	char line[128];
	FILE *file = fopen("/proc/meminfo", "r");
	long kib = -1;

	while (file && kib < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %ld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	if (kib < 0)
		mig_die("no MemAvailable");
	return kib;
}

/* The pages that this process has, which are not the kernel's. */
static long memory_own(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long resident, shared;

	if (!file || fscanf(file, "%*d %ld %ld", &resident, &shared) != 2)
		mig_die("/proc/self/statm");
	fclose(file);
	return (resident - shared) * (sysconf(_SC_PAGESIZE) / 1024);
}

/*
 * What is available, and what would be but for this process. Pages that were freed stay with a
 * CPU for a while, up to an eighth of the memory: each refresh of the statistics gives back an
 * eighth of them.
 */
long memory_settled(void)
{
	int i;

	for (i = 0; i < 64; i++)
		sys_write("/proc/sys/vm/stat_refresh", "1");
	return memory_available() + memory_own();
}

/* Is there as much as before so many sessions, but for the noise and 32 bytes of each? Says so. */
bool memory_is_back(long before, size_t sessions)
{
	long took = before - memory_settled();

	fprintf(stderr, "# %zu sessions, %ld KiB less memory\n", sessions, took);
	return took < MEMORY_NOISE + (long)(sessions / 32);
}

bool cgroup_is_possible(const struct mig_device *dev)
{
	char text[256] = "";
	int fd = open(ROOT "/cgroup.controllers", O_RDONLY);

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return dev && strstr(text, "memory") && !access(ROOT "/cgroup.subtree_control", W_OK);
}

static void write_file(const char *dir, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	sys_write(path, text);
}

/* Into a buffer of the caller: what it takes itself is not to be charged to the group. */
static void read_file(const char *file, char *text, size_t size)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		mig_die("%s: %s", path, strerror(errno));
	n = read(fd, text, size - 1);
	if (n < 0)
		mig_die("%s: %s", path, strerror(errno));
	text[n] = '\0';
	close(fd);
}

/* From here on this process is charged for by a group of its own. */
void cgroup_enter(void)
{
	snprintf(group, sizeof(group), ROOT "/vfio-migration.%d", getpid());
	write_file(ROOT, "cgroup.subtree_control", "+memory");
	if (mkdir(group, 0700))
		mig_die("%s: %s", group, strerror(errno));
	write_file(group, "cgroup.procs", "0");
}

/* What is still charged to the group goes with it. */
void cgroup_leave(void)
{
	int i;

	write_file(ROOT, "cgroup.procs", "0");
	/* A child that was killed leaves it a little later. */
	for (i = 0; rmdir(group); i++) {
		if (errno != EBUSY || i == 1000)
			mig_die("%s: %s", group, strerror(errno));
		usleep(10000);
	}
}

void cgroup_limit(long kib)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", kib * 1024);
	write_file(group, "memory.max", text);
}

static long kib_of(const char *file)
{
	char text[64];

	read_file(file, text, sizeof(text));
	return strtoll(text, NULL, 10) / 1024;
}

long cgroup_charged(void)
{
	return kib_of("memory.current");
}

long cgroup_peak(void)
{
	return kib_of("memory.peak");
}

/* How often it happened, by the names in memory.events. */
long cgroup_event(const char *name)
{
	char text[512], *at;

	read_file("memory.events", text, sizeof(text));
	for (at = strtok(text, "\n"); at; at = strtok(NULL, "\n"))
		if (!strncmp(at, name, strlen(name)) && at[strlen(name)] == ' ')
			return strtol(at + strlen(name), NULL, 10);
	mig_die("no %s in memory.events", name);
}
