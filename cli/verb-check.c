/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl check [FILE…]: errors and warnings of the policy. Needs no service. Status 1 on an error. */
#include "cli/cli.h"
#include "base/macro.h"
#include "cli/json-output.h"
#include "cli/lint.h"
#include "cli/safe-text.h"
#include "cli/terminal.h"
#include "policy/policy-settled.h"

#include <json-c/json.h>
#include <stdbool.h>
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
	case POLICY_FILE_UNSETTLED:
		return "is being written; its last good version is in force";
	case POLICY_FILE_BAD:
		return "none of its rules is in force";
	case POLICY_FILE_MASKED:
		return "masked";
	}
	return "";
}

static void check_json_add_messages(struct json_object *list, const struct policy_error *v, size_t n)
{

	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_new_object();

		json_output_add(o, "file", v[i].file);
		(void)json_object_object_add(o, "line", json_object_new_int64(v[i].line));
		json_output_add(o, "text", v[i].text);
		(void)json_object_array_add(list, o);
	}
}

static void check_print_json(const struct cli *cli, const struct policy *policy, const struct lint *lint)
{
	struct json_object *o = json_object_new_object(), *files = json_object_new_array(),
			   *errors = json_object_new_array(), *warnings = json_object_new_array();

	for (size_t i = 0; i < policy->n_files; i++) {
		struct json_object *f = json_object_new_object();

		json_output_add(f, "file", policy->files[i].path);
		(void)json_object_object_add(
			f, "status", json_object_new_string(file_status_text(policy->files[i].status)));
		(void)json_object_array_add(files, f);
	}
	(void)json_object_object_add(o, "files", files);
	(void)json_object_object_add(o, "rules", json_object_new_int64((int64_t)policy->n_rules));
	check_json_add_messages(errors, policy->errors, policy->n_errors);
	check_json_add_messages(errors, lint->errors.v, lint->errors.n);
	check_json_add_messages(warnings, lint->warnings.v, lint->warnings.n);
	(void)json_object_object_add(o, "errors", errors);
	(void)json_object_object_add(o, "warnings", warnings);
	json_output_print(cli, o);
}

/* No byte of a name does anything to the terminal. */
static void check_print_message(const struct policy_error *e, const char *kind)
{
	safe_text_write(stdout, e->file);
	if (e->line > 0)
		printf(":%u", e->line);
	printf(": %s: ", kind);
	safe_text_write(stdout, e->text);
	putchar('\n');
}

static void check_print_text(const struct cli *cli, const struct policy *policy, const struct lint *lint)
{
	for (size_t i = 0; i < policy->n_errors; i++)
		check_print_message(&policy->errors[i], "error");
	for (size_t i = 0; i < lint->errors.n; i++)
		check_print_message(&lint->errors.v[i], "error");
	for (size_t i = 0; i < lint->warnings.n; i++)
		check_print_message(&lint->warnings.v[i], "warning");
	if (cli->no_legend)
		return;
	for (size_t i = 0; i < policy->n_files; i++)
		if (policy->files[i].status != POLICY_FILE_GOOD) {
			safe_text_write(stdout, policy->files[i].path);
			printf(": %s\n", file_status_text(policy->files[i].status));
		}
	printf("%zu files, %zu rules, %zu errors, %zu warnings\n", policy->n_files, policy->n_rules,
	       policy->n_errors + lint->errors.n, lint->warnings.n);
}

int verb_check(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct lint lint = {};
	bool failed;
	int r;

	r = n > 0 ? policy_load_files((const char *const *)args, n, &policy)
		  : policy_load_settled(&cli->settings, &policy);
	if (r >= 0)
		r = lint_find(&lint, &cli->settings, policy);
	if (r < 0) {
		lint_done(&lint);
		return cli_fail("reading the policy: %s", strerror(-r));
	}
	terminal_start_pager(cli);
	if (cli->json)
		check_print_json(cli, policy, &lint);
	else
		check_print_text(cli, policy, &lint);
	failed = policy->n_errors > 0 || lint.errors.n > 0;
	lint_done(&lint);
	return failed ? STATUS_FAILED : STATUS_DONE;
}
