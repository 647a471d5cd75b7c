/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts of a device in a sysfs tree, in the form in which rules compare them; see device.h. */
#include "sysfs/facts.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/boot-devices.h"
#include "state/record.h"
#include "state/record-file.h"
#include "policy/vfio-driver.h"
#include "sysfs/device-cache.h"
#include "sysfs/iommu.h"
#include "sysfs/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fact_add_text(struct sysfs_device *d, struct values *values, const char *text)
{
	return device_add_value(&d->device, values, text, strlen(text));
}

/* A device may lack an attribute; whatever else goes wrong leaves the fact unknown. */
static int absence_is_no_error(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENODATA:
	case -ENOTDIR:
	case -EISDIR:
	case -EACCES: /* write-only attributes, which nobody can compare */
		return 0;
	default:
		return r;
	}
}

static int fact_add_attr(struct sysfs_device *d, struct values *values, const char *attr)
{
	char text[4096];
	int r = sysfs_device_read(d, attr, text, sizeof(text));

	return r < 0 ? absence_is_no_error(r) : fact_add_text(d, values, text);
}

/* Adds the values of a file, one a line: a device of the ACPI tree may have two modaliases. */
static int fact_add_lines(struct sysfs_device *d, struct values *values, const char *attr)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], text[4096];
	ssize_t size;
	int r = sysfs_device_path(d, attr, path, sizeof(path));

	if (r < 0)
		return r;
	sysfs_progress(d, "reading", attr);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return absence_is_no_error(negative_errno());
	size = read(fd, text, sizeof(text) - 1);
	if (size < 0)
		return absence_is_no_error(negative_errno());
	text[size] = '\0';
	for (const char *s = text; r >= 0 && *s; s += *s == '\n') {
		size_t n = strcspn(s, "\n");

		if (n > 0)
			r = device_add_value(&d->device, values, s, n);
		s += n;
	}
	return r;
}

static int fact_add_modalias(struct sysfs_device *d, struct values *values)
{
	int r;

	if (d->announced)
		return fact_add_text(d, values, d->announced);
	if (!streq(d->bus, "pci"))
		return fact_add_lines(d, values, "modalias");
	r = fact_add_attr(d, values, "modalias");
	if (r >= 0 && values->n > 0 && d->sysfs->cache)
		device_cache_add_modalias(d->sysfs->cache, d->inode, values->v[0].text);
	return r;
}

/* All folders above the device, nearest last: "/devices/pci0000:00/0000:00:1c.0/0000:03:00.0". */
static int fact_add_ancestors(struct sysfs_device *d, struct values *values)
{
	const char *s = d->devpath + strlen("/devices/");
	int r = 0;

	while (r >= 0 && s < d->name) {
		size_t n = strcspn(s, "/");

		r = device_add_value(&d->device, values, s, n);
		s += n + 1;
	}
	return r;
}

static int fact_add_path(struct sysfs_device *d, struct values *values)
{
	char path[PATH_MAX], devpath[PATH_MAX], pf[64], text[PATH_MAX + 16];
	unsigned number;
	int r;

	if (!streq(d->bus, "pci"))
		return 0;
	r = pci_physfn(d, pf, sizeof(pf), &number);
	if (r < 0) {
		r = pci_topology(d->devpath, path, sizeof(path));
		return r < 0 ? absence_is_no_error(r) : fact_add_text(d, values, path);
	}
	r = path_printf(devpath, sizeof(devpath), "%.*s%s", (int)(d->name - d->devpath), d->devpath, pf);
	if (r >= 0)
		r = pci_topology(devpath, path, sizeof(path));
	if (r < 0)
		return absence_is_no_error(r);
	(void)snprintf(text, sizeof(text), "%s/vf%u", path, number);
	return fact_add_text(d, values, text);
}

