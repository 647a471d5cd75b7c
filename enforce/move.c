/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves a device to the driver that was decided; see move.h. */
#include "move.h"
#include "inuse.h"
#include "log.h"
#include "module.h"
#include "store.h"

#include "../policy/vfio.h"

#include <stdarg.h>

/* A device on its way: what it was like before anything was done, and what is wanted. */
struct move {
	const struct decision *decision;
	const struct move_options *options;
	struct sysfs_device *d;
	struct moved *ret;
	struct record record;
	const char *driver;   /* bound before; "" if none */
	const char *override; /* before; "" if none */
	char driver_before[BOUND_MAX], override_before[OVERRIDE_MAX];
	bool ours;	 /* the override was */
	bool unrecorded; /* it was, but no record says so: the guard died over it */
	bool foreign;	 /* it was somebody else's, and not what is wanted */
};

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
	case MOVE_FAILED:
		return "Failed";
	}
	return "";
}

void moved_say(struct moved *m, enum state state, enum move_error error, const char *format, ...)
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

/* What was said is also what the record says; nothing has been done about the decision. */
static void note(struct move *m)
{
	if (!m->options->dry_run)
		apply_note(m->decision, m->override, m->ret->state, m->ret->reason);
}

static bool driver_is_wrong(const struct move *m)
{
	switch (m->decision->kind) {
	case DECISION_DRIVER:
		return m->driver[0] && !streq(m->driver, m->decision->driver);
	case DECISION_NONE:
		return m->driver[0];
	case DECISION_DEFAULT:
	case DECISION_NOTHING:
		return record_gave(&m->record, m->driver);
	case DECISION_UNKNOWN:
		break;
	}
	return false;
}

static bool is_as_decided(const struct move *m)
{
	if (driver_is_wrong(m) || !streq(m->override, m->decision->driver))
		return false;
	/* The kernel refused it its own driver, while its group was in use. */
	if (m->decision->kind == DECISION_DEFAULT && !m->driver[0] && streq(m->record.state, "held"))
		return false;
	return m->decision->kind != DECISION_DRIVER || m->driver[0];
}

/*
 * Set by the kernel to keep a virtual function of a device that belongs to a guest away from the host's
 * drivers (vfio_pci_bus_notifier(), vfio_fsl_mc_bus_notifier()): nobody is to overwrite that.
 */
static bool kernel_has_set_it(const struct move *m)
{
	char above[BOUND_MAX];

	if (!driver_is_vfio(m->override))
		return false;
	if (sysfs_device_link(m->d, "physfn/driver", above, sizeof(above)) >= 0 && driver_is_vfio(above))
		return true;
	return streq(m->d->bus, "fsl-mc") &&
	       sysfs_device_link(m->d, "../driver", above, sizeof(above)) >= 0 && driver_is_vfio(above);
}

/* Nothing is done, and this is why. */
static void refuse_foreign(struct move *m)
{
	struct outcome outcome;

	if (!m->options->dry_run)
		apply_decision(m->decision, OCCASION_LATER, &outcome);
	moved_say(m->ret, STATE_FOREIGN, MOVE_FOREIGN, "driver_override is %.100s, which %s", m->override,
		kernel_has_set_it(m) ? "the kernel has set" : "was not set by us");
}

/* The driver that was decided is there, or was brought by its module. */
static bool driver_exists(struct move *m)
{
	const struct decision *decision = m->decision;
	const char *module = decision->module, *modalias;
	bool dry = m->options->dry_run;
	char why[MODULE_WHY_MAX];
	int r;

	if (driver_is_registered(m->d, decision->driver))
		return true;
	r = module_load(m->d, MODULE_BY_NAME, module ? module : decision->driver, dry, why);
	if (dry && r >= 0)
		return true; /* as far as can be told without loading it */
	if (driver_is_registered(m->d, decision->driver))
		return true;
	/* The module has another name than its driver; then the device's own aliases may name it. */
	modalias = module || dry ? NULL : device_text(&m->d->device, FACT_MODALIAS);
	if (modalias && module_load(m->d, MODULE_BY_ALIAS, modalias, false, NULL) >= 0 &&
		driver_is_registered(m->d, decision->driver))
		return true;

	if (r < 0)
		moved_say(m->ret, STATE_FAILED, MOVE_NO_SUCH_DRIVER,
			"there is no driver %s on bus %s, and module %s cannot be loaded: %.200s",
			decision->driver, m->d->bus, module ? module : decision->driver, why);
	else
		moved_say(m->ret, STATE_FAILED, MOVE_NO_SUCH_DRIVER,
			"there is no driver %s on bus %s, not even with module %s loaded", decision->driver,
			m->d->bus, module ? module : decision->driver);
	note(m);
	return false;
}

