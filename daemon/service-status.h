/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The status line of `systemctl status`. */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

void service_tell_status(struct service *s);

/* Tells it after each look. */
extern const struct refresh_observer service_status_observer;
