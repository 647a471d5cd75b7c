/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PCI devices of a libvirt domain, by its XML: hostdev elements, and interfaces of type hostdev; and
 * whether a network has some.
 */
#pragma once

#include "base/macro.h"
#include "policy/device.h"

#include <stdbool.h>
#include <stddef.h>

struct domain_device {
	char name[16]; /* "0000:03:00.0"; "": it is none, and why says so */
	/* That the domain names; "": whatever libvirt takes. One that is too long stays too long. */
	char driver[DRIVER_NAME_MAX + 2];
	char why[96];
	bool managed;
};

struct domain_devices {
	struct domain_device *v;
	size_t n, allocated;
};

/* Whether this program can read XML at all. */
bool domain_xml_is_supported(void);

/* Reads one file. 0, or negative errno and reterr_text says why. */
_must_check_ int domain_devices_read(struct domain_devices *devices, const char *path,
				     char reterr_text[static 256]);
void domain_devices_done(struct domain_devices *devices);
