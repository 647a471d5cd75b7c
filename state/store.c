/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes the state directory; see store.h. */
#include "state/store.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "base/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a reader and writer of records waits for another one, and how often it looks. */
#define RECORDS_LOCK_USEC 200000U
#define RECORDS_LOCK_RETRY_USEC 500U
/* How often it is looked whether a device's lock is free. */
#define DEVICE_LOCK_RETRY_USEC 20000U

static int make_dir(const char *state_dir, const char *sub)
{
	char path[PATH_MAX];

	/* The parent is /run, or a test's own folder: only one level is ours to make. */
	int r = dir_make(state_dir);

	if (r >= 0)
		r = path_printf(path, sizeof(path), "%s/%s", state_dir, sub);
	return r < 0 ? r : dir_make(path);
}

/* Puts text under STATE_DIR/SUB/…, at once and whole. times: as futimens(), or NULL. */
static int write_state_file(const char *state_dir, const char *sub, const char *path, const char *text,
			    size_t size, const struct timespec *times, mode_t mode)
{
	char temporary[PATH_MAX];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .times = times, .mode = mode
	};
	int r = path_printf(temporary, sizeof(temporary), "%s/tmp/XXXXXX", state_dir);

	if (r < 0)
		return r;
	r = file_replace(&how, text, size);
	if (r != -ENOENT)
		return r;
	r = make_dir(state_dir, "tmp");
	if (r >= 0)
		r = make_dir(state_dir, sub);
	return r < 0 ? r : file_replace(&how, text, size);
}

/*
 * Guard and enforcer write the same record, each what it knows: they read and replace it under this lock,
 * which is held for as long as that takes on a tmpfs, and never across anything that a driver answers for.
 */
static int lock_records(const char *state_dir)
{
	char path[PATH_MAX];
	int fd;

	if (path_printf(path, sizeof(path), "%s/lock", state_dir) < 0)
		return -ENAMETOOLONG;
	fd = lock_open(path);
	if (fd == -ENOENT && make_dir(state_dir, "devices") >= 0)
		fd = lock_open(path);
	/* A holder that was stopped must not stop everybody: a lost detail of a record is the lesser evil. */
	if (fd >= 0 && lock_acquire(fd, now_usec() + RECORDS_LOCK_USEC, RECORDS_LOCK_RETRY_USEC) < 0)
		log_line(LOG_WARNING, "%s was held too long; going on without it", path);
	return fd;
}

int device_lock_acquire(const char *state_dir, const char *bus, const char *name, uint64_t deadline)
{
	char path[PATH_MAX];
	_cleanup_(closep) int fd = -EBADF;
	int r = make_dir(state_dir, "rebind");

	if (r >= 0)
		r = record_lock_path(state_dir, bus, name, path, sizeof(path));
	if (r < 0)
		return r;
	fd = lock_open(path);
	if (fd < 0)
		return fd;
	r = lock_acquire(fd, deadline, DEVICE_LOCK_RETRY_USEC);
	return r < 0 ? r : TAKE_FD(fd);
}

/* With the lock held. */
static int replace_record(const char *state_dir, const struct record_key *key, const struct record *record)
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
	if (record->enforced)
		(void)fprintf(f, "ENFORCED=%016jx\n", (uintmax_t)record->enforced);
	if (record->first_probe[0])
		(void)fprintf(f, "FIRST_PROBE=%s\n", record->first_probe);
	if (fclose(TAKE_PTR(f)) != 0)
		return -ENOMEM;
	return write_state_file(state_dir, "devices", path, text, size, NULL, 0644);
}

/*
 * Another device has the name by now, and the record is about that one: who is late with something about its
 * predecessor, as udev is on a busy machine, leaves it alone.
 */
static bool is_of_successor(const struct record_key *key, int read)
{
	char path[PATH_MAX];
	struct stat st;

	return read == -ESTALE &&
	       path_join(path, sizeof(path), key->sysfs_root, key->devpath, "/.", NULL) >= 0 &&
	       stat(path, &st) >= 0 && st.st_ino != key->inode;
}

int record_write(const char *state_dir, struct record_key key, const struct record *record)
{
	_cleanup_(closep) int lock = lock_records(state_dir);
	struct record merged = *record, now;
	int r;

	if (lock < 0)
		return lock;
	r = record_read(state_dir, key.bus, key.name, key.inode, &now);
	if (is_of_successor(&key, r))
		return 0;
	if (r >= 0) {
		text_copy(merged.first_probe, sizeof(merged.first_probe),
			  first_probe_merge(now.first_probe, record->first_probe));
		if (!merged.enforced)
			merged.enforced = now.enforced;
		/*
		 * Written by another of our programs since we looked, and the very value that was decided
		 * here; not when we have just seen that it does not stand.
		 */
		if (!merged.owned_override[0] && now.owned_override[0] &&
		    streq(now.owned_override, merged.decision) && merged.state != STATE_FOREIGN &&
		    merged.state != STATE_FAILED)
			(void)strcpy(merged.owned_override, now.owned_override);
	}
	/* That another decision was enforced before counts for nothing: what differs since, we did. */
	if (merged.state == STATE_STUCK || record_is_refused(&merged) ||
	    merged.enforced != record_decision_id(&merged))
		merged.enforced = 0;
	return replace_record(state_dir, &key, &merged);
}

