/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override image`: what goes into a boot image, and how it is remembered. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULE(label, match, action) "[device " label "]\n" match "\n" action "\n"

static const char *image_answer(struct mock *m, const char *what)
{
	struct enforcer_result r = enforcer_run(m, "image", what, NULL);

	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.err, "");
	return r.out;
}

START_TEST(files_are_those_that_count_without_the_ones_of_this_boot)
{
	struct mock *m = mock_new();

	mock_policy(m, MOCK_ETC, "50-b.conf", RULE("b", "Name=b", "Driver=none"));
	mock_policy(m, MOCK_USR, "50-b.conf", RULE("hidden", "Name=b", "Driver=vfio"));
	mock_policy(m, MOCK_USR, "10-a.conf", RULE("a", "Name=a", "Driver=none"));
	mock_policy(m, MOCK_USR, "60-masked.conf", RULE("m", "Name=m", "Driver=none"));
	mock_policy(m, MOCK_RUN, "00-command-line.conf", RULE("r", "Name=r", "Driver=none"));
	mock_policy(m, MOCK_RUN, "10-a.conf", RULE("r", "Name=r", "Driver=none"));
	mock_policy(m, MOCK_ETC, "README", "no policy");
	ck_assert_int_eq(symlink("/dev/null", mock_printf(m, "%s/60-masked.conf", m->conf[MOCK_ETC])), 0);
	ck_assert_str_eq(image_answer(m, "files"),
			 mock_printf(m, "%s/10-a.conf\n%s/50-b.conf\n%s/60-masked.conf\n", m->conf[MOCK_USR],
				     m->conf[MOCK_ETC], m->conf[MOCK_ETC]));
	mock_free(m);
}
END_TEST

/* An image is made from what is there, mistakes and all; whoever makes it is told. */
START_TEST(faulty_file_is_named_to_whoever_makes_the_image)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", "[device a]\nName=a\nDriver=\n");
	struct enforcer_result r = enforcer_run(m, "image", "files", NULL);

	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, mock_printf(m, "%s\n", path));
	ck_assert_ptr_nonnull(strstr(r.err, mock_printf(m, "%s:3: ", path)));
	ck_assert_ptr_nonnull(strstr(r.err, "boot image"));
	mock_free(m);
}
END_TEST

START_TEST(modules_are_named_once_and_in_order)
{
	struct mock *m = mock_new();

	mock_policy(m, MOCK_ETC, "10-a.conf",
		    RULE("a", "Name=0000:00:03.0", "Driver=pci-stub\nModule=pci_stub")
			    RULE("b", "Name=0000:00:04.0", "Driver=b-driver")
				    RULE("c", "Name=0000:00:05.0", "Driver=none")
					    RULE("d", "Name=0000:00:06.0", "Driver=default")
						    RULE("e", "Name=0000:00:07.0", "Driver=a\nModule=a.b"));
	ck_assert_str_eq(image_answer(m, "modules"), "a\nb_driver\npci_stub\n");
	mock_free(m);
}
END_TEST

START_TEST(no_policy_needs_nothing)
{
	struct mock *m = mock_new();

	ck_assert_str_eq(image_answer(m, "files"), "");
	ck_assert_str_eq(image_answer(m, "modules"), "");
	mock_free(m);
}
END_TEST

START_TEST(vfio_is_the_drivers_that_it_may_mean_and_what_they_need)
{
	struct mock *m = mock_new();

	mock_aliases(m, "/lib/modules",
		     "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
		     "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n"
		     "alias vfio_pci:v00008086d00004940sv*sd*bc*sc*i* qat_vfio_pci\n");
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Id=10de:1b80", "Driver=vfio"));
	ck_assert_str_eq(image_answer(m, "modules"), "vfio_iommu_type1\nvfio_pci\n");
	/* By the id of a device that is not there now. */
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Id=15b3:101e", "Driver=vfio"));
	ck_assert_str_eq(image_answer(m, "modules"), "mlx5_vfio_pci\nvfio_iommu_type1\nvfio_pci\n");
	/* By a device that is there. */
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Name=0000:00:03.0", "Driver=vfio"));
	ck_assert_str_eq(image_answer(m, "modules"), "vfio_iommu_type1\nvfio_pci\n");
	(void)mock_pci_add(m, "0000:00:03.0", NULL, 0x8086, 0x4940, 0x0b4000);
	ck_assert_str_eq(image_answer(m, "modules"), "qat_vfio_pci\nvfio_iommu_type1\nvfio_pci\n");
	/* Another bus has another driver. */
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Bus=platform\nName=x", "Driver=vfio"));
	ck_assert_str_eq(image_answer(m, "modules"), "vfio_iommu_type1\nvfio_platform\n");
	/* The companions' driver counts, too. */
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Id=10de:1b80", "Driver=none\nGroup=vfio"));
	ck_assert_str_eq(image_answer(m, "modules"), "vfio_iommu_type1\nvfio_pci\n");
	mock_free(m);
}
END_TEST

START_TEST(registered_driver_tells_its_module)
{
	struct mock *m = mock_new();

	mock_driver_add(m, "pci", "xhci_hcd");
	make_dirs(mock_printf(m, "%s/module/xhci_pci", m->sysfs));
	ck_assert_int_eq(symlink("../../../../module/xhci_pci",
				 mock_printf(m, "%s/bus/pci/drivers/xhci_hcd/module", m->sysfs)),
			 0);
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Class=0c03", "Driver=xhci_hcd"));
	ck_assert_str_eq(image_answer(m, "modules"), "xhci_pci\n");
	mock_free(m);
}
END_TEST

START_TEST(digest_is_of_names_and_texts_and_not_of_folders)
{
	struct mock *m = mock_new();
	const char *none = image_answer(m, "digest"), *a, *b;

	ck_assert_uint_eq(strlen(none), 17);
	ck_assert_uint_eq(strspn(none, "0123456789abcdef"), 16);
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Name=a", "Driver=none"));
	a = image_answer(m, "digest");
	ck_assert_str_ne(a, none);
	ck_assert_str_eq(image_answer(m, "digest"), a);

	/* The same files in another folder; what is hidden does not count, nor what is of this boot. */
	mock_policy(m, MOCK_USR, "10-a.conf", RULE("a", "Name=a", "Driver=vfio"));
	mock_policy(m, MOCK_RUN, "05-run.conf", RULE("r", "Name=r", "Driver=none"));
	ck_assert_str_eq(image_answer(m, "digest"), a);
	mock_policy(m, MOCK_USR, "10-a.conf", RULE("a", "Name=a", "Driver=none"));
	ck_assert_int_eq(unlink(mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC])), 0);
	ck_assert_str_eq(image_answer(m, "digest"), a);

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Name=b", "Driver=none"));
	b = image_answer(m, "digest");
	ck_assert_str_ne(b, a);
	ck_assert_int_eq(rename(mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC]),
				mock_printf(m, "%s/20-a.conf", m->conf[MOCK_ETC])),
			 0);
	ck_assert_str_ne(image_answer(m, "digest"), b);
	/* A mask is not the same as an empty file. */
	mock_policy(m, MOCK_ETC, "30-c.conf", "");
	a = image_answer(m, "digest");
	ck_assert_int_eq(unlink(mock_printf(m, "%s/30-c.conf", m->conf[MOCK_ETC])), 0);
	ck_assert_int_eq(symlink("/dev/null", mock_printf(m, "%s/30-c.conf", m->conf[MOCK_ETC])), 0);
	ck_assert_str_ne(image_answer(m, "digest"), a);
	mock_free(m);
}
END_TEST

START_TEST(note_has_the_digest_and_the_time)
{
	struct mock *m = mock_new();
	struct enforcer_result r;
	const char *text, *digest, *kept;

	make_dirs(mock_printf(m, "%s/var/lib", m->root));
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Name=a", "Driver=none"));
	digest = image_answer(m, "digest");
	r = enforcer_run(m, "image", "note", "6.1.0-50-amd64", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	text = mock_read(m, mock_printf(m, "%s/var/lib/driver-overrides/images/6.1.0-50-amd64", m->root));
	ck_assert_ptr_nonnull(startswith(text, mock_printf(m, "digest=%stime=", digest)));
	ck_assert_uint_gt(text_to_number(strstr(text, "time=") + 5), 1700000000);
	/* The policy itself is kept as long as an image has it. */
	kept = mock_printf(m, "%s/var/lib/driver-overrides/image-policies/%.16s/10-a.conf", m->root, digest);
	ck_assert_str_eq(mock_read(m, kept), RULE("a", "Name=a", "Driver=none"));
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Name=a", "Driver=vfio"));
	ck_assert_int_eq(enforcer_run(m, "image", "note", "6.1.0-51-amd64", NULL).status, 0);
	ck_assert_int_eq(access(kept, F_OK), 0);
	ck_assert_int_eq(enforcer_run(m, "image", "note", "6.1.0-50-amd64", NULL).status, 0);
	ck_assert_int_ne(access(kept, F_OK), 0);
	ck_assert_int_eq(enforcer_run(m, "image", "note", "../x", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "image", "note", ".x", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "image", "note", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "image", "digest", "x", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "image", "nonsense", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "image", NULL).status, 2);
	mock_free(m);
}
END_TEST

START_TEST(sweep_in_an_image_keeps_its_digest)
{
	struct mock *m = mock_new();
	const char *kept = mock_printf(m, "%s/image-digest", m->state);

	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_int_ne(access(kept, F_OK), 0);
	make_dirs(mock_printf(m, "%s/usr/lib/driver-overrides", m->root));
	make_file(mock_printf(m, "%s/usr/lib/driver-overrides/image-digest", m->root), "0123456789abcdef\n",
		  17);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_str_eq(mock_read(m, kept), "0123456789abcdef");
	mock_free(m);
}
END_TEST

/* A device whose attribute does not answer: the rules alone tell then. */
START_TEST(device_that_hangs_does_not_hold_up_the_image)
{
	struct mock *m = mock_new();
	const char *device = mock_pci_add(m, "0000:00:03.0", NULL, 0x8086, 0x4940, 0x0b4000);
	struct enforcer_result r;

	mock_attr(m, device, "label", "x\n");
	mock_attr_hangs(m, device, "label");
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "Bus=pci\nAttr.label=x", "Driver=b"));
	r = enforcer_run(m, "image", "modules", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "b\n");
	ck_assert_ptr_nonnull(strstr(r.err, "only the rules tell"));
	mock_free(m);
}
END_TEST

SUITE_MAIN("image", 60, files_are_those_that_count_without_the_ones_of_this_boot,
	   faulty_file_is_named_to_whoever_makes_the_image, modules_are_named_once_and_in_order,
	   no_policy_needs_nothing, vfio_is_the_drivers_that_it_may_mean_and_what_they_need,
	   registered_driver_tells_its_module, digest_is_of_names_and_texts_and_not_of_folders,
	   note_has_the_digest_and_the_time, sweep_in_an_image_keeps_its_digest,
	   device_that_hangs_does_not_hold_up_the_image)
