/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One PCI device, 0000:00:03.0, on a mock tree with a policy, to apply decisions to. */
#pragma once

#include "apply.h"
#include "mock.h"

#include <sys/stat.h>

struct bench {
	struct mock *m;
	const char *device;
	struct policy *policy;
	struct outcome outcome;
	struct record record;
	struct stat watched;
	enum occasion occasion; /* from bench_new(): just added */
};

struct bench bench_new(const char *policy);
void bench_done(struct bench *b);
void new_policy(struct bench *b, const char *text);

/* Decides about the device and applies it, as a program started anew does; apply_to() about another one. */
void apply(struct bench *b);
void apply_to(struct bench *b, const char *devpath);

/* Remembers the override's file; whether it was written, be it with the same text, since then. */
void watch(struct bench *b);
bool was_written(struct bench *b);

/* What was written to the bus's drivers_probe. */
const char *probed(struct bench *b);
