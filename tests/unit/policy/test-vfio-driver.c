/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Driver=vfio means for a device: by the aliases of the modules that are installed, and by who is there.
 */
#include "base/macro.h"
#include "policy/decide.h"
#include "policy/rule-index.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"
#include "policy/vfio-driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CARD "/devices/pci0000:00/0000:00:03.0"
#define RULE "[device a]\nBus=*\nDriver=vfio\n"

#define PLAIN "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
#define FAMILY "alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* mlx5_vfio_pci\n"
#define EXACT "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* exact-vfio-pci\n"

static struct mock *tree(const char *aliases)
{
	struct mock *m = mock_new();

	(void)mock_pci_add(m, "0000:00:03.0", NULL, 0x15b3, 0x101e, 0x020000);
	mock_attr(m, CARD, "modalias", "pci:v000015B3d0000101Esv000015B3sd00000001bc02sc00i00\n");
	(void)mock_policy(m, MOCK_ETC, "50-a.conf", RULE);
	if (aliases)
		(void)mock_aliases(
			m, "/lib/modules",
			mock_printf(m, "# Aliases extracted from modules themselves.\n%s", aliases));
	return m;
}

/* "DRIVER MODULE", the same by one who prepares himself and by one who does not. */
static const char *means(struct mock *m, const char *devpath)
{
	const char *text[2];

	for (size_t i = 0; i < 2; i++) {
		struct policy *p = mock_load(m);
		struct sysfs sysfs;
		struct sysfs_device *d;
		struct decision decision;

		if (i == 1)
			ck_assert_int_eq(policy_build_index(p), 0);
		sysfs_init(&sysfs, &m->settings);
		d = mock_device(&sysfs, devpath);
		ck_assert_int_eq(policy_decide(p, &d->device, &decision), 0);
		ck_assert_int_eq(decision.kind, DECISION_DRIVER);
		text[i] = mock_printf(m, "%s %s%s", decision.driver, decision.module ? decision.module : "-",
				      decision.vfio_unknown ? mock_printf(m, " (%s)", decision.vfio_unknown)
							    : "");
		decision_done(&decision);
		sysfs_device_free(d);
		sysfs_done(&sysfs);
		policy_free(p);
	}
	ck_assert_str_eq(text[0], text[1]);
	return text[0];
}

static void expect(const char *aliases, const char *want)
{
	struct mock *m = tree(aliases);

	ck_assert_str_eq(means(m, CARD), want);
	mock_free(m);
}

START_TEST(without_aliases_it_is_the_plain_one)
{
	expect("", "vfio-pci -");
	expect(PLAIN, "vfio-pci vfio_pci");
	expect("alias pci:v000015B3d*sv*sd*bc*sc*i* mlx5_core\n" PLAIN, "vfio-pci vfio_pci");
}
END_TEST

/* That the list is not there is not the same as that no variant is in it. */
START_TEST(without_their_list_it_is_not_known)
{
	struct mock *m = tree(NULL);
	const char *aliases, *matrix = mock_device_add(m, "ap", "/devices/ap/card05", "05.0004", true);
	struct utsname kernel;

	ck_assert_int_eq(uname(&kernel), 0);
	ck_assert_str_eq(means(m, CARD), mock_printf(m, "vfio-pci - (there is no modules.alias of kernel %s)",
						     kernel.release));
	/* Only PCI has variants. */
	ck_assert_str_eq(means(m, matrix), "vfio_ap -");
	aliases = mock_aliases(m, "/lib/modules", "");
	ck_assert_str_eq(means(m, CARD), "vfio-pci -");
	ck_assert_int_eq(unlink(aliases), 0);
	make_dirs(aliases);
	ck_assert_str_eq(means(m, CARD),
			 mock_printf(m,
				     "vfio-pci - (modules.alias of kernel %s cannot be read: Is a directory)",
				     kernel.release));
	mock_free(m);
}
END_TEST

START_TEST(the_list_is_found_where_distributions_have_it)
{
	static const char *const folders[] = {
		"/usr/lib/modules",
		"/run/booted-system/kernel-modules/lib/modules",
		"/run/current-system/kernel-modules/lib/modules",
	};
	struct utsname kernel;

	ck_assert_int_eq(uname(&kernel), 0);
	for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
		struct mock *m = tree(NULL);

		/* A folder without it does not hide it. */
		make_dirs(mock_printf(m, "%s/../lib/modules/%s", m->sysfs, kernel.release));
		(void)mock_aliases(m, folders[i], "# Aliases\n" PLAIN EXACT);
		ck_assert_str_eq(means(m, CARD), "exact_vfio_pci exact-vfio-pci");
		(void)mock_aliases(m, "/lib/modules", "# Aliases\n" PLAIN);
		ck_assert_str_eq(means(m, CARD), "vfio-pci vfio_pci");
		mock_free(m);
	}
}
END_TEST

START_TEST(the_alias_with_the_fewest_wildcards_wins_wherever_it_stands)
{
	expect(PLAIN FAMILY, "mlx5_vfio_pci mlx5_vfio_pci");
	expect(FAMILY PLAIN, "mlx5_vfio_pci mlx5_vfio_pci");
	expect(FAMILY PLAIN EXACT, "exact_vfio_pci exact-vfio-pci");
	expect(EXACT FAMILY PLAIN, "exact_vfio_pci exact-vfio-pci");
	/* The first of two that are alike. */
	expect("alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* one_vfio_pci\n" FAMILY, "one_vfio_pci one_vfio_pci");
}
END_TEST

