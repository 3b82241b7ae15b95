/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files that go from process to process, files that there are none of, and the driver's module.
 */
#ifndef SELFTESTS_VFIO_PROCESS_H
#define SELFTESTS_VFIO_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

void send_fd(int socket, int fd);
int receive_fd(int socket);
void no_more_files(bool none);

void module_name(char *name, size_t size);
long module_references(void);
int module_unload(const char *name);

#endif
