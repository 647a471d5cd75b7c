/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads and attaches the BPF programs, without those that this kernel does not take; see hold-load.h. */
#include "guard/hold-load.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/text.h"
#include "guard/hold-failure.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Programs that may be left out, by how their names begin. */
static const struct optional_program {
	const char *name;
	unsigned without; /* enum hold_without */
	const char *function;
	enum bpf_attach_type type;
} optional_programs[] = {
	{ "hold_on_pci_add", WITHOUT_PCI, "pci_bus_add_device", BPF_TRACE_FENTRY },
	{ "note_on_really_probe", WITHOUT_REALLY_PROBE, "really_probe", BPF_TRACE_FENTRY },
	{ "drop_on_bus_remove", WITHOUT_DROP, "bus_remove_device", BPF_TRACE_FENTRY },
	{ "drop_on_failed_add", WITHOUT_DROP, "bus_add_device", BPF_TRACE_FEXIT },
	{ "end_on_guard_exit", WITHOUT_EXIT, "sched_process_exit", BPF_TRACE_RAW_TP },
	{ "end_on_guard_signal", WITHOUT_SIGNAL, "signal_generate", BPF_TRACE_RAW_TP },
	{ "freeze_on_freeze", WITHOUT_FREEZER, "freeze_processes", BPF_TRACE_FENTRY },
	{ "thaw_on_thaw", WITHOUT_FREEZER, "thaw_processes", BPF_TRACE_FEXIT },
	{ "show_guard", WITHOUT_WITNESS, "task", BPF_TRACE_ITER },
};

/* 0: the hold needs it. */
static unsigned program_is_optional(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(optional_programs); i++)
		if (startswith(name, optional_programs[i].name))
			return optional_programs[i].without;
	return 0;
}

/* What this kernel has no function for. It takes as long as loading everything, so loading is tried first. */
static unsigned programs_without_function(void)
{
	unsigned without = 0;

	for (size_t i = 0; i < ELEMENTSOF(optional_programs); i++)
		if (libbpf_find_vmlinux_btf_id(optional_programs[i].function, optional_programs[i].type) < 0)
			without |= optional_programs[i].without;
	return without;
}

/* The guard's main thread is made known to the programs; without that its end cannot be seen. */
static bool hold_introduce_guard(const struct hold *h)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	return bpf_prog_test_run_opts(bpf_program__fd(h->bpf->progs.remember_guard), &opts) >= 0 &&
	       h->bpf->bss->guard_tgid;
}

static void hold_detach(struct hold *h, unsigned without)
{
	for (int i = 0; i < h->bpf->skeleton->prog_cnt; i++) {
		const struct bpf_prog_skeleton *p = &h->bpf->skeleton->progs[i];

		if (program_is_optional(p->name) & without) {
			(void)bpf_link__destroy(*p->link);
			*p->link = NULL;
		}
	}
}

static int hold_attach(struct hold *h)
{
	if (!hold_introduce_guard(h))
		h->without |= WITHOUT_EXIT | WITHOUT_SIGNAL | WITHOUT_WITNESS;
	for (int i = 0; i < h->bpf->skeleton->prog_cnt; i++) {
		const struct bpf_prog_skeleton *p = &h->bpf->skeleton->progs[i];
		const unsigned without = program_is_optional(p->name);

		if (*p->prog == h->bpf->progs.remember_guard || (h->without & without))
			continue;
		*p->link = bpf_program__attach(*p->prog);
		if (*p->link)
			continue;
		if (!without)
			return negative_errno();
		h->without |= without;
	}
	/* All that belongs to one of them goes: half of it may be worse than nothing. */
	hold_detach(h, h->without);
	return 0;
}

static int hold_try(struct hold *h, uint64_t limit_usec, unsigned without)
{
	const char *what = "opening the BPF object";
	int r = 0;

	h->without = without;
	hold_failure_listen();
	h->bpf = hold_bpf__open();
	if (!h->bpf)
		r = negative_errno();
	for (int i = 0; r >= 0 && i < h->bpf->skeleton->prog_cnt; i++) {
		const struct bpf_prog_skeleton *p = &h->bpf->skeleton->progs[i];

		if (program_is_optional(p->name) & without)
			(void)bpf_program__set_autoload(*p->prog, false);
	}
	if (r >= 0) {
		what = "loading the BPF programs";
		r = hold_bpf__load(h->bpf);
	}
	if (r >= 0) {
		what = "attaching to the kernel's functions";
		h->bpf->bss->limit_ns = limit_usec * 1000;
		h->bpf->bss->grace_ns = HOLD_GRACE_USEC * 1000;
		r = hold_attach(h);
	}
	if (r < 0) {
		hold_failure_explain(what, r, h->why_not, sizeof(h->why_not));
		hold_bpf__destroy(TAKE_PTR(h->bpf));
	}
	return r;
}

int hold_load(struct hold *h, uint64_t limit_usec)
{
	unsigned missing = 0;
	int r = hold_try(h, limit_usec, 0);

	/* What is not permitted is not permitted for fewer programs, either. */
	if (r < 0 && r != -EPERM) {
		missing = programs_without_function();
		if (missing)
			r = hold_try(h, limit_usec, missing);
	}
	if (r < 0 && r != -EPERM)
		r = hold_try(h, limit_usec, missing | (WITHOUT_ALL & ~(WITHOUT_PCI | WITHOUT_REALLY_PROBE)));
	if (r < 0)
		return r;
	if ((h->without & WITHOUT_PCI) && access("/sys/bus/pci", F_OK) >= 0)
		(void)strcpy(h->why_not, "not for PCI: this kernel's pci_bus_add_device cannot be traced");
	else
		h->why_not[0] = '\0';
	return 0;
}
