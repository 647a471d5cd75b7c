/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PCI addresses, topological paths, virtual functions; see pci.h. */
#include "sysfs/pci.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool take_hex(const char **s, const char *end, unsigned least, unsigned most, char after,
		     unsigned *ret)
{
	unsigned v = 0, n = 0;

	for (; *s < end && hex_digit(**s) >= 0 && n <= most; (*s)++, n++)
		v = v * 16 + (unsigned)hex_digit(**s);
	if (n < least || n > most)
		return false;
	if (after) {
		if (*s >= end || **s != after)
			return false;
		(*s)++;
	} else if (*s != end)
		return false;
	*ret = v;
	return true;
}

bool pci_address_parse(const char *s, size_t n, struct pci_address *ret)
{
	const char *end = s + n;
	struct pci_address a;

	if (!take_hex(&s, end, 4, 8, ':', &a.domain) || !take_hex(&s, end, 2, 2, ':', &a.bus) ||
	    !take_hex(&s, end, 2, 2, '.', &a.device) || !take_hex(&s, end, 1, 1, '\0', &a.function) ||
	    a.device > 31 || a.function > 7)
		return false;
	*ret = a;
	return true;
}

/* "pci0000:00": a host bridge's folder. */
static bool is_host_bridge(const char *s, size_t n)
{
	const char *end = s + n;
	unsigned v;

	if (n < 3 || strncmp(s, "pci", 3) != 0)
		return false;
	s += 3;
	return take_hex(&s, end, 4, 8, ':', &v) && take_hex(&s, end, 2, 2, '\0', &v);
}

int pci_topology(const char *devpath, char *buf, size_t size)
{
	size_t used = 0;

	for (const char *s = devpath; *s;) {
		size_t n, part = 0;
		const char *from = NULL;
		struct pci_address a;

		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (is_host_bridge(s, n)) {
			/* One below another device (VMD) has a domain that is counted when it is probed. */
			from = used > 0 ? "pci*" : s;
			part = used > 0 ? strlen("pci*") : n;
		} else if (used > 0 && pci_address_parse(s, n, &a)) {
			from = s + n - 4; /* "dd.f" */
			part = 4;
		}
		if (from) {
			if (used + 1 + part + 1 > size)
				return -ENAMETOOLONG;
			if (used > 0)
				buf[used++] = '/';
			memcpy(buf + used, from, part);
			used += part;
		}
		s += n;
	}
	if (used == 0)
		return -ENODATA;
	buf[used] = '\0';
	return 0;
}

/* A function's folder: its path, or its name in its parent's folder, if that is open: it is a shorter way. */
struct function_folder {
	int parent; /* AT_FDCWD: path is a whole one */
	const char *path;
};

/* base 0: as the number says itself, 16: hexadecimal with or without 0x. */
static int read_number(const struct function_folder *folder, const char *attr, int base, unsigned *ret)
{
	char path[PATH_MAX], text[32];
	_cleanup_(closep) int fd = -EBADF;
	ssize_t n;

	if (path_join(path, sizeof(path), folder->path, "/", attr, NULL) < 0)
		return -ENAMETOOLONG;
	fd = openat(folder->parent, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? negative_errno() : -EIO;
	text[n] = '\0';
	*ret = (unsigned)strtoul(text, NULL, base);
	return 0;
}

static unsigned routing_id(const struct pci_address *a)
{
	return a->bus << 8 | a->device << 3 | a->function;
}

/* Whether the physical function whose folder this is has a function at that routing id; which one. */
static int vf_number(const struct function_folder *pf_folder, const struct pci_address *pf,
		     const struct pci_address *vf, unsigned *ret)
{
	const unsigned pf_rid = routing_id(pf), vf_rid = routing_id(vf);
	unsigned offset, stride, total, n;

	if (pf->domain != vf->domain || vf_rid <= pf_rid ||
	    read_number(pf_folder, "sriov_totalvfs", 0, &total) < 0 ||
	    read_number(pf_folder, "sriov_offset", 0, &offset) < 0 ||
	    read_number(pf_folder, "sriov_stride", 0, &stride) < 0)
		return -ENODATA;
	if (offset == 0 || vf_rid < pf_rid + offset)
		return -ENODATA;
	n = vf_rid - pf_rid - offset;
	if (stride > 0) {
		if (n % stride != 0)
			return -ENODATA;
		n /= stride;
	}
	if (n >= total)
		return -ENODATA;
	*ret = n;
	return 0;
}

/* The same from the `virtfnN` links, which come last of all but are there on every kernel. */
static int vf_number_by_link(const char *pf_path, const char *vf_name, unsigned *ret)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	const char *name;

	if (dir_open(&dir, pf_path) < 0)
		return -ENODATA;
	while ((name = dir_next(&dir))) {
		const char *number = startswith(name, "virtfn");
		char path[PATH_MAX], target[PATH_MAX];
		ssize_t n;

		if (!number || path_printf(path, sizeof(path), "%s/%s", pf_path, name) < 0)
			continue;
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strrchr(target, '/') && streq(strrchr(target, '/') + 1, vf_name)) {
			*ret = (unsigned)strtoul(number, NULL, 10);
			return 0;
		}
	}
	return -ENODATA;
}

