/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties for programs: the VFIO node, the identity, what has changed and how often it is signalled. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define DEVICE "org.driveroverrides1.Device"
#define MANY 400U

static uint64_t number_of(struct harness *h, const char *name, const char *which)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(freep) char *path = NULL;
	uint64_t n = 0;

	ck_assert_int_ge(sd_bus_path_encode_many(&path, ROOT_PATH "/device/%/%", "pci", name), 0);
	ck_assert_int_ge(sd_bus_get_property_trivial(h->bus, "org.driveroverrides1", path, DEVICE, which,
						     &error, 't', &n),
			 0);
	return n;
}

static uint64_t generation(struct harness *h, const char *which)
{
	return strtoull(manager_property(h, which, "t"), NULL, 10);
}

START_TEST(the_node_is_the_one_that_vfio_opens)
{
	struct harness *h = harness_new();
	const char *class, *own;

	h->read_timeout = "60000";
	three_devices(h);
	class = mock_printf(h->m, "%s/class/vfio", h->m->sysfs);
	make_dirs(mock_printf(h->m, "%s/5", class));
	service_start(h);
	/* With the host's driver there is none, although another member may have made one for the group. */
	ck_assert_str_eq(property(h, "pci", CARD, "Node"), "");
	mock_unbind(h->m, PATH_OF(CARD));
	mock_bind(h->m, PATH_OF(CARD), "vfio-pci");
	tell(h, "bind", "pci", CARD);
	wait_property(h, "pci", CARD, "Node", "/dev/vfio/5");

	/* Where the kernel makes none for groups. */
	ck_assert_int_eq(rename(mock_printf(h->m, "%s/5", class), mock_printf(h->m, "%s/noiommu-5", class)),
			 0);
	tell(h, "change", "pci", CARD);
	wait_property(h, "pci", CARD, "Node", "/dev/vfio/noiommu-5");
	ck_assert_int_eq(rmdir(mock_printf(h->m, "%s/noiommu-5", class)), 0);
	own = mock_path(h->m, PATH_OF(CARD), "vfio-dev/vfio3");
	make_dirs(own);
	tell(h, "change", "pci", CARD);
	wait_property(h, "pci", CARD, "Node", "");
	make_file(mock_printf(h->m, "%s/dev", own), "511:3\n", 6);
	tell(h, "change", "pci", CARD);
	wait_property(h, "pci", CARD, "Node", "/dev/vfio/devices/vfio3");
	harness_free(h);
}
END_TEST

START_TEST(another_card_under_the_same_name_has_another_identity)
{
	struct harness *h = harness_new();
	const char *identity, *other, *modalias;
	struct stat st;

	h->read_timeout = "1000";
	three_devices(h);
	service_start(h);
	ck_assert_int_eq(stat(mock_path(h->m, PATH_OF(CARD), "."), &st), 0);
	identity = property(h, "pci", CARD, "Identity");
	modalias = mock_read(h->m, mock_path(h->m, PATH_OF(CARD), "modalias"));
	ck_assert_str_eq(identity, mock_printf(h->m, "%ju:%.*s", (uintmax_t)st.st_ino,
					       (int)strcspn(modalias, "\n"), modalias));
	/* A card that does not answer is the same card. */
	mock_attr_hangs(h->m, PATH_OF(CARD), "driver_override");
	tell(h, "change", "pci", CARD);
	wait_property(h, "pci", CARD, "State", "stuck");
	ck_assert_str_eq(property(h, "pci", CARD, "Identity"), identity);
	mock_attr_comes_back(h->m, PATH_OF(CARD), "driver_override", "(null)\n");
	wait_property(h, "pci", CARD, "State", "unmanaged");
	mock_remove(h->m, PATH_OF(CARD));
	/* Of the same model. */
	(void)mock_pci_add(h->m, CARD, NULL, 0x8086, 0x10d3, 0x020000);
	tell(h, "add", "pci", CARD);
	settle(h);
	other = property(h, "pci", CARD, "Identity");
	ck_assert_str_ne(other, identity);
	ck_assert_str_eq(strchr(other, ':'), strchr(identity, ':'));
	harness_free(h);
}
END_TEST

