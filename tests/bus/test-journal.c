/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves and refusals in the journal, with fields, on a socket of the test's own; and the file of metrics. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MOVED "5cc362ba31904fb6b8ab99a1b2809086"
#define REFUSED "f6c031f6cd714742a23dfb6ee516f289"

/* The journal, beside the state directory of the tree; the service's log file passes for its stream. */
static int journal_start(struct harness *h)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), log;
	struct stat st;

	make_dirs(mock_printf(h->m, "%s/../systemd/journal", h->m->state));
	ck_assert_int_lt(snprintf(address.sun_path, sizeof(address.sun_path), "%s/../systemd/journal/socket",
				  h->m->state),
			 (int)sizeof(address.sun_path));
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	h->log = mock_printf(h->m, "%s/log", h->m->root);
	log = open(h->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(fstat(log, &st), 0);
	(void)close(log);
	ck_assert_int_eq(setenv("JOURNAL_STREAM",
				mock_printf(h->m, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino), 1),
			 0);
	return fd;
}

/* The next entry with this message id; its text stays until the next call. */
static const char *next_entry(int fd, const char *id)
{
	static char text[8192];
	char line[64];

	(void)snprintf(line, sizeof(line), "\nMESSAGE_ID=%s\n", id);
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		ck_assert_msg(poll(&p, 1, (int)(PATIENCE_USEC / 1000)) == 1, "no entry %s", id);
		text[0] = '\n';
		n = recv(fd, text + 1, sizeof(text) - 2, 0);
		ck_assert_int_gt(n, 0);
		text[n + 1] = '\0';
		if (strstr(text, line))
			return text;
	}
}

static bool has_field(const char *entry, const char *field)
{
	const char *at = strstr(entry, field);

	return at && at[-1] == '\n' && at[strlen(field)] == '\n';
}

static struct harness *begin(int *ret_journal)
{
	struct harness *h = harness_new();

	three_devices(h);
	*ret_journal = journal_start(h);
	service_start(h);
	return h;
}

START_TEST(a_move_is_in_the_journal_with_its_fields)
{
	int journal;
	struct harness *h = begin(&journal);
	const char *entry;

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	entry = next_entry(journal, MOVED);
	ck_assert(has_field(entry, "PRIORITY=6"));
	ck_assert(has_field(entry, "SYSLOG_IDENTIFIER=driver-overrided"));
	ck_assert(has_field(entry, "MESSAGE=pci " CARD ": enforced"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_BUS=pci"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_NAME=" CARD));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_DECISION=vfio-pci"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_DRIVER=vfio-pci"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_STATE=enforced"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_UID=0"));
	ck_assert_ptr_nonnull(strstr(entry, "\nDRIVER_OVERRIDE_RULE="));
	ck_assert_ptr_nonnull(strstr(entry, "\nDRIVER_OVERRIDE_SOURCE="));
	/* What is not known has no field. */
	ck_assert_ptr_null(strstr(entry, "DRIVER_OVERRIDE_ERROR"));
	harness_free(h);
	(void)close(journal);
}
END_TEST

START_TEST(a_refusal_is_in_the_journal_with_its_reason)
{
	int journal;
	struct harness *h = begin(&journal);
	const char *entry;

	faults(h, "pci/" CARD " InUse eth0 has an address\n");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!InUse");
	entry = next_entry(journal, REFUSED);
	ck_assert(has_field(entry, "PRIORITY=4"));
	ck_assert(has_field(entry, "MESSAGE=pci " CARD ": refused: eth0 has an address"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_NAME=" CARD));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_REASON=eth0 has an address"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_ERROR=InUse"));
	ck_assert(has_field(entry, "DRIVER_OVERRIDE_UID=0"));
	harness_free(h);
	(void)close(journal);
}
END_TEST

static char *metrics(struct harness *h)
{
	static char text[8192];
	int fd = open(mock_printf(h->m, "%s/metrics", h->m->state), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	(void)close(fd);
	return text;
}

static bool metrics_have(struct harness *h, const char *line)
{
	return strstr(metrics(h), mock_printf(h->m, "\n%s\n", line)) != NULL;
}

/* OpenMetrics: nothing but samples and what is said of them, each family once, and the end at the end. */
static void check_metrics_form(char *text)
{
	char family[128] = "", *last = text;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char name[128], rest[256];
		double value;

		last = line;
		if (sscanf(line, "# HELP %127s %255[^\n]", name, rest) == 2) {
			ck_assert_str_ne(name, family);
			(void)strcpy(family, name);
		} else if (sscanf(line, "# TYPE %127s %255s", name, rest) == 2) {
			ck_assert_str_eq(name, family);
			ck_assert(streq(rest, "gauge") || streq(rest, "counter"));
		} else if (!streq(line, "# EOF")) {
			ck_assert_msg(sscanf(line, "%127[a-z_]%255[^ ] %lf", name, rest, &value) == 3 ||
					      sscanf(line, "%127[a-z_] %lf", name, &value) == 2,
				      "%s", line);
			ck_assert_ptr_nonnull(startswith(name, family));
		}
	}
	ck_assert_str_eq(last, "# EOF");
}

START_TEST(metrics_are_true_after_a_set)
{
	struct harness *h = harness_new();
	struct stat st;

	three_devices(h);
	service_start(h);
	WAIT_UNTIL(metrics_have(h, "driver_overrides_devices{state=\"unmanaged\"} 3"));
	ck_assert(metrics_have(h, "driver_overrides_rules 0"));
	ck_assert(metrics_have(h, "driver_overrides_left_behind 0"));
	ck_assert(metrics_have(h, "driver_overrides_hold_active 0"));

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	WAIT_UNTIL(metrics_have(h, "driver_overrides_devices{state=\"enforced\"} 1"));
	ck_assert(metrics_have(h, "driver_overrides_devices{state=\"unmanaged\"} 2"));
	ck_assert(metrics_have(h, "driver_overrides_rules 1"));
	ck_assert(metrics_have(h, "driver_overrides_service_up 1"));
	ck_assert_int_eq(stat(mock_printf(h->m, "%s/metrics", h->m->state), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	check_metrics_form(metrics(h));

	/* What the guard has counted. */
	make_file(mock_printf(h->m, "%s/guard", h->m->state), "HOLD=active\nHOLDS=12\nEXPIRED=3\nSPARED=5\n",
		  40);
	tell(h, "change", "pci", CARD);
	WAIT_UNTIL(metrics_have(h, "driver_overrides_holds_total 12"));
	ck_assert(metrics_have(h, "driver_overrides_holds_expired_total 3"));
	ck_assert(metrics_have(h, "driver_overrides_holds_spared_total 5"));
	ck_assert(metrics_have(h, "driver_overrides_hold_active 1"));
	check_metrics_form(metrics(h));

	service_stop(h);
	ck_assert(metrics_have(h, "driver_overrides_service_up 0"));
	ck_assert_ptr_null(strstr(metrics(h), "devices"));
	check_metrics_form(metrics(h));
	harness_free(h);
}
END_TEST

SUITE_MAIN("journal", 120, a_move_is_in_the_journal_with_its_fields,
	   a_refusal_is_in_the_journal_with_its_reason, metrics_are_true_after_a_set)
