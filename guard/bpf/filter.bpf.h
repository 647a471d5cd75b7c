/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The filter: for which devices the kernel need not wait, because no rule can match them, nor any other
 * member of their IOMMU group. The guard compiles it from the policy (hold-filter.c).
 *
 * It is looked at when a device is about to be probed, and not when its ticket is issued: by then the device
 * is in its group, if it will be in one before a driver is looked for, and so are all functions of its slot.
 * What cannot be read may be matched, and so may what is not on PCI and shares a group: then the device
 * waits.
 *
 * The guard takes the filter out of force before it changes the policy, and puts the next one in force when
 * all of it is there, for tickets that are issued from then on. So a filter is never narrower than the policy
 * by which the guard decides about that ticket. A ticket that is subject to two filters is subject to none:
 * the second comes in force later than the ticket was issued.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "guard/bpf/hold-abi.h"
#include "guard/bpf/kernel-types.bpf.h"
#include "guard/bpf/ticket.bpf.h"

/* In a larger group every device waits. */
#define FILTER_MEMBERS_MAX 16
#define FILTER_PASSED 0x100 /* beside enum hold_bus_flags */

__u64 filter_from; /* the first ticket for which the filter is in force; 0: it is not */
__u64 filter_looks;

/* HOLD_FILTER_KEY()s: what devices have that a rule may match. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_FILTER_KEYS_MAX);
	__type(key, __u64);
	__type(value, __u8);
} filter_keys SEC(".maps");

/* The device that is about to be probed. */
struct filter_device {
	__u64 address;
	__u64 number; /* of its ticket */
	__u64 is_pci;
};

struct filter_walk {
	__u64 node, end; /* in the group's list of members */
	__u64 own;	 /* the device, which is a member, too */
	__u32 flags;	 /* of PCI; HOLD_EVERY: any other member counts */
	bool saw_own;
	bool is_over; /* all members were looked at: no rule can match one */
};

/* What stands before it has been read before, and what follows is read after: all processors keep to that at
 * a fetch and add, of whatever. */
static __always_inline bool filter_is_for(__u64 number)
{
	const __u64 looks = __sync_fetch_and_add(&filter_looks, 1);
	const __u64 from = *(volatile __u64 *)&filter_from;

	return from && number >= from && looks != ~0ULL;
}

static __always_inline bool filter_has(__u64 key)
{
	return bpf_map_lookup_elem(&filter_keys, &key) != NULL;
}

static __always_inline bool filter_has_name(const char *name, __u32 flags)
{
	return ((flags & HOLD_NAMES) && filter_has(hold_filter_name(name))) ||
	       ((flags & HOLD_HEADS) && filter_has(hold_filter_head(name)));
}

static __always_inline bool filter_has_class(__u32 class)
{
	return filter_has(HOLD_FILTER_CLASS(6, class)) || filter_has(HOLD_FILTER_CLASS(4, class >> 8)) ||
	       filter_has(HOLD_FILTER_CLASS(2, class >> 16));
}

/* device: the kernel's address of one on PCI. */
static __always_inline bool filter_has_pci(__u64 device, __u32 flags)
{
	const struct pci_dev___local *pci;
	__u16 vendor, id;

	if (!bpf_core_field_exists(((struct pci_dev___local *)NULL)->class)) /* this kernel has no PCI */
		return true;
	pci = (void *)(device - bpf_core_field_offset(struct pci_dev___local, dev));
	vendor = BPF_CORE_READ(pci, vendor);
	if (!vendor) /* it could not be read */
		return true;
	id = BPF_CORE_READ(pci, device);
	return ((flags & HOLD_IDS) && filter_has(HOLD_FILTER_ID(vendor, id))) ||
	       ((flags & HOLD_VENDORS) && filter_has(HOLD_FILTER_VENDOR(vendor))) ||
	       ((flags & HOLD_CLASSES) && filter_has_class(BPF_CORE_READ(pci, class)));
}