/* A function of the same card has what the card says its virtual functions have. */
static bool id_fits(struct sysfs_device *d, const struct function_folder *pf_folder)
{
	const char *id = device_text(&d->device, FACT_ID); /* "8086:10d3:…" */
	char *end;
	unsigned long vendor, model;
	unsigned v;

	if (!id)
		return true;
	vendor = strtoul(id, &end, 16);
	model = *end ? strtoul(end + 1, NULL, 16) : 0;
	if (read_number(pf_folder, "vendor", 0, &v) == 0 && v != vendor)
		return false;
	/* Shown since Linux 4.15, as bare hex digits at first; a card without it is believed. */
	return read_number(pf_folder, "sriov_vf_device", 16, &v) < 0 || v == model;
}

/* Its number, when the link to its physical function is there: a folder beside its own. */
static int linked_physfn(const struct sysfs_device *d, const struct pci_address *vf, const char *parent,
			 char *name, size_t size, unsigned *ret_number)
{
	struct pci_address pf;
	char path[PATH_MAX];
	int r = sysfs_device_link(d, "physfn", name, size);

	if (r < 0)
		return r;
	if (!pci_address_parse(name, strlen(name), &pf) ||
	    path_join(path, sizeof(path), parent, "/", name, NULL) < 0)
		return -EINVAL;
	r = vf_number(&(struct function_folder){ .parent = AT_FDCWD, .path = path }, &pf, vf, ret_number);
	return r < 0 ? vf_number_by_link(path, d->name, ret_number) : 0;
}

int pci_physfn(struct sysfs_device *d, char *name, size_t size, unsigned *ret_number)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	struct function_folder folder;
	struct pci_address vf, pf;
	char parent[PATH_MAX];
	const char *sibling;
	bool looked = false;
	unsigned sriov;
	int r;

	if (!streq(d->bus, "pci") || !pci_address_parse(d->name, strlen(d->name), &vf) ||
	    path_join(parent, sizeof(parent), d->sysfs->root, d->devpath, NULL) < 0)
		return -ENODATA;
	*strrchr(parent, '/') = '\0';
	if (d->sysfs->settled)
		return linked_physfn(d, &vf, parent, name, size, ret_number) < 0 ? -ENODATA : 0;

	/* A virtual function is a child of its physical function's parent (virtfn->dev.parent), on whatever
	 * bus, and its routing id is the higher one. Where no sibling has a lower one, as in most slots, this
	 * one look settles it. */
	if (dir_open(&dir, parent) < 0)
		return -ENODATA;
	while ((sibling = dir_next(&dir))) {
		const size_t n = strlen(sibling);

		if (!pci_address_parse(sibling, n, &pf) || n >= size || pf.domain != vf.domain ||
		    routing_id(&pf) >= routing_id(&vf))
			continue;
		if (!looked) {
			looked = true;
			r = linked_physfn(d, &vf, parent, name, size, ret_number);
			if (r != -ENOENT)
				return r < 0 ? -ENODATA : 0;
			folder = (struct function_folder){ .parent = dir.fd, .path = d->name };
			if (read_number(&folder, "sriov_totalvfs", 0, &sriov) == 0)
				return -ENODATA; /* it has some of its own */
		}
		folder = (struct function_folder){ .parent = dir.fd, .path = sibling };
		if (vf_number(&folder, &pf, &vf, ret_number) == 0 && id_fits(d, &folder)) {
			memcpy(name, sibling, n + 1);
			return 0;
		}
	}
	return -ENODATA;
}

bool pci_share_slot(const struct sysfs_device *a, const struct sysfs_device *b)
{
	const char *dot = strrchr(a->name, '.');

	return dot && streq(a->bus, "pci") && streq(b->bus, "pci") &&
	       strncmp(a->name, b->name, (size_t)(dot - a->name) + 1) == 0;
}
