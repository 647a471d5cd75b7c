/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The locks of the state directory: one for its files, one for the record of each device, one for each device
 * that is moved, and one for whatever writes policy. Each is a file of its own that only root may open.
 */
#pragma once

#include "base/macro.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Guard and enforcer write the same record, each what it knows: each reads and replaces it under this lock,
 * which is of one device, so that many can be moved side by side. It is held for as long as that takes on a
 * tmpfs, and never across anything for which a driver must answer. When another program holds it too long,
 * that is logged, and the caller goes on without it. A file descriptor to close, or negative errno.
 */
_must_check_ int record_lock_acquire(const char *state_dir, const char *bus, const char *name);

/* The same for a file of the state directory that is of no device. */
_must_check_ int state_lock_acquire(const char *state_dir);

/*
 * Locks a device against other moves until the file descriptor is closed, here and in every child. Waits
 * until `deadline` (now_usec()). A file descriptor; -ETIMEDOUT; other negative errno.
 */
_must_check_ int device_lock_acquire(const char *state_dir, const char *bus, const char *name,
				     uint64_t deadline);

/*
 * The file of that lock, STATE_DIR/rebind/BUS:NAME, both escaped. A process that moves a device holds
 * flock(2) of it, also when it was left behind in the kernel. It need not exist. 0 or -ENAMETOOLONG.
 */
_must_check_ int device_lock_path(const char *state_dir, const char *bus, const char *name, char *buf,
				  size_t size);

/*
 * The lock of the processes that write policy files, STATE_DIR/writer, until the file descriptor is closed,
 * here and in every child. Waits until `deadline` (now_usec()). A file descriptor; -ETIMEDOUT; other negative
 * errno.
 */
_must_check_ int writer_lock_acquire(const char *state_dir, uint64_t deadline);

/*
 * Says that a dry run is at work on the device, until the file descriptor is closed, here and in every child.
 * Dry runs do not wait for each other, and nothing that moves the device waits for them. A file descriptor or
 * negative errno.
 */
_must_check_ int device_look_lock_acquire(const char *state_dir, const char *bus, const char *name);

/* The file of that lock, STATE_DIR/dry-run/BUS:NAME, which need not exist. 0 or -ENAMETOOLONG. */
_must_check_ int device_look_lock_path(const char *state_dir, const char *bus, const char *name, char *buf,
				       size_t size);
