/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A policy text is refused in a line, or taken; see parsing.h. */
#include "parsing.h"
#include "suite.h"

/* Reachable until the end, so that no leak is seen in what tests borrow. */
static struct policy **kept;
static char **texts;
static size_t n_kept;

static struct policy *new_policy(void)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	ck_assert_ptr_nonnull(policy);
	return policy;
}

void refused_bytes(const char *text, size_t size, unsigned line)
{
	_cleanup_(policy_freep) struct policy *policy = new_policy();

	ck_assert_int_eq(policy_parse(policy, "other.conf", GOOD, strlen(GOOD)), 0);
	ck_assert_msg(policy_parse(policy, "test.conf", text, size) == -EINVAL, "taken:\n%s", text);
	ck_assert_msg(policy->n_errors == 1, "%zu errors, the last in line %u: %s", policy->n_errors,
		policy->errors[policy->n_errors - 1].line, policy->errors[policy->n_errors - 1].text);
	ck_assert_msg(policy->errors[0].line == line, "line %u instead of %u in:\n%s", policy->errors[0].line,
		line, text);
	ck_assert_str_eq(policy->errors[0].file, "test.conf");
	ck_assert_int_gt(strlen(policy->errors[0].text), 0);
	ck_assert_uint_eq(policy->n_rules, 1);
	ck_assert_str_eq(policy->rules[0]->file, "other.conf");
	ck_assert(!policy->has_groups);
}

void refused(const char *text, unsigned line)
{
	refused_bytes(text, strlen(text), line);
}

void refused_value(const char *key, const char *value)
{
	bool driver = streq(key, "Driver");
	char text[512];

	(void)snprintf(text, sizeof(text), GOOD "[device x]\nName=a\n%s%s=%s\n", driver ? "" : "Driver=b\n",
		key, value);
	refused(text, driver ? 6 : 7);
}

void taken_bytes(const char *text, size_t size, size_t n)
{
	_cleanup_(policy_freep) struct policy *policy = new_policy();
	int r = policy_parse(policy, "test.conf", text, size);

	ck_assert_msg(r == 0, "line %u: %s", policy->errors ? policy->errors[0].line : 0,
		policy->errors ? policy->errors[0].text : "");
	ck_assert_uint_eq(policy->n_errors, 0);
	ck_assert_uint_eq(policy->n_rules, n);
}

void taken(const char *text, size_t n)
{
	taken_bytes(text, strlen(text), n);
}

struct policy *rules_of(const char *text)
{
	struct policy *policy = new_policy();
	char *own = strdup(text); /* rules borrow it */
	int r = policy_parse(policy, "test.conf", own, strlen(own));

	kept = reallocarray(kept, n_kept + 1, sizeof(struct policy *));
	texts = reallocarray(texts, n_kept + 1, sizeof(char *));
	ck_assert(kept && texts);
	kept[n_kept] = policy;
	texts[n_kept++] = own;
	ck_assert_msg(r == 0, "line %u: %s", policy->errors ? policy->errors[0].line : 0,
		policy->errors ? policy->errors[0].text : "");
	return policy;
}

struct rule *one_rule(const char *text)
{
	struct policy *policy = rules_of(text);

	ck_assert_uint_eq(policy->n_rules, 1);
	return policy->rules[0];
}
