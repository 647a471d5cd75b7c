/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a member keeps its IOMMU group from a guest; see group-why.h. */
#include "cli/group-why.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/set-file.h"
#include "cli/shown-command.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <string.h>

struct why_question {
	const struct cli *cli;
	const struct device_row *member;
	const struct device_row *const *group;
	size_t n;
	struct arena *arena;
	struct group_why *answer;
};

/* "overridectl --host=h VERB BUS/NAME ARGUMENT" */
static int why_add_command(const struct why_question *q, const char *verb, const char *argument,
			   const char *effect)
{
	struct group_command *command = &q->answer->commands[q->answer->n_commands++];
	const char *device =
		arena_printf(q->arena, "%s/%s", q->member->field[ROW_BUS], q->member->field[ROW_NAME]);

	if (!device)
		return -ENOMEM;
	command->command = shown_command_text(
		q->arena, q->cli, (const char *[]){ verb, device, *argument ? argument : NULL, NULL });
	command->effect = effect;
	return command->command ? 0 : -ENOMEM;
}

static bool group_has_guest(const struct why_question *q)
{
	for (size_t i = 0; i < q->n; i++)
		if (driver_is_vfio(q->group[i]->field[ROW_DECISION]))
			return true;
	return false;
}

static int why_add_choices(const struct why_question *q)
{
	int r = why_add_command(q, "set", "vfio", "a guest can have it");

	return r < 0 ? r : why_add_command(q, "set", "none", "nobody has it");
}

static int why_no_rule(const struct why_question *q)
{
	q->answer->why = group_has_guest(q)
				 ? "no rule gives it to a guest, and Group=hold takes no device that was "
				   "there at boot"
				 : "no rule decides about it";
	return why_add_choices(q);
}

/* A rule wants it at a driver of the host's. */
static int why_other_rule(const struct why_question *q)
{
	const char *const *field = q->member->field;
	const char *file = path_last(field[ROW_SOURCE]);
	const char *beaten = set_file_beaten_where(field[ROW_SOURCE]);

	if (startswith(file, SET_FILE_RUNTIME)) {
		q->answer->why = arena_printf(q->arena, "%s says so, until the next boot", field[ROW_SOURCE]);
		return q->answer->why ? why_add_command(q, "unset", "--runtime", "removes that rule")
				      : -ENOMEM;
	}
	q->answer->why =
		arena_printf(q->arena, "%s [device %s] says so%s%s", field[ROW_SOURCE], field[ROW_RULE],
			     beaten ? "; it stands before all that set writes, so it has to be changed " : "",
			     beaten ? beaten : "");
	if (!q->answer->why)
		return -ENOMEM;
	return beaten ? 0 : why_add_choices(q);
}

/* It is decided as a guest needs it, and is not so yet. */
static int why_not_yet(const struct why_question *q)
{
	const char *state = q->member->field[ROW_STATE], *reason = q->member->field[ROW_REASON];
	int r;

	q->answer->why = arena_printf(
		q->arena, "it is to have %s, and is %s%s%s",
		streq(q->member->field[ROW_DECISION], "none") ? "no driver" : q->member->field[ROW_DECISION],
		state, *reason ? ": " : "", reason);
	if (!q->answer->why)
		return -ENOMEM;
	/* Nothing that is typed brings it back. */
	if (streq(state, "stuck"))
		return 0;
	r = why_add_command(q, "apply", "", streq(state, "blocked") ? "once it is free" : "tries it now");
	if (r >= 0 && (streq(state, "blocked") || streq(state, "foreign")))
		r = why_add_command(q, "apply", "--force",
				    streq(state, "blocked") ? "takes it from who uses it"
							    : "replaces what the other program wrote");
	return r;
}

static int why_add_loss(const struct why_question *q, const struct critical_devices *critical)
{
	const char *loss = critical_devices_first_below(critical, q->member->field[ROW_SYSPATH]);

	if (!loss)
		return 0;
	q->answer->why = arena_printf(q->arena, "%s; with it goes %s", q->answer->why, loss);
	return q->answer->why ? 0 : -ENOMEM;
}

int group_why_find(const struct cli *cli, const struct device_row *member,
		   const struct device_row *const *group, size_t n, const struct critical_devices *critical,
		   struct arena *arena, struct group_why *ret)
{
	const struct why_question q = { cli, member, group, n, arena, ret };
	const char *decision = member->field[ROW_DECISION];
	int r = 0;

	*ret = (struct group_why){};
	if (!*decision) {
		r = why_no_rule(&q);
	} else if (streq(decision, "unknown")) {
		ret->why = arena_printf(arena, "what is decided about it is not known: %s",
					member->field[ROW_REASON]);
		r = ret->why ? 0 : -ENOMEM;
	} else if (driver_is_vfio(decision) || streq(decision, "none")) {
		r = why_not_yet(&q);
	} else {
		r = why_other_rule(&q);
	}
	return r < 0 ? r : why_add_loss(&q, critical);
}
