/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and writes records; see record-file.h. */
#include "state/record-file.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/first-probe-file.h"
#include "state/state-file.h"
#include "state/state-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int record_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size)
{
	return state_device_path(state_dir, "/devices/", bus, name, buf, size);
}

/* Allocates nothing: the guard calls it while the kernel waits for the guard. */
static int record_file_read(const char *path, char *buf, size_t size)
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

/* The value of a line "KEY=value", if that is its key, to buf. */
static void record_take_value(const char *line, size_t n, const char *key, char *buf, size_t size)
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
	char first_probe[16] = "", released[8] = "";
	char text[2 * sizeof(struct record)];
	struct record record = {};
	int r;

	r = record_path(state_dir, bus, name, path, sizeof(path));
	if (r < 0)
		return r;
	r = record_file_read(path, text, sizeof(text));
	if (r < 0)
		return r;

	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		record_take_value(line, n, "VERSION=", version, sizeof(version));
		record_take_value(line, n, "BOOT_ID=", boot, sizeof(boot));
		record_take_value(line, n, "INODE=", number, sizeof(number));
		record_take_value(line, n, "SET=", record.owned_override, sizeof(record.owned_override));
		record_take_value(line, n, "WAS=", record.previous_override,
				  sizeof(record.previous_override));
		record_take_value(line, n, "GIVEN=", record.driver_by_override,
				  sizeof(record.driver_by_override));
		record_take_value(line, n, "KEPT=", record.driver_before_override,
				  sizeof(record.driver_before_override));
		record_take_value(line, n, "DECISION=", record.decision, sizeof(record.decision));
		record_take_value(line, n, "CAUSE=", record.cause, sizeof(record.cause));
		record_take_value(line, n, "RULE=", record.rule, sizeof(record.rule));
		record_take_value(line, n, "RULE_ID=", id, sizeof(id));
		record_take_value(line, n, "ENFORCED=", enforced, sizeof(enforced));
		record_take_value(line, n, "SOURCE=", record.source, sizeof(record.source));
		record_take_value(line, n, "STATE=", record.unknown_state, sizeof(record.unknown_state));
		record_take_value(line, n, "FIRST_PROBE=", first_probe, sizeof(first_probe));
		record_take_value(line, n, "REASON=", record.reason, sizeof(record.reason));
		record_take_value(line, n, "WAIT_FOR=", record.wait_for, sizeof(record.wait_for));
		record_take_value(line, n, "RELEASED=", released, sizeof(released));
		line += n + (line[n] == '\n');
	}
	record.state = device_state_from_string(record.unknown_state);
	record.first_probe = first_probe_from_string(first_probe);
	record.released = streq(released, "1");
	record.inode = strtoull(number, NULL, 10);
	record.rule_id = strtoull(id, NULL, 16);
	record.enforced = strtoull(enforced, NULL, 16);
	if (atoi(version) != RECORD_VERSION || !streq(boot, boot_id()) || record.inode != inode)
		return -ESTALE;
	*ret = record;
	return 0;
}

int record_each(const char *state_dir, int (*each)(const char *bus, const char *name, void *userdata),
		void *userdata)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], device[NAME_MAX + 1];
	const char *file;
	int r = 0;

	if (!state_dir || path_join(folder, sizeof(folder), state_dir, "/devices", NULL) < 0 ||
	    dir_open(&dir, folder) < 0)
		return 0;
	while (r == 0 && (file = dir_next(&dir))) {
		char *colon;

		text_copy(device, sizeof(device), file);
		colon = strchr(device, ':');
		if (!colon)
			continue;
		*colon++ = '\0';
		if (text_unescape(device) && text_unescape(colon))
			r = each(device, colon, userdata);
	}
	return r;
}