/* "sv00008086" of a modalias: the digits behind a mark, in lower case; *s is moved on. */
static bool modalias_take_digits(const char **s, const char *mark, size_t digits, char *to)
{
	for (; *mark; mark++, (*s)++)
		if (**s != *mark)
			return false;
	for (size_t i = 0; i < digits; i++, (*s)++) {
		if (hex_digit(**s) < 0)
			return false;
		to[i] = **s >= 'A' && **s <= 'F' ? (char)(**s + ('a' - 'A')) : **s;
	}
	to[digits] = '\0';
	return true;
}

/* "0x8086" to the digits behind, in lower case. */
static int attr_read_hex(struct sysfs_device *d, const char *attr, size_t digits, char *to)
{
	char text[32];
	const char *s = text;
	int r = sysfs_device_read(d, attr, text, sizeof(text));

	if (r < 0)
		return r;
	return modalias_take_digits(&s, "0x", digits, to) ? 0 : -ENODATA;
}

/* Identity and class the long way, for a PCI device that shows no modalias. */
static int fact_add_pci_id_from_attrs(struct sysfs_device *d, struct values *values, enum fact fact)
{
	char v[5], dev[5], sv[5], sd[5], class[7], text[32];
	int r;

	if (fact == FACT_CLASS) {
		r = attr_read_hex(d, "class", 6, class);
		return r < 0 ? absence_is_no_error(r) : fact_add_text(d, values, class);
	}
	r = attr_read_hex(d, "vendor", 4, v);
	if (r >= 0)
		r = attr_read_hex(d, "device", 4, dev);
	if (r >= 0)
		r = attr_read_hex(d, "subsystem_vendor", 4, sv);
	if (r >= 0)
		r = attr_read_hex(d, "subsystem_device", 4, sd);
	if (r < 0)
		return absence_is_no_error(r);
	(void)snprintf(text, sizeof(text), "%s:%s:%s:%s", v, dev, sv, sd);
	return fact_add_text(d, values, text);
}

/* Has the modalias been asked for or announced; NULL: there is none, or it is not known. */
static const char *device_modalias(struct sysfs_device *d)
{
	return !d->device.facts[FACT_MODALIAS].asked && d->announced ? d->announced
								     : device_text(&d->device, FACT_MODALIAS);
}

/*
 * The PCI modalias has identity and class in one read, and udev or the uevent bring it along. A question
 * for one answers both, and without printf(), which takes longer than all else here: the kernel may be
 * waiting.
 */
static int fact_add_pci_id(struct sysfs_device *d, struct values *values, enum fact fact)
{
	const enum fact other = fact == FACT_ID ? FACT_CLASS : FACT_ID;
	char v[9], dev[9], sv[9], sd[9], class[7], id[20], *at;
	const char *m;
	int r;

	if (!streq(d->bus, "pci"))
		return 0;
	m = device_modalias(d);
	if (!m)
		return d->device.facts[FACT_MODALIAS].r < 0 ? d->device.facts[FACT_MODALIAS].r
							    : fact_add_pci_id_from_attrs(d, values, fact);
	if (!modalias_take_digits(&m, "pci:v", 8, v) || !modalias_take_digits(&m, "d", 8, dev) ||
	    !modalias_take_digits(&m, "sv", 8, sv) || !modalias_take_digits(&m, "sd", 8, sd) ||
	    !modalias_take_digits(&m, "bc", 2, class) || !modalias_take_digits(&m, "sc", 2, class + 2) ||
	    !modalias_take_digits(&m, "i", 2, class + 4))
		return fact_add_pci_id_from_attrs(d, values, fact);
	at = mempcpy(id, v + 4, 4);
	*at++ = ':';
	at = mempcpy(at, dev + 4, 4);
	*at++ = ':';
	at = mempcpy(at, sv + 4, 4);
	*at++ = ':';
	(void)mempcpy(at, sd + 4, 5);
	r = fact_add_text(d, values, fact == FACT_ID ? id : class);
	if (r >= 0 && !d->device.facts[other].asked)
		r = sysfs_device_tell(d, other, other == FACT_ID ? id : class);
	return r;
}