int record_set_first_probe(const char *state_dir, struct record_key key, const char *first_probe)
{
	_cleanup_(closep) int lock = lock_records(state_dir);
	struct record record;
	const char *merged;

	if (lock < 0)
		return lock;
	if (record_read(state_dir, key.bus, key.name, key.inode, &record) < 0)
		return 0;
	merged = first_probe_merge(record.first_probe, first_probe);
	if (streq(merged, record.first_probe))
		return 0;
	text_copy(record.first_probe, sizeof(record.first_probe), merged);
	return replace_record(state_dir, &key, &record);
}

int state_write(const char *state_dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	int r = path_printf(path, sizeof(path), "%s/%s", state_dir, name);

	return r < 0 ? r : write_state_file(state_dir, "", path, text, strlen(text), NULL, 0644);
}

int state_remove(const char *state_dir, const char *name)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), state_dir, "/", name, NULL);

	if (r < 0)
		return r;
	return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
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
	lock = lock_records(state_dir);
	if (lock < 0)
		return lock;
	if (is_of_successor(&key, record_read(state_dir, key.bus, key.name, key.inode, &now)))
		return 0;
	return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
}

int boot_devices_write(const char *state_dir, const uint64_t *inodes, size_t n)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(fclosep) FILE *f = NULL;
	_cleanup_(closep) int lock = lock_records(state_dir);
	struct boot_devices list = {};
	char path[PATH_MAX];
	size_t size;
	int r;

	if (lock < 0)
		return lock;
	r = boot_devices_path(state_dir, path, sizeof(path));
	if (r < 0)
		return r;
	r = boot_devices_has(&list, state_dir, 0);
	boot_devices_done(&list);
	if (r != -ENODATA)
		return 0;

	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	(void)fprintf(f, "%s\n", boot_id());
	for (size_t i = 0; i < n; i++)
		(void)fprintf(f, "%ju\n", (uintmax_t)inodes[i]);
	r = fclose(TAKE_PTR(f));
	if (r != 0)
		return -ENOMEM;

	r = write_state_file(state_dir, "", path, text, size, NULL, 0644);
	return r < 0 ? r : 1;
}

/*
 * The copy carries the file's own time, so that one stat tells whether it is of this version. A time of whole
 * seconds was set by somebody (a package, an image, where all files have the same): then the contents tell.
 */
static bool copy_is_current(const char *path, const struct policy_file *file)
{
	const struct timespec *t = &file->version.mtime;
	_cleanup_(freep) char *text = NULL;
	_cleanup_(closep) int fd = -EBADF;
	struct stat st;
	size_t size;

	if (stat(path, &st) < 0 || st.st_size != (off_t)file->size || st.st_mtim.tv_sec != t->tv_sec ||
	    st.st_mtim.tv_nsec != t->tv_nsec)
		return false;
	if (t->tv_nsec != 0)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 && read_full(fd, file->size, POLICY_FILE_MAX, &text, &size) >= 0 &&
	       size == file->size && memcmp(text, file->text, size) == 0;
}

static void keep_copy(const char *state_dir, const struct policy_file *file)
{
	struct timespec times[2] = { file->version.mtime, file->version.mtime };
	char path[PATH_MAX];
	int r;

	r = policy_copy_path(state_dir, file->path, path, sizeof(path));
	if (r >= 0) {
		if (copy_is_current(path, file))
			return;
		r = write_state_file(state_dir, "policy", path, file->text, file->size, times,
				     file->version.mode & 0644);
	}
	if (r < 0)
		log_line(
			LOG_WARNING,
			"%s: cannot keep a copy under %s, so an error in a later version leaves no rules: %s",
			file->path, state_dir, strerror(-r));
}

static int notice_path(const char *state_dir, const struct policy_file *file, char *buf, size_t size)
{
	char name[256];

	policy_state_name(file->path, name);
	return path_join(buf, size, state_dir, "/errors/", name, NULL);
}

