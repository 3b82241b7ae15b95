/* SPDX-License-Identifier: GPL-2.0 */
/* A virtual function of a ConnectX as the guest drives and checks it. */
#ifndef CONNECTX_H
#define CONNECTX_H

#include <stdbool.h>

/*
 * It is only linked where the kernel's formats of commands were at hand: else these
 * are null.
 */
#pragma weak connectx_find
#pragma weak connectx_start
#pragma weak connectx_step
#pragma weak connectx_report

bool connectx_find(void);
void connectx_start(unsigned int msi);
void connectx_step(void);

/* The end of a line of fields. */
void connectx_report(void);

#endif
