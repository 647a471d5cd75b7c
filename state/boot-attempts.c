/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts boots, and keeps the policy of the last complete one; see boot-attempts.h. */
#include "state/boot-attempts.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/kernel-command-line.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/image-note.h"
#include "state/policy-files.h"
#include "state/state-file.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLICIES LASTING_DIR "/policies"
#define BOOT_POLICY "boot-policy"
#define BOOTED "booted"

bool boot_is_in_image(const struct settings *settings)
{
	return settings_system_has(settings, "/etc/initrd-release") ||
	       settings_system_has(settings, IMAGE_DIGEST);
}

/* A person who wants a shell looks after the machine: that no target comes is no failure. */
static bool boot_is_for_a_shell(const struct settings *settings)
{
	static const char *const words[] = { "rescue", "emergency", "single", "s", "S", "1" };
	_cleanup_(freep) char *text = NULL;
	char *at;

	if (settings_command_line_read(settings, &text) < 0)
		return false;
	at = text;
	for (const char *word, *unit; (word = kernel_command_line_next(&at));) {
		unit = kernel_parameter_value(word, "systemd.unit");
		if (unit && (startswith(unit, "rescue") || startswith(unit, "emergency")))
			return true;
		for (size_t i = 0; i < ELEMENTSOF(words); i++)
			if (streq(word, words[i]))
				return true;
	}
	return false;
}

/* Boots of their own: systemd installs updates, or all files get their labels, and the next one is the
 * machine's. */
static bool boot_is_for_something_else(const struct settings *settings)
{
	static const char *const marks[] = { "/system-update", "/etc/system-update", "/.autorelabel" };
	struct stat st;
	char path[PATH_MAX];

	for (size_t i = 0; i < ELEMENTSOF(marks); i++)
		if (settings_system_path(settings, marks[i], path, sizeof(path)) >= 0 &&
		    lstat(path, &st) >= 0)
			return true;
	return false;
}

/* "key=value" of a line of a text; "" if there is none. */
static void boots_value(const char *text, const char *key, char *buf, size_t size)
{
	*buf = '\0';
	for (const char *line = text; *line; line = text_next_line(line)) {
		const char *value = startswith(line, key);
		const size_t n = value ? strcspn(value, "\n") : size;

		if (n < size) {
			memcpy(buf, value, n);
			buf[n] = '\0';
		}
	}
}

int boot_attempts_read(const struct settings *settings, struct boot_attempts *ret)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX], number[16];
	int r = settings_system_path(settings, BOOTS_FILE, path, sizeof(path));

	if (r >= 0)
		r = state_file_read(path, &text);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	*ret = (struct boot_attempts){};
	if (r < 0)
		return 0;
	boots_value(text, "good=", ret->good, sizeof(ret->good));
	boots_value(text, "tried=", ret->tried, sizeof(ret->tried));
	boots_value(text, "attempts=", number, sizeof(number));
	ret->n = (unsigned)text_to_number(number);
	return 0;
}

bool boot_attempts_failed(const struct boot_attempts *attempts, const char *digest)
{
	return attempts->n >= BOOT_ATTEMPTS_MAX && streq(attempts->tried, digest);
}

static int boot_attempts_write(const struct settings *settings, const struct boot_attempts *attempts)
{
	char path[PATH_MAX], temporary[PATH_MAX], text[128];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .mode = 0644, .durable = true
	};
	int r = settings_system_path(settings, BOOTS_FILE, path, sizeof(path));

	if (r >= 0)
		r = settings_system_path(settings, LASTING_DIR "/.XXXXXX", temporary, sizeof(temporary));
	if (r >= 0)
		r = path_printf(text, sizeof(text), "good=%s\ntried=%s\nattempts=%u\n", attempts->good,
				attempts->tried, attempts->n);
	return r < 0 ? r : file_replace(&how, text, strlen(text));
}

int last_good_folder(const struct settings *settings, char *buf, size_t size)
{
	struct boot_attempts attempts;
	char folder[PATH_MAX];
	int r = boot_attempts_read(settings, &attempts);

	if (r < 0)
		return r;
	if (!attempts.good[0])
		return -ENOENT;
	r = settings_system_path(settings, POLICIES, folder, sizeof(folder));
	return r < 0 ? r : path_join(buf, size, folder, "/", attempts.good, NULL);
}

