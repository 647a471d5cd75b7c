/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's own uevents, from netlink group 1: they come long before udev passes them on. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UEVENT_SIZE 8192 /* the kernel's buffer is 2048 (UEVENT_BUFFER_SIZE), with the header */

enum uevent_action {
	UEVENT_OTHER,
	UEVENT_ADD,
	UEVENT_REMOVE,
	UEVENT_BIND,
	UEVENT_UNBIND,
	UEVENT_MOVE,
};

/* One message; its strings point into the message. */
struct uevent {
	enum uevent_action action;
	const char *devpath;
	const char *subsystem; /* NULL: none */
	const char *modalias;  /* NULL: none */
	const char *driver;    /* with bind and unbind; NULL: none */
	uint64_t seqnum;       /* counts up over all events; 0: none given */
	bool synthetic;	       /* a program asked for it, by writing to the device's uevent file */
};

/*
 * A socket in the kernel's group: the one that systemd passed (LISTEN_FDS), else a new one. Its receive
 * buffer is large enough for a coldplug's storm. A descriptor, or negative errno.
 */
int uevent_open(void);

/*
 * Waits for a message, receives it into buf and parses it. 1: an event; 0: something else, or not from the
 * kernel; -EAGAIN: there is none (dont_wait); -ENOBUFS: messages were lost; other negative errno.
 */
int uevent_receive(int fd, char buf[static UEVENT_SIZE], struct uevent *ret, bool dont_wait);

/* The number of the kernel's latest event, under this sysfs root; 0: it cannot be read. */
uint64_t uevent_latest(const char *sysfs_root);

/* Parses a message of n bytes, in place. True: it is an event of a device or of a bus. */
bool uevent_parse(char *buf, size_t n, struct uevent *ret);
