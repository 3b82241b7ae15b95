// SPDX-License-Identifier: GPL-2.0
/*
 * The only program of the guest that is migrated: it runs as init, keeps an
 * emulated migration device busy and holds it, without pause, against what
 * the guest's own memory says the device must contain.
 *
 * It does not know when it is migrated, so every rule below holds across a
 * migration or the guest says FAIL on its serial console:
 *  - registers written once (tick control, period) and all the time (scratch)
 *    read back as written;
 *  - the tick counter never goes back, and every page of BAR2 holds the last
 *    tick that the counter says went there;
 *  - the rest of BAR2 equals the copy in memory, and that copy its checksum;
 *  - every interrupt asked for arrives, and the device counted every one.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "guest.h"

#define STEP_US		1000
#define REPORT_MS	250
#define STEPS_PER_IRQ	32

static struct device dev;
static __u64 last_step_ms, longest_gap_ms;

__u64 uptime_ms(void)
{
	static __u64 start;
	struct timespec ts;
	__u64 now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
	if (!start)
		start = now;
	return now - start;
}

/* Init must not exit: the kernel would panic over the last words. */
noreturn void stop(void)
{
	for (;;)
		pause();
}

static void open_console(void)
{
	struct termios tio;
	int fd;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	if (fd < 0)
		_exit(1);
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	tcgetattr(fd, &tio);
	cfmakeraw(&tio);
	tio.c_oflag |= OPOST | ONLCR;
	tcsetattr(fd, TCSANOW, &tio);
}

static void report(const char *what)
{
	say("guest: %s id=%016llx t=%llu gap=%llu sweeps=%llu ", what, dev.id, uptime_ms(),
	    longest_gap_ms, dev.sweeps);
	say("stores=%llu ticks=%llu irqs=%llu lost=%u\n", dev.stores, dev.ticks, dev.irqs_seen,
	    dev.irqs_lost);
	longest_gap_ms = 0;
}

/* One line from the host: a command. What is not understood is a failure. */
static void command(const char *line)
{
	unsigned int n;

	if (sscanf(line, "stores %u", &n) == 1 && n <= 1 << 20)
		dev.stores_per_step = n;
	else if (!strcmp(line, "reinit"))
		device_reinit(&dev);
	else
		fail("what is '%s'?", line);
	say("guest: done %s\n", line);
}

static void poll_commands(void)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };
	static char line[64];
	static size_t len;

	while (poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLIN)) {
		char c;

		if (read(STDIN_FILENO, &c, 1) != 1)
			return;
		if (c != '\n' && c != '\r') {
			if (len == sizeof(line) - 1)
				fail("command too long");
			line[len++] = c;
			continue;
		}
		line[len] = 0;
		if (len)
			command(line);
		len = 0;
	}
}

static void step(void)
{
	static __u64 last_report;
	static unsigned int steps;
	__u64 now = uptime_ms();

	if (now < last_step_ms)
		fail("the clock went back by %llu ms", (last_step_ms - now));
	if (now - last_step_ms > longest_gap_ms)
		longest_gap_ms = now - last_step_ms;
	last_step_ms = now;

	device_store(&dev);
	device_check_pages(&dev);
	device_check_registers(&dev);
	if (++steps % STEPS_PER_IRQ == 0)
		device_check_interrupt(&dev, steps / STEPS_PER_IRQ);
	poll_commands();
	if (now - last_report >= REPORT_MS) {
		report("ok");
		last_report = now;
	}
}

int main(void)
{
	open_console();
	say("guest: booted\n");
	device_find(&dev);
	device_start(&dev);
	report("ready");
	for (;;) {
		step();
		usleep(STEP_US);
	}
}