/* The files first, so that whoever sees that a policy has failed sees these. empty: no policy at all. */
static int last_good_put_in_force(const struct settings *settings, bool empty,
				  const struct failed_policy *failed)
{
	char text[FAILED_POLICY_TEXT_SIZE], from[PATH_MAX] = "", to[PATH_MAX];
	int r = path_join(to, sizeof(to), settings->state_dir, "/" LAST_GOOD_FOLDER, NULL);

	/* An image may have been made without them. */
	if (!empty && (last_good_folder(settings, from, sizeof(from)) < 0 || access(from, F_OK) < 0))
		from[0] = '\0';
	if (r >= 0)
		r = dir_make(settings->state_dir);
	if (r >= 0)
		r = policy_files_copy(from, to, false);
	failed_policy_to_text(failed, text);
	return r < 0 ? r : state_write(settings->state_dir, FAILED_POLICY, text);
}

/* Whether this boot was counted with this policy: 1, 0, or negative errno. */
static int boot_was_begun_with(const struct settings *settings, const char *digest)
{
	char path[PATH_MAX], line[64];
	int r = path_join(path, sizeof(path), settings->state_dir, "/" BOOT_POLICY, NULL);

	if (r >= 0)
		r = read_first_line(path, line, sizeof(line));
	return r == -ENOENT || r == -ENOTDIR ? 0 : r < 0 ? r : streq(line, digest);
}

/* The files are for boot_complete(), if they are not kept already. */
static int boot_note_policy(const struct settings *settings, const struct policy *policy, const char *digest,
			    bool is_good)
{
	char booted[PATH_MAX];
	int r = path_join(booted, sizeof(booted), settings->state_dir, "/" BOOTED, NULL);

	if (r >= 0)
		r = dir_make(settings->state_dir);
	if (r >= 0 && !is_good)
		r = policy_files_write(policy, booted, false);
	return r < 0 ? r : state_write(settings->state_dir, BOOT_POLICY, digest);
}

/* What this boot makes of the attempts. False: there is nothing to write. */
static bool boot_attempts_add(struct boot_attempts *attempts, const struct policy *policy, const char *digest)
{
	/* Without a rule, policy is no reason for a boot to fail. */
	if (policy->n_rules == 0 || streq(attempts->good, digest)) {
		if (!attempts->tried[0])
			return false;
		attempts->tried[0] = '\0';
		attempts->n = 0;
		return true;
	}
	if (!streq(attempts->tried, digest)) {
		text_copy(attempts->tried, sizeof(attempts->tried), digest);
		attempts->n = 0;
	}
	/* One in which the boot image has given it up, too: the disk may just have been slow. */
	attempts->n++;
	return true;
}

static int boot_count(const struct settings *settings, const struct policy *policy, const char *digest,
		      struct boot_attempts *attempts, bool make_folders)
{
	char lasting[PATH_MAX];
	int r = 0;

	if (boot_attempts_add(attempts, policy, digest)) {
		r = settings_system_path(settings, LASTING_DIR, lasting, sizeof(lasting));
		if (r >= 0 && make_folders)
			r = dir_make(lasting);
		if (r >= 0)
			r = boot_attempts_write(settings, attempts);
	}
	return r < 0 ? r : boot_note_policy(settings, policy, digest, streq(attempts->good, digest));
}

