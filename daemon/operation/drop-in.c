/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One policy file of the service's own: its name, its text, and how it is written; see drop-in.h. */
#include "daemon/operation/drop-in.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/policy-write.h"
#include "policy/vfio-driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first words of a file of ours. */
#define HEADER "# Written by driver-overrided"
#define MODALIAS_BYTES_MAX 180U
/* SetOverride never writes a file larger than this. */
#define FILE_SIZE_MAX 65536U

const char *drop_in_key_to_string(enum drop_in_key key)
{
	static const char *const text[] = { [KEY_NAME] = "name", [KEY_PATH] = "path", [KEY_ID] = "id" };

	return text[key];
}

int drop_in_key_from_string(const char *text, enum drop_in_key *ret)
{
	for (enum drop_in_key i = KEY_NAME; i < KEY_COUNT; i++)
		if (streq(text, drop_in_key_to_string(i))) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}

/* A character that matches nothing but itself. Blanks separate values, so a blank becomes a pattern, too. */
static void character_to_literal(char c, char buf[static 16])
{
	if (c == '*' || c == '?' || c == '[')
		(void)snprintf(buf, 16, "[%c]", c);
	else if (c == ' ')
		(void)strcpy(buf, "[[:blank:]]");
	else
		(void)snprintf(buf, 16, "%c", c);
}

static void drop_in_put_literal(FILE *f, const char *value)
{
	char literal[16];

	for (const char *s = value; *s; s++) {
		character_to_literal(*s, literal);
		(void)fputs(literal, f);
	}
}

/* A line of a policy file has at most 198 bytes, and a modalias may be longer: then its beginning counts. */
static void drop_in_put_modalias(FILE *f, const char *modalias)
{
	char literal[16];
	size_t n = 0;

	(void)fputs("\nModalias=", f);
	for (const char *s = modalias; *s; s++) {
		character_to_literal(*s, literal);
		n += strlen(literal);
		if (n > MODALIAS_BYTES_MAX) {
			(void)fputc('*', f);
			return;
		}
		(void)fputs(literal, f);
	}
}

/* A label must be UTF-8 without control characters and brackets; a file's name may be of any bytes. */
static void drop_in_put_label(FILE *f, const char *text)
{
	for (const char *s = text; *s; s++)
		if (*s > ' ' && *s <= '~' && *s != '[' && *s != ']')
			(void)fputc(*s, f);
		else
			(void)fprintf(f, "\\x%02x", (unsigned char)*s);
}

bool is_policy_value(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || s[0] == ' ' || s[n - 1] == ' ')
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return false;
	return true;
}

void drop_in_set_identity(struct drop_in_rule *rule, struct device *device)
{
	const bool is_pci = streq(rule->bus, "pci");
	const char *identity =
		rule->key != KEY_ID ? device_text(device, is_pci ? FACT_ID : FACT_MODALIAS) : NULL;

	/* There may be bytes that no policy file can have. */
	if (identity && is_policy_value(identity))
		*(is_pci ? &rule->id : &rule->modalias) = identity;
}

