/* SPDX-License-Identifier: GPL-2.0 */
/* Of libuuid, what the VFIO selftests of the kernel use of it. */
#ifndef UUID_UUID_H
#define UUID_UUID_H

#include <string.h>

#define uuid_t typeof(unsigned char[16])

/* The bytes of 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12; -1 for anything else. */
static inline int uuid_parse(const char *text, uuid_t uuid)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	int at, nibble = 0;

	for (at = 0; at < 36; at++) {
		const char *digit;

		if (at == 8 || at == 13 || at == 18 || at == 23) {
			if (text[at] != '-')
				return -1;
			continue;
		}
		digit = text[at] ? strchr(digits, text[at]) : NULL;
		if (!digit)
			return -1;
		uuid[nibble / 2] = uuid[nibble / 2] << 4 | ((digit - digits) & 15);
		nibble++;
	}
	return text[at] ? -1 : 0;
}

#endif
