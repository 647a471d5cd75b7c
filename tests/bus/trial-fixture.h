/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A change of the card that is on trial, with a systemd that has timers. */
#pragma once

#include "tests/bus/harness.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#define CARD_PATH PATH_OF(CARD)
#define CARD_FILE "10-set-pci-" CARD ".conf"
#define RUN_FILE "05-run-pci-" CARD ".conf"
#define SECOND UINT64_C(1000000)
/* So long that no test sees its end. */
#define LONG (3600U * SECOND)

/* three_devices(), systemd and a service. */
struct harness *trial_harness_new(void);

/* The outcome of SetOverride of the card with the option try. */
const char *try_on(struct harness *h, sd_bus *bus, const char *driver, uint64_t usec);
const char *try_driver(struct harness *h, const char *driver, uint64_t usec);
const char *confirm_on(struct harness *h, sd_bus *bus);

/* How many ListTrials has; *ret_usec: how long the last one lasts; NULL is fine. */
unsigned trials_listed(struct harness *h, uint64_t *ret_usec);
/* Also while only the device is left to go back. */
bool trial_file_is_there(struct harness *h);
unsigned lines_with(const char *text, const char *start);

/* No rule, no override, no trial. */
void assert_as_before_trial(struct harness *h);
