/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overridectl import modprobe: ids= of vfio-pci and pci-stub, from modprobe.d and the kernel command line;
 * and the softdep, blacklist and install lines that were there to help them.
 */
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/import-plan.h"
#include "cli/modprobe-files.h"
#include "cli/shown-command.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIASES_FILE_MAX = 64 * 1024 * 1024, PCI_ID_FIELDS = 6 };

/* The module whose ids= a word "MODULE.ids=…", or a line of options, sets; NULL: of none that matters. */
static const char *stub_driver(const char *module)
{
	return module_names_are_equal(module, "vfio-pci")   ? "vfio-pci"
	       : module_names_are_equal(module, "pci-stub") ? "pci-stub"
							    : NULL;
}

/* Which devices a rule by id takes, and what they are at now. */
static void modprobe_add_matches(struct import_plan *plan, const char *from, const char *pattern,
				 const char *class, const char *driver)
{
	const char *all = NULL, *modalias;
	size_t n = 0;

	for (size_t i = 0; i < plan->n_devices; i++) {
		struct sysfs_device *d = plan->devices[i];
		const char *id = device_text(&d->device, FACT_ID), *c = device_text(&d->device, FACT_CLASS);
		char bound[256];

		if (!id || fnmatch(pattern, id, 0) != 0 || (*class && (!c || !startswith(c, class))))
			continue;
		if (sysfs_device_link(d, "driver", bound, sizeof(bound)) < 0)
			text_copy(bound, sizeof(bound), "no driver");
		all = arena_printf(&plan->arena, "%s%s%s %s%s%s%s", all ? all : "", all ? ", " : "", d->bus,
				   d->name, streq(bound, driver) ? "" : " (which is at ",
				   streq(bound, driver) ? "" : bound, streq(bound, driver) ? "" : " now)");
		n++;
		modalias = device_text(&d->device, FACT_MODALIAS);
		if (modalias && strings_add(&plan->modaliases, modalias) < 0)
			plan->r = -ENOMEM;
	}
	if (n > 1 || (all && strstr(all, "(which")))
		import_note(
			plan, IMPORT_NOTE, from, "takes %s%s", all,
			n > 1 ? ": all of one kind, as before; a rule with Name= or Path= takes one of them"
			      : "");
}

static bool id_field_parse(const char *text, unsigned long *ret)
{
	char *end;

	*ret = strtoul(text, &end, 16);
	return *text && !*end && *text != '-' && *text != '+' && *ret <= 0xffffffff;
}

/* How many digits of a class a mask covers; -1: not whole bytes from the front. */
static int class_mask_digits(unsigned long mask)
{
	switch (mask & 0xffffff) {
	case 0xffffff:
		return 6;
	case 0xffff00:
		return 4;
	case 0xff0000:
		return 2;
	case 0:
		return 0;
	}
	return -1;
}

static void id_field_text(unsigned long value, char buf[static 8])
{
	/* PCI_ANY_ID */
	(void)snprintf(buf, 8, value == 0xffffffff ? "*" : "%04lx", value & 0xffff);
}

/* "vendor:device[:subvendor[:subdevice[:class[:mask]]]]", as pci_add_dynid() of the kernel has them. */
static void modprobe_add_id(struct import_plan *plan, const char *from, const char *driver, const char *id)
{
	unsigned long field[PCI_ID_FIELDS] = { 0, 0, 0xffffffff, 0xffffffff, 0, 0 };
	char *copy = arena_strdup(&plan->arena, id), *word, text[4][8], class[8] = "", pattern[40];
	char shown[sizeof(pattern)];
	struct import_rule rule = { .from = from, .bus = "pci", .id = shown, .driver = driver };
	size_t n = 0;
	int digits;

	while (copy && (word = strsep(&copy, ":")))
		if (n == PCI_ID_FIELDS || !id_field_parse(word, &field[n++]))
			n = PCI_ID_FIELDS + 1, copy = NULL;
	digits = class_mask_digits(field[5]);
	if (n < 2 || n > PCI_ID_FIELDS || digits < 0) {
		import_note(plan, IMPORT_NOT_CARRIED, from, "%s is no id that a rule can have", id);
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(text); i++)
		id_field_text(field[i], text[i]);
	(void)snprintf(class, sizeof(class), "%06lx", field[4] & 0xffffff);
	class[digits] = '\0';
	rule.class = *class ? class : NULL;
	(void)snprintf(pattern, sizeof(pattern), "%s:%s:%s:%s", text[0], text[1], text[2], text[3]);
	text_copy(shown, sizeof(shown), pattern);
	id = arena_printf(&plan->arena, "%s-%s", driver, id);
	if (!id) {
		plan->r = -ENOMEM;
		return;
	}
	rule.label = import_label(plan, id);
	if (n == 2)
		(void)snprintf(shown, sizeof(shown), "%s:%s", text[0], text[1]);
	if (import_section_add_or_refuse(plan, &rule))
		modprobe_add_matches(plan, from, pattern, class, driver);
}

