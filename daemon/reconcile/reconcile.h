/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that are not yet as decided, moved there by their rule's Rebind=: what was there before the
 * service was, what lost its first probe, what a changed policy means to. A device that was as decided and
 * has drifted away is left alone; so is one for which the same rule has been tried already.
 */
#pragma once

#include "daemon/service.h"

int reconciler_new(struct service *s);
void reconciler_free(struct service *s);

/* A survey has just looked at this device. */
void reconcile_consider(struct service *s, struct device_entry *e, enum refresh_purpose trigger);
