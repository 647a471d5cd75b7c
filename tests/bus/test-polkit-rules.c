/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The example rule for polkit with the real polkitd, which reads rules and actions from fixed folders: it
 * runs in a mount namespace of its own, where these are folders of the test. Skipped where there is no
 * polkitd.
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define POLKITD "/usr/lib/polkit-1/polkitd"

/* The text of a file of conf/ with the name of the example's user, slot and card replaced by those of the
 * test. */
static const char *conf_text(struct harness *h, const char *name)
{
	static const struct {
		const char *old, *new;
	} replaced[] = { { "alice", "nobody" },
			 { "0000:03:00.0", CARD },
			 { "v000010DEd00001B80", "v00008086d000010D3" } };
	const char *text = mock_read(h->m, mock_printf(h->m, "%s/%s", getenv("CONF_DIR"), name)), *at;

	for (size_t i = 0; i < ELEMENTSOF(replaced); i++)
		while ((at = strstr(text, replaced[i].old)))
			text = mock_printf(h->m, "%.*s%s%s", (int)(at - text), text, replaced[i].new,
					   at + strlen(replaced[i].old));
	return text;
}

static void copy_conf(struct harness *h, const char *name, const char *to)
{
	const char *text = conf_text(h, name);

	make_file(to, text, strlen(text));
}

static void mount_over(const char *from, const char *to)
{
	if (mount(from, to, NULL, MS_BIND, NULL) < 0) {
		perror(to);
		_exit(1);
	}
}

static void polkitd_run(const char *rules, const char *none, const char *actions)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		perror("mounts of its own (in a chroot, its folder must be a mount point)");
		_exit(1);
	}
	mount_over(rules, "/etc/polkit-1/rules.d");
	mount_over(none, "/usr/share/polkit-1/rules.d");
	mount_over(actions, "/usr/share/polkit-1/actions");
	execl(POLKITD, POLKITD, "--no-debug", NULL);
	perror(POLKITD);
	_exit(1);
}

static void polkitd_start(struct harness *h)
{
	const char *rules = mock_printf(h->m, "%s/rules", h->m->root);
	const char *none = mock_printf(h->m, "%s/no-rules", h->m->root);
	const char *actions = mock_printf(h->m, "%s/actions", h->m->root);

	make_dirs(rules);
	make_dirs(none);
	make_dirs(actions);
	copy_conf(h, "examples/50-driver-overrides-one-card.rules",
		  mock_printf(h->m, "%s/50-driver-overrides-one-card.rules", rules));
	copy_conf(h, "org.driveroverrides1.policy",
		  mock_printf(h->m, "%s/org.driveroverrides1.policy", actions));
	h->polkit = fork();
	ck_assert_int_ge(h->polkit, 0);
	if (h->polkit == 0)
		polkitd_run(rules, none, actions);
	WAIT_UNTIL(waitpid(h->polkit, NULL, WNOHANG) == 0 &&
		   sd_bus_call_method(h->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
				      "GetNameOwner", NULL, NULL, "s", "org.freedesktop.PolicyKit1") >= 0);
}

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_driver_add(h->m, "pci", "nouveau");
	polkitd_start(h);
	service_start(h);
	return h;
}

static const char *set_as(struct harness *h, sd_bus *user, const char *name, const char *driver)
{
	return outcome(
		h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci", name, driver, 0));
}

static const char *set_as_with(struct harness *h, sd_bus *user, const char *option, const char *type,
			       const char *value)
{
	if (streq(type, "s"))
		return outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci", CARD,
					  "vfio-pci", 1, option, type, value));
	return outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci", CARD,
				  "vfio-pci", 1, option, type, 1));
}

/* Without the rule polkit wants an administrator's password, which these calls do not allow. */
#define REFUSED "!InteractiveAuthorizationRequired"

START_TEST(example_rule_allows_one_user_one_card_and_its_drivers)
{
	struct harness *h = begin();
	sd_bus *user = connect_as(h, SOMEBODY), *other = connect_as(h, 1);

	ck_assert_str_eq(set_as(h, user, CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(set_as(h, user, CARD, "nouveau"), "enforced");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Apply", "ssa{sv}", "pci", CARD, 0)),
			 "enforced");
	ck_assert_str_eq(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ClearOverride", "ssa{sv}", "pci", CARD, 0)),
		"unmanaged");
	ck_assert_str_eq(set_as_with(h, user, "runtime", "b", NULL), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);

	ck_assert_str_eq(set_as(h, user, CARD, "none"), REFUSED);
	ck_assert_str_eq(set_as(h, user, DISK, "vfio-pci"), REFUSED);
	ck_assert_str_eq(set_as(h, other, CARD, "vfio-pci"), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "group", "s", "none"), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "module", "s", "anything"), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "by", "s", "path"), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "by", "s", "id"), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "rebind", "s", "no"), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "rebind", "s", "force"), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "force", "b", NULL), REFUSED);
	ck_assert_str_eq(set_as_with(h, user, "any-device", "b", NULL), REFUSED);
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ApplyAll", "a{sv}", 0)), REFUSED);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	(void)sd_bus_flush_close_unref(other);
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

START_TEST(another_card_in_the_slot_is_not_the_one_of_the_rule)
{
	struct harness *h = begin();
	sd_bus *user = connect_as(h, SOMEBODY);

	mock_remove(h->m, PATH_OF(CARD));
	(void)mock_pci_add(h->m, CARD, NULL, 0x1000, 0x00e5, 0x010700);
	/* Whether udev has told of it or not. */
	ck_assert_str_eq(set_as(h, user, CARD, "vfio-pci"), REFUSED);
	tell(h, "add", "pci", CARD);
	wait_property(h, "pci", CARD, "Driver", "");
	ck_assert_str_eq(set_as(h, user, CARD, "vfio-pci"), REFUSED);
	/* Nor may the rule be written while the slot is empty. */
	mock_remove(h->m, PATH_OF(CARD));
	tell(h, "remove", "pci", CARD);
	settle(h);
	ck_assert_str_eq(set_as_with(h, user, "absent", "b", NULL), REFUSED);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

int main(void)
{
	static const TTest *tests[2];

	tests[0] = example_rule_allows_one_user_one_card_and_its_drivers;
	tests[1] = another_card_in_the_slot_is_not_the_one_of_the_rule;
	if (access(POLKITD, X_OK) < 0) {
		(void)fprintf(stderr, "%s: %s; tools/install-deps installs it\n", POLKITD, strerror(errno));
		return EXIT_FAILURE;
	}
	return suite_run("bus-polkit-rules", tests, ELEMENTSOF(tests), 120, false);
}