static void modprobe_add_ids(struct import_plan *plan, const char *from, const char *driver, const char *ids)
{
	char *copy = arena_strdup(&plan->arena, ids), *id;

	if (copy && *copy == '"') {
		copy++;
		copy[strcspn(copy, "\"")] = '\0';
	}
	while (copy && (id = strsep(&copy, ",")))
		if (*id)
			modprobe_add_id(plan, from, driver, id);
}

/* One command a file, so that what it keeps of the file is what the file was. */
static void modprobe_retire(struct import_plan *plan, const struct modprobe_line *line,
			    const char *expression)
{
	struct import_notes *notes = &plan->notes[IMPORT_RETIRE];
	const char *word = shell_word(&plan->arena, expression), *file;

	file = arena_printf(&plan->arena, "%s%s", plan->shown_root, line->file);
	file = file ? shell_word(&plan->arena, file) : NULL;
	if (!word || !file) {
		plan->r = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < notes->n; i++)
		if (streq(notes->v[i].from, line->file)) {
			const char *text = arena_printf(&plan->arena, "%s -e %s", notes->v[i].text, word);

			if (text)
				notes->v[i].text = text;
			return;
		}
	import_note(plan, IMPORT_RETIRE, line->file, "sed -i.bak %s -e %s", file, word);
}

static void modprobe_retire_line(struct import_plan *plan, const struct modprobe_line *line)
{
	char expression[64];

	(void)snprintf(expression, sizeof(expression), "%u,%us/^/# /", line->line,
		       line->line + line->lines - 1);
	modprobe_retire(plan, line, expression);
}

/* A line that has more to say loses a word. */
static void modprobe_retire_ids(struct import_plan *plan, const struct modprobe_line *line)
{
	char expression[64];

	if (line->n == 3 || line->lines > 1) {
		modprobe_retire_line(plan, line);
		return;
	}
	(void)snprintf(expression, sizeof(expression), "%us/[[:space:]]*ids=[^[:space:]]*//", line->line);
	modprobe_retire(plan, line, expression);
}

static void modprobe_take_options(struct import_plan *plan, const struct modprobe_line *line)
{
	const char *driver = line->n > 2 ? stub_driver(line->words[1]) : NULL;
	bool found = false;

	for (size_t i = 2; driver && i < line->n; i++) {
		const char *ids = startswith(line->words[i], "ids=");

		if (!ids)
			continue;
		modprobe_add_ids(plan, line->from, driver, ids);
		found = true;
	}
	if (found)
		modprobe_retire_ids(plan, line);
}

static void modprobe_take_first_pass(struct import_plan *plan, const struct modprobe_line *line)
{
	if (streq(line->words[0], "options"))
		modprobe_take_options(plan, line);
}

/* Whether an alias of the module is of a device that a rule of the import takes; also where nobody knows. */
static bool module_may_be_for_imported(const struct import_plan *plan, const char *module)
{
	for (const char *line = plan->aliases; line && *line; line += *line == '\n') {
		char pattern[512], name[256];

		if (startswith(line, "alias pci:") && sscanf(line, "alias %511s %255s", pattern, name) == 2 &&
		    module_names_are_equal(name, module))
			for (size_t i = 0; i < plan->modaliases.n; i++)
				if (fnmatch(pattern, plan->modaliases.v[i], 0) == 0)
					return true;
		line += strcspn(line, "\n");
	}
	return !plan->aliases;
}

