/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One policy file: text to rules, or to errors with their lines.
 *
 * inih does the INI; its reader is ours, because inih 55 continues a long line as a new one, takes an
 * indented line for more of the value before it, drops what follows a section's `]`, cuts a section's
 * name at 49 characters, accepts `:` between key and value, stops at a NUL, and tells only the first error.
 * Lines that would run into one of these are refused before inih sees them.
 */
#include "policy/policy.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/rule-keys.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	struct policy *policy;
	const char *file;
	const char *text;
	size_t left;
	unsigned line;
	const char *significant; /* end of the last line that says something */
	bool has_nul;		 /* somewhere in the file */
	unsigned errors;
	struct rule *rule; /* of the section that we are in; NULL: in none, or in one that was refused */
	bool in_section;
	bool refused; /* the rule has an error already: what it lacks is not worth a second one */
	size_t first; /* number of rules before this file's */
	int r;	      /* -ENOMEM once it happened */
};

static void parser_add_error(struct parser *p, unsigned line, const char *text)
{
	if (!text ||
	    (p->errors < POLICY_FILE_ERRORS_MAX && policy_add_error(p->policy, p->file, line, text) < 0))
		p->r = -ENOMEM;
	p->errors++;
}

static bool label_is_valid(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t length = utf8_length(s + i, n - i);

		if (length == 0 || (unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
		i += length;
	}
	return n > 0;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* `end` is where its text ends. */
static void parser_end_section(struct parser *p, const char *end)
{
	const char *error;
	int r;

	if (p->rule)
		p->rule->text_size = (size_t)(end - p->rule->text);
	if (!p->rule || p->refused) {
		p->rule = NULL;
		return;
	}
	r = rule_finish(p->rule, &p->policy->arena, &error);
	if (r == -EINVAL)
		parser_add_error(p, p->rule->line_at_hand, error);
	else if (r < 0)
		p->r = r;
	p->rule = NULL;
}

/* The rule of a section whose line is fine; its text begins with that line, n bytes long. */
static void parser_add_rule(struct parser *p, const char *line, size_t n, const char *label, size_t label_n)
{
	struct policy *policy = p->policy;
	struct rule *rule = arena_alloc(&policy->arena, sizeof(*rule));

	if (rule)
		rule->label = arena_strndup(&policy->arena, label, label_n);
	if (!rule || !rule->label) {
		p->r = -ENOMEM;
		return;
	}
	p->r = array_reserve(policy->rules, policy->rules_allocated, policy->n_rules);
	if (p->r < 0)
		return;
	rule->file = p->file;
	rule->line = p->line;
	rule->text = line;
	rule->order = policy->n_rules;
	policy->rules[policy->n_rules++] = rule;
	p->rule = rule;
	p->significant = line + n;
}

static void parser_begin_section(struct parser *p, const char *line, size_t n)
{
	struct policy *policy = p->policy;
	const char *end = memchr(line, ']', n), *label = line + 1;

	parser_end_section(p, p->significant);
	p->in_section = true;
	p->refused = false;

	if (!end) {
		parser_add_error(p, p->line, "the section's name has no closing ]");
		return;
	}
	if (end + 1 != line + n) {
		parser_add_error(p, p->line, "there is text after the section's ]");
		return;
	}
	if (end - label < 7 || strncmp(label, "device", 6) != 0 || (label[6] != ' ' && label[6] != '\t')) {
		parser_add_error(
			p, p->line,
			arena_printf(&policy->arena, "unknown section %s; sections are called [device LABEL]",
				     quoted(&policy->arena, arena_strndup(&policy->arena, line, n))));
		return;
	}
	for (label += 6; label < end && (*label == ' ' || *label == '\t'); label++)
		;
	while (end > label && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (!label_is_valid(label, (size_t)(end - label)) || *label == '"' || *label == '\'') {
		parser_add_error(
			p, p->line,
			"the section's label is empty or has a control character, a quotation mark in front, "
			"or is not UTF-8");
		return;
	}
	parser_add_rule(p, line, n, label, (size_t)(end - label));
}

/* Whether inih may see this line: n bytes without trailing white space, of `full` without the newline. */
static bool parser_check_line(struct parser *p, const char *line, size_t n, size_t full)
{
	struct arena *arena = &p->policy->arena;
	size_t blank = 0, i = 0;

	if (full > POLICY_LINE_MAX) {
		parser_add_error(
			p, p->line,
			arena_printf(
				arena,
				"the line is %zu bytes long, more than %d; give a key again on a line of its "
				"own instead",
				full, POLICY_LINE_MAX));
		return false;
	}
	if (p->has_nul && memchr(line, '\0', full)) {
		parser_add_error(p, p->line, "the line has a NUL byte");
		return false;
	}
	while (blank < n && is_space(line[blank]))
		blank++;
	if (blank == n || line[blank] == '#' || line[blank] == ';')
		return false;
	if (blank > 0) {
		parser_add_error(p, p->line,
				 "the line is indented; keys and sections start in the first column");
		return false;
	}
	if (line[0] == '[') {
		parser_begin_section(p, line, n);
		return false;
	}
	while (i < n && line[i] != '=' && line[i] != ':' &&
	       !(line[i] == ';' && i > 0 && is_space(line[i - 1])))
		i++;
	if (i == n || line[i] != '=') {
		parser_add_error(p, p->line, "no KEY=VALUE, no [device LABEL] and no comment");
		return false;
	}
	return true;
}

/*
 * fgets() for inih over our buffer: only the `key=value` lines that are what they seem. Lines are counted
 * here, so inih need not see the others.
 */
static char *parser_read_line(char *buf, int size, void *stream)
{
	struct parser *p = stream;

	while (p->left > 0 && p->r >= 0) {
		const char *line = p->text, *newline = memchr(line, '\n', p->left);
		size_t full = newline ? (size_t)(newline - line) : p->left, n;

		p->text += newline ? full + 1 : full;
		p->left -= newline ? full + 1 : full;
		p->line++;

		if (p->line == 1 && full >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
			line += 3;
			full -= 3;
		}
		for (n = full; n > 0 && is_space(line[n - 1]); n--)
			;
		if (!parser_check_line(p, line, n, full))
			continue;
		if (n + 2 > (size_t)size) { /* an inih that was built with less room than its default */
			parser_add_error(p, p->line, "the line is longer than this system's inih can read");
			continue;
		}
		p->significant = line + n;
		memcpy(buf, line, n);
		buf[n] = '\n';
		buf[n + 1] = '\0';
		return buf;
	}
	return NULL;
}

static int parser_take_key(void *userdata, const char *section, const char *key, const char *value)
{
	struct parser *p = userdata;
	const char *error;
	int r;

	(void)section; /* we keep our own: inih cuts long ones */

	if (!p->in_section) {
		parser_add_error(p, p->line,
				 arena_printf(&p->policy->arena, "%s stands before the first [device LABEL]",
					      quoted(&p->policy->arena, key)));
		return 1;
	}
	if (!p->rule)
		return 1; /* its section was refused and named already */

	/* "Name=eth # the old one" would be four values; nobody means that. */
	if (strstr(value, " #") || strstr(value, "\t#")) {
		parser_add_error(
			p, p->line,
			"# does not begin a comment here; comments have a line of their own, or follow \" "
			";\"");
		p->refused = true;
		return 1;
	}
	p->rule->line_at_hand = p->line;
	r = rule_set(p->rule, &p->policy->arena, key, value, &error);
	if (r == -EINVAL) {
		parser_add_error(p, p->line, error);
		p->refused = true;
	} else if (r < 0)
		p->r = r;
	return 1;
}

/* Labels name rules in messages and properties: a second one of the same name would be ambiguous. */
static void parser_refuse_duplicates(struct parser *p)
{
	struct policy *policy = p->policy;
	size_t n = policy->n_rules - p->first, size = 4;
	_cleanup_(freep) struct rule **seen = NULL;

	while (size < 2 * n)
		size *= 2;
	seen = calloc(size, sizeof(struct rule *));
	if (!seen) {
		p->r = -ENOMEM;
		return;
	}
	for (size_t i = p->first; i < policy->n_rules; i++) {
		struct rule *rule = policy->rules[i];
		size_t at = value_hash(rule->label, strlen(rule->label)) & (size - 1);

		while (seen[at] && !streq(seen[at]->label, rule->label))
			at = (at + 1) & (size - 1);
		if (seen[at])
			parser_add_error(p, rule->line,
					 arena_printf(&policy->arena,
						      "the label %s was used in line %u already",
						      quoted(&policy->arena, rule->label), seen[at]->line));
		else
			seen[at] = rule;
	}
}

int policy_parse(struct policy *policy, const char *file, const char *text, size_t size)
{
	struct parser p = {
		.policy = policy,
		.file = file,
		.text = text,
		.left = size,
		.has_nul = memchr(text, '\0', size) != NULL,
		.first = policy->n_rules,
	};
	int r;

	/* What rules take of the arena, as seen: three to five times their text. */
	arena_reserve(&policy->arena, 3 * size);
	r = ini_parse_stream(parser_read_line, &p, parser_take_key, &p);
	parser_end_section(&p, p.significant);
	if (r > 0 && p.errors == 0)
		parser_add_error(&p, 0, "no KEY=VALUE, no [device LABEL] and no comment");
	else if (r < 0)
		p.r = -ENOMEM;
	parser_refuse_duplicates(&p);

	if (p.errors > POLICY_FILE_ERRORS_MAX &&
	    policy_add_error(policy, file, 0,
			     arena_printf(&policy->arena, "%u more errors in this file",
					  p.errors - POLICY_FILE_ERRORS_MAX)) < 0)
		p.r = -ENOMEM;

	if (p.r < 0 || p.errors > 0) {
		policy->n_rules = p.first;
		return p.r < 0 ? p.r : -EINVAL;
	}
	for (size_t i = p.first; i < policy->n_rules; i++)
		if (policy->rules[i]->group != GROUP_LEAVE)
			policy->has_groups = true;
	return 0;
}