/* Signals of one kind, by device. */
struct told {
	unsigned n, most; /* of all; of one device */
	uint64_t changed; /* as the last one says */
	unsigned of[MANY];
	unsigned *n_when_decided; /* as many had come when DecidedGeneration did */
};

static unsigned *told_device(struct told *t, const char *path)
{
	unsigned bus, slot, function;

	if (!path ||
	    sscanf(path, ROOT_PATH "/device/pci/_30001_3a%2x_3a%2x_2e%1x", &bus, &slot, &function) != 3)
		return NULL;
	return &t->of[bus << 8 | slot << 3 | function];
}

static void told_count(struct told *t, unsigned *device)
{
	t->n++;
	if (++*device > t->most)
		t->most = *device;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct told *t = userdata;
	unsigned *device = told_device(t, sd_bus_message_get_path(m));
	const char *key = NULL, *kind = NULL;

	(void)error;
	if (!device)
		return 0;
	told_count(t, device);
	ck_assert_int_gt(sd_bus_message_skip(m, "s"), 0);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		ck_assert_int_gt(sd_bus_message_read(m, "s", &key), 0);
		ck_assert_int_gt(sd_bus_message_peek_type(m, NULL, &kind), 0);
		if (streq(key, "Changed"))
			ck_assert_int_gt(sd_bus_message_read(m, "v", "t", &t->changed), 0);
		else
			ck_assert_int_gt(sd_bus_message_skip(m, "v"), 0);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	return 0;
}

static int on_decided(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *path = NULL;
	unsigned *device;

	(void)error;
	ck_assert_int_gt(sd_bus_message_read(m, "o", &path), 0);
	device = told_device(userdata, path);
	if (device)
		told_count(userdata, device);
	return 0;
}

/* Of the manager: DecidedGeneration comes alone. */
static int on_manager_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct told *t = userdata;
	const char *key = NULL;

	(void)error;
	ck_assert_int_gt(sd_bus_message_skip(m, "s"), 0);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'e', "sv"), 0);
	ck_assert_int_gt(sd_bus_message_read(m, "s", &key), 0);
	if (streq(key, "DecidedGeneration"))
		*t->n_when_decided = t->n;
	return 0;
}

static void listen(struct harness *h, struct told *changed, struct told *decided)
{
	ck_assert_int_ge(sd_bus_match_signal(h->bus, NULL, "org.driveroverrides1", NULL,
					     "org.freedesktop.DBus.Properties", "PropertiesChanged",
					     on_changed, changed),
			 0);
	ck_assert_int_ge(sd_bus_match_signal(h->bus, NULL, "org.driveroverrides1", ROOT_PATH, MANAGER,
					     "DeviceDecided", on_decided, decided),
			 0);
	ck_assert_int_ge(sd_bus_match_signal(h->bus, NULL, "org.driveroverrides1", ROOT_PATH,
					     "org.freedesktop.DBus.Properties", "PropertiesChanged",
					     on_manager_changed, changed),
			 0);
}

static void many_devices(struct harness *h)
{
	three_devices(h);
	for (unsigned i = 0; i < MANY; i++)
		(void)mock_pci_add(h->m, mock_printf(h->m, "0001:%02x:%02x.%x", i >> 8, i >> 3 & 31, i & 7),
				   NULL, 0x8086, i, 0x020000);
}