static void modprobe_take_blacklist(struct import_plan *plan, const struct modprobe_line *line)
{
	const char *module = line->n > 1 ? line->words[1] : "";
	bool install = streq(line->words[0], "install");

	/* "install MODULE /bin/false" is a blacklist, too; other commands are not for this. */
	if (install &&
	    (line->n < 3 || (!strstr(line->words[2], "/true") && !strstr(line->words[2], "/false"))))
		return;
	if (!*module || !module_may_be_for_imported(plan, module))
		return;
	import_note(plan, IMPORT_NOT_CARRIED, line->from,
		    "%s %s keeps the module from all devices; rules keep it from theirs alone, and with them "
		    "it may "
		    "be loaded",
		    line->words[0], module);
	modprobe_retire_line(plan, line);
}

static void modprobe_take_softdep(struct import_plan *plan, const struct modprobe_line *line)
{
	for (size_t i = 2; i < line->n; i++)
		if (stub_driver(line->words[i])) {
			import_note(
				plan, IMPORT_NOT_CARRIED, line->from,
				"softdep %s has %s loaded first; with a rule, no order of modules matters",
				line->words[1], line->words[i]);
			modprobe_retire_line(plan, line);
			return;
		}
}

/* Only once it is known which devices are imported. */
static void modprobe_take_second_pass(struct import_plan *plan, const struct modprobe_line *line)
{
	/* What a package has there is not for these devices. */
	if (!line->of_person || plan->n == 0)
		return;
	if (streq(line->words[0], "blacklist") || streq(line->words[0], "install"))
		modprobe_take_blacklist(plan, line);
	else if (streq(line->words[0], "softdep"))
		modprobe_take_softdep(plan, line);
}

static void modprobe_read_command_line(struct import_plan *plan)
{
	static const char from[] = "/proc/cmdline";
	char path[PATH_MAX], line[4096], *rest = line, *word;

	if (import_path(plan, from, path, sizeof(path)) < 0 || read_first_line(path, line, sizeof(line)) < 0)
		return;
	while ((word = strsep(&rest, " \t"))) {
		char *dot = strstr(word, ".ids=");
		const char *driver;

		if (!dot)
			continue;
		*dot = '\0';
		driver = stub_driver(word);
		if (!driver)
			continue;
		modprobe_add_ids(plan, from, driver, dot + strlen(".ids="));
		import_note(plan, IMPORT_NOTE, from,
			    "take %s.%s off the kernel command line, where your boot loader keeps it "
			    "(/etc/default/grub, /etc/kernel/cmdline)",
			    word, dot + 1);
	}
}

/* The boot image has copies of these files. */
static void modprobe_retire_image(struct import_plan *plan)
{
	static const struct {
		const char *program, *command;
	} tools[] = { { "/usr/sbin/update-initramfs", "update-initramfs -u -k all" },
		      { "/usr/bin/dracut", "dracut --force --regenerate-all" },
		      { "/usr/bin/mkinitcpio", "mkinitcpio -P" } };
	char path[PATH_MAX];

	for (size_t i = 0; plan->notes[IMPORT_RETIRE].n > 0 && i < ELEMENTSOF(tools); i++)
		if (import_path(plan, tools[i].program, path, sizeof(path)) >= 0 && access(path, X_OK) == 0) {
			import_note(plan, IMPORT_RETIRE, "the boot image has copies of these files", "%s",
				    tools[i].command);
			return;
		}
}

static void modprobe_read_aliases(struct import_plan *plan)
{
	_cleanup_(closep) int fd = -EBADF;
	char dir[PATH_MAX], path[PATH_MAX], *text;
	size_t n;

	if (vfio_aliases_dir(plan->settings.sysfs, dir, sizeof(dir)) >= 0 &&
	    path_join(path, sizeof(path), dir, "/modules.alias", NULL) >= 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 && read_full(fd, 1U << 20, ALIASES_FILE_MAX, &text, &n) >= 0)
		plan->aliases = text;
}

int import_modprobe(struct import_plan *plan, char *const *args, size_t n)
{
	if (n > 0)
		return cli_fail_usage("%s: the files of modprobe.d are read all at once", args[0]);
	modprobe_files_read(plan, modprobe_take_first_pass);
	modprobe_read_command_line(plan);
	modprobe_read_aliases(plan);
	modprobe_files_read(plan, modprobe_take_second_pass);
	modprobe_retire_image(plan);
	return STATUS_DONE;
}
