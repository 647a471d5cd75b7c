/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A digest of the policy files; see policy-digest.h. */
#include "policy/policy-digest.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/macro.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What comes between a file's name and its text, so that no text looks like another file. */
enum digest_mark {
	MARK_READ = 1, /* the size follows, then the text */
	MARK_MASKED,
	MARK_UNREADABLE,
};

static bool digest_read_file(const char *path, char **ret, size_t *ret_size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd >= 0 && read_full(fd, 4096, POLICY_FILE_MAX, ret, ret_size) >= 0;
}

static uint64_t digest_add_file(uint64_t h, const struct policy_file *file)
{
	_cleanup_(freep) char *read = NULL;
	const char *text = file->text;
	unsigned char mark = MARK_READ;
	size_t n = file->size;
	uint64_t size;

	if (file->status == POLICY_FILE_MASKED)
		mark = MARK_MASKED;
	else if (file->status != POLICY_FILE_GOOD) {
		/* The text that was kept, if any, is that of a copy. */
		mark = digest_read_file(file->path, &read, &n) ? MARK_READ : MARK_UNREADABLE;
		text = read;
	}
	if (mark != MARK_READ)
		n = 0;
	h = fnv1a(h, file->name, strlen(file->name) + 1);
	h = fnv1a(h, &mark, sizeof(mark));
	/* The same on a machine of the other byte order, whose image may be made here. */
	size = n;
	for (unsigned i = 0; i < 8; i++, size >>= 8)
		h = fnv1a(h, &(unsigned char){ (unsigned char)(size & 0xff) }, 1);
	return fnv1a(h, text, n);
}

void policy_digest_of(const struct policy *policy, char buf[static POLICY_DIGEST_SIZE])
{
	uint64_t h = FNV_BASIS;

	for (size_t i = 0; i < policy->n_files; i++)
		h = digest_add_file(h, &policy->files[i]);
	(void)snprintf(buf, POLICY_DIGEST_SIZE, "%016" PRIx64, h);
}

int policy_load_scope(const struct settings *settings, enum policy_scope scope, struct policy **ret)
{
	struct settings of_scope = *settings;

	of_scope.scope = scope;
	of_scope.state_dir = NULL;
	return policy_load_dirs(&of_scope, ret);
}

int policy_digest_find(const struct settings *settings, enum policy_scope scope,
		       char buf[static POLICY_DIGEST_SIZE])
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	int r = policy_load_scope(settings, scope, &policy);

	if (r < 0)
		return r;
	if (policy->incomplete)
		return -EIO;
	policy_digest_of(policy, buf);
	return 0;
}