/* Whether a rule may match another member of the device's group. */
static __always_inline bool filter_has_member(__u64 address, __u32 flags)
{
	const struct device___local *device = (void *)address;
	char name[sizeof(((struct hold_key *)NULL)->name)] = {}, bus[5] = {};

	bpf_probe_read_kernel_str(bus, sizeof(bus), BPF_CORE_READ(device, bus, name));
	if (bus[0] != 'p' || bus[1] != 'c' || bus[2] != 'i' || bus[3] != '\0')
		return true;
	if (bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(device, kobj.name)) < 2)
		return true;
	return filter_has_name(name, flags) || filter_has_pci(address, flags);
}

/* Looks at one member of the group. 1: that was the last one that matters. Verified by itself, as hold_end().
 */
__noinline int filter_look_at_member(struct filter_walk *w)
{
	const struct group_device___local *member = NULL;
	__u64 device;

	if (!w || !bpf_core_field_exists(member->dev)) /* this kernel has no groups of that form */
		return 1;
	if (w->node == w->end) {
		w->is_over = true;
		return 1;
	}
	member = (void *)(w->node - bpf_core_field_offset(struct group_device___local, list));
	device = (__u64)BPF_CORE_READ(member, dev);
	if (device == w->own)
		w->saw_own = true;
	else if (!device || (w->flags & HOLD_EVERY) || filter_has_member(device, w->flags))
		return 1;
	w->node = (__u64)BPF_CORE_READ(member, list.next);
	return 0;
}

/* Called by bpf_loop(). 1 ends the loop. */
static long filter_step(__u32 i, struct filter_walk *w)
{
	(void)i;
	return filter_look_at_member(w) != 0;
}

/* Whether a rule may decide about the device through its group. */
static __always_inline bool filter_has_group(const struct filter_device *d, __u32 flags)
{
	const struct device___local *device = (void *)d->address;
	const struct iommu_group___local *group;
	struct filter_walk w = { .own = d->address, .flags = flags };

	if (!bpf_core_field_exists(device->iommu_group))
		return true;
	group = BPF_CORE_READ(device, iommu_group);
	if (!group)
		return false;
	if (!bpf_core_field_exists(group->devices))
		return true;
	/* Another bus's flags do not speak for PCI. */
	if (!d->is_pci)
		w.flags = HOLD_EVERY;
	w.end = (__u64)group + bpf_core_field_offset(struct iommu_group___local, devices);
	w.node = (__u64)BPF_CORE_READ(group, devices.next);
	bpf_loop(FILTER_MEMBERS_MAX + 1, filter_step, &w, 0);
	return !w.is_over || !w.saw_own;
}

/*
 * Whether no rule can match the device itself: the flags of its bus, with FILTER_PASSED; 0: one may. Verified
 * by itself, as hold_end(). This and the next are two functions, since the stack of all that call one another
 * is 512 bytes.
 */
__noinline int filter_passes(const struct hold_key *key, const struct filter_device *device)
{
	struct hold_bus bus;
	__u64 address;
	const __u8 *flags;

	if (!key || !device || !filter_is_for(device->number))
		return 0;
	address = device->is_pci ? device->address : 0;
	bus = key->bus;
	flags = bpf_map_lookup_elem(&buses, &bus);
	if (!flags || (*flags & HOLD_EVERY) || filter_has_name(key->name, *flags) ||
	    (address && filter_has_pci(address, *flags)))
		return 0;
	return *flags | FILTER_PASSED;
}

/* The same of its group. And it has been one filter all the time. */
__noinline int filter_passes_by_group(const struct filter_device *device, __u32 flags)
{
	struct filter_device d;

	if (!device)
		return 0;
	d = *device;
	if ((flags & HOLD_GROUPS) && filter_has_group(&d, flags))
		return 0;
	return filter_is_for(d.number);
}

/* Whether the kernel need not wait for the device. */
static __always_inline bool filter_spares(const struct hold_key *key, const struct filter_device *device)
{
	const int flags = filter_passes(key, device);

	return flags && filter_passes_by_group(device, flags);
}
