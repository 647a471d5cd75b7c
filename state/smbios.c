/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Credentials in the firmware's tables; see smbios.h. */
#include "state/smbios.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#define STRUCTURE_OEM_STRINGS 11
#define STRUCTURE_END 127
/* Type, length, and a handle of two bytes. */
#define HEADER_SIZE 4

/* A structure has a fixed part, then its texts, each with a NUL, then one more NUL; without texts there are
 * two. Where the next one begins; NULL: the table ends before that. */
static const char *structure_texts(const char *texts, const char *end,
				   void (*take)(void *userdata, const char *text), void *userdata)
{
	const char *s = texts, *nul;

	while (s < end && *s) {
		nul = memchr(s, '\0', (size_t)(end - s));
		if (!nul)
			return NULL;
		if (take)
			take(userdata, s);
		s = nul + 1;
	}
	if (s == texts)
		s++;
	return s < end ? s + 1 : NULL;
}

void smbios_each_text(const char *table, size_t size, void (*take)(void *userdata, const char *text),
		      void *userdata)
{
	const char *at = table, *end = table + size;

	while (at && end - at >= HEADER_SIZE) {
		unsigned type = (uint8_t)at[0], length = (uint8_t)at[1];

		if (type == STRUCTURE_END || length < HEADER_SIZE || (size_t)(end - at) < length)
			return;
		at = structure_texts(at + length, end, type == STRUCTURE_OEM_STRINGS ? take : NULL, userdata);
	}
}

#if defined(__x86_64__) || defined(__i386__)
struct cpuid {
	unsigned a, b, c, d;
};

static bool cpu_is_tdx_guest(void)
{
	char name[12];
	struct cpuid leaf;

	if (__get_cpuid_max(0, NULL) < 0x21)
		return false;
	__cpuid_count(0x21, 0, leaf.a, leaf.b, leaf.c, leaf.d);
	memcpy(name, &leaf.b, 4);
	memcpy(name + 4, &leaf.d, 4);
	memcpy(name + 8, &leaf.c, 4);
	return memcmp(name, "IntelTDX    ", sizeof(name)) == 0;
}

bool machine_may_be_confidential(void)
{
	struct cpuid leaf;

	__cpuid(1, leaf.a, leaf.b, leaf.c, leaf.d);
	if (!(leaf.c >> 31)) /* no hypervisor */
		return false;
	if (cpu_is_tdx_guest())
		return true;
	/* Hyper-V's own kind of isolation. */
	__cpuid(0x40000000, leaf.a, leaf.b, leaf.c, leaf.d);
	if (leaf.b == 0x7263694d && leaf.a >= 0x40000003) {
		__cpuid(0x40000003, leaf.a, leaf.b, leaf.c, leaf.d);
		if (leaf.b >> 22 & 1)
			return true;
	}
	/* AMD's SEV: a hypervisor shows it only to a guest that may have it. */
	if ((unsigned)__get_cpuid_max(0x80000000, NULL) < 0x8000001f)
		return false;
	__cpuid(0x8000001f, leaf.a, leaf.b, leaf.c, leaf.d);
	return leaf.a >> 1 & 1;
}
#else
bool machine_may_be_confidential(void)
{
	return false;
}
#endif

static int base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -EINVAL;
}

int base64_decode(char *text, size_t *ret_size)
{
	size_t n = strlen(text), size = 0;
	unsigned bits = 0, value = 0;

	while (n > 0 && n % 4 != 1 && text[n - 1] == '=')
		n--;
	if (n % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int digit = base64_value(text[i]);

		if (digit < 0)
			return digit;
		value = (value << 6 | (unsigned)digit) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			text[size++] = (char)(value >> bits & 0xff);
		}
	}
	*ret_size = size;
	return 0;
}
