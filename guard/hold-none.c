/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No hold: takes the place of hold.c in a build without clang, bpftool or libbpf, and in tests and
 * benchmarks, which must not attach anything to the machine they run on. All functions are weak, so that
 * these can put their own in place of those that they need.
 */
#include "guard/hold.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define _weak_ __attribute__((weak))

_weak_ struct hold *hold_new(uint64_t limit_usec)
{
	static char nothing;

	(void)limit_usec;
	return (struct hold *)(void *)&nothing;
}

_weak_ struct hold *hold_free(struct hold *h)
{
	(void)h;
	return NULL;
}

_weak_ void hold_let_go(struct hold *h)
{
	(void)h;
}

_weak_ void hold_set_grace(struct hold *h, uint64_t grace_usec)
{
	(void)h;
	(void)grace_usec;
}

_weak_ void hold_set_limit(struct hold *h, uint64_t limit_usec)
{
	(void)h;
	(void)limit_usec;
}

_weak_ uint64_t hold_needed_usec(const struct hold *h)
{
	(void)h;
	return 0;
}

_weak_ const char *hold_why_not(const struct hold *h)
{
	(void)h;
	return "this build has no hold (meson option `hold`)";
}

_weak_ const char *hold_reservation(const struct hold *h)
{
	(void)h;
	return "";
}

_weak_ void hold_set_filter(struct hold *h, const struct hold_filter *filter)
{
	(void)h;
	(void)filter;
}

_weak_ void hold_suspend_filter(struct hold *h)
{
	(void)h;
}

_weak_ uint64_t hold_ticket(struct hold *h, const char *bus, const char *name)
{
	(void)h;
	(void)bus;
	(void)name;
	return 0;
}

_weak_ bool hold_release(struct hold *h, uint64_t ticket)
{
	(void)h;
	(void)ticket;
	return false;
}

_weak_ int hold_first_driver(struct hold *h, uint64_t ticket, char *driver, size_t size)
{
	(void)h;
	(void)ticket;
	(void)driver;
	(void)size;
	return -ENOENT;
}

_weak_ bool hold_siblings_wait(struct hold *h, const char *bus, const char *name)
{
	(void)h;
	(void)bus;
	(void)name;
	return false;
}

_weak_ bool hold_is_waiting(struct hold *h)
{
	(void)h;
	return false;
}

_weak_ void hold_release_all(struct hold *h)
{
	(void)h;
}

_weak_ int hold_outcome(struct hold *h, const char *bus, uint64_t ticket)
{
	(void)h;
	(void)bus;
	(void)ticket;
	return -ENOENT;
}

_weak_ void hold_disown(struct hold *h)
{
	(void)h;
}

_weak_ void hold_count(const struct hold *h, struct hold_counters *ret)
{
	(void)h;
	*ret = (struct hold_counters){};
}

_weak_ bool hold_has_given_up(const struct hold *h)
{
	(void)h;
	return false;
}

_weak_ bool hold_keeps_guard_out(const struct hold *h)
{
	(void)h;
	return false;
}

_weak_ bool hold_is_frozen(const struct hold *h)
{
	(void)h;
	return false;
}

_weak_ bool hold_first_expiry(const struct hold *h, struct hold_expiry *ret)
{
	(void)h;
	(void)ret;
	return false;
}

_weak_ int hold_show_guard(struct hold *h, char *text, size_t size)
{
	(void)h;
	(void)text;
	(void)size;
	return -ENOENT;
}

_weak_ void hold_rearm(struct hold *h)
{
	(void)h;
}

_weak_ struct hold_late *hold_late_new(struct hold *h)
{
	(void)h;
	return NULL;
}

_weak_ int hold_late_wait(struct hold_late *late, struct hold_late_device *ret)
{
	(void)late;
	(void)ret;
	return -ENOENT;
}
