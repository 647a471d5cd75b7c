/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * STATE_DIR/boot-over, with the boot's id: the kernel's boot is complete (boot-complete.target), and what has
 * time until then may begin. It stays over a soft-reboot.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>

/* 0 or negative errno. */
_must_check_ int boot_over_note(const char *state_dir);

bool boot_is_over(const char *state_dir);