static enum rebind rebind_mode(const struct move *m)
{
	const struct rule *rule = m->decision->rule;

	if (m->options->rebind != REBIND_UNSET)
		return m->options->rebind;
	if (!rule)
		return REBIND_SAFE;
	/* Nothing is unbound to hold a group. */
	return m->decision->cause == CAUSE_GROUP && rule->group == GROUP_HOLD ? REBIND_NO : rule->rebind;
}

/* It stays bound; the override is written all the same, for the day when somebody else unbinds the device. */
static void stay_bound(struct move *m)
{
	struct outcome outcome = { .state = STATE_BLOCKED };

	if (!m->options->dry_run && m->decision->rule) {
		if (m->foreign)
			(void)apply_take_over(m->d, m->override);
		apply_decision(m->decision, OCCASION_LATER, &outcome);
	}
	m->ret->changed = m->options->dry_run ? !streq(m->override, m->decision->driver) : outcome.wrote;
	if (outcome.state == STATE_FAILED || outcome.state == STATE_FOREIGN) {
		moved_say(m->ret, STATE_FAILED, MOVE_FAILED, "%s", outcome.reason);
		return;
	}
	moved_say(m->ret, STATE_BLOCKED, MOVE_DONE, "stays with %s: %s", m->driver,
		m->options->rebind == REBIND_NO				      ? "nothing is to be unbound"
		: m->decision->rule && m->decision->rule->rebind == REBIND_NO ? "Rebind=no"
									      : "Group=hold unbinds nothing");
	if (!m->options->dry_run)
		apply_note(m->decision, outcome.wrote ? m->decision->driver : m->override, m->ret->state,
			m->ret->reason);
}

/* Whether it may be taken from its driver. */
static bool may_unbind(struct move *m)
{
	char user[sizeof(m->ret->reason) - 16];
	int r;

	switch (rebind_mode(m)) {
	case REBIND_NO:
		stay_bound(m);
		return false;
	case REBIND_FORCE:
		return true;
	case REBIND_SAFE:
	case REBIND_UNSET:
		break;
	}
	r = inuse_check(m->d, user, sizeof(user));
	if (r == 0)
		return true;
	if (r > 0)
		moved_say(m->ret, STATE_BLOCKED, MOVE_IN_USE, "in use: %s", user);
	else
		moved_say(m->ret, STATE_FAILED, MOVE_FAILED, "looking for what uses it: %s", strerror(-r));
	note(m);
	return false;
}

/* Takes it from its driver. 0, or negative errno with nothing changed. */
static int unbind(struct move *m)
{
	char driver[BOUND_MAX];
	int r = device_unbind(m->d, m->driver);

	bound_driver(m->d, driver, sizeof(driver));
	if (!streq(driver, m->driver)) {
		m->ret->changed = true;
		return 0; /* be it that somebody else was quicker */
	}
	return r < 0 ? r : -EBUSY;
}

/*
 * An override is written on the way back: both values are named until the old one stands again, as in
 * apply.c. It may take a probe's time, and our own end, until then.
 */
static void claim(const struct move *m, const char *override)
{
	struct record record = m->record;

	if (!m->d->sysfs->state_dir)
		return;
	record.inode = m->d->inode;
	(void)strcpy(record.state, state_to_string(STATE_FAILED));
	text_copy(record.set, sizeof(record.set), m->ours ? m->override : "");
	text_copy(record.was, sizeof(record.was), override);
	(void)record_write(m->d->sysfs->state_dir, m->d, &record);
}

/* With the override of before, which may have been another than the one by which its driver came. */
static int bind_back(struct move *m)
{
	char driver[BOUND_MAX];
	int r;

	bound_driver(m->d, driver, sizeof(driver));
	if (streq(driver, m->driver))
		return 0;
	if (driver[0])
		(void)device_unbind(m->d, driver);
	r = device_bind(m->d, m->driver);
	bound_driver(m->d, driver, sizeof(driver));
	if (!streq(driver, m->driver) && !streq(m->override, m->driver)) {
		claim(m, m->driver);
		r = override_write(m->d, m->driver);
		if (r >= 0)
			r = device_bind(m->d, m->driver);
		(void)override_write(m->d, m->override);
		bound_driver(m->d, driver, sizeof(driver));
	}
	return streq(driver, m->driver) ? 0 : r < 0 ? r : -ENODEV;
}

