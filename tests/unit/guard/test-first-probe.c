/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is claimed about a first probe, from what was seen of it. */
#include "guard/first-probe.h"
#include "state/record.h"
#include "state/record-file.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* What was seen of a device around its `add`, which has number 10. */
struct device_observation {
	bool stands, other, bound_before;
	bool held;		/* it had a ticket */
	bool raced;		/* a driver probed it before the hold had ended */
	bool passed_before;	/* the hold ended at the limit before the override was seen to stand */
	bool marked_by_another; /* another thread released it, and the hold ended, before that */
	bool twice;		/* a second thread came to it after the first */
	const char *bind;	/* the driver of the first `bind`; NULL: none was received */
	uint64_t bind_seqnum;	/* 11 unless told */
	bool bind_heard_first;	/* before the watch was added */
	const char *driver;	/* bound when the watch ends, and its event has not come yet */
	const char *prober;	/* the first driver that probed, as the hold has seen it */
};

static uint64_t first_bind_seqnum(const struct device_observation *seen)
{
	return seen->bind_seqnum ? seen->bind_seqnum : 11;
}

/* The hold and the watches of the device up to the end of its hold, and the second thread's. */
static void add_watches(struct first_probe_watches *f, struct hold *hold,
			const struct device_observation *seen, struct first_probe_observation *s)
{
	if (seen->marked_by_another)
		ck_assert(hold_release(hold, s->ticket));
	if (seen->passed_before || seen->marked_by_another)
		fake_hold_end(hold, s->ticket);
	s->stood_before_probe = hold_release(hold, s->ticket);
	if (seen->bind && seen->bind_heard_first)
		first_probe_watch_bind(f, s->devpath, seen->bind, first_bind_seqnum(seen));
	ck_assert_int_eq(first_probe_watch_add(f, s), 0);
	if (seen->raced)
		fake_hold_race(hold, s->ticket);
	if (s->ticket)
		fake_hold_end(hold, s->ticket);
	if (seen->prober)
		fake_hold_probe(hold, s->ticket, seen->prober);
	if (seen->twice) {
		struct first_probe_observation second = *s;

		second.ticket = 0;
		second.stood_before_probe = false;
		second.had_driver = true;
		second.seqnum = 20;
		ck_assert_int_eq(first_probe_watch_add(f, &second), 0);
	}
}

