/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For how long a call has been under way; see call-progress.h. */
#include "cli/call-progress.h"
#include "base/time.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SECOND_USEC UINT64_C(1000000)

struct call_progress {
	size_t n;
	bool is_over;
	struct service_client *client;
	sd_bus_message *reply;
	int result;
};

static void progress_print(const struct call_progress *p, uint64_t seconds)
{
	(void)fprintf(stderr, "\r%zu devices are being changed: %ju s", p->n, (uintmax_t)seconds);
	(void)fflush(stderr);
}

/* Whatever kind of terminal it is. */
static void progress_erase(void)
{
	(void)fprintf(stderr, "\r%60s\r", "");
	(void)fflush(stderr);
}

static int on_call_answered(sd_bus_message *m, void *userdata, sd_bus_error *unused)
{
	struct call_progress *p = userdata;

	(void)unused;
	p->is_over = true;
	p->result = sd_bus_message_is_method_error(m, NULL)
			    ? sd_bus_error_copy(&p->client->error, sd_bus_message_get_error(m))
			    : 0;
	p->reply = sd_bus_message_ref(m);
	return 0;
}

static int progress_wait(struct call_progress *p, sd_bus *bus)
{
	const uint64_t begin = now_usec();
	int r = 0;

	while (r >= 0 && !p->is_over) {
		progress_print(p, (now_usec() - begin) / SECOND_USEC);
		while ((r = sd_bus_process(bus, NULL)) > 0 && !p->is_over)
			;
		if (r >= 0 && !p->is_over)
			r = sd_bus_wait(bus, SECOND_USEC);
		if (r == -EINTR)
			r = 0;
	}
	progress_erase();
	return r < 0 ? r : p->result;
}

int service_call_with_progress(struct service_client *c, sd_bus_message *m, size_t n, sd_bus_message **ret)
{
	struct call_progress p = { .n = n, .client = c };
	sd_bus_slot *slot = NULL;
	int r;

	sd_bus_error_free(&c->error);
	r = sd_bus_call_async(c->bus, &slot, m, on_call_answered, &p, 0);
	if (r >= 0)
		r = progress_wait(&p, c->bus);
	(void)sd_bus_slot_unref(slot);
	if (r < 0)
		(void)sd_bus_message_unref(p.reply);
	else
		*ret = p.reply;
	return r;
}
