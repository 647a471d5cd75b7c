/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shows what an import would add, as a difference, and what else is to be known; as JSON, too. */
#include "base/text.h"
#include "cli/import-plan.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

/* The lines that would be added; they follow what is there, so that no others need be shown. */
static void import_print_difference(struct import_plan *plan)
{
	const char *text = import_plan_text(plan);
	size_t lines = 0;

	for (size_t i = 0; text && i < plan->lines_before; i++)
		text = strchr(text, '\n') + 1;
	for (const char *s = text; s && *s; s++)
		lines += *s == '\n';
	fputs("--- ", stdout);
	safe_text_write(stdout, plan->text_before ? plan->file : "/dev/null");
	fputs("\n+++ ", stdout);
	safe_text_write(stdout, plan->file);
	printf("\n@@ -%zu,0 +%zu,%zu @@\n", plan->lines_before, plan->lines_before + 1, lines);
	for (; text && *text; text += strcspn(text, "\n") + 1) {
		char *line = arena_strndup(&plan->arena, text, strcspn(text, "\n"));

		putchar('+');
		safe_text_write(stdout, line ? line : "");
		putchar('\n');
	}
}

static void import_print_notes(const struct import_plan *plan, enum import_note_kind kind,
			       const char *heading)
{
	const struct import_notes *notes = &plan->notes[kind];

	if (notes->n > 0)
		printf("\n%s\n", heading);
	for (size_t i = 0; i < notes->n; i++) {
		fputs("  ", stdout);
		safe_text_write(stdout, notes->v[i].from);
		fputs(kind == IMPORT_RETIRE ? "\n    " : ": ", stdout);
		safe_text_write(stdout, notes->v[i].text);
		putchar('\n');
	}
}

static void import_print_findings(const struct lint_findings *findings, const char *kind)
{
	for (size_t i = 0; i < findings->n; i++) {
		safe_text_write(stdout, findings->v[i].file);
		printf(":%u: %s: ", findings->v[i].line, kind);
		safe_text_write(stdout, findings->v[i].text);
		putchar('\n');
	}
}

static void import_print_summary(struct import_plan *plan)
{
	size_t added = import_plan_new(plan);

	if (plan->n == 0)
		printf("Nothing to import from %s.\n", plan->source);
	else if (added == 0)
		printf("Nothing to add: ");
	if (plan->n > 0 && added == 0) {
		safe_text_write(stdout, plan->file);
		printf(" has %s.\n", plan->n == 1 ? "the rule" : "all the rules");
	}
	if (added == 0 || plan->findings.errors.n > 0)
		return;
	putchar('\n');
	if (!plan->written) {
		puts("Nothing is written without --write.");
		return;
	}
	safe_text_write(stdout, plan->file);
	printf(" is written. `%s` makes devices that are not so, as the next boot does.\n",
	       import_command(plan, (const char *[]){ "apply", NULL }));
}

static void import_print_text(struct import_plan *plan)
{
	if (import_plan_new(plan) > 0)
		import_print_difference(plan);
	if (plan->findings.errors.n + plan->findings.warnings.n > 0)
		putchar('\n');
	import_print_findings(&plan->findings.errors, "error");
	import_print_findings(&plan->findings.warnings, "warning");
	import_print_notes(plan, IMPORT_NOT_CARRIED, "Not carried over:");
	import_print_notes(plan, IMPORT_NOTE, "To be known:");
	import_print_notes(plan, IMPORT_RETIRE,
			   "The old way is ended by these, once the rules are in place:");
	if (!plan->cli->no_legend)
		import_print_summary(plan);
}

static struct json_object *import_notes_json(const struct import_notes *notes, const char *key)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < notes->n; i++) {
		struct json_object *o = json_object_new_object();

		json_output_add(o, "from", notes->v[i].from);
		json_output_add(o, key, notes->v[i].text);
		(void)json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *import_findings_json(const struct lint_findings *findings)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < findings->n; i++) {
		struct json_object *o = json_object_new_object();

		json_output_add(o, "file", findings->v[i].file);
		(void)json_object_object_add(o, "line", json_object_new_int64(findings->v[i].line));
		json_output_add(o, "text", findings->v[i].text);
		(void)json_object_array_add(list, o);
	}
	return list;
}

/* A text's lines, as a list. */
static struct json_object *lines_json(struct import_plan *plan, const char *text)
{
	struct json_object *list = json_object_new_array(), *o = json_object_new_object();

	for (; *text; text += strcspn(text, "\n") + 1) {
		const char *line = arena_strndup(&plan->arena, text, strcspn(text, "\n"));

		json_output_add(o, "line", line ? line : "");
		(void)json_object_array_add(list, json_object_get(json_object_object_get(o, "line")));
	}
	json_object_put(o);
	return list;
}

static void import_print_json(struct import_plan *plan)
{
	struct json_object *o = json_object_new_object(), *rules = json_object_new_array();

	for (size_t i = 0; i < plan->n; i++) {
		const struct import_section *section = &plan->sections[i];
		struct json_object *rule = json_object_new_object();

		json_output_add(rule, "label", section->label);
		json_output_add(rule, "from", section->from);
		(void)json_object_object_add(rule, "lines", lines_json(plan, section->text));
		json_output_add_bool(rule, "new", !section->kept);
		(void)json_object_array_add(rules, rule);
	}
	json_output_add(o, "source", plan->source);
	json_output_add(o, "file", plan->file);
	json_output_add_bool(o, "written", plan->written);
	(void)json_object_object_add(o, "rules", rules);
	(void)json_object_object_add(o, "errors", import_findings_json(&plan->findings.errors));
	(void)json_object_object_add(o, "warnings", import_findings_json(&plan->findings.warnings));
	(void)json_object_object_add(o, "not_carried_over",
				     import_notes_json(&plan->notes[IMPORT_NOT_CARRIED], "text"));
	(void)json_object_object_add(o, "notes", import_notes_json(&plan->notes[IMPORT_NOTE], "text"));
	(void)json_object_object_add(o, "retire", import_notes_json(&plan->notes[IMPORT_RETIRE], "command"));
	json_output_print(plan->cli, o);
}

void import_plan_print(struct import_plan *plan)
{
	if (plan->cli->json)
		import_print_json(plan);
	else
		import_print_text(plan);
}
