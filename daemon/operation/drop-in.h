/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One policy file of the service's own: what SetOverride writes, one file for each device and each way to
 * name it. Files that people wrote are never touched.
 */
#pragma once

#include "base/macro.h"
#include "policy/device.h"
#include "policy/rule.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>

/* By what the rule of a file knows its device. */
enum drop_in_key {
	KEY_NAME,
	KEY_PATH,
	KEY_ID,
	KEY_COUNT,
};

const char *drop_in_key_to_string(enum drop_in_key key);
/* 0 or -EINVAL. */
_must_check_ int drop_in_key_from_string(const char *text, enum drop_in_key *ret);

/* What the rule of a file says. */
struct drop_in_rule {
	const char *bus, *value, *driver;
	enum drop_in_key key;
	const char *id, *modalias;  /* what the device is; NULL: not said */
	const char *group, *module; /* NULL: not said */
	enum rebind rebind;	    /* REBIND_UNSET: not said */
};

/* What the device is, beside where it is: another card in its place is left alone. */
void drop_in_set_identity(struct drop_in_rule *rule, struct device *device);

/* The text of a file with that rule; malloc()ed. NULL when out of memory. */
char *drop_in_text(const struct drop_in_rule *rule);

/* Whether the parser understood that rule, and nothing else, from its text. */
bool drop_in_rule_is_understood(const struct drop_in_rule *rule, const struct rule *parsed);

/* The directory for rules that last, or for those until the next boot; NULL: there is none. */
const char *drop_in_dir(const struct settings *settings, bool runtime);

/* DIR/NN-set-BUS-KEY.conf, for a device's name, path or id. 0 or -ENAMETOOLONG. */
int drop_in_path(const char *dir, bool runtime, enum drop_in_key key, const char *bus, const char *value,
		 char *buf, size_t size);

/*
 * Reads a file that SetOverride wrote. A person may have edited it since, as long as it still holds one rule.
 * 1: *ret is its text; 0: there is no file; -EEXIST: the file is somebody else's, a link, or no regular file;
 * other negative errno.
 */
int drop_in_read(const char *path, char **ret);

/* Removes the temporary files that killed writers left in a directory. Only while no writer is at work. */
void drop_in_remove_temporaries(const char *dir);

/* May be the value of a line in a policy file: printable, with no blank at either end. */
bool is_policy_value(const char *s) _pure_;
