/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy: every rule in force, read from drop-in files.
 *
 * A file with any error is left out whole, and its last good copy, kept under the state directory by
 * state/policy-copy.c, speaks for it; the same goes for a file that may be half written. Nothing here writes.
 */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "policy/rule.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* A line that inih 55 takes whole: its buffer of 200 holds the newline and a NUL, too. */
#define POLICY_LINE_MAX 198
#define POLICY_FILE_MAX (8U * 1024U * 1024U)
/* More errors than this of one file are counted, not kept. */
#define POLICY_FILE_ERRORS_MAX 50

struct policy_error {
	const char *file;
	unsigned line; /* 0: the file as a whole */
	const char *text;
};

/* Which version of a file was read; two versions differ in one of these. */
struct file_version {
	ino_t inode;
	off_t size;
	struct timespec mtime, ctime;
	mode_t mode;
};

/* All zero: there is no such file. */
void file_version_read(const char *path, struct file_version *ret);

enum policy_file_status {
	POLICY_FILE_GOOD,      /* its rules are in force */
	POLICY_FILE_COPY,      /* it has errors; the rules of its last good copy are in force */
	POLICY_FILE_UNSETTLED, /* it may be half written; the rules of its last good copy are in force */
	POLICY_FILE_BAD,       /* it has errors and no copy: no rules */
	POLICY_FILE_MASKED,    /* a link to /dev/null: hides later files of its name, has no rules */
};

struct policy_file {
	const char *path;
	const char *name; /* last part of path: decides the order */
	enum policy_file_status status;
	struct file_version version;
	bool unsettled; /* it may be half written, see policy-settled.h; no copy is made of it yet */
	char *text;	/* what its rules were read from, itself or its copy; malloc()ed */
	size_t size;
};

struct policy {
	struct arena arena;
	struct rule **rules; /* in the order in which they decide */
	size_t n_rules;
	struct policy_file *files;
	size_t n_files;
	struct policy_error *errors;
	size_t n_errors;
	struct policy_index *index;		 /* NULL: rules are compared one by one; see rule-index.h */
	const uint64_t *ids;			 /* of the rules, with the index */
	unsigned long serial;			 /* tells a policy from a freed one at the same address */
	struct vfio_drivers *vfio;		 /* what `vfio` means; NULL: of each bus the plain driver */
	struct file_version dirs[CONF_DIRS_MAX]; /* of settings, before they were listed */
	struct timespec loaded;			 /* when that began; see policy-current.h */
	bool incomplete;			 /* a directory could not be listed */
	bool last_good;	 /* in place of that of the policy directories, which has failed */
	bool has_groups; /* some rule has Group= other than leave */
	size_t rules_allocated, files_allocated, errors_allocated;
};

/*
 * The policy in force: that of the policy directories, or the last good one (policy-in-force.h). Files with
 * errors are no failure: see errors and files of *ret. 0; -ENOMEM. Free with policy_free().
 */
_must_check_ int policy_load(const struct settings *settings, struct policy **ret);

/* The policy of the directories of settings, whether it has failed or not. */
_must_check_ int policy_load_dirs(const struct settings *settings, struct policy **ret);

/*
 * Reads the named files only, in the given order, without copies: for `check FILE`.
 */
_must_check_ int policy_load_files(const char *const *paths, size_t n, struct policy **ret);

struct policy *policy_free(struct policy *policy);

static inline void policy_freep(struct policy **p)
{
	policy_free(*p);
}

/* The rule with this id, or NULL. */
const struct rule *policy_find_rule(const struct policy *policy, uint64_t id);

/* The name under which the state directory knows a policy file: its path, escaped, or a hash of a long one.
 */
void policy_state_name(const char *path, char buf[static 256]);

/* Where the last good copy of a policy file is kept: 0 or -ENAMETOOLONG. */
_must_check_ int policy_copy_path(const char *state_dir, const char *path, char *buf, size_t size);

/* One more error; text is borrowed for as long as the policy lives. */
_must_check_ int policy_add_error(struct policy *policy, const char *file, unsigned line, const char *text);

/*
 * Parses text and adds its rules to the policy, all of them or, when there is any error, none. `file` is
 * the path that rules and errors name; it and the text are borrowed for as long as the policy lives. 0:
 * taken; -EINVAL: errors were added; -ENOMEM.
 */
_must_check_ int policy_parse(struct policy *policy, const char *file, const char *text, size_t size);
