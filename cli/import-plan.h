/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an import would change: sections to be added to one policy file, and what is to be told. Sections that
 * the file has already, by their label, stay as they are; so a person may change them, and a second import
 * changes nothing.
 */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "cli/command-line.h"
#include "cli/lint-findings.h"
#include "policy/policy.h"
#include "sysfs/sysfs.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum import_note_kind {
	IMPORT_NOT_CARRIED,
	IMPORT_NOTE,
	IMPORT_RETIRE, /* a command, by which the old way ends */
	IMPORT_NOTE_KINDS,
};

struct import_note {
	const char *from; /* "/etc/driverctl.d/pci-0000:03:00.0", "pci 0000:03:00.0" */
	const char *text;
};

struct import_notes {
	struct import_note *v;
	size_t n, allocated;
};

/* What a source asks for. Its texts may have any bytes, but for the label: see import_label(). */
struct import_rule {
	const char *label, *from;
	const char *bus, *name, *id, *class; /* NULL: the rule is without that key */
	const char *driver;		     /* or "none" */
};

struct import_section {
	const char *label, *from;
	const char *text;    /* from its header on */
	const char *written; /* with the comment before it */
	bool kept;	     /* the file has one of that label */
};

struct import_plan {
	struct arena arena;
	const char *source; /* "driverctl" */
	const struct cli *cli;
	struct settings settings; /* where it is imported to */
	char root[PATH_MAX];	  /* before /etc, /proc; "" for this machine */
	const char *shown_root;	  /* the same in commands for a person */
	char file[PATH_MAX];	  /* the policy file */
	struct policy *before;	  /* what is in it; has no rules where there is none */
	const char *text_before;
	size_t lines_before;
	struct import_section *sections;
	size_t n, allocated;
	struct import_notes notes[IMPORT_NOTE_KINDS];
	struct sysfs sysfs;
	struct sysfs_device **devices; /* that are present */
	size_t n_devices;
	struct strings modaliases; /* of devices that are imported */
	char *aliases;		   /* modules.alias; NULL: not read */
	struct lint findings;	   /* of the rules that would be added */
	bool written;
	int r; /* the first failure: -ENOMEM */
};

/* 0, or an exit status, and that was said. */
int import_plan_open_or_fail(struct import_plan *plan, const struct cli *cli, const char *source);
void import_plan_done(struct import_plan *plan);

/* A file of the machine that is imported from. 0 or -ENAMETOOLONG. */
_must_check_ int import_path(const struct import_plan *plan, const char *path, char *buf, size_t size);
/* The names of the files in a folder of that machine, sorted; from the arena. */
void import_list(struct import_plan *plan, const char *folder, struct strings *ret);

/*
 * One more section. Its text is read back first, and must be this one rule and nothing else: the texts that
 * it is made of can be anybody's. false: it is not, which is told as not carried over; or out of memory.
 */
bool import_section_add_or_refuse(struct import_plan *plan, const struct import_rule *rule);
void import_note(struct import_plan *plan, enum import_note_kind kind, const char *from, const char *format,
		 ...) _printf_(4, 5);

/* "overridectl WORDS", which end with a NULL, for the machine that is imported to; from the arena. */
const char *import_command(struct import_plan *plan, const char *const *words);

/* How many sections are new. */
size_t import_plan_new(const struct import_plan *plan);
/* The whole file as it would be; NULL: out of memory. From the arena. */
const char *import_plan_text(struct import_plan *plan);

/*
 * Has the whole policy, with the file as it would be, read and checked; findings of the file are in
 * plan->findings. 0, or an exit status, and that was said.
 */
int import_plan_check_or_fail(struct import_plan *plan);
/* Puts the file in place. 0, or an exit status, and that was said. */
int import_plan_write_or_fail(struct import_plan *plan);

void import_plan_print(struct import_plan *plan);

/* Has the rule match a device, by bus and name, and by what it is if it is present. */
void import_rule_set_device(struct import_plan *plan, struct import_rule *rule, const char *bus,
			    const char *name);
struct sysfs_device *import_device_find(const struct import_plan *plan, const char *bus, const char *name);
/* A label of what may have any bytes. */
const char *import_label(struct import_plan *plan, const char *text);

/* The sources; each fills in the plan. 0, or an exit status, and that was said. */
int import_driverctl(struct import_plan *plan, char *const *args, size_t n);
int import_modprobe(struct import_plan *plan, char *const *args, size_t n);
int import_libvirt(struct import_plan *plan, char *const *args, size_t n);
int import_adopt(struct import_plan *plan, char *const *args, size_t n);