static int fact_add_physfn(struct sysfs_device *d, struct values *values)
{
	char pf[64];
	unsigned number;
	int r = pci_physfn(d, pf, sizeof(pf), &number);

	return r < 0 ? absence_is_no_error(r) : fact_add_text(d, values, pf);
}

/* The device-tree node as its path: the link goes to /sys/firmware/devicetree/base/soc/…. */
static int fact_add_of_node(struct sysfs_device *d, struct values *values)
{
	static const char base[] = "devicetree/base";
	char path[PATH_MAX], target[PATH_MAX];
	const char *node;
	ssize_t n;

	if (sysfs_device_path(d, "of_node", path, sizeof(path)) < 0)
		return 0;
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return 0;
	target[n] = '\0';
	node = strstr(target, base);
	if (!node)
		return 0;
	node += strlen(base);
	return fact_add_text(d, values, *node ? node : "/");
}

/* NUL-separated strings. */
static int fact_add_compatible(struct sysfs_device *d, struct values *values)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], text[4096];
	ssize_t n;
	int r;

	r = sysfs_device_path(d, "of_node/compatible", path, sizeof(path));
	if (r < 0)
		return r;
	sysfs_progress(d, "reading", "of_node/compatible");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return absence_is_no_error(negative_errno());
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return negative_errno();
	text[n] = '\0';
	for (const char *s = text; r >= 0 && s < text + n; s += strlen(s) + 1)
		r = fact_add_text(d, values, s);
	return r;
}

/*
 * Attributes whose reading takes the device's lock, at least in some kernels: pci/iov.c, base/core.c,
 * base/dd.c. Those that no rule may name are not among them.
 */
static bool attr_takes_lock(const char *attr)
{
	static const char *const names[] = { "sriov_numvfs", "sriov_vf_total_msix", "uevent",
					     "online",	     "state_synced",	    "waiting_for_supplier" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(attr, names[i]))
			return true;
	return false;
}

static int sysfs_fact(struct device *device, enum fact fact, const char *attr, struct values *values)
{
	struct sysfs_device *d = to_sysfs_device(device);
	int r;

	if (d->unreadable && fact > FACT_ANCESTOR)
		return -EAGAIN;
	switch (fact) {
	case FACT_BUS:
		return fact_add_text(d, values, d->bus);
	case FACT_NAME:
		return fact_add_text(d, values, d->name);
	case FACT_ANCESTOR:
		return fact_add_ancestors(d, values);
	case FACT_PATH:
		return fact_add_path(d, values);
	case FACT_MODALIAS:
		return fact_add_modalias(d, values);
	case FACT_ID:
	case FACT_CLASS:
		return fact_add_pci_id(d, values, fact);
	case FACT_PHYSFN:
		return fact_add_physfn(d, values);
	case FACT_FIRMWARE:
		r = fact_add_attr(d, values, "firmware_node/path");
		return r < 0 ? r : fact_add_of_node(d, values);
	case FACT_COMPATIBLE:
		return fact_add_compatible(d, values);
	case FACT_ATTR:
		return d->sysfs->shuns_locks && attr_takes_lock(attr) ? -EAGAIN
								      : fact_add_attr(d, values, attr);
	case FACT_COUNT:
		break;
	}
	return -EINVAL;
}

static int sysfs_place(struct device *device, char *buf, size_t size)
{
	const struct sysfs_device *d = to_sysfs_device(device);
	int r;

	if (d->unreadable)
		return -EAGAIN;
	r = streq(d->bus, "pci") ? pci_topology(d->devpath, buf, size) : -ENODATA;
	if (r == -ENODATA) {
		buf[0] = '\0';
		r = 0;
	}
	return r;
}

static int sysfs_group(struct device *device, struct device ***ret_members, size_t *ret_n)
{
	struct sysfs_device *d = to_sysfs_device(device);

	if (!d->group_asked) {
		int r = sysfs_device_find_members(d);

		if (r == -ENOMEM)
			return r;
		d->group_asked = true;
	}
	if (d->n_members == 0)
		return -ENODATA;
	*ret_members = d->members;
	*ret_n = d->n_members;
	return 0;
}

