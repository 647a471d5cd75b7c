/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes sections of what an import found. Names of files, attributes of XML and names of devices may have any
 * bytes, a newline among them, and the machine that is imported from may be somebody else's: so no section is
 * taken before it has been read back as the one rule that it is to be.
 */
#include "base/text.h"
#include "cli/import-plan.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct rule *import_rule_of_label(const struct policy *policy, const char *label)
{
	for (size_t i = 0; i < policy->n_rules; i++)
		if (streq(policy->rules[i]->label, label))
			return policy->rules[i];
	return NULL;
}

/* Those of C1, too, which some terminals obey in UTF-8: two bytes, of which the first is 0xc2. */
static bool text_has_control(const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++)
		if (*s < ' ' || *s == 0x7f || (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0))
			return true;
	return false;
}

/* What of a rule has a control character; NULL: nothing. */
static const char *import_rule_find_control(const struct import_rule *rule)
{
	const struct {
		const char *what, *text;
	} parts[] = { { "the driver's name", rule->driver }, { "the device's name", rule->name },
		      { "the bus's name", rule->bus },	     { "the id", rule->id },
		      { "the class", rule->class },	     { "the name of its source", rule->from } };

	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		if (parts[i].text && text_has_control(parts[i].text))
			return parts[i].what;
	return NULL;
}

/* `vfio` and `default` can be names of drivers, but mean something else in a rule. */
static bool import_driver_is_valid(const char *driver)
{
	return driver_name_is_valid(driver) && !streq(driver, "vfio") && !streq(driver, "default");
}

static const char *import_rule_write(struct import_plan *plan, const struct import_rule *rule)
{
	static const char comment[] = "# from ";
	const struct {
		const char *name, *value;
	} keys[] = {
		{ "Bus", rule->bus },	  { "Name", rule->name },     { "Id", rule->id },
		{ "Class", rule->class }, { "Driver", rule->driver },
	};
	const int most = (int)utf8_prefix(rule->from, POLICY_LINE_MAX - strlen(comment));
	const char *text =
		arena_printf(&plan->arena, "%s%.*s\n[device %s]\n", comment, most, rule->from, rule->label);

	for (size_t i = 0; i < ELEMENTSOF(keys) && text; i++)
		if (keys[i].value)
			text = arena_printf(&plan->arena, "%s%s=%s\n", text, keys[i].name, keys[i].value);
	return text;
}

static bool choice_is_driver(const struct driver_choice *choice, const char *driver)
{
	if (streq(driver, "none"))
		return choice->kind == DRIVER_NONE;
	return choice->kind == DRIVER_NAMED && streq(choice->name, driver);
}

/* Whether the rule compares this fact with that one value; with none at all where there is no value. */
static bool rule_has_value(const struct rule *rule, enum fact fact, const char *value)
{
	for (const struct condition *c = rule->conditions; c; c = c->next)
		if (c->fact == fact)
			return value && c->any && !c->any->next && streq(c->any->text, value);
	return !value;
}

/*
 * Whether what was read back is the one rule that is wanted, and says nothing besides: it has a line for the
 * comment, the header, the driver and each condition, which leaves none for another key.
 */
static bool policy_is_import_rule(const struct policy *policy, const char *text,
				  const struct import_rule *wanted)
{
	const struct rule *rule = policy->n_rules == 1 ? policy->rules[0] : NULL;
	size_t lines = 0, n = 0;

	if (!rule)
		return false;
	for (const char *s = text; *s; s++)
		lines += *s == '\n';
	for (const struct condition *c = rule->conditions; c; c = c->next)
		n++;
	return lines == n + 3 && rule_has_value(rule, FACT_BUS, wanted->bus) &&
	       rule_has_value(rule, FACT_NAME, wanted->name) && rule_has_value(rule, FACT_ID, wanted->id) &&
	       rule_has_value(rule, FACT_CLASS, wanted->class) && streq(rule->label, wanted->label) &&
	       choice_is_driver(&rule->driver, wanted->driver);
}

/* Notes why the text cannot be taken for the rule. */
static bool import_text_check_or_refuse(struct import_plan *plan, const struct import_rule *rule,
					const char *text)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	const char *control = import_rule_find_control(rule);
	int r;

	if (control) {
		import_note(plan, IMPORT_NOT_CARRIED, rule->from, "%s has a control character", control);
		return false;
	}
	if (!import_driver_is_valid(rule->driver)) {
		import_note(plan, IMPORT_NOT_CARRIED, rule->from, "%s is no driver's name in a rule",
			    quoted(&plan->arena, rule->driver));
		return false;
	}
	r = policy_load_files(NULL, 0, &policy);
	if (r >= 0)
		r = policy_parse(policy, plan->file, text, strlen(text));
	if (r == -EINVAL && policy->n_errors > 0)
		import_note(plan, IMPORT_NOT_CARRIED, rule->from, "%s", policy->errors[0].text);
	else if (r < 0)
		plan->r = r;
	else if (!policy_is_import_rule(policy, text, rule))
		import_note(plan, IMPORT_NOT_CARRIED, rule->from,
			    "a rule with Driver=%s for it would be read as something else", rule->driver);
	else
		return true;
	return false;
}

bool import_section_add_or_refuse(struct import_plan *plan, const struct import_rule *rule)
{
	const char *text = import_rule_write(plan, rule), *from = arena_strdup(&plan->arena, rule->from);
	const struct rule *kept = import_rule_of_label(plan->before, rule->label);

	if (!text || !from || array_reserve(plan->sections, plan->allocated, plan->n) < 0) {
		plan->r = -ENOMEM;
		return false;
	}
	if (!import_text_check_or_refuse(plan, rule, text))
		return false;
	for (size_t i = 0; i < plan->n; i++)
		if (streq(plan->sections[i].label, rule->label))
			return true;
	if (kept && !choice_is_driver(&kept->driver, rule->driver))
		import_note(plan, IMPORT_NOTE, from,
			    "%s:%u has another driver under [device %s], and stays as it is", plan->file,
			    kept->line, rule->label);
	plan->sections[plan->n++] = (struct import_section){
		.label = rule->label,
		.from = from,
		.text = strchr(text, '\n') + 1,
		.written = text,
		.kept = kept != NULL,
	};
	return true;
}
