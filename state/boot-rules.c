/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules that come with the boot; see boot-rules.h. */
#include "state/boot-rules.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/kernel-command-line.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/smbios.h"
#include "state/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* This folder of STATE_DIR has an empty file for each policy file that was written, with the same name. If
 * the folder is there, the boot's rules have been looked for. */
#define WRITTEN "boot-rules"
#define CREDENTIAL_PREFIX "driver-overrides."
#define SYSTEM_CREDENTIALS "/run/credentials/@system"
/* systemd takes no credential that is larger (CREDENTIAL_SIZE_MAX in systemd's creds-util.h). */
#define CREDENTIAL_MAX (1024U * 1024U)

/* Puts the text into the runtime directory, unless that was done in this boot. */
static void boot_file_write(const struct settings *s, const char *name, const char *text, size_t size,
			    const char *origin)
{
	char path[PATH_MAX], written[PATH_MAX];
	int r = path_printf(written, sizeof(written), "%s/" WRITTEN "/%s", s->state_dir, name);

	if (r >= 0 && access(written, F_OK) == 0)
		return;
	if (r >= 0)
		r = dir_make(s->conf_dirs[CONF_DIR_RUNTIME]);
	if (r >= 0)
		r = path_printf(path, sizeof(path), "%s/%s", s->conf_dirs[CONF_DIR_RUNTIME], name);
	if (r >= 0)
		r = state_file_replace(s->state_dir, WRITTEN, path, text, size, NULL, 0644);
	if (r < 0) {
		log_errno(LOG_ERR, r, "%s: writing its rules to %s/%s: %m, they are not in force", origin,
			  s->conf_dirs[CONF_DIR_RUNTIME], name);
		return;
	}
	log_line(LOG_NOTICE, "%s: its rules are in %s", origin, path);
	r = state_file_replace(s->state_dir, WRITTEN, written, "", 0, NULL, 0644);
	if (r < 0)
		log_errno(LOG_WARNING, r, "%s: %m, so %s will be written again", written, path);
}

/* One KEY=VALUE. What cannot be one gets a mark at its begin, so that it is neither a comment, nor a section,
 * nor an empty line: it is an error of the file, which is reported with it. */
static void rule_line_print(FILE *f, const char *part, size_t n)
{
	bool key = n > 0 && ((part[0] | 0x20) >= 'a' && (part[0] | 0x20) <= 'z');

	if (!key)
		(void)fputc('?', f);
	for (size_t i = 0; i < n; i++)
		(void)fputc((unsigned char)part[i] < ' ' ? '?' : part[i], f);
	(void)fputc('\n', f);
}

static void rule_print(FILE *f, const char *value, unsigned number)
{
	(void)fprintf(f, "\n[device command-line-%u]\n", number);
	while (true) {
		size_t n = strcspn(value, ",");

		rule_line_print(f, value, n);
		if (!value[n])
			return;
		value += n + 1;
	}
}

int boot_rules_to_text(char *line, char **ret, size_t *ret_size)
{
	char *text = NULL;
	unsigned n = 0;
	FILE *f = open_memstream(&text, ret_size);
	bool failed;

	if (!f)
		return -ENOMEM;
	(void)fputs("# From driver_overrides.rule= on the kernel command line of this boot.\n", f);
	for (const char *word, *value; (word = kernel_command_line_next(&line));) {
		value = kernel_parameter_value(word, "driver_overrides.rule");
		if (value)
			rule_print(f, value, ++n);
	}
	failed = ferror(f);
	failed = fclose(f) != 0 || failed;
	if (failed || n == 0)
		free(TAKE_PTR(text));
	*ret = text;
	return failed ? -ENOMEM : 0;
}

static void kernel_rules_take(const struct settings *s)
{
	_cleanup_(freep) char *line = NULL, *text = NULL;
	size_t size;
	int r = settings_command_line_read(s, &line);

	/* A mock tree need not have one. */
	if (r == -ENOENT && s->sysfs_given)
		return;
	if (r >= 0)
		r = boot_rules_to_text(line, &text, &size);
	if (r < 0)
		log_errno(LOG_ERR, r, "reading the kernel command line: %m, rules on it are not in force");
	else if (text)
		boot_file_write(s, BOOT_FILE_COMMAND_LINE, text, size, "kernel command line");
}

/* The names of policy files, and no others: no folder, nothing hidden, nothing that a terminal takes for more
 * than text. */
static bool credential_name_is_good(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return n > 0 && n <= 128 && name[n] == '\0';
}

