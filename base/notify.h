/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What systemd and a service tell each other, by hand: the guard locks its memory, of which libsystemd would
 * be a large part.
 */
#pragma once

#include "base/macro.h"

/* Sends one datagram of assignments, as sd_notify(3); without NOTIFY_SOCKET there is nobody to tell. */
void notify_systemd(const char *format, ...) _printf_(1, 2);

/*
 * The first socket that a socket unit passed, as sd_listen_fds(3), closed on exec and blocking: a file
 * descriptor; -ENOENT: none was passed to this process; -EINVAL: it is of another address family.
 */
_must_check_ int passed_socket(int family);
