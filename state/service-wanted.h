/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * STATE_DIR/service-wanted: the D-Bus service is wanted in this boot, for there are devices with a decision.
 * driver-overrided-wanted.path has systemd start the service each time that the file is written, and
 * driver-overrided-wanted.service when a target that has the service comes back. In rescue and emergency mode
 * neither is there, so that nothing is started for a device that comes then.
 */
#pragma once

/* Best effort: without it the service comes when somebody calls it on the bus. */
void service_want(const char *state_dir);
