/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What in_use_check() and its parts answer. */
#pragma once

/* What uses the device, and which event may tell that this has ended. */
struct in_use_answer {
	char reason[512];   /* "/dev/sda1 is mounted on /mnt" */
	char wait_for[256]; /* "/dev/i2c-4": a close of this node; "mount"; "net"; "time": nothing tells */
};
