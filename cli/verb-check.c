/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl check [FILE…]: errors and warnings of the policy. Needs no service. Status 1 on an error. */
#include "cli/cli.h"
#include "base/macro.h"
#include "cli/json-output.h"
#include "cli/lint.h"
#include "cli/machine.h"
#include "cli/safe-text.h"
#include "cli/terminal.h"
#include "cli/text-table.h"
#include "policy/policy-in-force.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct check {
	struct policy *policy;
	struct lint lint;
};

static void check_done(struct check *check)
{
	lint_done(&check->lint);
	check->policy = policy_free(check->policy);
}

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

static struct json_object *check_json(const struct check *check)
{
	const struct policy *policy = check->policy;
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
	check_json_add_messages(errors, check->lint.errors.v, check->lint.errors.n);
	check_json_add_messages(warnings, check->lint.warnings.v, check->lint.warnings.n);
	(void)json_object_object_add(o, "errors", errors);
	(void)json_object_object_add(o, "warnings", warnings);
	return o;
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

static int check_make_or_fail(struct check *check, const struct settings *settings, char *const *args,
			      size_t n)
{
	struct settings of_disk = *settings;
	int r;

	/* A person mends what the directories have, also where that has failed and is not in force. */
	of_disk.disk_only = true;
	check->lint.of_disk = n == 0;
	r = n > 0 ? policy_load_files((const char *const *)args, n, &check->policy)
		  : policy_load_settled(&of_disk, &check->policy);
	if (r >= 0)
		r = lint_find(&check->lint, settings, check->policy);
	return r < 0 ? cli_fail("reading the policy: %s", strerror(-r)) : STATUS_DONE;
}

static bool check_has_failed(const struct check *check)
{
	return check->policy->n_errors > 0 || check->lint.errors.n > 0;
}

/* What is to be read first of a machine. */
static const char *check_first_text(const struct check *check)
{
	if (check->policy->n_errors > 0)
		return check->policy->errors[0].text;
	if (check->lint.errors.n > 0)
		return check->lint.errors.v[0].text;
	return check->lint.warnings.n > 0 ? check->lint.warnings.v[0].text : "";
}

static int check_table_add(struct text_table *t, const char *machine, const struct check *check)
{
	char errors[24], warnings[24];

	(void)snprintf(errors, sizeof(errors), "%zu", check->policy->n_errors + check->lint.errors.n);
	(void)snprintf(warnings, sizeof(warnings), "%zu", check->lint.warnings.n);
	return text_table_add(t, NULL, (const char *[]){ machine, errors, warnings, check_first_text(check) })
		       ? STATUS_DONE
		       : cli_fail("out of memory");
}

/* The same policy on several machines: a line each. */
static int check_machines(const struct cli *cli, char *const *args, size_t n)
{
	static const struct text_column columns[] = { { .heading = "MACHINE" },
						      { .heading = "ERRORS" },
						      { .heading = "WARNINGS" },
						      { .heading = "FIRST", .may_be_cut = true },
						      {} };
	_cleanup_(text_table_freep) struct text_table *t = text_table_new(cli, columns);
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	int status = t ? STATUS_DONE : cli_fail("out of memory");
	bool failed = false;

	(void)json_object_object_add(o, "machines", list);
	for (size_t i = 0; status == STATUS_DONE && i < cli->n_machines; i++) {
		_cleanup_(check_done) struct check check = {};
		struct machine_tree tree;
		struct settings settings;
		struct json_object *json;

		machine_settings(cli, i, &tree, &settings);
		status = check_make_or_fail(&check, &settings, args, n);
		if (status != STATUS_DONE)
			break;
		failed |= check_has_failed(&check);
		status = check_table_add(t, cli->machines[i], &check);
		json = check_json(&check);
		json_output_add(json, "machine", cli->machines[i]);
		(void)json_object_array_add(list, json);
	}
	terminal_start_pager(cli);
	if (status == STATUS_DONE && cli->json)
		json_output_print(cli, TAKE_PTR(o));
	else if (status == STATUS_DONE && text_table_print(t) < 0)
		status = cli_fail("printing the table failed");
	json_object_put(o);
	return status == STATUS_DONE && failed ? STATUS_FAILED : status;
}

int verb_check(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(check_done) struct check check = {};
	int status;

	if (cli->n_machines > 1)
		return check_machines(cli, args, n);
	status = check_make_or_fail(&check, &cli->settings, args, n);
	if (status != STATUS_DONE)
		return status;
	terminal_start_pager(cli);
	if (cli->json)
		json_output_print(cli, check_json(&check));
	else
		check_print_text(cli, check.policy, &check.lint);
	return check_has_failed(&check) ? STATUS_FAILED : STATUS_DONE;
}
