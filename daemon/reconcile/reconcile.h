/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that are not yet as decided are moved by their rule's Rebind=: those that were there before the
 * service, lost their first probe, or are decided otherwise by a changed policy. A device that was as decided
 * and has drifted away is left alone, and the enforcer records that; so is one for which the same rule has
 * been tried already.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

int reconciler_new(struct service *s);
void reconciler_free(struct service *s);

/* Considers each device that a look has found. */
extern const struct refresh_observer reconcile_observer;
