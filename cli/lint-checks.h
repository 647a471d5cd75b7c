/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checks of the lint, each in the file of its name. They add what they find to the run. */
#pragma once

#include "cli/lint-run.h"

void lint_driver_names(struct lint_run *run);
void lint_override_support(struct lint_run *run);
void lint_vfio_drivers(struct lint_run *run);
void lint_reach(struct lint_run *run);
void lint_groups(struct lint_run *run);
void lint_critical_devices(struct lint_run *run);
void lint_driverctl(struct lint_run *run);
void lint_null_overrides(struct lint_run *run);
void lint_access(struct lint_run *run);
void lint_boot(struct lint_run *run);