START_TEST(aliases_of_other_devices_and_buses_do_not_count)
{
	expect("alias vfio_pci:v000010DEd*sv*sd*bc*sc*i* nvgrace_gpu_vfio_pci\n" PLAIN, "vfio-pci vfio_pci");
	expect("alias vfio_cdx:v000015B3d*sv*sd*bc*sc*i* odd_vfio_cdx\n" PLAIN, "vfio-pci vfio_pci");
}
END_TEST

START_TEST(lines_that_are_cut_are_passed_over)
{
	expect("alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*\n" PLAIN, "vfio-pci vfio_pci");
	expect("alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* \n" PLAIN, "vfio-pci vfio_pci");
	expect(PLAIN "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* cut_off", "vfio-pci vfio_pci");
	expect(PLAIN "alias vfio_", "vfio-pci vfio_pci");
}
END_TEST

START_TEST(a_driver_that_is_registered_tells_its_own_name)
{
	struct mock *m = tree(PLAIN EXACT);
	const char *drivers = mock_printf(m, "%s/module/exact_vfio_pci/drivers", m->sysfs);

	make_dirs(drivers);
	ck_assert_str_eq(means(m, CARD), "exact_vfio_pci exact-vfio-pci");
	make_file(mock_printf(m, "%s/platform:other", drivers), "", 0);
	ck_assert_str_eq(means(m, CARD), "exact_vfio_pci exact-vfio-pci");
	make_file(mock_printf(m, "%s/pci:Exact Driver", drivers), "", 0);
	ck_assert_str_eq(means(m, CARD), "Exact Driver exact-vfio-pci");
	mock_free(m);
}
END_TEST

START_TEST(built_in_variants_are_found)
{
	static const char info[] =
		"vfio_pci.alias=vfio_pci:v*d*sv*sd*bc*sc*i*\0vfio_pci.license=GPL\0"
		"mlx5_vfio_pci.author=x.alias\0"
		"mlx5_vfio_pci.alias=vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*\0cut.alias=vfio_pci:v*";
	struct mock *m = tree("");
	char dir[PATH_MAX];

	ck_assert_int_eq(vfio_aliases_dir(m->sysfs, dir, sizeof(dir)), 0);
	make_file(mock_printf(m, "%s/modules.builtin.modinfo", dir), info, sizeof(info) - 1);
	ck_assert_str_eq(means(m, CARD), "mlx5_vfio_pci mlx5_vfio_pci");
	mock_free(m);
}
END_TEST

START_TEST(other_buses_go_by_the_driver_that_is_there)
{
	struct mock *m = tree(PLAIN);
	const char *matrix = mock_device_add(m, "ap", "/devices/ap/card05", "05.0004", true);
	const char *odd = mock_device_add(m, "odd-bus", "/devices/odd", "odd0", true);

	ck_assert_str_eq(means(m, matrix), "vfio_ap -");
	ck_assert_str_eq(means(m, odd), "vfio-odd-bus -");
	mock_driver_add(m, "odd-bus", "odd");
	mock_driver_add(m, "odd-bus", "vfio_odd");
	ck_assert_str_eq(means(m, odd), "vfio_odd -");
	mock_driver_add(m, "odd-bus", "another-vfio-odd"); /* which of them, nobody knows */
	ck_assert_str_eq(means(m, odd), "vfio-odd-bus -");
	mock_free(m);
}
END_TEST

START_TEST(buses_beside_pci_have_aliases_as_well)
{
	struct mock *m = tree(PLAIN "alias vfio_cdx:v*d* vfio-cdx\nalias vfio_cdx:v000010EEd* odd_vfio_cdx\n"
				    "alias vfio_fsl_mc:v00001957ddpni odd_vfio_fsl_mc\n");
	const char *cdx = mock_device_add(m, "cdx", "/devices/cdx", "cdx-00:00", true);
	const char *mc = mock_device_add(m, "fsl-mc", "/devices/fsl", "dpni.1", true);

	mock_attr(m, cdx, "modalias", "cdx:v000010EEd00000001\n");
	ck_assert_str_eq(means(m, cdx), "odd_vfio_cdx odd_vfio_cdx");
	mock_attr(m, cdx, "modalias", "cdx:v000010EFd00000001\n");
	ck_assert_str_eq(means(m, cdx), "vfio-cdx vfio-cdx");
	mock_attr(m, mc, "modalias", "fsl-mc:v00001957ddpni\n");
	ck_assert_str_eq(means(m, mc), "odd_vfio_fsl_mc odd_vfio_fsl_mc");
	mock_attr(m, mc, "modalias", "fsl-mc:v00001957ddpio\n");
	ck_assert_str_eq(means(m, mc), "vfio-fsl-mc -");
	mock_free(m);
}
END_TEST

START_TEST(a_rules_own_module_goes_before_that_of_the_alias)
{
	struct mock *m = tree(PLAIN EXACT);

	(void)mock_policy(m, MOCK_ETC, "50-a.conf", "[device a]\nBus=pci\nDriver=vfio\nModule=mine\n");
	ck_assert_str_eq(means(m, CARD), "exact_vfio_pci mine");
	mock_free(m);
}
END_TEST

SUITE_MAIN("vfio", 30, without_aliases_it_is_the_plain_one, without_their_list_it_is_not_known,
	   the_list_is_found_where_distributions_have_it,
	   the_alias_with_the_fewest_wildcards_wins_wherever_it_stands,
	   aliases_of_other_devices_and_buses_do_not_count, lines_that_are_cut_are_passed_over,
	   a_driver_that_is_registered_tells_its_own_name, built_in_variants_are_found,
	   other_buses_go_by_the_driver_that_is_there, buses_beside_pci_have_aliases_as_well,
	   a_rules_own_module_goes_before_that_of_the_alias)
