/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A change of the card that is on trial; see trial-fixture.h. */
#include "tests/bus/trial-fixture.h"
#include "base/text.h"

#include <string.h>
#include <unistd.h>

struct harness *trial_harness_new(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	systemd_start(h);
	service_start(h);
	return h;
}

const char *try_on(struct harness *h, sd_bus *bus, const char *driver, uint64_t usec)
{
	return outcome(h, call_on(h, bus, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci", CARD, driver,
				  1, "try", "t", usec));
}

const char *try_driver(struct harness *h, const char *driver, uint64_t usec)
{
	return try_on(h, h->bus, driver, usec);
}

const char *confirm_on(struct harness *h, sd_bus *bus)
{
	return outcome(h, call_on(h, bus, ROOT_PATH, MANAGER, "Confirm", "ssa{sv}", "pci", CARD, 0));
}

unsigned trials_listed(struct harness *h, uint64_t *ret_usec)
{
	sd_bus_message *m = call(h, "ListTrials", NULL);
	const char *bus, *name, *driver;
	unsigned n = 0;
	uint64_t usec;

	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(ssst)"), 0);
	for (; sd_bus_message_read(m, "(ssst)", &bus, &name, &driver, &usec) > 0; n++)
		if (ret_usec)
			*ret_usec = usec;
	(void)sd_bus_message_unref(m);
	return n;
}

bool trial_file_is_there(struct harness *h)
{
	return access(mock_printf(h->m, "%s/trials/pci:" CARD, h->m->state), F_OK) == 0;
}

unsigned lines_with(const char *text, const char *start)
{
	unsigned n = 0;

	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		n += startswith(line, start) != NULL;
	return n;
}

void assert_as_before_trial(struct harness *h)
{
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_str_eq(mock_override(h->m, CARD_PATH), "(null)\n");
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
}
