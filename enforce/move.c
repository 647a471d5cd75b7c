/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves a device to the driver that was decided; see move.h. */
#include "enforce/move-parts.h"
#include "base/errno.h"
#include "base/text.h"
#include "enforce/apply-record.h"
#include "enforce/in-use.h"
#include "enforce/module.h"
#include "enforce/node-rule.h"
#include "sysfs/override-support.h"
#include "state/evaluate.h"
#include "sysfs/iommu.h"
#include "policy/vfio-driver.h"
#include "state/record.h"
#include "state/record-file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *move_error_to_string(enum move_error error)
{
	switch (error) {
	case MOVE_DONE:
		return "";
	case MOVE_NO_SUCH_DEVICE:
		return "NoSuchDevice";
	case MOVE_NOT_SUPPORTED:
		return "NotSupported";
	case MOVE_NO_SUCH_DRIVER:
		return "NoSuchDriver";
	case MOVE_IN_USE:
		return "InUse";
	case MOVE_STUCK:
		return "Stuck";
	case MOVE_INVALID:
		return "Invalid";
	case MOVE_POLICY_INVALID:
		return "PolicyInvalid";
	case MOVE_FOREIGN:
		return "Foreign";
	case MOVE_NOT_BEGUN:
		return "NotBegun";
	case MOVE_FAILED:
		return "Failed";
	}
	return "";
}

