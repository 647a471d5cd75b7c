/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads records and the list of what was present at the boot's first sweep; see record.h. */
#include "state/record.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/decide.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int path_of(const char *state_dir, const char *folder, const char *bus, const char *name, char *buf,
		   size_t size)
{
	char b[256], n[256];

	if (name_escape(bus, b, sizeof(b)) < 0 || name_escape(name, n, sizeof(n)) < 0)
		return -ENAMETOOLONG;
	return path_join(buf, size, state_dir, folder, b, ":", n, NULL);
}

int record_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size)
{
	return path_of(state_dir, "/devices/", bus, name, buf, size);
}

int record_lock_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size)
{
	return path_of(state_dir, "/rebind/", bus, name, buf, size);
}

static int read_state_file(const char *path, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t size;

	return fd < 0 ? negative_errno() : read_full(fd, 4096, 16U * 1024U * 1024U, ret, &size);
}

/* Nothing is allocated here: the guard asks while the kernel waits for it. */
static int read_record_file(const char *path, char *buf, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		return negative_errno();
	while ((n = read(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	if (n < 0)
		return negative_errno();
	buf[used] = '\0';
	return used < size - 1 ? 0 : -ESTALE; /* so long is none of ours */
}

/* "KEY=value\n" to buf. */
static void take(const char *line, size_t n, const char *key, char *buf, size_t size)
{
	size_t k = strlen(key);

	if (n < k || strncmp(line, key, k) != 0)
		return;
	n -= k;
	if (n >= size)
		n = size - 1;
	memcpy(buf, line + k, n);
	buf[n] = '\0';
}

int record_read(const char *state_dir, const char *bus, const char *name, uint64_t inode, struct record *ret)
{
	char path[PATH_MAX], version[16] = "", boot[64] = "", number[32] = "", id[32] = "", enforced[32] = "";
	char text[2 * sizeof(struct record)];
	struct record record = {};
	int r;

	r = record_path(state_dir, bus, name, path, sizeof(path));
	if (r < 0)
		return r;
	r = read_record_file(path, text, sizeof(text));
	if (r < 0)
		return r;

	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		take(line, n, "VERSION=", version, sizeof(version));
		take(line, n, "BOOT_ID=", boot, sizeof(boot));
		take(line, n, "INODE=", number, sizeof(number));
		take(line, n, "SET=", record.owned_override, sizeof(record.owned_override));
		take(line, n, "WAS=", record.previous_override, sizeof(record.previous_override));
		take(line, n, "GIVEN=", record.driver_by_override, sizeof(record.driver_by_override));
		take(line, n, "KEPT=", record.driver_before_override, sizeof(record.driver_before_override));
		take(line, n, "DECISION=", record.decision, sizeof(record.decision));
		take(line, n, "CAUSE=", record.cause, sizeof(record.cause));
		take(line, n, "RULE=", record.rule, sizeof(record.rule));
		take(line, n, "RULE_ID=", id, sizeof(id));
		take(line, n, "ENFORCED=", enforced, sizeof(enforced));
		take(line, n, "SOURCE=", record.source, sizeof(record.source));
		take(line, n, "STATE=", record.unknown_state, sizeof(record.unknown_state));
		take(line, n, "FIRST_PROBE=", record.first_probe, sizeof(record.first_probe));
		take(line, n, "REASON=", record.reason, sizeof(record.reason));
		line += n + (line[n] == '\n');
	}
	record.state = device_state_from_string(record.unknown_state);
	record.inode = strtoull(number, NULL, 10);
	record.rule_id = strtoull(id, NULL, 16);
	record.enforced = strtoull(enforced, NULL, 16);
	if (atoi(version) != RECORD_VERSION || !streq(boot, boot_id()) || record.inode != inode)
		return -ESTALE;
	*ret = record;
	return 0;
}

int boot_devices_path(const char *state_dir, char *buf, size_t size)
{
	return path_printf(buf, size, "%s/present", state_dir);
}

const char *record_state_text(const struct record *record)
{
	return record->state == STATE_UNKNOWN ? record->unknown_state : device_state_to_string(record->state);
}

bool record_equal(const struct record *a, const struct record *b)
{
	return a->inode == b->inode && a->rule_id == b->rule_id && a->enforced == b->enforced &&
	       streq(a->owned_override, b->owned_override) &&
	       streq(a->driver_by_override, b->driver_by_override) &&
	       streq(a->driver_before_override, b->driver_before_override) &&
	       streq(a->decision, b->decision) && streq(a->cause, b->cause) && streq(a->rule, b->rule) &&
	       streq(a->source, b->source) && streq(record_state_text(a), record_state_text(b)) &&
	       streq(a->reason, b->reason) && streq(a->first_probe, b->first_probe);
}

const char *first_probe_merge(const char *old, const char *new)
{
	static const char *const strong[] = { "lost", "guaranteed" };

	for (size_t i = 0; i < ELEMENTSOF(strong); i++)
		if (streq(old, strong[i]) || streq(new, strong[i]))
			return strong[i];
	return old[0] ? old : new;
}

bool record_is_refused(const struct record *record)
{
	/* Who is barred by `none` is held as well, and has no driver to come. */
	return record->state == STATE_HELD && !streq(record->decision, "none");
}

bool record_owns(const struct record *record, const char *override)
{
	return override[0] &&
	       (streq(override, record->owned_override) || streq(override, record->previous_override));
}

bool record_gave(const struct record *record, const char *driver)
{
	return driver[0] && !streq(driver, record->driver_before_override) &&
	       (streq(driver, record->owned_override) || streq(driver, record->previous_override) ||
		streq(driver, record->driver_by_override));
}

void record_describe(struct record *record, const struct decision *decision)
{
	text_copy(record->decision, sizeof(record->decision), decision_text(decision));
	(void)strcpy(record->cause, decision->cause == CAUSE_GROUP ? "group" : "rule");
	text_copy(record->rule, sizeof(record->rule), decision->rule->label);
	rule_source(decision->rule, record->source, sizeof(record->source));
	record->rule_id = rule_id(decision->rule);
}

uint64_t record_decision_id(const struct record *record)
{
	uint64_t id = fnv1a(FNV_BASIS, &record->rule_id, sizeof(record->rule_id));

	id = fnv1a(id, record->decision, strlen(record->decision) + 1);
	id = fnv1a(id, record->cause, strlen(record->cause));
	return id ? id : 1;
}

bool record_was_enforced(const struct record *record, const struct decision *decision)
{
	struct record now = {};

	if (!decision->rule)
		return false;
	record_describe(&now, decision);
	return record->enforced == record_decision_id(&now);
}

static int compare_inodes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int present_load(struct boot_devices *list, const char *state_dir)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];
	size_t n, lines = 0;

	if (boot_devices_path(state_dir, path, sizeof(path)) < 0 || read_state_file(path, &text) < 0)
		return -ENODATA;
	n = strcspn(text, "\n");
	if (n == 0 || !startswith(text, boot_id()) || n != strlen(boot_id()))
		return -ENODATA;
	for (const char *s = text; *s; s++)
		lines += *s == '\n';
	list->inodes = calloc(lines + 1, sizeof(*list->inodes));
	if (!list->inodes)
		return -ENODATA;
	for (const char *s = text + n; *s; s += strcspn(s, "\n")) {
		s++;
		if (*s >= '0' && *s <= '9')
			list->inodes[list->n++] = strtoull(s, NULL, 10);
	}
	qsort(list->inodes, list->n, sizeof(*list->inodes), compare_inodes);
	list->known = true;
	return 0;
}

int boot_devices_has(struct boot_devices *list, const char *state_dir, uint64_t inode)
{
	if (!list->known && present_load(list, state_dir) < 0)
		return -ENODATA;
	return bsearch(&inode, list->inodes, list->n, sizeof(*list->inodes), compare_inodes) != NULL;
}

void boot_devices_done(struct boot_devices *list)
{
	free(list->inodes);
	*list = (struct boot_devices){};
}
