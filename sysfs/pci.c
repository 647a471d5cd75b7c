/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PCI addresses, topological paths, virtual functions; see pci.h. */
#include "sysfs/pci.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/device-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
	uint64_t inode;		  /* 0: nobody asked */
	struct kept_physfn *kept; /* what is kept of the function; NULL: nothing */
};

static int function_open(const struct function_folder *folder, const char *attr)
{
	char path[PATH_MAX];
	int fd;

	if (path_join(path, sizeof(path), folder->path, "/", attr, NULL) < 0)
		return -ENAMETOOLONG;
	fd = openat(folder->parent, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? negative_errno() : fd;
}

/* base 0: as the number says itself, 16: hexadecimal with or without 0x. */
static int fd_read_number(int fd, int base, unsigned *ret)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return n < 0 ? negative_errno() : -EIO;
	text[n] = '\0';
	*ret = (unsigned)strtoul(text, NULL, base);
	return 0;
}

static int read_number(const struct function_folder *folder, const char *attr, int base, unsigned *ret)
{
	_cleanup_(closep) int fd = function_open(folder, attr);

	return fd < 0 ? fd : fd_read_number(fd, base, ret);
}

/* The files of a physical function stay open: the kernel says ENODEV when it has gone. */
static int read_physfn_number(const struct function_folder *folder, enum physfn_number which, unsigned *ret)
{
	static const char *const names[] = { [PHYSFN_TOTAL] = "sriov_totalvfs",
					     [PHYSFN_OFFSET] = "sriov_offset",
					     [PHYSFN_STRIDE] = "sriov_stride" };
	_cleanup_(closep) int fd = -EBADF;
	int r;

	if (folder->kept && folder->kept->fds[which] >= 0 &&
	    fd_read_number(folder->kept->fds[which], 0, ret) >= 0)
		return 0;
	fd = function_open(folder, names[which]);
	r = fd < 0 ? fd : fd_read_number(fd, 0, ret);
	if (r >= 0 && folder->kept) {
		closep(&folder->kept->fds[which]);
		folder->kept->fds[which] = TAKE_FD(fd);
	}
	return r;
}

/* The same for what stays as it is while the function is there. */
static int read_physfn_constant(const struct function_folder *folder, const char *attr, long *kept, int base,
				unsigned *ret)
{
	int r = 0;

	if (kept && *kept >= 0)
		*ret = (unsigned)*kept;
	else
		r = read_number(folder, attr, base, ret);
	if (kept && r >= 0)
		*kept = (long)*ret;
	return r;
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
	unsigned offset = 0, stride = 0, total = 0, n;

	if (pf->domain != vf->domain || vf_rid <= pf_rid ||
	    read_physfn_number(pf_folder, PHYSFN_TOTAL, &total) < 0 ||
	    read_physfn_number(pf_folder, PHYSFN_OFFSET, &offset) < 0 ||
	    read_physfn_number(pf_folder, PHYSFN_STRIDE, &stride) < 0)
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
	struct kept_physfn *kept = pf_folder->kept;
	const char *id = device_text(&d->device, FACT_ID); /* "8086:10d3:…" */
	char *end;
	unsigned long vendor, model;
	unsigned v;

	if (!id)
		return true;
	vendor = strtoul(id, &end, 16);
	model = *end ? strtoul(end + 1, NULL, 16) : 0;
	if (read_physfn_constant(pf_folder, "vendor", kept ? &kept->vendor : NULL, 0, &v) == 0 && v != vendor)
		return false;
	/* Shown since Linux 4.15, as bare hex digits at first; a card without it is believed. */
	return read_physfn_constant(pf_folder, "sriov_vf_device", kept ? &kept->vf_device : NULL, 16, &v) <
		       0 ||
	       v == model;
}

/* A look for the physical function of a device. */
struct physfn_search {
	struct sysfs_device *d;
	struct pci_address vf;
	const char *parent; /* the folder that both are in */
	bool looked;	    /* at the files of the device itself */
	char *name;
	size_t size;
	unsigned *ret_number;
};

/* Finds what is kept of a physical function that may be there. -ENOENT: it has gone. */
static int physfn_look_up(const struct physfn_search *s, struct function_folder *folder)
{
	struct stat st;

	if (!s->d->sysfs->cache || folder->parent == AT_FDCWD)
		return 0;
	if (fstatat(folder->parent, folder->path, &st, 0) < 0)
		return negative_errno();
	folder->inode = st.st_ino;
	folder->kept = device_cache_find_physfn(s->d->sysfs->cache, folder->inode);
	return 0;
}

/* It is the physical function of a device; the next device may have the same. */
static void physfn_keep(const struct physfn_search *s, const struct function_folder *folder)
{
	if (folder->inode && !folder->kept)
		device_cache_add_physfn(s->d->sysfs->cache, folder->inode, folder->parent, s->d->devpath,
					(size_t)(s->d->name - s->d->devpath), folder->path);
}

