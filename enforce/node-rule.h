/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The nodes below /dev that come with a VFIO or UIO driver, and what the policy says about them: who may open
 * them, and links that have the name of a rule. The number of an IOMMU group moves at each boot; these links
 * do not.
 *
 *   /dev/vfio/12             of a group: uevent of subsystem `vfio`
 *   /dev/vfio/devices/vfio0  of a device, for iommufd: `vfio-dev`
 *   /dev/uio0                `uio`; has no links
 */
#pragma once

#include "base/macro.h"
#include "policy/policy.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>

struct node_answer {
	char owner[128], group[128], mode[8]; /* "": nobody says */
	char links[4096];		      /* below /dev, with blanks between them; "": none */
	/*
	 * Something could not be read, or a policy file that may decide has no rules: what is missing here
	 * may be there all the same, and is not to be taken away. links has all of links_before then.
	 */
	bool unknown;
};

/*
 * Only devices count that have the driver that is decided for them. Where a rule has several devices, none of
 * their nodes has its bare label, and a node that still has it is announced again, that it may lose it.
 * links_before: the links that it has; NULL: none. 0; -ENODEV: it is no such node, or has gone; -ENOMEM.
 */
_must_check_ int node_describe(const struct policy *policy, struct sysfs *sysfs, const char *subsystem,
			       const char *devpath, const char *links_before, struct node_answer *ret);

/*
 * A device was bound or unbound: has the node of its group announced again where other members keep it, which
 * has no event of its own.
 */
void node_announce_of_group(struct sysfs_device *d);