int boot_begin(const struct settings *settings, bool make_folders, enum boot_begun *ret_begun)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct failed_policy failed = { .failure = FAILURE_COUNTED }, before;
	enum policy_failure failure;
	struct boot_attempts attempts;
	int r = policy_load_scope(settings, POLICY_OF_NEXT_BOOT, &policy);

	*ret_begun = policy_has_failed(settings, &failure) ? BOOT_WITH_LAST_GOOD : BOOT_WITH_POLICY;
	if (r >= 0 && policy->incomplete)
		r = -EIO;
	if (r >= 0)
		r = boot_attempts_read(settings, &attempts);
	if (r < 0)
		return r;
	policy_digest_of(policy, failed.digest);
	/* It has been counted, and may be the last one that is waited for. */
	r = boot_was_begun_with(settings, failed.digest);
	if (r != 0)
		return r < 0 ? r : 0;
	/* It says that the boot is counted, and is of another policy: that of before a soft-reboot. */
	r = state_remove(settings->state_dir, BOOT_POLICY);
	if (r < 0)
		return r;
	if (boot_attempts_failed(&attempts, failed.digest)) {
		if (*ret_begun == BOOT_WITH_LAST_GOOD)
			return 0;
		r = last_good_put_in_force(settings, false, &failed);
		*ret_begun = r < 0 ? BOOT_WITH_POLICY : BOOT_WITH_LAST_GOOD;
		return r;
	}
	/* An image may have been made before a person had it tried again. Nobody can tell while /var is not
	 * mounted. */
	if (!boot_is_in_image(settings) && settings_system_has(settings, BOOTS_FILE) &&
	    failed_policy_read(settings->state_dir, &before) >= 0 && before.failure == FAILURE_COUNTED) {
		r = state_remove(settings->state_dir, FAILED_POLICY);
		*ret_begun = BOOT_WITH_POLICY;
	}
	if (r < 0 || boot_is_in_image(settings) || boot_is_for_a_shell(settings) ||
	    boot_is_for_something_else(settings))
		return r;
	return boot_count(settings, policy, failed.digest, &attempts, make_folders);
}

/* The files of a policy, under its digest; then the word that it is the good one; then the others go. */
static int last_good_keep(const struct settings *settings, const char *digest)
{
	char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];
	struct boot_attempts attempts = {};
	int r = path_join(from, sizeof(from), settings->state_dir, "/" BOOTED, NULL);

	text_copy(attempts.good, sizeof(attempts.good), digest);
	if (r >= 0)
		r = settings_system_path(settings, LASTING_DIR, folder, sizeof(folder));
	if (r >= 0)
		r = dir_make(folder);
	if (r >= 0)
		r = settings_system_path(settings, POLICIES, folder, sizeof(folder));
	if (r >= 0)
		r = dir_make(folder);
	if (r >= 0)
		r = path_join(to, sizeof(to), folder, "/", digest, NULL);
	if (r >= 0)
		r = policy_files_copy(from, to, true);
	if (r >= 0)
		r = boot_attempts_write(settings, &attempts);
	if (r >= 0)
		policy_folders_remove_others(folder, digest);
	return r;
}

int boot_complete(const struct settings *settings)
{
	char path[PATH_MAX], digest[POLICY_DIGEST_SIZE + 1];
	struct boot_attempts attempts;
	enum policy_failure failure;
	int r = path_join(path, sizeof(path), settings->state_dir, "/" BOOT_POLICY, NULL);

	if (r >= 0)
		r = read_first_line(path, digest, sizeof(digest));
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r >= 0 && policy_has_failed(settings, &failure))
		return 0;
	if (r >= 0)
		r = boot_attempts_read(settings, &attempts);
	if (r < 0)
		return r;
	if (streq(attempts.good, digest) || (!attempts.good[0] && !attempts.tried[0]))
		return 0;
	r = last_good_keep(settings, digest);
	return r < 0 ? r : 1;
}

int boot_retry(const struct settings *settings)
{
	struct boot_attempts attempts;
	enum policy_failure failure;
	bool had_failed = policy_has_failed(settings, &failure);
	int r = boot_attempts_read(settings, &attempts);

	if (r >= 0 && attempts.tried[0]) {
		attempts.tried[0] = '\0';
		attempts.n = 0;
		r = boot_attempts_write(settings, &attempts);
	}
	if (r >= 0)
		r = state_remove(settings->state_dir, FAILED_POLICY);
	return r < 0 ? r : had_failed;
}

int boot_give_up(const struct settings *settings, bool *ret_empty)
{
	struct failed_policy failed = { .failure = FAILURE_NO_ROOT };
	struct boot_attempts attempts = {};
	enum policy_failure failure;
	bool empty = policy_has_failed(settings, &failure);
	int r = policy_digest_find(settings, POLICY_OF_NEXT_BOOT, failed.digest);

	if (r < 0)
		return r;
	if (boot_attempts_read(settings, &attempts) < 0 || !attempts.good[0] ||
	    streq(attempts.good, failed.digest))
		empty = true;
	r = last_good_put_in_force(settings, empty, &failed);
	if (r >= 0)
		*ret_empty = empty;
	return r;
}
