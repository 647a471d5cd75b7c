/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override sweep` and `release` when a device does not answer. */
#include "base/macro.h"
#include "state/record.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULE(label, name, driver) "[device " label "]\nName=" name "\nDriver=" driver "\n"

START_TEST(sweep_passes_over_a_device_that_hangs)
{
	struct mock *m = mock_new();
	const char *devices[9], *stuck;
	struct record record;
	struct enforcer_result r;

	for (unsigned i = 0; i < ELEMENTSOF(devices); i++)
		devices[i] = mock_pci_add(m, mock_printf(m, "0000:00:%02x.0", i + 1), NULL, 0x1b36, 0x10,
					  0x010802);
	stuck = devices[4];
	mock_attr_hangs(m, stuck, "driver_override");
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("all", "*", "vfio-pci"));
	r = enforcer_run(m, "sweep", NULL);
	ck_assert_int_eq(r.status, 0);
	for (unsigned i = 0; i < ELEMENTSOF(devices); i++)
		if (devices[i] != stuck)
			ck_assert_str_eq(mock_override(m, devices[i]), "vfio-pci");
	ck_assert_ptr_nonnull(strstr(r.err, "driver_override of pci 0000:00:05.0"));
	ck_assert(mock_record(m, stuck, &record));
	ck_assert_int_eq(record.state, STATE_STUCK);
	ck_assert_ptr_nonnull(strstr(record.reason, "driver_override"));
	mock_free(m);
}
END_TEST

START_TEST(sweep_passes_over_a_fact_that_hangs)
{
	struct mock *m = mock_new();
	const char *devices[4], *stuck;
	struct record record;

	for (unsigned i = 0; i < ELEMENTSOF(devices); i++)
		devices[i] =
			mock_pci_add(m, mock_printf(m, "0000:00:03.%u", i), NULL, 0x1b36, 0x10, 0x010802);
	stuck = devices[1];
	mock_attr_hangs(m, stuck, "modalias");
	mock_group(m, 3, devices[0], devices[1], devices[2], devices[3], NULL);
	mock_policy(m, MOCK_ETC, "10-a.conf", "[device x]\nId=1b36:0010\nDriver=vfio-pci\n");
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	for (unsigned i = 0; i < ELEMENTSOF(devices); i++)
		ck_assert_str_eq(mock_override(m, devices[i]), devices[i] == stuck ? "(null)\n" : "vfio-pci");
	ck_assert(mock_record(m, stuck, &record));
	ck_assert_int_eq(record.state, STATE_STUCK);
	mock_free(m);
}
END_TEST

START_TEST(release_of_a_device_that_hangs)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record;
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("all", "*", "vfio-pci"));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	mock_attr_hangs(m, a, "driver_override");
	r = enforcer_run(m, "release", "0000:00:03.0", NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_uint_lt(r.usec, 8000000);
	ck_assert_ptr_nonnull(strstr(r.err, "driver_override"));
	ck_assert(mock_record(m, a, &record));
	ck_assert_int_eq(record.state, STATE_STUCK);
	ck_assert_str_eq(record.owned_override, "vfio-pci");
	mock_free(m);
}
END_TEST

SUITE_MAIN_AT_ONCE("sweep-deadline", 40, sweep_passes_over_a_device_that_hangs,
		   sweep_passes_over_a_fact_that_hangs, release_of_a_device_that_hangs)