/* Nothing follows from the decision but that it is known. */
START_TEST(thousands_of_devices_that_change_cost_one_signal_each)
{
	static struct told changed, decided;
	static unsigned n_when_decided;
	struct harness *h = harness_new();
	uint64_t before;

	h->read_timeout = "60000";
	many_devices(h);
	changed.n_when_decided = &n_when_decided;
	service_start(h);
	before = generation(h, "Generation");
	ck_assert_uint_eq(generation(h, "DecidedGeneration"), before);
	listen(h, &changed, &decided);
	(void)mock_policy(h->m, MOCK_ETC, "50-many.conf", "[device many]\nName=0001:*\nDriver=default\n");
	for (uint64_t end = clock_usec() + PATIENCE_USEC; n_when_decided == 0;) {
		ck_assert_msg(clock_usec() < end, "DecidedGeneration is not signalled");
		if (sd_bus_process(h->bus, NULL) == 0)
			(void)sd_bus_wait(h->bus, 100000);
	}
	ck_assert_uint_eq(generation(h, "DecidedGeneration"), before + 1);
	ck_assert_uint_eq(n_when_decided, MANY);
	settle(h);
	ck_assert_uint_eq(changed.n, MANY);
	ck_assert_uint_eq(changed.most, 1);
	ck_assert_uint_eq(decided.n, MANY);
	ck_assert_uint_eq(decided.most, 1);
	harness_free(h);
}
END_TEST

static void override_rewrite(struct harness *h, const char *devpath, const char *text)
{
	int fd = open(mock_path(h->m, devpath, "driver_override"), O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	(void)close(fd);
}

START_TEST(a_client_can_tell_whether_it_has_missed_a_change)
{
	static struct told changed, decided;
	static unsigned n_when_decided;
	struct harness *h = harness_new();
	const char *name = "0001:00:00.0", *devpath;
	uint64_t before;

	h->read_timeout = "60000";
	three_devices(h);
	devpath = mock_pci_add(h->m, name, NULL, 0x8086, 0x10d3, 0x020000);
	mock_attr(h->m, devpath, "driver_override", "somebody-99\n");
	changed.n_when_decided = &n_when_decided;
	service_start(h);
	before = number_of(h, name, "Changed");
	listen(h, &changed, &decided);
	for (unsigned i = 0; i < 20; i++) {
		const char *text = mock_printf(h->m, "somebody-%02u", i);

		/* At once, as the kernel has it: a look must not find the file empty, which is a change, too.
		 */
		override_rewrite(h, devpath, text);
		tell(h, "change", "pci", name);
		wait_property(h, "pci", name, "Override", text);
	}
	settle(h);
	ck_assert_uint_eq(number_of(h, name, "Changed"), before + 20);
	ck_assert_uint_eq(changed.changed, before + 20);
	ck_assert_uint_ge(changed.n, 1);
	ck_assert_uint_le(changed.n, 20);
	/* A look that finds nothing new is no change. */
	tell(h, "change", "pci", name);
	settle(h);
	ck_assert_uint_eq(number_of(h, name, "Changed"), before + 20);
	harness_free(h);
}
END_TEST

/* Signals wait a moment, and the device may be another one by then. */
START_TEST(a_device_that_goes_before_it_was_told_is_told_in_order)
{
	struct harness *h = harness_new();
	struct signals added, removed;

	h->read_timeout = "60000";
	three_devices(h);
	service_start(h);
	listen_for(h, &added, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded");
	listen_for(h, &removed, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved");
	for (unsigned i = 0; i < 20; i++) {
		const char *devpath = mock_pci_add(h->m, "0001:00:00.0", NULL, 0x8086, 0x10d3, 0x020000);

		tell(h, "add", "pci", "0001:00:00.0");
		wait_property(h, "pci", "0001:00:00.0", "State", "unmanaged");
		mock_remove(h->m, devpath);
		tell(h, "remove", "pci", "0001:00:00.0");
		wait_property(h, "pci", "0001:00:00.0", "State", "!UnknownObject");
	}
	settle(h);
	ck_assert_uint_eq(added.n, removed.n);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-properties", 300, the_node_is_the_one_that_vfio_opens,
	   another_card_under_the_same_name_has_another_identity,
	   thousands_of_devices_that_change_cost_one_signal_each,
	   a_client_can_tell_whether_it_has_missed_a_change,
	   a_device_that_goes_before_it_was_told_is_told_in_order)
