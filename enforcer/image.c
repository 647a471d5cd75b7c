/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `image`: what the programs that make boot images ask. It looks at the policy of the disk alone,
 * not at that of /run, and works the same where the project is turned off for this boot.
 */
#include "base/child.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "enforcer/image-modules.h"
#include "enforcer/root-devices.h"
#include "enforcer/verbs.h"
#include "policy/policy-digest.h"
#include "state/boot-attempts.h"
#include "state/image-note.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* A device that does not answer must not hold up who makes the image. */
#define DEVICES_USEC 5000000U

static void image_log_errors(const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_errors; i++) {
		const struct policy_error *e = &policy->errors[i];

		if (e->line > 0)
			log_line(LOG_WARNING, "%s:%u: %s; no rule of this file is in force in the boot image",
				 e->file, e->line, e->text);
		else
			log_line(LOG_WARNING, "%s: %s; no rule of it is in force in the boot image", e->file,
				 e->text);
	}
}

/*
 * The image goes back to the last good policy by itself, where the root file system does not come. One that
 * is made of other directories is for any machine, and what was good is this machine's.
 */
static void image_print_last_good(const struct settings *settings)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	static const char *const notes[] = { BOOTS_FILE, ROOT_DEVICES_FILE };
	char path[PATH_MAX];

	if (settings->conf_dirs_given && !settings->sysfs_given)
		return;
	for (size_t i = 0; i < ELEMENTSOF(notes); i++)
		if (settings_system_path(settings, notes[i], path, sizeof(path)) >= 0 &&
		    access(path, F_OK) == 0)
			(void)puts(path);
	if (last_good_folder(settings, path, sizeof(path)) < 0 || dir_open(&dir, path) < 0)
		return;
	for (const char *name; (name = dir_next(&dir));)
		if (settings_is_policy_name(name))
			(void)printf("%s/%s\n", path, name);
}

static int image_print_files(const struct settings *settings, const struct policy *policy)
{
	image_log_errors(policy);
	for (size_t i = 0; i < policy->n_files; i++)
		(void)puts(policy->files[i].path);
	image_print_last_good(settings);
	return 0;
}

struct modules_child {
	const struct settings *settings;
	const struct policy *policy;
	int fd;
};

/* The names, a line each, into a file: a child has no stdout. */
static int modules_write(const struct module_names *names, int fd)
{
	int r = 0;

	for (size_t i = 0; i < names->list.n && r >= 0; i++)
		r = dprintf(fd, "%s\n", names->list.v[i]) < 0 ? negative_errno() : 0;
	return r;
}

static int modules_child_run(void *userdata)
{
	const struct modules_child *c = userdata;
	struct module_names names = {};
	struct sysfs sysfs;
	int r;

	/* Nothing is freed: this process ends with its work. */
	sysfs_init(&sysfs, c->settings);
	r = image_modules_find(c->settings, c->policy, &sysfs, &names);
	return r < 0 ? r : modules_write(&names, c->fd);
}

static int image_print_modules(const struct settings *settings, const struct policy *policy)
{
	_cleanup_(closep) int fd = memfd_create("modules", MFD_CLOEXEC);
	struct modules_child of_child = { settings, policy, fd };
	struct module_names names = {};
	struct child_result result;
	struct child child;
	char buf[4096];
	ssize_t n;
	int r;

	if (fd < 0)
		return negative_errno();
	result = child_run(&child, CHILD_COPY, modules_child_run, &of_child, DEVICES_USEC);
	if (result.how == CHILD_OK) {
		for (off_t at = 0; (n = pread(fd, buf, sizeof(buf), at)) > 0; at += n)
			(void)fwrite(buf, 1, (size_t)n, stdout);
		return n < 0 ? negative_errno() : 0;
	}
	if (result.how == CHILD_TIMED_OUT)
		child_abandon(&child);
	log_line(LOG_WARNING, "image modules: looking at devices: %s, so only the rules tell",
		 child_result_text(result));
	r = image_modules_find(settings, policy, NULL, &names);
	for (size_t i = 0; i < names.list.n && r >= 0; i++)
		(void)puts(names.list.v[i]);
	module_names_done(&names);
	return r;
}

static int image_write_note(const struct settings *settings, const struct policy *policy, const char *kernel)
{
	struct image_note note = { .time = (uint64_t)time(NULL) };
	int r;

	policy_digest_of(policy, note.digest);
	r = image_note_write(settings, kernel, &note);
	/* For a rehearsal of a boot by this image, once the disk has another policy. */
	return r < 0 ? r : image_policy_keep(settings, policy, note.digest);
}

static int image_answer(const struct settings *settings, const struct policy *policy, const char *what,
			const char *kernel)
{
	char digest[POLICY_DIGEST_SIZE];

	if (streq(what, "files"))
		return image_print_files(settings, policy);
	if (streq(what, "modules"))
		return image_print_modules(settings, policy);
	if (streq(what, "note"))
		return image_write_note(settings, policy, kernel);
	policy_digest_of(policy, digest);
	(void)puts(digest);
	return 0;
}

int verb_image(const struct settings *settings, const char *what, const char *kernel)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	int r = policy_load_scope(settings, POLICY_OF_IMAGE, &policy);

	if (r >= 0 && policy->incomplete) {
		image_log_errors(policy);
		return 1;
	}
	if (r >= 0)
		r = image_answer(settings, policy, what, kernel);
	if (r >= 0 && (ferror(stdout) || fflush(stdout) != 0))
		r = -EIO;
	if (r < 0) {
		log_errno(LOG_ERR, r, "image %s", what);
		return r == -EINVAL ? 2 : 1;
	}
	return 0;
}
