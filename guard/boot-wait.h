/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The real root's guard while the boot goes on. The guard of the boot image still holds, and by the same
 * policy, so nobody has to wait for this one: it tells systemd so at once, and loads its programs when the
 * boot is over. Loading them, and taking the other's away, keeps a CPU busy for half a second in an emulated
 * machine, and udev would have to wait for it.
 */
#pragma once

#include "guard/guard.h"

/*
 * Returns when this guard is to load its programs: at once where no guard before it holds by the same policy,
 * or where the boot is over; else when the boot is over, lasts too long, or that guard has ended or does not
 * hold any more. What the kernel has announced until then is the other guard's to decide about. 1; 0: this
 * guard was told to end; negative errno.
 */
_must_check_ int guard_wait_for_boot(struct guard *g);
