// SPDX-License-Identifier: GPL-2.0
/*
 * Files of this process, and of others; the module of the driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "process.h"
#include "vfio_migration.h"

union fd_message {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
};

/* Send a file to whoever has the other end. */
void send_fd(int socket, int fd)
{
	union fd_message control = {};
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	control.head = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	if (sendmsg(socket, &msg, 0) != 1)
		mig_die("[T18] SCM_RIGHTS: %s", strerror(errno));
}

int receive_fd(int socket)
{
	union fd_message control = {};
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(socket, &msg, 0) != 1 || control.head.cmsg_type != SCM_RIGHTS)
		mig_die("[T18] SCM_RIGHTS: %s", strerror(errno));
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

/*
 * This thread loses the capability that lets it have files beyond the limit of the system, or
 * gets it back.
 */
static void beyond_the_limit(bool allowed)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		mig_die("capget: %s", strerror(errno));
	if (allowed)
		data[0].effective |= 1U << CAP_SYS_ADMIN;
	else
		data[0].effective &= ~(1U << CAP_SYS_ADMIN);
	if (syscall(SYS_capset, &head, data))
		mig_die("capset: %s", strerror(errno));
}

/* Until it is called again, the kernel makes no file for this thread: ENFILE. */
void no_more_files(bool none)
{
	static char limit[64];
	static int fd = -1;
	ssize_t n;

	if (fd < 0) {
		fd = open("/proc/sys/fs/file-max", O_RDWR | O_CLOEXEC);
		n = fd < 0 ? -1 : pread(fd, limit, sizeof(limit) - 1, 0);
		if (n <= 0)
			mig_die("file-max: %s", strerror(errno));
	}
	if (!none)
		beyond_the_limit(true);
	if (pwrite(fd, none ? "0" : limit, none ? 1 : strlen(limit), 0) < 0)
		mig_die("file-max: %s", strerror(errno));
	if (none)
		beyond_the_limit(false);
}

/* Of the driver of the device under test. */
void module_name(char *name, size_t size)
{
	char path[PATH_MAX], module[PATH_MAX];

	snprintf(path, sizeof(path), "%s/driver/module", mig_path());
	if (!realpath(path, module))
		mig_die("%s: %s", path, strerror(errno));
	snprintf(name, size, "%s", strrchr(module, '/') + 1);
}

/* The references to the driver's module and to all modules it depends on. */
long module_references(void)
{
	char line[1024], name[64], users[900], list[970], driver[64], want[64 + 2];
	long count, sum = 0;
	FILE *file;

	module_name(driver, sizeof(driver));
	snprintf(want, sizeof(want), ",%s,", driver);
	file = fopen("/proc/modules", "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%60s %*s %ld %899s", name, &count, users) != 3)
			continue;
		snprintf(list, sizeof(list), ",%s,%s", name, users);
		if (strstr(list, want))
			sum += count;
	}
	if (file)
		fclose(file);
	return sum;
}

/* Have a module removed, if nobody uses it. 0 or -errno. */
int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}