static int override_back(struct move *m)
{
	char override[OVERRIDE_MAX];
	int r = sysfs_device_override(m->d, override);

	if (r < 0 || streq(override, m->override))
		return r;
	claim(m, m->decision->driver);
	return override_write(m->d, m->override);
}

/* A step has failed, and the reason is said: back to the override and to the driver of before. */
static void go_back(struct move *m)
{
	size_t n;
	int r = override_back(m), q = m->driver[0] ? bind_back(m) : 0;

	n = strlen(m->ret->reason);
	if (r < 0)
		(void)snprintf(m->ret->reason + n, sizeof(m->ret->reason) - n,
			"; and driver_override could not be set back: %s", strerror(-r));
	n = strlen(m->ret->reason);
	if (q < 0)
		(void)snprintf(m->ret->reason + n, sizeof(m->ret->reason) - n,
			"; and %s did not take it back: %s", m->driver, strerror(-q));
	else if (driver_is_wrong(m))
		(void)snprintf(
			m->ret->reason + n, sizeof(m->ret->reason) - n, "; it is back with %s", m->driver);
	note(m);
}

/* No rule any more: what was ours is cleared and forgotten, and whichever driver is there for it may come. */
static void give_back(struct move *m)
{
	char reason[256], driver[BOUND_MAX];
	int r = apply_release(m->d, reason, sizeof(reason));

	if (r < 0) {
		moved_say(m->ret, STATE_FAILED, MOVE_FAILED, "%s", reason);
		go_back(m);
		return;
	}
	m->ret->changed = m->ret->changed || r > 0;
	bound_driver(m->d, driver, sizeof(driver));
	if (!driver[0])
		(void)device_probe(m->d);
	moved_say(m->ret, STATE_UNMANAGED, MOVE_DONE, "%s", "");
}

/* The override, and the probe. */
static void settle(struct move *m)
{
	const struct decision *decision = m->decision;
	struct outcome outcome;
	char driver[BOUND_MAX];
	int r;

	apply_decision(decision, OCCASION_LATER, &outcome);
	m->ret->changed = m->ret->changed || outcome.wrote;
	bound_driver(m->d, driver, sizeof(driver));
	if (decision->kind == DECISION_DEFAULT && !driver[0] && !outcome.wrote && device_probe(m->d) >= 0)
		apply_decision(decision, OCCASION_LATER, &outcome);
	if (decision->kind == DECISION_DRIVER && outcome.state == STATE_PENDING && !driver[0]) {
		/* drivers_probe does not say why; this does. */
		r = device_bind(m->d, decision->driver);
		bound_driver(m->d, driver, sizeof(driver));
		if (driver[0])
			apply_decision(decision, OCCASION_LATER, &outcome);
		else if (r < 0 && r != -ENOENT) {
			(void)snprintf(outcome.reason, sizeof(outcome.reason), "probing by %s: %s",
				decision->driver, strerror(-r));
			outcome_mind_iommu(decision, &outcome);
		}
	}
	/* Nothing is worse than before for a device that had no driver: it gets one when its group is free.
	 */
	if (outcome.state == state_as_decided(decision) || (outcome.state == STATE_HELD && !m->driver[0])) {
		moved_say(m->ret, outcome.state, MOVE_DONE, "%s", outcome.reason);
		return;
	}
	moved_say(m->ret, STATE_FAILED, MOVE_FAILED, "%s", outcome.reason);
	go_back(m);
}

static void act(struct move *m)
{
	const char *modalias;
	int r;

	/* Its own driver may never have been loaded; that it has none is fine, too. */
	if (m->decision->kind == DECISION_DEFAULT || m->decision->kind == DECISION_NOTHING) {
		modalias = device_text(&m->d->device, FACT_MODALIAS);
		if (modalias)
			(void)module_load(m->d, MODULE_BY_ALIAS, modalias, false, NULL);
	}
	r = driver_is_wrong(m) ? unbind(m) : 0;
	if (r < 0) {
		moved_say(
			m->ret, STATE_FAILED, MOVE_FAILED, "unbinding from %s: %s", m->driver, strerror(-r));
		note(m);
		return;
	}
	r = m->foreign || m->unrecorded ? apply_take_over(m->d, m->override) : 0;
	if (r < 0) {
		moved_say(m->ret, STATE_FAILED, MOVE_FAILED, "recording that the override is replaced: %s",
			strerror(-r));
		go_back(m);
		return;
	}
	if (m->decision->kind == DECISION_NOTHING)
		give_back(m);
	else
		settle(m);
}