void move_result_set(struct move_result *m, enum device_state state, enum move_error error,
		     const char *format, ...)
{
	va_list ap;

	m->state = state;
	m->error = error;
	va_start(ap, format);
	(void)vsnprintf(m->reason, sizeof(m->reason), format, ap);
	va_end(ap);
	/* Mount points and the names of processes are anybody's; records and answers have a line each. */
	for (char *c = m->reason; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
}

void move_save_record(struct move *m)
{
	if (m->options->dry_run)
		return;
	if (m->releases_now && m->record.released) {
		m->releases = false; /* it has failed, so the device is not released */
		ignore_error(move_set_released(m));
	}
	/* What else was tried without success changes nothing for a device that was released. */
	if (!m->releases && !m->record.released)
		apply_record_state(m->decision, m->override, m->ret->state, m->ret->reason, m->ret->wait_for);
}

static struct device_observation move_observation(const struct move *m)
{
	return (struct device_observation){ .decision = m->decision,
					    .record = &m->record,
					    .driver = m->driver,
					    .override = m->override,
					    .kept_off = "" };
}

bool move_driver_is_wrong(const struct move *m)
{
	const struct device_observation before = move_observation(m);

	return observation_has_wrong_driver(&before);
}

static bool move_is_as_decided(const struct move *m)
{
	const struct device_observation before = move_observation(m);

	return observation_is_as_decided(&before);
}

/*
 * The kernel sets overrides to keep host drivers away from a virtual function of a device that belongs to a
 * guest (vfio_pci_bus_notifier(), vfio_fsl_mc_bus_notifier()), and to give a channel of rpmsg to the driver
 * that is part of the bus (rpmsg_ctrldev_register_device(), rpmsg_ns_register_device()). Those must never be
 * overwritten.
 */
static bool override_is_of_kernel(const struct move *m)
{
	char above[BOUND_MAX];

	if (streq(m->d->bus, "rpmsg"))
		return streq(m->override, "rpmsg_ctrl") || streq(m->override, "rpmsg_ns");
	if (!driver_is_vfio(m->override))
		return false;
	if (sysfs_device_link(m->d, "physfn/driver", above, sizeof(above)) >= 0 && driver_is_vfio(above))
		return true;
	return streq(m->d->bus, "fsl-mc") &&
	       sysfs_device_link(m->d, "../driver", above, sizeof(above)) >= 0 && driver_is_vfio(above);
}

/* Nothing is done, because the override is not ours. */
static void move_refuse_foreign(struct move *m)
{
	struct outcome outcome;

	if (!m->options->dry_run)
		apply_decision(m->decision, OCCASION_LATER, &outcome);
	move_result_set(m->ret, STATE_FOREIGN, MOVE_FOREIGN, "driver_override is %.100s, which %s",
			m->override, override_is_of_kernel(m) ? "the kernel has set" : "was not set by us");
}

/* Whether the decided driver is registered; loads its module if needed. Refuses where there is no such
 * driver. */
static bool move_find_driver_or_refuse(struct move *m)
{
	const struct decision *decision = m->decision;
	const struct driver_choice *choice =
		decision->cause == CAUSE_RULE ? &decision->rule->driver : &decision->rule->group_driver;
	const char *module = decision->module, *modalias;
	bool dry = m->options->dry_run;
	char why[MODULE_WHY_MAX];
	int r;

	if (driver_is_registered(m->d, decision->driver))
		return true;
	r = module_load(m->d, MODULE_BY_NAME, module ? module : decision->driver, dry, why);
	if (dry && r >= 0)
		return true; /* not known without loading it, so assume it */
	if (r >= 0 && choice->kind == DRIVER_VFIO && module && !decision->rule->module) {
		/* The driver's name is known only now; until here it was assumed to be the module's. */
		vfio_driver_of_module(m->d->sysfs->root, m->d->bus, module, m->chosen.driver);
		text_copy(m->ret->decision, sizeof(m->ret->decision), decision_text(decision));
	}
	if (driver_is_registered(m->d, decision->driver))
		return true;
	/* The module may have another name than its driver; then the device's own alias may name it. */
	modalias = module || dry ? NULL : device_text(&m->d->device, FACT_MODALIAS);
	if (modalias && module_load(m->d, MODULE_BY_ALIAS, modalias, false, NULL) >= 0 &&
	    driver_is_registered(m->d, decision->driver))
		return true;

	if (r < 0)
		move_result_set(m->ret, STATE_FAILED, MOVE_NO_SUCH_DRIVER,
				"there is no driver %s on bus %s, and module %s cannot be loaded: %.200s",
				decision->driver, m->d->bus, module ? module : decision->driver, why);
	else
		move_result_set(m->ret, STATE_FAILED, MOVE_NO_SUCH_DRIVER,
				"there is no driver %s on bus %s, not even with module %s loaded",
				decision->driver, m->d->bus, module ? module : decision->driver);
	move_save_record(m);
	return false;
}

static enum rebind move_rebind_mode(const struct move *m)
{
	const struct rule *rule = m->decision->rule;

	if (m->options->rebind != REBIND_UNSET)
		return m->options->rebind;
	if (!rule)
		return REBIND_SAFE;
	/* Nothing is unbound to hold a group. */
	return m->decision->cause == CAUSE_GROUP && rule->group == GROUP_HOLD ? REBIND_NO : rule->rebind;
}

/* The device stays bound. The override is written all the same, for when somebody else unbinds the device. */
static void move_stay_bound(struct move *m)
{
	struct outcome outcome = { .state = STATE_BLOCKED };

	if (!move_set_released_or_refuse(m))
		return;
	if (!m->options->dry_run && m->decision->rule)
		apply_decision_over(m->decision, m->foreign ? m->override : "", &outcome);
	m->ret->changed = m->options->dry_run ? !streq(m->override, m->decision->driver) : outcome.wrote;
	if (outcome.state == STATE_FAILED || outcome.state == STATE_FOREIGN) {
		move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "%s", outcome.reason);
		return;
	}
	move_result_set(m->ret, STATE_BLOCKED, MOVE_DONE, "stays with %s: %s", m->driver,
			m->options->rebind == REBIND_NO ? "nothing is to be unbound"
			: m->decision->rule && m->decision->rule->rebind == REBIND_NO
				? "Rebind=no"
				: "Group=hold unbinds nothing");
	if (!m->options->dry_run)
		apply_record_state(m->decision, outcome.wrote ? m->decision->driver : m->override,
				   m->ret->state, m->ret->reason, "");
}

/* Whether the device may be unbound. Refuses with Rebind=no, or where it is in use. */
static bool move_may_unbind_or_refuse(struct move *m)
{
	struct in_use_answer user;
	int r;

	switch (move_rebind_mode(m)) {
	case REBIND_NO:
		move_stay_bound(m);
		return false;
	case REBIND_FORCE:
		return true;
	case REBIND_SAFE:
	case REBIND_UNSET:
		break;
	}
	r = in_use_check(m->d, m->options->search, m->options->dry_run && m->options->look_only, &user);
	if (r == 0)
		r = move_check_slot(m, &user);
	if (r == 0)
		return true;
	if (r > 0) {
		move_result_set(m->ret, STATE_BLOCKED, MOVE_IN_USE, "in use: %.480s", user.reason);
		(void)strcpy(m->ret->wait_for, user.wait_for);
	} else
		move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "looking for what uses it: %s",
				strerror(-r));
	move_save_record(m);
	return false;
}

