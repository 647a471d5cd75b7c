/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What matters about the members of an IOMMU group; see group-facts.h. */
#include "cli/group-facts.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/iommu.h"
#include "sysfs/pci.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const member_fact_keys[MEMBER_FACTS] = {
	[MEMBER_CLASS] = "class",
	[MEMBER_RESET] = "reset",
	[MEMBER_LINK_SPEED] = "link_speed",
	[MEMBER_LINK_WIDTH] = "link_width",
	[MEMBER_MAX_LINK_SPEED] = "max_link_speed",
	[MEMBER_MAX_LINK_WIDTH] = "max_link_width",
	[MEMBER_NUMA_NODE] = "numa_node",
	[MEMBER_VFIO_NODE] = "vfio_node",
	[MEMBER_ACS] = "acs",
};

const char *member_fact_key(enum member_fact fact)
{
	return member_fact_keys[fact];
}

static void member_read(const char *device, const char *attr, char *buf, size_t size)
{
	char path[PATH_MAX];

	if (path_join(path, sizeof(path), device, "/", attr, NULL) < 0 ||
	    read_first_line(path, buf, size) < 0)
		buf[0] = '\0';
}

/* The kernel shows the file only of a device that it can reset. */
static void member_read_reset(const char *device, char *buf, size_t size)
{
	char path[PATH_MAX];

	member_read(device, "reset_method", buf, size);
	if (buf[0] || path_join(path, sizeof(path), device, "/reset", NULL) < 0)
		return;
	/* With `reset` alone the kernel has a way and does not name it. */
	(void)snprintf(buf, size, "%s", access(path, F_OK) == 0 ? "" : "none");
}

/* "8.0 GT/s PCIe" without the last word; a device that sleeps, or that is in no slot, has "Unknown". */
static void member_read_speed(const char *device, const char *attr, char *buf, size_t size)
{
	char *end;

	member_read(device, attr, buf, size);
	if (startswith(buf, "Unknown"))
		buf[0] = '\0';
	end = strstr(buf, " PCIe");
	if (end)
		*end = '\0';
}

static void member_read_width(const char *device, const char *attr, char *buf, size_t size)
{
	member_read(device, attr, buf, size);
	/* 0: no link; 255: the device does not answer. */
	if (streq(buf, "0") || streq(buf, "255"))
		buf[0] = '\0';
}

/* The folder that a device's folder is in, if that is a PCI device: the port above it. */
static bool port_above(const char *devpath, char *buf, size_t size)
{
	struct pci_address address;
	const char *last;

	if (path_parent(devpath, buf, size) < 0)
		return false;
	last = path_last(buf);
	return pci_address_parse(last, strlen(last), &address);
}

/*
 * The kernel gives a device the group of the port above it unless all ports from there up are known to keep
 * what is below them apart (pci_device_group() in drivers/iommu/iommu.c). So the group tells, and the
 * capability, which only root can read, need not be asked.
 */
static void member_read_acs(const char *sysfs, const struct device_row *row, char *buf, size_t size)
{
	char parent[PATH_MAX], path[PATH_MAX], group[64];

	buf[0] = '\0';
	if (!streq(row->field[ROW_BUS], "pci") ||
	    !port_above(row->field[ROW_SYSPATH], parent, sizeof(parent)))
		return;
	if (path_join(path, sizeof(path), sysfs, parent, "/iommu_group", NULL) < 0 ||
	    read_link_name(path, group, sizeof(group)) < 0)
		(void)snprintf(buf, size, "unknown");
	else
		(void)snprintf(buf, size, "%s", streq(group, row->field[ROW_GROUP]) ? "no" : "yes");
}

void member_facts_read(const char *sysfs, const struct device_row *row, struct member_facts *ret)
{
	const size_t size = sizeof(ret->text[0]);
	char device[PATH_MAX], *class = ret->text[MEMBER_CLASS];

	*ret = (struct member_facts){};
	if (path_join(device, sizeof(device), sysfs, row->field[ROW_SYSPATH], NULL) < 0)
		return;
	member_read(device, "numa_node", ret->text[MEMBER_NUMA_NODE], size);
	if (ret->text[MEMBER_NUMA_NODE][0] == '-')
		ret->text[MEMBER_NUMA_NODE][0] = '\0';
	vfio_own_node_find(device, ret->text[MEMBER_VFIO_NODE], size);
	member_read_acs(sysfs, row, ret->text[MEMBER_ACS], size);
	if (!streq(row->field[ROW_BUS], "pci"))
		return;
	member_read(device, "class", class, size);
	if (startswith(class, "0x"))
		memmove(class, class + 2, strlen(class) - 1);
	member_read_reset(device, ret->text[MEMBER_RESET], size);
	member_read_speed(device, "current_link_speed", ret->text[MEMBER_LINK_SPEED], size);
	member_read_width(device, "current_link_width", ret->text[MEMBER_LINK_WIDTH], size);
	member_read_speed(device, "max_link_speed", ret->text[MEMBER_MAX_LINK_SPEED], size);
	member_read_width(device, "max_link_width", ret->text[MEMBER_MAX_LINK_WIDTH], size);
}

