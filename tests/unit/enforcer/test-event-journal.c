/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `driver-override event` has the journal keep, on a socket of the test's own. */
#include "base/macro.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DECIDED "MESSAGE_ID=96863db2f02540d1b7f10ee1d3b6cb8f"
#define REFUSED "MESSAGE_ID=f6c031f6cd714742a23dfb6ee516f289"

static int journal_bind(struct mock *m)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	make_dirs(mock_printf(m, "%s/../systemd/journal", m->state));
	ck_assert_int_lt(snprintf(address.sun_path, sizeof(address.sun_path), "%s/../systemd/journal/socket",
				  m->state),
			 (int)sizeof(address.sun_path));
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The event, with a stderr that passes for the journal's stream; it is a file that every run replaces. */
static struct enforcer_result event_in_journal(struct mock *m, const char *devpath)
{
	const char *env[] = {
		"SUBSYSTEM=pci", "ACTION=add", "SEQNUM=1", mock_printf(m, "DEVPATH=%s", devpath), NULL, NULL
	};
	const char *err = mock_printf(m, "%s/stderr", m->root);
	struct stat st;

	make_file(err, "", 0);
	ck_assert_int_eq(stat(err, &st), 0);
	env[4] = mock_printf(m, "JOURNAL_STREAM=%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return enforcer_event_env(m, env);
}

/* "": there is none. */
static const char *next_entry(int journal)
{
	static char text[8192];
	ssize_t n = recv(journal, text + 1, sizeof(text) - 2, MSG_DONTWAIT);

	text[0] = '\n';
	text[n < 0 ? 0 : n + 1] = '\0';
	return text;
}

static bool has_field(const char *entry, const char *field)
{
	const char *at = strstr(entry, field);

	return at && at[-1] == '\n' && at[strlen(field)] == '\n';
}

START_TEST(decision_is_in_the_journal_once)
{
	const char *device, *entry;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	int journal = journal_bind(m);

	ck_assert_str_eq(event_in_journal(m, device).err, "");
	entry = next_entry(journal);
	ck_assert(has_field(entry, DECIDED));
	ck_assert(has_field(entry, "PRIORITY=6"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_BUS=pci"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_NAME=0000:00:03.0"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_DECISION=none"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_RULE=gpu"));
	ck_assert(
		has_field(entry, mock_printf(m, "DRIVER_OVERRIDE_SOURCE=%s/10-a.conf:1", m->conf[MOCK_ETC])));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_STATE=enforced"));
	ck_assert_str_eq(next_entry(journal), "");

	/* Nothing new. */
	(void)event_in_journal(m, device);
	ck_assert_str_eq(next_entry(journal), "");
	mock_policy(m, MOCK_ETC, "10-a.conf", "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	(void)event_in_journal(m, device);
	ck_assert(has_field(next_entry(journal), "DRIVER_OVERRIDE_DECISION=default"));
	(void)close(journal);
	mock_free(m);
}
END_TEST

START_TEST(failure_is_in_the_journal_with_its_reason)
{
	const char *device, *entry;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\n");
	int journal = journal_bind(m);

	/* Even root cannot read a folder. */
	mock_attr_remove(m, device, "driver_override");
	make_dirs(mock_path(m, device, "driver_override"));
	(void)event_in_journal(m, device);
	do
		entry = next_entry(journal);
	while (*entry && strstr(entry, DECIDED));
	ck_assert(has_field(entry, REFUSED));
	ck_assert(has_field(entry, "PRIORITY=3"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_STATE=failed"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_RULE=gpu"));
	ck_assert_ptr_nonnull(strstr(entry, "\nDRIVER_OVERRIDE_REASON=reading driver_override: "));
	(void)close(journal);
	mock_free(m);
}
END_TEST

SUITE_MAIN("event-journal", 60, decision_is_in_the_journal_once, failure_is_in_the_journal_with_its_reason)