/* Unbinds the device. 0, or negative errno with nothing changed. */
static int move_unbind(struct move *m)
{
	char driver[BOUND_MAX];
	int r = device_unbind(m->d, m->driver);

	bound_driver(m->d, driver, sizeof(driver));
	if (!streq(driver, m->driver)) {
		m->ret->changed = true;
		return 0; /* somebody else may have been quicker, which is as good */
	}
	return r < 0 ? r : -EBUSY;
}

bool move_is_refused_for_group(const struct move *m, struct outcome *o)
{
	char driver[BOUND_MAX];

	bound_driver(m->d, driver, sizeof(driver));
	if (driver[0] || driver_leaves_dma(m->decision->driver) ||
	    !iommu_group_refuses(m->d, o->reason, sizeof(o->reason)))
		return false;
	o->state = STATE_HELD;
	return true;
}

/* Writes the override, and has the device probed. */
static void move_settle(struct move *m)
{
	const struct decision *decision = m->decision;
	struct outcome outcome;
	char driver[BOUND_MAX], hint[256] = "";
	int r;

	apply_decision_over(decision, m->foreign ? m->override : "", &outcome);
	m->ret->changed = m->ret->changed || outcome.wrote;
	bound_driver(m->d, driver, sizeof(driver));
	if (decision->kind == DECISION_DEFAULT && outcome.state == STATE_ENFORCED && !driver[0] &&
	    !outcome.wrote && device_probe(m->d) < 0 && move_is_refused_for_group(m, &outcome))
		apply_record_state(decision, "", outcome.state, outcome.reason, "");
	if (decision->kind == DECISION_DRIVER && (outcome.state == STATE_PENDING || outcome.not_bound) &&
	    !driver[0]) {
		/* drivers_probe does not say why it failed; bind does. */
		r = device_bind(m->d, decision->driver);
		bound_driver(m->d, driver, sizeof(driver));
		if (driver[0])
			apply_decision(decision, OCCASION_LATER, &outcome);
		else if (r == -EBUSY && move_is_refused_for_group(m, &outcome))
			apply_record_state(decision, decision->driver, outcome.state, outcome.reason, "");
		else if (r < 0 && r != -ENOENT) {
			/* No match has the same error as a driver that does not know the device. */
			if (r == -ENODEV)
				override_support_hint(m->d->sysfs->root, decision->driver, hint,
						      sizeof(hint));
			(void)snprintf(outcome.reason, sizeof(outcome.reason), "probing by %s: %s%s%s",
				       decision->driver, strerror(-r), hint[0] ? "; " : "", hint);
			outcome_add_iommu(decision, &outcome);
		}
	}
	/* A device that had no driver is no worse off than before: it gets one when its group is free. */
	if (outcome.state == state_as_decided(decision) || (outcome.state == STATE_HELD && !m->driver[0])) {
		move_result_set(m->ret, outcome.state, MOVE_DONE, "%s", outcome.reason);
		return;
	}
	move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "%s", outcome.reason);
	/* A quarantine holds, also where it cannot be recorded. */
	if (!outcome.unrecorded || decision->kind != DECISION_NONE)
		move_roll_back(m);
}

static void move_execute(struct move *m)
{
	const char *modalias;
	int r;

	if (!move_set_released_or_refuse(m))
		return;
	/* The device's own driver may never have been loaded. That it has none is fine, too. */
	if (m->decision->kind == DECISION_DEFAULT || decision_is_nothing(m->decision)) {
		modalias = device_text(&m->d->device, FACT_MODALIAS);
		if (modalias)
			(void)module_load(m->d, MODULE_BY_ALIAS, modalias, false, NULL);
	}
	r = move_driver_is_wrong(m) ? move_unbind(m) : 0;
	if (r < 0) {
		move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "unbinding from %s: %s", m->driver,
				strerror(-r));
		move_save_record(m);
		return;
	}
	r = m->unrecorded ? apply_take_over(m->d, m->override) : 0;
	if (r < 0) {
		move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "recording that the override is ours: %s",
				strerror(-r));
		move_roll_back(m);
		return;
	}
	if (decision_is_nothing(m->decision))
		move_give_back(m);
	else
		move_settle(m);
}