/* Its number, when a link has said which its physical function is: a folder beside its own. */
static int linked_physfn(const struct physfn_search *s, int parent)
{
	struct function_folder folder = { .parent = parent, .path = s->name };
	struct pci_address pf;
	char path[PATH_MAX];

	if (!pci_address_parse(s->name, strlen(s->name), &pf) ||
	    path_join(path, sizeof(path), s->parent, "/", s->name, NULL) < 0)
		return -EINVAL;
	if (parent == AT_FDCWD)
		folder.path = path;
	if (physfn_look_up(s, &folder) < 0 || vf_number(&folder, &pf, &s->vf, s->ret_number) < 0)
		return vf_number_by_link(path, s->d->name, s->ret_number);
	physfn_keep(s, &folder);
	return 0;
}

/* 1: its link says whose it is; 0: it may be a virtual function without one; -ENODATA: it is none. */
static int physfn_look_at_own(const struct physfn_search *s, int parent)
{
	const struct function_folder own = { .parent = parent, .path = s->d->name };
	char link[NAME_MAX + sizeof("/physfn")], target[PATH_MAX];
	unsigned ignored;
	int r;

	if (path_join(link, sizeof(link), s->d->name, "/physfn", NULL) < 0)
		return -ENODATA;
	r = read_link_at(parent, link, target, sizeof(target));
	if (r >= 0) {
		const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;

		if (strlen(name) >= s->size)
			return -ENODATA;
		(void)strcpy(s->name, name);
		return linked_physfn(s, parent) < 0 ? -ENODATA : 1;
	}
	if (r != -ENOENT && r != -EINVAL)
		return -ENODATA;
	/* Perhaps it has some of its own. */
	return read_number(&own, "sriov_totalvfs", 0, &ignored) == 0 ? -ENODATA : 0;
}

/* Whether the device is a function of this one beside it. 1; 0: no; -ENODATA: it is nobody's. */
static int physfn_try(struct physfn_search *s, int parent, const char *sibling)
{
	struct function_folder folder = { .parent = parent, .path = sibling };
	const size_t n = strlen(sibling);
	struct pci_address pf;
	int r;

	if (!pci_address_parse(sibling, n, &pf) || n >= s->size || pf.domain != s->vf.domain ||
	    routing_id(&pf) >= routing_id(&s->vf) || physfn_look_up(s, &folder) < 0)
		return 0;
	if (!s->looked) {
		s->looked = true;
		r = physfn_look_at_own(s, parent);
		if (r != 0)
			return r;
	}
	if (vf_number(&folder, &pf, &s->vf, s->ret_number) < 0 || !id_fits(s->d, &folder))
		return 0;
	memcpy(s->name, sibling, n + 1);
	physfn_keep(s, &folder);
	return 1;
}

/* The same with the physical functions of other devices in the same folder. */
static int physfn_try_kept(struct physfn_search *s, struct device_cache *cache)
{
	const size_t n = (size_t)(s->d->name - s->d->devpath);
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(cache->physfns) && r == 0; i++) {
		const struct kept_physfn *kept = &cache->physfns[i];

		if (kept->parent_fd >= 0 && strncmp(kept->parent, s->d->devpath, n) == 0 && !kept->parent[n])
			r = physfn_try(s, kept->parent_fd, kept->name);
	}
	return r;
}

int pci_physfn(struct sysfs_device *d, char *name, size_t size, unsigned *ret_number)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char parent[PATH_MAX];
	struct physfn_search s = {
		.d = d, .parent = parent, .name = name, .size = size, .ret_number = ret_number
	};
	const char *sibling;
	int r = 0;

	if (!streq(d->bus, "pci") || !pci_address_parse(d->name, strlen(d->name), &s.vf) ||
	    path_join(parent, sizeof(parent), d->sysfs->root, d->devpath, NULL) < 0)
		return -ENODATA;
	*strrchr(parent, '/') = '\0';
	if (d->sysfs->settled)
		return sysfs_device_link(d, "physfn", name, size) < 0 || linked_physfn(&s, AT_FDCWD) < 0
			       ? -ENODATA
			       : 0;

	/* A virtual function is a child of its physical function's parent (virtfn->dev.parent), on whatever
	 * bus, and its routing id is the higher one. Where no sibling has a lower one, as in most slots, this
	 * one look settles it. */
	if (d->sysfs->cache)
		r = physfn_try_kept(&s, d->sysfs->cache);
	if (r == 0 && dir_open(&dir, parent) >= 0)
		while (r == 0 && (sibling = dir_next(&dir)))
			r = physfn_try(&s, dir.fd, sibling);
	return r == 1 ? 0 : -ENODATA;
}

bool pci_share_slot(const struct sysfs_device *a, const struct sysfs_device *b)
{
	const char *dot = strrchr(a->name, '.');

	return dot && streq(a->bus, "pci") && streq(b->bus, "pci") &&
	       strncmp(a->name, b->name, (size_t)(dot - a->name) + 1) == 0;
}
