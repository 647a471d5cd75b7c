/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * STATE_DIR/metrics, for programs that watch machines: states of devices, first probes and holds in the text
 * form of OpenMetrics, which Prometheus' node_exporter reads as well. driver-overrided(8) lists the metrics.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

int metrics_new(struct service *s);
/* Leaves a file that says that no service is running. */
void metrics_free(struct service *s);

/* The file is written soon, once for all that has changed by then. */
void metrics_changed(struct service *s);

extern const struct refresh_observer metrics_observer;
