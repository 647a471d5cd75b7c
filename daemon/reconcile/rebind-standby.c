/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An enforcer that waits for a job; see rebind-standby.h. */
#include "daemon/reconcile/rebind-standby.h"
#include "base/log.h"
#include "base/macro.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* Only so that it ends at some time if nobody dismisses it. */
#define STANDBY_USEC (600U * UINT64_C(1000000))

static void on_standby_ended(void *userdata, struct child_result result, const char *out, size_t size,
			     const struct task_note *note)
{
	struct service *s = userdata;

	(void)out;
	(void)size;
	(void)note;
	s->rebind_standby.task = NULL;
	/* Packages are replaced file by file: it is of another version. */
	if (result.how == CHILD_FAILED)
		s->rebind_standby.is_unknown = true;
}

void rebind_standby_prepare(struct service *s)
{
	const char *argv[] = { s->enforcer, "rebind", "--wait", NULL };
	int r;

	if (s->rebind_standby.task || s->rebind_standby.is_unknown)
		return;
	r = task_prepare(s->event, argv, STANDBY_USEC, on_standby_ended, s, &s->rebind_standby.task);
	if (r < 0)
		log_errno(LOG_DEBUG, r, "%s: starting it ahead of need: %m", s->enforcer);
}

void rebind_standby_dismiss(struct service *s)
{
	s->rebind_standby.task = task_dismiss(s->rebind_standby.task);
}

/* Strings, each with its NUL, and one NUL more; malloc()ed. */
static char *standby_request(const char *const *argv, size_t *ret_size)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_size);

	if (!f)
		return NULL;
	for (size_t i = 0; argv[i]; i++)
		(void)fwrite(argv[i], 1, strlen(argv[i]) + 1, f);
	(void)fputc('\0', f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

int rebind_standby_begin(struct service *s, const char *const *argv, uint64_t usec, task_done_t done,
			 void *userdata, struct task **ret)
{
	_cleanup_(freep) char *request = NULL;
	size_t size;
	int r;

	if (!s->rebind_standby.task)
		return -ENOENT;
	request = standby_request(argv + 1, &size);
	r = request ? task_begin_prepared(s->rebind_standby.task, request, size, usec, done, userdata)
		    : -ENOMEM;
	if (r < 0) {
		rebind_standby_dismiss(s);
		return r;
	}
	*ret = TAKE_PTR(s->rebind_standby.task);
	return 0;
}

void rebind_standby_is_unknown(struct service *s)
{
	s->rebind_standby.is_unknown = true;
}