/* What move_execute() would do, in words. */
static void move_describe(struct move *m)
{
	const char *want = m->decision->driver;
	char text[256] = "";

	m->ret->changed = true;
	if (move_driver_is_wrong(m))
		(void)snprintf(text, sizeof(text), "unbind it from %.60s, ", m->driver);
	move_result_set(m->ret,
			decision_is_nothing(m->decision) ? STATE_UNMANAGED : state_as_decided(m->decision),
			MOVE_DONE, "would %s%s%s%s", text,
			streq(m->override, want) ? "leave driver_override"
			: want[0]		 ? "write driver_override "
						 : "clear driver_override",
			streq(m->override, want) ? "" : want,
			m->decision->kind == DECISION_NONE || (m->driver[0] && !move_driver_is_wrong(m))
				? ""
				: ", have it probed");
}

/* Refuses where nothing is to be done, with that as the result. */
static bool move_is_due_or_refuse(struct move *m)
{
	const struct decision *decision = m->decision;
	struct outcome outcome = { .state = state_as_decided(decision) };
	bool cleared = false;

	if (decision->kind == DECISION_UNKNOWN) {
		char text[sizeof(outcome.reason)];

		decision_missing_text(decision, text, sizeof(text));
		move_result_set(m->ret, STATE_PENDING, MOVE_FAILED, "%s", text);
		return false;
	}
	if (decision_is_nothing(decision) && !m->ours && (m->override[0] || !move_driver_is_wrong(m)) &&
	    !(record_is_refused(&m->record) && !m->driver[0] && !m->override[0])) {
		move_leave_alone(m);
		return false;
	}
	if (!decision_is_nothing(decision) && move_is_as_decided(m)) {
		if (!move_set_released_or_refuse(m))
			return false;
		if (!m->options->dry_run) {
			cleared = decision->kind == DECISION_DEFAULT && apply_clear_null_text(m->d);
			if (cleared)
				(void)device_probe(m->d); /* that no driver takes it is as good */
			apply_decision(decision, OCCASION_LATER, &outcome);
			bound_driver(m->d, m->ret->driver, sizeof(m->ret->driver));
		}
		move_result_set(m->ret, outcome.state,
				outcome.state == state_as_decided(decision) ? MOVE_DONE : MOVE_FAILED, "%s",
				outcome.reason);
		m->ret->changed = outcome.wrote || cleared;
		return false;
	}
	if (m->options->only_if_changed && apply_was_enforced(decision)) {
		move_result_set(m->ret, STATE_PENDING, MOVE_DONE,
				"was as decided, and has been changed by others since");
		return false;
	}
	return true;
}

void move_device(const struct decision *decision, const struct move_options *options, struct move_result *ret)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	struct move m = { .chosen = *decision, .options = options, .d = d, .ret = ret };
	int r;

	m.decision = decision = &m.chosen;
	*ret = (struct move_result){ .state = STATE_UNMANAGED };
	text_copy(ret->decision, sizeof(ret->decision), decision_text(decision));
	bound_driver(d, m.driver_before, sizeof(m.driver_before));
	m.driver = m.driver_before;
	text_copy(ret->driver, sizeof(ret->driver), m.driver);
	r = sysfs_device_override(d, m.override_before);
	if (r < 0) {
		move_result_set(ret, STATE_FAILED, MOVE_FAILED, "reading driver_override: %s", strerror(-r));
		return;
	}
	m.override = m.override_before;
	text_copy(ret->override, sizeof(ret->override), m.override);
	if (d->sysfs->state_dir)
		/* Without a record nothing is known of the device. */
		ignore_error(record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &m.record));
	move_choose_release(&m);
	m.ours = apply_owns(d, &m.record, m.override);
	m.unrecorded = m.ours && !record_owns(&m.record, m.override);
	if (m.unrecorded)
		text_copy(m.record.owned_override, sizeof(m.record.owned_override), m.override);
	m.foreign = m.override[0] && !m.ours && !streq(m.override, decision->driver);

	if (!move_is_due_or_refuse(&m))
		return;
	if (m.foreign && (!options->overwrite || override_is_of_kernel(&m))) {
		move_refuse_foreign(&m);
		return;
	}
	if (decision->kind == DECISION_DRIVER && !move_find_driver_or_refuse(&m))
		return;
	if (move_driver_is_wrong(&m) && !move_may_unbind_or_refuse(&m))
		goto look;
	if (options->dry_run)
		move_describe(&m);
	else
		move_execute(&m);
look:
	bound_driver(d, ret->driver, sizeof(ret->driver));
	(void)sysfs_device_override(d, ret->override);
	/* udev asks about the new driver only where it knows the device as ours, which came to it with an
	 * `add`. */
	if (!streq(ret->driver, m.driver_before))
		node_announce_of_group(d);
}