/* Checks what FirstProbe becomes for a device that was seen like that. */
static void check_claim(const struct device_observation *seen, const char *expected)
{
	struct mock *m = mock_new();
	const char *devpath = mock_pci_add(m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	struct sysfs_device *d;
	struct sysfs sysfs;
	struct hold *hold = hold_new(1000);
	struct first_probe_watches *f;
	struct record record;
	struct first_probe_observation s = { .bus = "pci",
					     .name = "0000:00:03.0",
					     .stands = seen->stands,
					     .had_other_driver = seen->other,
					     .had_driver = seen->bound_before,
					     .seqnum = 10 };
	uint64_t wait;

	sysfs_init(&sysfs, &m->settings);
	f = first_probe_watches_new(&sysfs, hold);
	ck_assert_int_eq(sysfs_device_new(&sysfs, devpath, "pci", &d), 0);
	s.ticket = seen->held ? fake_hold_issue(hold, "pci", "0000:00:03.0") : 0;
	s.devpath = d->devpath;
	s.inode = d->inode;
	(void)strcpy(s.record.decision, "vfio-pci");
	ck_assert_int_eq(record_write(m->settings.state_dir, sysfs_device_key(d), &s.record), 0);
	add_watches(f, hold, seen, &s);
	if (seen->bind && !seen->bind_heard_first)
		first_probe_watch_bind(f, d->devpath, seen->bind, first_bind_seqnum(seen));
	if (seen->driver)
		mock_bind(m, devpath, seen->driver);
	/* A late `remove` of its predecessor: this device is there, so it is not meant. */
	first_probe_watch_remove(f, d->devpath);
	while ((wait = first_probe_watches_settle(f)) > 0 && !first_probe_watches_told(f))
		(void)usleep((useconds_t)wait);
	ck_assert_int_eq(record_read(m->settings.state_dir, "pci", "0000:00:03.0", d->inode, &record), 0);
	ck_assert_str_eq(first_probe_to_string(record.first_probe), expected);
	first_probe_watches_free(f);
	hold_free(hold);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
	mock_free(m);
}

START_TEST(first_probe_is_what_was_seen)
{
	check_claim(&(struct device_observation){ .stands = true }, "won");
	check_claim(&(struct device_observation){ .stands = true, .bind = "vfio-pci" }, "won");
	check_claim(&(struct device_observation){ .stands = true, .bind = "e1000e" }, "lost");
	check_claim(&(struct device_observation){ .stands = true, .other = true }, "lost");
	check_claim(&(struct device_observation){ .stands = true, .bound_before = true }, "unknown");
	check_claim(&(struct device_observation){}, "unknown");
}
END_TEST

START_TEST(only_what_stood_before_the_hold_ended_is_guaranteed)
{
	check_claim(&(struct device_observation){ .held = true, .stands = true }, "guaranteed");
	check_claim(&(struct device_observation){ .held = true, .stands = true, .bound_before = true },
		    "guaranteed");
	check_claim(
		&(struct device_observation){
			.held = true, .stands = true, .bind = "vfio-pci", .twice = true },
		"guaranteed");
	check_claim(&(struct device_observation){ .held = true, .stands = true, .bind = "e1000e" }, "lost");
	check_claim(
		&(struct device_observation){ .held = true, .stands = true, .bind = "e1000e", .twice = true },
		"lost");
	check_claim(&(struct device_observation){ .held = true, .stands = true, .raced = true }, "unknown");
	check_claim(&(struct device_observation){ .held = true, .stands = true, .passed_before = true },
		    "won");
	check_claim(
		&(struct device_observation){
			.held = true, .stands = true, .passed_before = true, .bound_before = true },
		"unknown");
	check_claim(&(struct device_observation){ .held = true }, "unknown");
	check_claim(&(struct device_observation){ .held = true, .stands = true, .marked_by_another = true },
		    "won");
}
END_TEST

/* Nothing was bound, or the event of that has not come: the driver may have failed, and was there first all
 * the same. */
START_TEST(another_driver_that_probed_first_is_never_called_guaranteed)
{
	check_claim(&(struct device_observation){ .held = true, .stands = true, .prober = "vfio-pci" },
		    "guaranteed");
	check_claim(&(struct device_observation){ .held = true, .stands = true, .prober = "e1000e" }, "lost");
	check_claim(
		&(struct device_observation){
			.held = true, .stands = true, .raced = true, .prober = "e1000e" },
		"lost");
	/* The decided one came early, maybe before the override. */
	check_claim(
		&(struct device_observation){
			.held = true, .stands = true, .raced = true, .prober = "vfio-pci" },
		"unknown");
	check_claim(
		&(struct device_observation){
			.held = true, .stands = true, .passed_before = true, .prober = "e1000e" },
		"lost");
}
END_TEST

START_TEST(a_bind_that_another_thread_received_before_the_add_was_handled_counts)
{
	check_claim(
		&(struct device_observation){ .stands = true, .bind = "e1000e", .bind_heard_first = true },
		"lost");
	check_claim(
		&(struct device_observation){ .stands = true, .bind = "vfio-pci", .bind_heard_first = true },
		"won");
	/* The predecessor's, before this add. */
	check_claim(
		&(struct device_observation){
			.stands = true, .bind = "e1000e", .bind_heard_first = true, .bind_seqnum = 9 },
		"won");
	check_claim(&(struct device_observation){ .stands = true, .bind = "e1000e", .bind_seqnum = 9 },
		    "won");
}
END_TEST

START_TEST(a_driver_that_is_still_probing_was_first)
{
	check_claim(&(struct device_observation){ .stands = true, .driver = "e1000e" }, "lost");
	check_claim(&(struct device_observation){ .stands = true, .driver = "vfio-pci" }, "won");
}
END_TEST

/* A device that is watched, with a ticket that is marked. */
struct watched {
	struct mock *m;
	struct sysfs sysfs;
	struct hold *hold;
	struct first_probe_watches *f;
	const char *devpath;
	uint64_t ticket;
};

static void watched_new(struct watched *t)
{
	struct first_probe_observation s = {
		.bus = "pci", .name = "0000:00:03.0", .stands = true, .seqnum = 10
	};
	struct sysfs_device *d;

	*t = (struct watched){ .m = mock_new(), .hold = hold_new(1000) };
	t->devpath = mock_pci_add(t->m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	sysfs_init(&t->sysfs, &t->m->settings);
	t->f = first_probe_watches_new(&t->sysfs, t->hold);
	t->ticket = fake_hold_issue(t->hold, "pci", "0000:00:03.0");
	ck_assert_int_eq(sysfs_device_new(&t->sysfs, t->devpath, "pci", &d), 0);
	s.devpath = d->devpath;
	s.inode = d->inode;
	s.ticket = t->ticket;
	s.stood_before_probe = hold_release(t->hold, t->ticket);
	(void)strcpy(s.record.decision, "vfio-pci");
	ck_assert_int_eq(record_write(t->m->settings.state_dir, sysfs_device_key(d), &s.record), 0);
	ck_assert_int_eq(first_probe_watch_add(t->f, &s), 0);
	sysfs_device_free(d);
}

static void watched_done(struct watched *t)
{
	first_probe_watches_free(t->f);
	hold_free(t->hold);
	sysfs_done(&t->sysfs);
	mock_free(t->m);
}

START_TEST(nothing_is_claimed_before_the_hold_has_ended)
{
	struct first_probe_counters c;
	struct watched t;
	uint64_t wait;

	watched_new(&t);
	/* The first time that it is old enough, and some more. */
	for (int i = 0; i < 3; i++) {
		wait = first_probe_watches_settle(t.f);
		ck_assert_uint_gt(wait, 0);
		(void)usleep((useconds_t)wait);
	}
	first_probe_watches_count(t.f, &c);
	ck_assert_uint_eq(c.guaranteed + c.won + c.lost + c.unknown, 0);
	fake_hold_end(t.hold, t.ticket);
	while ((wait = first_probe_watches_settle(t.f)) > 0 && !first_probe_watches_told(t.f))
		(void)usleep((useconds_t)wait);
	first_probe_watches_count(t.f, &c);
	ck_assert_uint_eq(c.guaranteed, 1);
	watched_done(&t);
}
END_TEST

/* The record of the device that is watched, with this decision. */
static void watched_decide(struct watched *t, const char *decision)
{
	struct record record;
	struct sysfs_device *d;

	ck_assert_int_eq(sysfs_device_new(&t->sysfs, t->devpath, "pci", &d), 0);
	ck_assert_int_eq(record_read(t->m->settings.state_dir, "pci", "0000:00:03.0", d->inode, &record), 0);
	(void)strcpy(record.decision, decision);
	ck_assert_int_eq(record_write(t->m->settings.state_dir, sysfs_device_key(d), &record), 0);
	sysfs_device_free(d);
}

/*
 * A driver that matched a device before the mark may probe it only when FirstProbe was told. One that was
 * decided about anew meanwhile may have another driver.
 */
START_TEST(a_driver_that_probes_late_corrects_what_was_told)
{
	struct first_probe_counters c;
	struct watched late, anew;
	uint64_t wait;

	watched_new(&late);
	watched_new(&anew);
	fake_hold_end(late.hold, late.ticket);
	fake_hold_end(anew.hold, anew.ticket);
	while (!first_probe_watches_told(late.f) || !first_probe_watches_told(anew.f)) {
		ck_assert_uint_gt(first_probe_watches_settle(late.f), 0);
		ck_assert_uint_gt(first_probe_watches_settle(anew.f), 0);
		(void)usleep(10000);
	}
	first_probe_watches_count(late.f, &c);
	ck_assert_uint_eq(c.guaranteed, 1);
	fake_hold_probe(late.hold, late.ticket, "e1000e");
	fake_hold_probe(anew.hold, anew.ticket, "e1000e");
	watched_decide(&anew, "e1000e");
	while ((wait = first_probe_watches_settle(late.f)) > 0)
		(void)usleep((useconds_t)wait);
	while ((wait = first_probe_watches_settle(anew.f)) > 0)
		(void)usleep((useconds_t)wait);
	first_probe_watches_count(late.f, &c);
	ck_assert(c.guaranteed == 0 && c.lost == 1);
	first_probe_watches_count(anew.f, &c);
	ck_assert(c.guaranteed == 1 && c.lost == 0);
	watched_done(&late);
	watched_done(&anew);
}
END_TEST

/* What the hold and the record say by then is about the successor. */
START_TEST(nothing_is_claimed_about_a_device_that_has_gone)
{
	struct first_probe_counters c;
	struct watched t;
	uint64_t wait;

	watched_new(&t);
	fake_hold_end(t.hold, t.ticket);
	mock_remove(t.m, t.devpath);
	(void)mock_pci_add(t.m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	while ((wait = first_probe_watches_settle(t.f)) > 0)
		(void)usleep((useconds_t)wait);
	first_probe_watches_count(t.f, &c);
	ck_assert_uint_eq(c.guaranteed + c.won + c.lost + c.unknown, 0);
	watched_done(&t);
}
END_TEST

SUITE_MAIN_AT_ONCE("first-probe", 30, first_probe_is_what_was_seen,
		   another_driver_that_probed_first_is_never_called_guaranteed,
		   a_driver_that_probes_late_corrects_what_was_told,
		   only_what_stood_before_the_hold_ended_is_guaranteed,
		   a_bind_that_another_thread_received_before_the_add_was_handled_counts,
		   a_driver_that_is_still_probing_was_first, nothing_is_claimed_before_the_hold_has_ended,
		   nothing_is_claimed_about_a_device_that_has_gone)