/* Whether this version's errors are still to be logged, by us: true for one caller only. */
static bool is_new_to_log(const char *state_dir, const struct policy_file *file)
{
	const struct file_version *v = &file->version;
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], now[160], seen[160];
	ssize_t n;

	if (notice_path(state_dir, file, path, sizeof(path)) < 0)
		return true;
	fd = lock_open(path);
	if (fd == -ENOENT && make_dir(state_dir, "errors") >= 0)
		fd = lock_open(path);
	if (fd < 0)
		return true;
	if (lock_acquire(fd, 0, 0) < 0)
		return false; /* somebody is at it right now */

	(void)snprintf(now, sizeof(now), "%ju %jd %jd.%09ld %jd.%09ld\n", (uintmax_t)v->inode,
		       (intmax_t)v->size, (intmax_t)v->mtime.tv_sec, v->mtime.tv_nsec,
		       (intmax_t)v->ctime.tv_sec, v->ctime.tv_nsec);
	n = read(fd, seen, sizeof(seen) - 1);
	seen[n > 0 ? n : 0] = '\0';
	if (streq(now, seen))
		return false;
	n = pwrite(fd, now, strlen(now), 0);
	if (n < 0 || ftruncate(fd, n) < 0)
		return true;
	return true;
}

static void log_errors(const struct policy *policy, const struct policy_file *file)
{
	const char *instead = file->status == POLICY_FILE_COPY ? "its last good version stays in force"
							       : "none of its rules is in force";

	for (size_t i = 0; i < policy->n_errors; i++) {
		const struct policy_error *e = &policy->errors[i];

		if (e->file != file->path)
			continue;
		if (e->line > 0)
			log_line(LOG_ERR, "%s:%u: %s; %s", e->file, e->line, e->text, instead);
		else
			log_line(LOG_ERR, "%s: %s; %s", e->file, e->text, instead);
	}
}

static bool is_copy_of(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_files; i++) {
		char own[256];

		policy_state_name(policy->files[i].path, own);
		if (streq(name, own) && policy->files[i].status != POLICY_FILE_MASKED)
			return true;
	}
	return false;
}

/* The path of which a name under the state directory speaks, see policy_state_name(); false: it does not
 * tell. */
static bool path_of_state_name(const char *name, char buf[static 256])
{
	if (startswith(name, "hash-"))
		return false;
	text_copy(buf, 256, name);
	return text_unescape(buf);
}

/*
 * A copy must not outlive its file, or it would come back into force with a broken one of that name. Who has
 * read the policy a moment ago may not know a file that is newer, so the file itself is asked. As many copies
 * as files that have one: then none is left over, and that is all that most callers look at.
 */
static void forget_copies_of_gone_files(const char *state_dir, const struct policy *policy)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[256];
	size_t copies = 0, expected = 0;
	const char *name;

	if (path_join(folder, sizeof(folder), state_dir, "/policy", NULL) < 0 || dir_open(&dir, folder) < 0)
		return;
	while (dir_next(&dir))
		copies++;
	for (size_t i = 0; i < policy->n_files; i++)
		expected += policy->files[i].status == POLICY_FILE_GOOD ||
			    policy->files[i].status == POLICY_FILE_COPY;
	if (copies <= expected)
		return;
	dir_close(&dir);
	dir.fd = -EBADF;
	if (dir_open(&dir, folder) < 0)
		return;
	while ((name = dir_next(&dir)))
		if (!is_copy_of(policy, name) && path_of_state_name(name, path) && path[0] == '/' &&
		    faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
			(void)unlinkat(dir.fd, name, 0);
}

void policy_copies_update(const char *state_dir, const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_files; i++) {
		const struct policy_file *file = &policy->files[i];

		switch (file->status) {
		case POLICY_FILE_GOOD:
			keep_copy(state_dir, file);
			break;
		case POLICY_FILE_COPY:
		case POLICY_FILE_BAD:
			if (is_new_to_log(state_dir, file))
				log_errors(policy, file);
			break;
		case POLICY_FILE_MASKED:
			break;
		}
	}
	if (!policy->incomplete)
		forget_copies_of_gone_files(state_dir, policy);
}

/* Removes the files of STATE_DIR/SUB, but for those of present policy files. */
static void clean(const char *state_dir, const char *sub, const struct policy *policy)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *e;
	char path[PATH_MAX];

	if (path_printf(path, sizeof(path), "%s/%s", state_dir, sub) < 0)
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && !is_copy_of(policy, e->d_name))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
}

/* Temporary files live for microseconds; older ones are nobody's. */
static void clean_temporary(const char *state_dir)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *e;
	char path[PATH_MAX];
	struct stat st;

	if (path_printf(path, sizeof(path), "%s/tmp", state_dir) < 0)
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode) &&
		    st.st_mtim.tv_sec < time(NULL) - 60)
			(void)unlinkat(dirfd(dir), e->d_name, 0);
}

void state_dir_clean(const char *state_dir, const struct policy *policy)
{
	if (!policy->incomplete) {
		clean(state_dir, "policy", policy);
		clean(state_dir, "errors", policy);
	}
	clean_temporary(state_dir);
}