void member_link_text(const struct member_facts *facts, char *buf, size_t size)
{
	const char *speed = facts->text[MEMBER_LINK_SPEED], *width = facts->text[MEMBER_LINK_WIDTH],
		   *most = facts->text[MEMBER_MAX_LINK_WIDTH];

	buf[0] = '\0';
	if (!*speed || !*width)
		return;
	(void)snprintf(buf, size, "%s x%s", speed, width);
	if (text_to_number(most) > text_to_number(width))
		(void)snprintf(buf, size, "%s x%s of %s", speed, width, most);
}

void group_vfio_node(const char *sysfs, const char *group, char *buf, size_t size)
{
	/* The second is made for a group without an IOMMU behind it. */
	static const char *const prefixes[] = { "", "noiommu-" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
		if (path_join(path, sizeof(path), sysfs, "/class/vfio/", prefixes[i], group, NULL) >= 0 &&
		    access(path, F_OK) == 0 &&
		    path_join(buf, size, "/dev/vfio/", prefixes[i], group, NULL) >= 0)
			return;
	buf[0] = '\0';
}

/* "0000:03:00" of "0000:03:00.1": the slot. */
static size_t slot_length(const char *name)
{
	return strlen(name) - 2;
}

/* A member of the group that comes before members[i], and is in the same slot or below the same port. */
static bool has_earlier_sibling(const struct device_row *const *members, size_t i, bool same_slot)
{
	const char *path = members[i]->field[ROW_SYSPATH], *name = members[i]->field[ROW_NAME];
	const size_t parent = (size_t)(path_last(path) - path), slot = slot_length(name);

	for (size_t k = 0; k < i; k++) {
		const char *other = members[k]->field[ROW_SYSPATH], *sibling = members[k]->field[ROW_NAME];

		if (!streq(members[k]->field[ROW_BUS], "pci") || strncmp(other, path, parent) != 0 ||
		    strchr(other + parent, '/'))
			continue;
		if (!same_slot || (slot_length(sibling) == slot && strncmp(sibling, name, slot) == 0))
			return true;
	}
	return false;
}

static int group_add_reason(const char *sysfs, const struct device_row *const *members, size_t i,
			    struct arena *arena, struct strings *ret)
{
	const char *name = members[i]->field[ROW_NAME], *reason;
	struct pci_address address;
	char parent[PATH_MAX], acs[16];

	if (!streq(members[i]->field[ROW_BUS], "pci") || !pci_address_parse(name, strlen(name), &address))
		return 0;
	member_read_acs(sysfs, members[i], acs, sizeof(acs));
	if (streq(acs, "no")) {
		if (has_earlier_sibling(members, i, false) ||
		    !port_above(members[i]->field[ROW_SYSPATH], parent, sizeof(parent)))
			return 0;
		reason = arena_printf(arena,
				      "pci/%s does not keep what is below it apart: it, or a port above it, "
				      "has no ACS, or it leads to conventional PCI",
				      path_last(parent));
	} else {
		if (!has_earlier_sibling(members, i, true))
			return 0;
		reason = arena_printf(arena, "pci/%.*s does not keep its functions apart: they have no ACS",
				      (int)slot_length(name), name);
		for (size_t k = 0; reason && k < ret->n; k++)
			if (streq(ret->v[k], reason))
				return 0;
	}
	return reason ? strings_add(ret, reason) : -ENOMEM;
}

int group_reasons(const char *sysfs, const struct device_row *const *members, size_t n, struct arena *arena,
		  struct strings *ret)
{
	int r = 0;

	for (size_t i = 0; n > 1 && r >= 0 && i < n; i++)
		r = group_add_reason(sysfs, members, i, arena, ret);
	if (n > 1 && r >= 0 && ret->n == 0)
		r = strings_add(ret, "sysfs does not show why: unknown");
	return r;
}