static bool sysfs_group_may_come(struct device *device)
{
	return sysfs_device_iommu(to_sysfs_device(device)) == IOMMU_LATER;
}

/*
 * Bridges have a bus below them, or are of class 0600. Other devices of class 06 (ISA bridges, NVSwitch, NTB)
 * are endpoints. The kernel lets no device without a bus below it have class 0604 (pci_setup_device()), so
 * that no file need be looked for then. The others come before the uevent, with the device's attributes.
 */
static int sysfs_is_bridge(struct device *device)
{
	struct sysfs_device *d = to_sysfs_device(device);
	char path[PATH_MAX];
	struct values values;
	int r, has_class;

	if (!streq(d->bus, "pci"))
		return 0;
	if (d->unreadable)
		return -EAGAIN;
	has_class = device_fact(device, FACT_CLASS, NULL, &values);
	if (has_class >= 0 && values.n > 0 &&
	    (startswith(values.v[0].text, "0600") || startswith(values.v[0].text, "0604")))
		return 1;
	r = sysfs_device_path(d, "secondary_bus_number", path, sizeof(path));
	if (r < 0)
		return r;
	if (faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0)
		return 1;
	return errno == ENOENT ? has_class : negative_errno();
}

/* The inode of the device's folder, which sysfs_device_init() did not look at. */
static bool sysfs_device_know_inode(struct sysfs_device *d)
{
	return d->inode != 0 || sysfs_device_stat(d) >= 0;
}

static int sysfs_was_present(struct device *device)
{
	struct sysfs_device *d = to_sysfs_device(device);

	if (!d->sysfs->state_dir || !sysfs_device_know_inode(d))
		return -ENODATA;
	if (d->sysfs->lent_present)
		return boot_devices_find(d->sysfs->lent_present, d->inode);
	return boot_devices_has(&d->sysfs->present, d->sysfs->state_dir, d->inode);
}

/* A record that is missing, or broken, says nothing; one that cannot be read now may say something. */
static bool record_may_be_read_later(int r)
{
	return r == -ELOOP || r == -EIO || r == -ENFILE || r == -EMFILE || r == -ENOMEM;
}

static int sysfs_kept_rule(struct device *device, uint64_t *ret)
{
	struct sysfs_device *d = to_sysfs_device(device);
	struct record record;
	int r;

	*ret = 0;
	if (d->is_new || !d->sysfs->state_dir || !sysfs_device_know_inode(d))
		return 0;
	r = record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record);
	if (r < 0)
		return record_may_be_read_later(r) ? r : 0;
	if (!record.released && streq(record.cause, "group"))
		*ret = record.rule_id;
	return 0;
}

static int sysfs_vfio_driver(struct device *device, uint64_t rule_id, char buf[static DRIVER_NAME_MAX + 1])
{
	struct sysfs_device *d = to_sysfs_device(device);
	char driver[DRIVER_NAME_MAX + 1];
	struct record record;
	int r;

	if (d->sysfs->state_dir && sysfs_device_know_inode(d)) {
		r = record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record);
		if (r < 0 && record_may_be_read_later(r))
			return r;
		if (r >= 0 && record.rule_id == rule_id && driver_is_vfio(record.decision)) {
			text_copy(buf, DRIVER_NAME_MAX + 1, record.decision);
			return 1;
		}
	}
	if (sysfs_device_link(d, "driver", driver, sizeof(driver)) < 0 || !driver_is_vfio(driver))
		return 0;
	text_copy(buf, DRIVER_NAME_MAX + 1, driver);
	return 1;
}

const struct device_ops sysfs_device_ops = {
	.fact = sysfs_fact,
	.place = sysfs_place,
	.group = sysfs_group,
	.group_may_come = sysfs_group_may_come,
	.is_bridge = sysfs_is_bridge,
	.was_present = sysfs_was_present,
	.kept_rule = sysfs_kept_rule,
	.vfio_driver = sysfs_vfio_driver,
};
