/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules that are loaded for a device that is moved: by which name, and what is said of one that cannot be.
 */
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"
#include "policy/vfio-driver.h"

#include <stdbool.h>
#include <string.h>

START_TEST(module_is_loaded_by_the_driver_s_name)
{
	struct move_fixture f = move_fixture_new(RULE("other"));

	modprobe_install(&f, "mkdir $drivers/other && touch $drivers/other/bind");
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "other", "other", true);
	ck_assert_str_eq(modprobe_calls(&f), "-- other\n");
	ck_assert_str_eq(kernel_writes(f.m), "unbind nvme, override other, probe");
	move_fixture_done(&f);
}
END_TEST

START_TEST(module_of_the_rule_and_no_other)
{
	struct move_fixture f = move_fixture_new(RULE("other") "Module=other_next\n");

	modprobe_install(&f, "");
	move_fixture_move(&f);
	assert_moved(&f, "failed", "NoSuchDriver", "nvme", "", false);
	ck_assert_str_eq(modprobe_calls(&f), "-- other_next\n");
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "other_next"));
	move_fixture_done(&f);
}
END_TEST

/* The last thing the program says is the reason; one that says nothing is named. */
START_TEST(module_that_cannot_be_loaded)
{
	struct move_fixture f = move_fixture_new(RULE("other"));

	modprobe_install(
		&f, "echo hello >&2; echo \"modprobe: ERROR: could not insert 'other': Key was rejected by "
		    "service\" >&2; exit 1");
	move_fixture_move(&f);
	assert_moved(&f, "failed", "NoSuchDriver", "nvme", "", false);
	ck_assert_str_eq(f.moved.reason,
			 "there is no driver other on bus pci, and module other cannot be loaded: "
			 "could not insert 'other': Key was rejected by service");
	modprobe_install(&f, "exit 1");
	move_fixture_move(&f);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "/modprobe did not load it"));
	move_fixture_done(&f);
}
END_TEST

START_TEST(module_by_the_device_s_alias)
{
	struct move_fixture f = move_fixture_new(RULE("other"));

	modprobe_install(&f, "case $1 in -qb) mkdir $drivers/other;; *) exit 1;; esac");
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "other", "other", true);
	ck_assert_ptr_nonnull(strstr(modprobe_calls(&f), "-qb -- pci:v00001B36d00000010"));
	move_fixture_done(&f);
}
END_TEST

START_TEST(own_module_is_loaded_before_a_device_is_given_back)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	modprobe_install(&f, "");
	move_fixture_move(&f);
	ck_assert_str_eq(modprobe_calls(&f), "");
	apply_fixture_set_policy(&f.apply, RULE("default"));
	move_fixture_move(&f);
	ck_assert_ptr_nonnull(strstr(modprobe_calls(&f), "-qb -- pci:v00001B36d00000010"));
	move_fixture_done(&f);
}
END_TEST

/* What it registers as is known once it is loaded: until then the variant goes by its module's name. */
START_TEST(variant_whose_driver_has_another_name_than_its_module)
{
	struct move_fixture f = move_fixture_new("[device x]\nName=0000:00:03.0\nDriver=vfio\n");
	static const char alias[] = "#\nalias vfio_pci:v00001B36d*sv*sd*bc*sc*i* odd_vfio\n";
	char dir[PATH_MAX];

	ck_assert_int_eq(vfio_aliases_dir(f.m->sysfs, dir, sizeof(dir)), 0);
	make_dirs(dir);
	make_file(mock_printf(f.m, "%s/modules.alias", dir), alias, strlen(alias));
	modprobe_install(
		&f,
		mock_printf(
			f.m,
			"mkdir -p %s/module/odd_vfio/drivers/pci:Odd $drivers/Odd; touch $drivers/Odd/bind",
			f.m->sysfs));
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "Odd", "Odd", true);
	ck_assert_str_eq(f.moved.decision, "Odd");
	ck_assert_str_eq(modprobe_calls(&f), "-- odd_vfio\n");
	move_fixture_done(&f);
}
END_TEST

SUITE_MAIN("module", 60, module_is_loaded_by_the_driver_s_name, module_of_the_rule_and_no_other,
	   module_that_cannot_be_loaded, module_by_the_device_s_alias,
	   variant_whose_driver_has_another_name_than_its_module,
	   own_module_is_loaded_before_a_device_is_given_back)
