/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A kernel behind a mock tree, for tests that call the code in their own process: what is written to bind,
 * unbind and drivers_probe moves the `driver` link, as the real one does it, override and all.
 */
#pragma once

#include "mock.h"

/* From now on, for this tree; own_driver is the one that matches every device without an override. */
void kernel_start(struct mock *m, const char *own_driver);

/* Whether writes are the code's under test, or the test's own to files as such, as they are at first. */
void kernel_answers(bool answers);

/* A driver of the PCI bus; a device bound to it. */
void kernel_driver_add(struct mock *m, const char *driver);
void kernel_bind(struct mock *m, const char *devpath, const char *driver);

/* A write that fails, each time; 0: no more. "unbind nvme", "bind vfio-pci" (a probe by it as well),
 * "override vfio-pci".
 */
void kernel_refuses(const char *what, int error);

/* A driver that had matched the device before anything was written has it once the next probe is waited for.
 */
void kernel_has_matched(const char *driver);

/* All that was written since the start or the last call, in order: "unbind nvme, override vfio-pci, probe".
 */
const char *kernel_writes(struct mock *m);