static int credential_file_name(const char *name, char *buf, size_t size)
{
	return credential_name_is_good(name) ? path_printf(buf, size, BOOT_FILE_CREDENTIAL "%s.conf", name)
					     : -EINVAL;
}

static void credential_take(const struct settings *s, const char *dir, const char *credential)
{
	_cleanup_(closep) int fd = -EBADF;
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX], file[NAME_MAX + 1];
	size_t size;
	int r = credential_file_name(credential + strlen(CREDENTIAL_PREFIX), file, sizeof(file));

	if (r >= 0)
		r = path_join(path, sizeof(path), dir, "/", credential, NULL);
	if (r >= 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		r = fd < 0 ? negative_errno() : read_full(fd, 4096, CREDENTIAL_MAX, &text, &size);
	}
	if (r < 0)
		log_errno(LOG_ERR, r, "a credential in %s, %s…: %m, its rules are not in force", dir,
			  CREDENTIAL_PREFIX);
	else
		boot_file_write(s, file, text, size, credential);
}

static void credentials_take(const struct settings *s, const char *path)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };

	if (dir_open(&dir, path) < 0)
		return; /* most systems have none */
	for (const char *name; (name = dir_next(&dir));)
		if (startswith(name, CREDENTIAL_PREFIX))
			credential_take(s, path, name);
}

struct firmware_texts {
	const struct settings *settings;
};

/* A text of the firmware, which may be a credential of ours: NAME=VALUE, or with the value in base64. */
static void firmware_text_take(void *userdata, const char *text)
{
	const char *plain = startswith(text, "io.systemd.credential:" CREDENTIAL_PREFIX);
	const char *binary = startswith(text, "io.systemd.credential.binary:" CREDENTIAL_PREFIX);
	_cleanup_(freep) char *name = NULL;
	const struct firmware_texts *taken = userdata;
	char file[NAME_MAX + 1], *value;
	size_t size;
	int r;

	if (!plain && !binary)
		return;
	name = strdup(plain ? plain : binary);
	value = name ? strchr(name, '=') : NULL;
	r = !name ? -ENOMEM : !value ? -EINVAL : 0;
	if (r >= 0) {
		*value++ = '\0';
		r = credential_file_name(name, file, sizeof(file));
		size = strlen(value);
	}
	if (r >= 0 && binary)
		r = base64_decode(value, &size);
	if (r < 0)
		log_errno(LOG_ERR, r, "a credential of the firmware, %s…: %m, its rules are not in force",
			  CREDENTIAL_PREFIX);
	else
		boot_file_write(taken->settings, file, value, size, "credential of the firmware");
}

/* Where systemd runs, it has taken these in, or has its reasons not to. */
static void firmware_credentials_take(const struct settings *s)
{
	_cleanup_(closep) int fd = -EBADF;
	_cleanup_(freep) char *table = NULL;
	char path[PATH_MAX];
	size_t size;
	int r;

	if (settings_system_has(s, "/run/systemd/system"))
		return;
	if (path_join(path, sizeof(path), s->sysfs, "/firmware/dmi/tables/DMI", NULL) < 0)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (!s->sysfs_given && machine_may_be_confidential()))
		return; /* most machines without systemd have no such tables either */
	r = read_full(fd, 4096, CREDENTIAL_MAX, &table, &size);
	if (r < 0)
		log_errno(LOG_ERR, r, "%s: %m, rules of credentials in it are not in force", path);
	else
		smbios_each_text(table, size, firmware_text_take, &(struct firmware_texts){ s });
}

void boot_rules_write(const struct settings *s)
{
	const char *of_unit = getenv("CREDENTIALS_DIRECTORY");
	int r;

	/* One directory or two: none is the runtime one. */
	if (s->n_conf_dirs <= CONF_DIR_RUNTIME)
		return;
	kernel_rules_take(s);
	if (of_unit && *of_unit == '/')
		credentials_take(s, of_unit);
	if (!s->sysfs_given)
		credentials_take(s, SYSTEM_CREDENTIALS);
	firmware_credentials_take(s);
	r = state_dir_make(s->state_dir, WRITTEN);
	if (r < 0)
		log_errno(LOG_WARNING, r, "%s/" WRITTEN ": %m, so each event will look for rules of the boot",
			  s->state_dir);
}

bool boot_rules_are_written(const struct settings *s)
{
	char path[PATH_MAX];

	return path_printf(path, sizeof(path), "%s/" WRITTEN, s->state_dir) >= 0 && access(path, F_OK) == 0;
}
