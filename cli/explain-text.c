/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An explanation for people; see explain-text.h. No byte of a name does anything to the terminal. */
#include "cli/explain-text.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static void explain_print_line(const char *heading, const char *text)
{
	printf("  %-11s ", heading);
	safe_text_write(stdout, text);
	putchar('\n');
}

static bool explain_has(struct json_object *o, const char *key)
{
	return json_object_object_get_ex(o, key, NULL);
}

static size_t explain_list(struct json_object *o, const char *key, struct json_object **ret)
{
	return json_object_object_get_ex(o, key, ret) && json_object_is_type(*ret, json_type_array)
		       ? json_object_array_length(*ret)
		       : 0;
}

/* "    FILE:LINE [device LABEL]" */
static void explain_print_rule(struct json_object *rule)
{
	struct json_object *line = NULL;

	(void)json_object_object_get_ex(rule, "line", &line);
	printf("    ");
	safe_text_write(stdout, json_output_get(rule, "file"));
	printf(":%" PRIi64 " [device ", json_object_get_int64(line));
	safe_text_write(stdout, json_output_get(rule, "label"));
	putchar(']');
}

static void explain_print_rules(struct json_object *o)
{
	struct json_object *list, *decides;
	const size_t n = explain_list(o, "rules", &list);

	for (size_t i = 0; i < n; i++) {
		struct json_object *rule = json_object_array_get_idx(list, i);

		if (i == 0)
			puts("  Rules that match, in order:");
		explain_print_rule(rule);
		if (streq(json_output_get(rule, "match"), "unknown")) {
			printf("  (may match: ");
			safe_text_write(stdout, json_output_get(rule, "missing"));
			putchar(')');
		} else if (json_object_object_get_ex(rule, "decides", &decides) &&
			   json_object_get_boolean(decides)) {
			printf("  decides");
		}
		putchar('\n');
	}
}

static void explain_print_others(struct json_object *o)
{
	struct json_object *list;
	const size_t n = explain_list(o, "rules_for_others", &list);

	for (size_t i = 0; i < n; i++) {
		struct json_object *rule = json_object_array_get_idx(list, i);

		if (i == 0)
			puts("  Rules that name this place, but mean another device there:");
		explain_print_rule(rule);
		printf("  ");
		safe_text_write(stdout, json_output_get(rule, "because"));
		putchar('\n');
	}
}

static void explain_print_companion(struct json_object *companion)
{
	const char *driver = json_output_get(companion, "driver"),
		   *decision = json_output_get(companion, "decision");
	struct json_object *left;

	printf("    ");
	safe_text_write(stdout, json_output_get(companion, "bus"));
	putchar(' ');
	safe_text_write(stdout, json_output_get(companion, "name"));
	printf(", driver ");
	safe_text_write(stdout, *driver ? driver : "-");
	printf(": ");
	if (json_object_object_get_ex(companion, "left", &left) && json_object_get_boolean(left))
		printf("left alone, was there at boot");
	else if (streq(decision, "none"))
		printf("no driver may have it");
	else
		safe_text_write(stdout, decision);
	putchar('\n');
}

static void explain_print_companions(struct json_object *o)
{
	struct json_object *list;
	const size_t n = explain_list(o, "companions", &list);

	for (size_t i = 0; i < n; i++) {
		if (i == 0)
			puts("  Other members of its group:");
		explain_print_companion(json_object_array_get_idx(list, i));
	}
}

static void explain_print_record(struct json_object *o)
{
	const char *reason = json_output_get(o, "reason");

	if (!explain_has(o, "state"))
		return;
	printf("  %-11s %s%s", "Recorded", json_output_get(o, "state"), *reason ? ": " : "");
	safe_text_write(stdout, reason);
	putchar('\n');
	if (explain_has(o, "first_probe"))
		explain_print_line("First probe", json_output_get(o, "first_probe"));
}

/* What only the service can find out. */
static void explain_print_now(struct json_object *o)
{
	static const char missing[] = "not known without the service";
	struct json_object *apply = NULL;
	const char *users = json_output_get(o, "in_use"), *unknown = json_output_get(o, "in_use_unknown");

	(void)json_object_object_get_ex(o, "apply", &apply);
	if (*unknown) {
		printf("  %-11s not known: ", "Used by");
		safe_text_write(stdout, unknown);
		putchar('\n');
	} else {
		explain_print_line("Used by", !explain_has(o, "in_use") ? missing : *users ? users : "-");
	}
	explain_print_line("Apply", apply ? json_output_get(apply, "text") : missing);
}

void explain_print_text(struct json_object *o)
{
	static const struct {
		const char *key, *heading, *none; /* none: what is shown for ""; NULL: no line then */
	} lines[] = {
		{ "model", "Model", NULL },	 { "path", "Path", NULL },
		{ "group", "Group", NULL },	 { "driver", "Driver", "-" },
		{ "override", "Override", "-" }, { "decision", "Decision", "nothing" },
		{ "because", "Because", NULL },
	};

	safe_text_write(stdout, json_output_get(o, "bus"));
	putchar(' ');
	safe_text_write(stdout, json_output_get(o, "name"));
	putchar('\n');
	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		const char *text = json_output_get(o, lines[i].key);

		if (*text || lines[i].none)
			explain_print_line(lines[i].heading, *text ? text : lines[i].none);
	}
	explain_print_record(o);
	explain_print_now(o);
	if (explain_has(o, "note"))
		explain_print_line("Note", json_output_get(o, "note"));
	explain_print_rules(o);
	explain_print_others(o);
	explain_print_companions(o);
}
