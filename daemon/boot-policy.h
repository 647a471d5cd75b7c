/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the bus and the journal are told of the boot image's policy, and of a policy that has failed. */
#pragma once

#include "daemon/service.h"

/* Looks again; what is another than before is signalled and logged. */
void boot_policy_update(struct service *s);
