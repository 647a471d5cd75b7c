/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a rule is called and known by, and the words of its values; see rule.h. */
#include "policy/rule.h"
#include "base/errno.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

bool driver_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	/* What an unset override reads as can be no driver's name. */
	if (n == 0 || n > DRIVER_NAME_MAX || streq(name, ".") || streq(name, "..") || streq(name, "(null)"))
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

const char *rebind_to_string(enum rebind rebind)
{
	switch (rebind) {
	case REBIND_NO:
		return "no";
	case REBIND_SAFE:
		return "safe";
	case REBIND_FORCE:
		return "force";
	case REBIND_UNSET:
		break;
	}
	return "";
}

int rebind_from_string(const char *text, enum rebind *ret)
{
	for (enum rebind i = REBIND_NO; i <= REBIND_FORCE; i++)
		if (streq(text, rebind_to_string(i))) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}

uint64_t rule_id(const struct rule *rule)
{
	uint64_t id = fnv1a(FNV_BASIS, rule->file, strlen(rule->file) + 1);
	const char *end = rule->text + rule->text_size;

	/* Comments and blank lines say nothing, wherever they stand: what was decided holds on. */
	for (const char *line = rule->text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)),
			   *next = newline ? newline + 1 : end;
		const char *stop = newline ? newline : end;

		while (stop > line && (is_blank(stop[-1]) || stop[-1] == '\r'))
			stop--;
		while (line < stop && is_blank(*line))
			line++;
		if (line < stop && *line != '#' && *line != ';') {
			id = fnv1a(id, line, (size_t)(stop - line));
			id = fnv1a(id, "\n", 1);
		}
		line = next;
	}
	return id ? id : 1;
}

void rule_source(const struct rule *rule, char *buf, size_t size)
{
	char line[16];

	buf[0] = '\0';
	if (rule)
		/* One that is too long is left out: buf is empty then. */
		ignore_error(path_join(buf, size, rule->file, ":", number_to_text(rule->line, line), NULL));
}