/* What act() would do, in words. */
static void tell(struct move *m)
{
	const char *want = m->decision->driver;
	char text[256] = "";

	m->ret->changed = true;
	if (driver_is_wrong(m))
		(void)snprintf(text, sizeof(text), "unbind it from %.60s, ", m->driver);
	moved_say(m->ret,
		m->decision->kind == DECISION_NOTHING ? STATE_UNMANAGED : state_as_decided(m->decision),
		MOVE_DONE, "would %s%s%s%s", text,
		streq(m->override, want) ? "leave driver_override"
		: want[0]		 ? "write driver_override "
					 : "clear driver_override",
		streq(m->override, want) ? "" : want,
		m->decision->kind == DECISION_NONE || (m->driver[0] && !driver_is_wrong(m))
			? ""
			: ", have it probed");
}

/* False: nothing is to be done, and that is said. */
static bool is_to_be_done(struct move *m)
{
	const struct decision *decision = m->decision;
	struct outcome outcome = { .state = state_as_decided(decision) };

	if (decision->kind == DECISION_UNKNOWN) {
		moved_say(m->ret, STATE_PENDING, MOVE_FAILED, "%s cannot be compared yet",
			decision->missing == FACT_COUNT ? "the IOMMU group" : fact_key(decision->missing));
		return false;
	}
	if (decision->kind == DECISION_NOTHING && !m->ours && (m->override[0] || !driver_is_wrong(m))) {
		moved_say(m->ret, m->override[0] ? STATE_FOREIGN : STATE_UNMANAGED, MOVE_DONE, "%s", "");
		return false;
	}
	if (decision->kind != DECISION_NOTHING && is_as_decided(m)) {
		if (!m->options->dry_run)
			apply_decision(decision, OCCASION_LATER, &outcome);
		moved_say(m->ret, outcome.state,
			outcome.state == state_as_decided(decision) ? MOVE_DONE : MOVE_FAILED, "%s",
			outcome.reason);
		m->ret->changed = outcome.wrote;
		return false;
	}
	if (m->options->only_if_changed && apply_was_enforced(decision)) {
		moved_say(m->ret, STATE_PENDING, MOVE_DONE,
			"was as decided, and has been changed by others since");
		return false;
	}
	return true;
}

void move_device(const struct decision *decision, const struct move_options *options, struct moved *ret)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	struct move m = { .decision = decision, .options = options, .d = d, .ret = ret };
	int r;

	*ret = (struct moved){ .state = STATE_UNMANAGED };
	text_copy(ret->decision, sizeof(ret->decision), decision_text(decision));
	bound_driver(d, m.driver_before, sizeof(m.driver_before));
	m.driver = m.driver_before;
	text_copy(ret->driver, sizeof(ret->driver), m.driver);
	r = sysfs_device_override(d, m.override_before);
	if (r < 0) {
		moved_say(ret, STATE_FAILED, MOVE_FAILED, "reading driver_override: %s", strerror(-r));
		return;
	}
	m.override = m.override_before;
	text_copy(ret->override, sizeof(ret->override), m.override);
	if (d->sysfs->state_dir)
		(void)record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &m.record);
	m.ours = apply_owns(d, &m.record, m.override);
	m.unrecorded = m.ours && !record_owns(&m.record, m.override);
	if (m.unrecorded)
		text_copy(m.record.set, sizeof(m.record.set), m.override);
	m.foreign = m.override[0] && !m.ours && !streq(m.override, decision->driver);

	if (!is_to_be_done(&m))
		return;
	if (m.foreign && (!options->overwrite || kernel_has_set_it(&m))) {
		refuse_foreign(&m);
		return;
	}
	if (decision->kind == DECISION_DRIVER && !driver_exists(&m))
		return;
	if (driver_is_wrong(&m) && !may_unbind(&m))
		goto look;
	if (options->dry_run)
		tell(&m);
	else
		act(&m);
look:
	bound_driver(d, ret->driver, sizeof(ret->driver));
	(void)sysfs_device_override(d, ret->override);
}
