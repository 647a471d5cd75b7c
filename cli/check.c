/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl check [FILE…]: errors and warnings of the policy. Needs no service. Status 1 on an error. */
#include "cli/cli.h"
#include "base/macro.h"
#include "cli/lint.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *file_status_text(enum policy_file_status status)
{
	switch (status) {
	case POLICY_FILE_GOOD:
		return "in force";
	case POLICY_FILE_COPY:
		return "its last good version is in force";
	case POLICY_FILE_BAD:
		return "none of its rules is in force";
	case POLICY_FILE_MASKED:
		return "masked";
	}
	return "";
}

static struct json_object *check_json_messages(const struct policy_error *v, size_t n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_new_object();

		(void)json_object_object_add(o, "file", json_object_new_string(v[i].file));
		(void)json_object_object_add(o, "line", json_object_new_int64(v[i].line));
		(void)json_object_object_add(o, "text", json_object_new_string(v[i].text));
		(void)json_object_array_add(list, o);
	}
	return list;
}

static void check_print_json(const struct policy *policy, const struct lint *warnings)
{
	struct json_object *o = json_object_new_object(), *files = json_object_new_array();

	for (size_t i = 0; i < policy->n_files; i++) {
		struct json_object *f = json_object_new_object();

		(void)json_object_object_add(f, "file", json_object_new_string(policy->files[i].path));
		(void)json_object_object_add(
			f, "status", json_object_new_string(file_status_text(policy->files[i].status)));
		(void)json_object_array_add(files, f);
	}
	(void)json_object_object_add(o, "files", files);
	(void)json_object_object_add(o, "rules", json_object_new_int64((int64_t)policy->n_rules));
	(void)json_object_object_add(o, "errors", check_json_messages(policy->errors, policy->n_errors));
	(void)json_object_object_add(o, "warnings", check_json_messages(warnings->v, warnings->n));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static void check_print_message(const struct policy_error *e, const char *kind)
{
	if (e->line > 0)
		printf("%s:%u: %s: %s\n", e->file, e->line, kind, e->text);
	else
		printf("%s: %s: %s\n", e->file, kind, e->text);
}

static void check_print_text(const struct cli *cli, const struct policy *policy, const struct lint *warnings)
{
	for (size_t i = 0; i < policy->n_errors; i++)
		check_print_message(&policy->errors[i], "error");
	for (size_t i = 0; i < warnings->n; i++)
		check_print_message(&warnings->v[i], "warning");
	if (cli->no_legend)
		return;
	for (size_t i = 0; i < policy->n_files; i++)
		if (policy->files[i].status != POLICY_FILE_GOOD)
			printf("%s: %s\n", policy->files[i].path, file_status_text(policy->files[i].status));
	printf("%zu files, %zu rules, %zu errors, %zu warnings\n", policy->n_files, policy->n_rules,
	       policy->n_errors, warnings->n);
}

int verb_check(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct lint warnings = {};
	int r;

	r = n > 0 ? policy_load_files((const char *const *)args, n, &policy)
		  : policy_load(&cli->settings, &policy);
	if (r >= 0)
		r = lint_find(&warnings, &cli->settings, policy);
	if (r < 0) {
		lint_done(&warnings);
		return cli_fail("reading the policy: %s", strerror(-r));
	}
	if (cli->json)
		check_print_json(policy, &warnings);
	else
		check_print_text(cli, policy, &warnings);
	lint_done(&warnings);
	return policy->n_errors > 0 ? 1 : 0;
}