char *drop_in_text(const struct drop_in_rule *rule)
{
	static const char *const key[] = { [KEY_NAME] = "Name", [KEY_PATH] = "Path", [KEY_ID] = "Id" };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	(void)fputs(HEADER " for SetOverride, removed by ClearOverride; see org.driveroverrides1(5).\n"
			   "[device set-",
		    f);
	drop_in_put_label(f, rule->bus);
	(void)fputc('-', f);
	drop_in_put_label(f, rule->value);
	(void)fputs("]\nBus=", f);
	drop_in_put_literal(f, rule->bus);
	(void)fprintf(f, "\n%s=", key[rule->key]);
	drop_in_put_literal(f, rule->value);
	if (rule->id)
		(void)fprintf(f, "\nId=%s", rule->id);
	if (rule->modalias)
		drop_in_put_modalias(f, rule->modalias);
	(void)fprintf(f, "\nDriver=%s\n", rule->driver);
	if (rule->group)
		(void)fprintf(f, "Group=%s\n", rule->group);
	if (rule->rebind != REBIND_UNSET)
		(void)fprintf(f, "Rebind=%s\n", rebind_to_string(rule->rebind));
	if (rule->module)
		(void)fprintf(f, "Module=%s\n", rule->module);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static bool pattern_is_literal_of(const struct pattern *p, const char *value)
{
	const char *at = p->text;
	char literal[16];

	for (const char *s = value; at && *s; s++) {
		character_to_literal(*s, literal);
		at = startswith(at, literal);
	}
	return at && *at == '\0';
}

static bool driver_choice_is(const struct driver_choice *choice, const char *text)
{
	switch (choice->kind) {
	case DRIVER_NONE:
		return streq(text, "none");
	case DRIVER_DEFAULT:
		return streq(text, "default");
	case DRIVER_VFIO:
		return streq(text, "vfio");
	case DRIVER_NAMED:
		return streq(text, choice->name);
	case DRIVER_UNSET:
		break;
	}
	return false;
}

static bool parsed_group_is(const struct rule *parsed, const char *text)
{
	const bool is_vfio = parsed->driver.kind == DRIVER_VFIO ||
			     (parsed->driver.kind == DRIVER_NAMED && driver_is_vfio(parsed->driver.name));

	/* The parser has filled in what is not said. */
	if (!text)
		text = is_vfio ? "hold" : "leave";
	switch (parsed->group) {
	case GROUP_LEAVE:
		return streq(text, "leave");
	case GROUP_HOLD:
		return streq(text, "hold");
	case GROUP_GIVE:
		return driver_choice_is(&parsed->group_driver, text);
	case GROUP_UNSET:
		break;
	}
	return false;
}

/* The parser rewrites some paths; path, id and modalias are the kernel's, no caller's. */
static bool condition_is_asked(const struct condition *c, const struct drop_in_rule *rule)
{
	if (!c->any || c->any->next)
		return false;
	switch (c->fact) {
	case FACT_BUS:
		return pattern_is_literal_of(c->any, rule->bus);
	case FACT_NAME:
		return rule->key == KEY_NAME && pattern_is_literal_of(c->any, rule->value);
	case FACT_PATH:
		return rule->key == KEY_PATH;
	case FACT_ID:
		return rule->key == KEY_ID || rule->id;
	case FACT_MODALIAS:
		return rule->modalias;
	case FACT_CLASS:
	case FACT_ANCESTOR:
	case FACT_FIRMWARE:
	case FACT_COMPATIBLE:
	case FACT_PHYSFN:
	case FACT_ATTR:
	case FACT_COUNT:
		break;
	}
	return false;
}

bool drop_in_rule_is_understood(const struct drop_in_rule *rule, const struct rule *parsed)
{
	const enum rebind rebind = rule->rebind == REBIND_UNSET ? REBIND_SAFE : rule->rebind;
	size_t n = 0;

	for (const struct condition *c = parsed->conditions; c; c = c->next, n++)
		if (!condition_is_asked(c, rule))
			return false;
	return n == 2U + (rule->id != NULL) + (rule->modalias != NULL) &&
	       driver_choice_is(&parsed->driver, rule->driver) && parsed_group_is(parsed, rule->group) &&
	       parsed->rebind == rebind && !parsed->access.user &&
	       (rule->module ? parsed->module && streq(parsed->module, rule->module) : !parsed->module);
}

const char *drop_in_dir(const struct settings *settings, bool runtime)
{
	/* In the order of the contract: /etc, /run, /usr/lib. */
	return settings->n_conf_dirs > (size_t)runtime ? settings->conf_dirs[runtime] : NULL;
}

int drop_in_path(const char *dir, bool runtime, enum drop_in_key key, const char *bus, const char *value,
		 char *buf, size_t size)
{
	static const char *const kind[] = { [KEY_NAME] = "", [KEY_PATH] = "path-", [KEY_ID] = "id-" };
	char b[256], v[256], name[PATH_MAX];

	if (name_escape(bus, b, sizeof(b)) < 0 || name_escape(value, v, sizeof(v)) < 0 ||
	    path_printf(name, sizeof(name), "%s-%s-%s%s.conf", runtime ? "05-run" : "10-set", b, kind[key],
			v) < 0 ||
	    strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	return path_printf(buf, size, "%s/%s", dir, name);
}

/* Still ours after a person edited it: our header, and one section. */
static bool drop_in_text_is_ours(const char *text, size_t size)
{
	unsigned sections = 0;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		sections += *line == '[';
	}
	return strlen(text) == size && startswith(text, HEADER) && sections == 1;
}

int drop_in_read(const char *path, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_(freep) char *text = NULL;
	size_t size;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	r = fd < 0 ? negative_errno() : read_full(fd, 4096, FILE_SIZE_MAX, &text, &size);
	if (r == -ELOOP || r == -ENXIO || r == -EISDIR || r == -EFBIG ||
	    (text && !drop_in_text_is_ours(text, size)))
		return -EEXIST;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 1;
}

/* A name that mkostemp() made from the template. */
static bool name_is_temporary(const char *name)
{
	const char *rest = startswith(name, POLICY_TEMPORARY_PREFIX);

	return rest && strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == 6 &&
	       rest[6] == '\0';
}

void drop_in_remove_temporaries(const char *dir)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (name_is_temporary(e->d_name))
			(void)unlinkat(dirfd(d), e->d_name, 0);
}
