/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who wrote a driver_override last. inotify (watch-override.h) does not tell that; fanotify tells the
 * process, and while that lives its name can be looked up. A driver or a kernel thread that sets an override
 * writes no file and is not seen. Nothing depends on any of this but the words of a log line.
 */
#pragma once

#include "daemon/service.h"

#include <stddef.h>

/* Of what is said of a writer, its end included. */
#define WATCH_WRITER_SIZE 160U

/* Without fanotify, which takes CAP_SYS_ADMIN, nobody's name is known; that is no error. */
int watch_writer_new(struct service *s);
void watch_writer_free(struct service *s);

/* Writers of this driver_override are noted from now on. */
void watch_writer_add(struct service *s, const char *path);

/* "driverctl (pid 412, driverctl@pci-0000:03:00.0.service)"; "": not known, or one of our own programs. */
void watch_writer_find(struct service *s, const struct device_entry *e, char *buf, size_t size);