/* The caller holds the lock. */
static int record_file_replace(const char *state_dir, const struct record_key *key,
			       const struct record *record)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(fclosep) FILE *f = NULL;
	char path[PATH_MAX];
	size_t size;
	int r;

	r = record_path(state_dir, key->bus, key->name, path, sizeof(path));
	if (r < 0)
		return r;
	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	(void)fprintf(f, "VERSION=%d\nBOOT_ID=%s\nINODE=%ju\n", RECORD_VERSION, boot_id(),
		      (uintmax_t)key->inode);
	if (record->owned_override[0])
		(void)fprintf(f, "SET=%s\n", record->owned_override);
	if (record->previous_override[0])
		(void)fprintf(f, "WAS=%s\n", record->previous_override);
	if (record->driver_by_override[0])
		(void)fprintf(f, "GIVEN=%s\n", record->driver_by_override);
	if (record->driver_before_override[0])
		(void)fprintf(f, "KEPT=%s\n", record->driver_before_override);
	(void)fprintf(f, "DECISION=%s\nCAUSE=%s\nRULE=%s\nRULE_ID=%016jx\nSOURCE=%s\nSTATE=%s\nREASON=%s\n",
		      record->decision, record->cause, record->rule, (uintmax_t)record->rule_id,
		      record->source, record_state_text(record), record->reason);
	if (record->wait_for[0] && record->state == STATE_BLOCKED)
		(void)fprintf(f, "WAIT_FOR=%s\n", record->wait_for);
	if (record->enforced)
		(void)fprintf(f, "ENFORCED=%016jx\n", (uintmax_t)record->enforced);
	if (record->released)
		(void)fputs("RELEASED=1\n", f);
	if (record->first_probe != FIRST_PROBE_UNSEEN)
		(void)fprintf(f, "FIRST_PROBE=%s\n", first_probe_to_string(record->first_probe));
	if (fclose(TAKE_PTR(f)) != 0)
		return -ENOMEM;
	return state_file_replace(state_dir, "devices", path, text, size, NULL, 0644);
}

/*
 * Another device has the name by now, and the record is about that one: a caller that is late with something
 * about its predecessor, as udev is on a busy machine, leaves the record alone.
 */
static bool record_is_of_successor(const struct record_key *key, int read)
{
	char path[PATH_MAX];
	struct stat st;

	return read == -ESTALE &&
	       path_join(path, sizeof(path), key->sysfs_root, key->devpath, "/.", NULL) >= 0 &&
	       stat(path, &st) >= 0 && st.st_ino != key->inode;
}

int record_write(const char *state_dir, struct record_key key, const struct record *record)
{
	_cleanup_(closep) int lock = record_lock_acquire(state_dir, key.bus, key.name);
	struct record merged = *record, now;
	enum first_probe kept;
	int r;

	if (lock < 0)
		return lock;
	r = record_read(state_dir, key.bus, key.name, key.inode, &now);
	if (record_is_of_successor(&key, r))
		return 0;
	if (r >= 0 && now.released && !record->released)
		return -ECANCELED;
	record_merge(&merged, r >= 0 ? &now : NULL);
	if (r >= 0)
		return record_file_replace(state_dir, &key, &merged);
	kept = first_probe_kept(state_dir, &key);
	merged.first_probe = first_probe_merge(kept, merged.first_probe);
	r = record_file_replace(state_dir, &key, &merged);
	if (r >= 0 && kept != FIRST_PROBE_UNSEEN)
		first_probe_forget(state_dir, &key);
	return r;
}

int record_set_first_probe(const char *state_dir, struct record_key key, enum first_probe claim)
{
	_cleanup_(closep) int lock = record_lock_acquire(state_dir, key.bus, key.name);
	struct record record;
	enum first_probe merged;

	if (lock < 0)
		return lock;
	if (record_read(state_dir, key.bus, key.name, key.inode, &record) < 0)
		return 0;
	merged = first_probe_merge(record.first_probe, claim);
	if (merged == record.first_probe)
		return 0;
	record.first_probe = merged;
	return record_file_replace(state_dir, &key, &record);
}

int record_set_released(const char *state_dir, struct record_key key, bool released)
{
	_cleanup_(closep) int lock = record_lock_acquire(state_dir, key.bus, key.name);
	struct record record = { .inode = key.inode, .state = STATE_UNMANAGED };
	int r;

	if (lock < 0)
		return lock;
	r = record_read(state_dir, key.bus, key.name, key.inode, &record);
	if (record_is_of_successor(&key, r) || (r < 0 && !released) || record.released == released)
		return 0;
	record.released = released;
	return record_file_replace(state_dir, &key, &record);
}

int record_remove(const char *state_dir, struct record_key key)
{
	_cleanup_(closep) int lock = -EBADF;
	struct record now;
	char path[PATH_MAX];
	int r = record_path(state_dir, key.bus, key.name, path, sizeof(path));

	if (r < 0)
		return r;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	lock = record_lock_acquire(state_dir, key.bus, key.name);
	if (lock < 0)
		return lock;
	r = record_read(state_dir, key.bus, key.name, key.inode, &now);
	if (record_is_of_successor(&key, r))
		return 0;
	/* Losing it is the lesser evil: a record that stays would claim an override that is cleared. */
	if (r >= 0 && now.first_probe != FIRST_PROBE_UNSEEN)
		ignore_error(first_probe_keep(state_dir, &key, now.first_probe));
	return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
}
