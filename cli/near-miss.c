/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that were perhaps meant; see near-miss.h. */
#include "cli/near-miss.h"
#include "base/text.h"

#include <stdint.h>
#include <string.h>

enum { NAME_LENGTH_MAX = 64, DISTANCE_MAX = 2 };

static char letter_fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

size_t edit_distance(const char *a, const char *b)
{
	size_t row[NAME_LENGTH_MAX + 1], n = strlen(a), m = strlen(b);

	if (n > NAME_LENGTH_MAX || m > NAME_LENGTH_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = diagonal + (letter_fold(a[i - 1]) != letter_fold(b[j - 1]));

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[m];
}

struct near_miss near_miss_of(const char *wanted)
{
	return (struct near_miss){ .wanted = wanted };
}

/* With and without the bus, and the domain that lspci leaves out. */
static size_t near_miss_distance(const char *wanted, const char *name)
{
	const char *slash = strchr(name, '/'), *domain;
	size_t best = edit_distance(wanted, name), d;

	if (!slash)
		return best;
	d = edit_distance(wanted, slash + 1);
	best = d < best ? d : best;
	domain = startswith(slash + 1, "0000:");
	d = domain ? edit_distance(wanted, domain) : best;
	return d < best ? d : best;
}

void near_miss_try(struct near_miss *m, const char *name)
{
	size_t d = near_miss_distance(m->wanted, name), at = m->n;

	/* Of a short name nothing would be left. */
	if (d > DISTANCE_MAX || d * 2 > strlen(m->wanted))
		return;
	while (at > 0 && m->distances[at - 1] > d)
		at--;
	if (at == NEAR_MISS_MAX)
		return;
	if (m->n < NEAR_MISS_MAX)
		m->n++;
	for (size_t i = m->n - 1; i > at; i--) {
		m->names[i] = m->names[i - 1];
		m->distances[i] = m->distances[i - 1];
	}
	m->names[at] = name;
	m->distances[at] = d;
}
