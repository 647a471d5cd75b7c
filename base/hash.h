/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FNV-1a: for identity within one boot and for hash tables; no security. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV32_BASIS UINT32_C(0x811c9dc5)

/* Goes on from h, FNV_BASIS for a new hash, over n bytes. */
static inline uint64_t fnv1a(uint64_t h, const void *data, size_t n)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* The same in 32 bits, for one byte: from FNV32_BASIS. */
static inline uint32_t fnv1a_32(uint32_t h, unsigned char byte)
{
	return (h ^ byte) * UINT32_C(0x01000193);
}
