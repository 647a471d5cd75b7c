/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads and attaches the BPF programs, without those that this kernel does not take; see hold-load.h. */
#include "guard/hold-load.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/text.h"
#include "guard/hold-failure.h"
#include "guard/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
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
static bool hold_introduce_guard(const struct hold_bpf *bpf)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	return bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.remember_guard), &opts) >= 0 &&
	       bpf->bss->guard_tgid;
}

static void hold_detach(const struct hold_bpf *bpf, unsigned without)
{
	for (int i = 0; i < bpf->skeleton->prog_cnt; i++) {
		const struct bpf_prog_skeleton *p = &bpf->skeleton->progs[i];

		if (program_is_optional(p->name) & without) {
			(void)bpf_link__destroy(*p->link);
			*p->link = NULL;
		}
	}
}

static int hold_attach(struct hold *h, const struct hold_bpf *bpf)
{
	if (!hold_introduce_guard(bpf))
		h->without |= WITHOUT_EXIT | WITHOUT_SIGNAL | WITHOUT_WITNESS;
	for (int i = 0; i < bpf->skeleton->prog_cnt; i++) {
		const struct bpf_prog_skeleton *p = &bpf->skeleton->progs[i];
		const unsigned without = program_is_optional(p->name);

		if (*p->prog == bpf->progs.remember_guard || (h->without & without))
			continue;
		*p->link = bpf_program__attach(*p->prog);
		if (*p->link)
			continue;
		if (!without)
			return negative_errno();
		h->without |= without;
	}
	/* All that belongs to one of them goes: half of it may be worse than nothing. */
	hold_detach(bpf, h->without);
	return 0;
}

static int hold_keep_map(const struct bpf_map *map)
{
	return fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
}

void hold_unload(struct hold *h)
{
	int *const maps[] = { &h->tickets, &h->buses, &h->kept, &h->filter_keys, &h->late };

	while (h->n_links > 0)
		(void)close(h->links[--h->n_links]);
	h->show_guard = -EBADF;
	for (size_t i = 0; i < ELEMENTSOF(maps); i++) {
		closep(maps[i]);
		*maps[i] = -EBADF;
	}
	if (h->bss)
		(void)munmap(h->bss, sizeof(*h->bss));
	h->bss = NULL;
}

/* Takes from libbpf what is needed of programs that are attached: the rest of it is large. 0 or negative
 * errno. */
static int hold_keep(struct hold *h, const struct hold_bpf *bpf)
{
	void *bss = mmap(NULL, sizeof(*h->bss), PROT_READ | PROT_WRITE, MAP_SHARED,
			 bpf_map__fd(bpf->maps.bss), 0);

	if (bss == MAP_FAILED)
		return negative_errno();
	h->bss = bss;
	h->tickets = hold_keep_map(bpf->maps.tickets);
	h->buses = hold_keep_map(bpf->maps.buses);
	h->kept = hold_keep_map(bpf->maps.kept);
	h->filter_keys = hold_keep_map(bpf->maps.filter_keys);
	h->late = hold_keep_map(bpf->maps.late);
	if (h->tickets < 0 || h->buses < 0 || h->kept < 0 || h->filter_keys < 0 || h->late < 0)
		return negative_errno();
	h->show_guard = bpf->links.show_guard ? bpf_link__fd(bpf->links.show_guard) : -EBADF;
	for (int i = 0; i < bpf->skeleton->prog_cnt; i++) {
		struct bpf_link *link = *bpf->skeleton->progs[i].link;

		if (!link)
			continue;
		if (h->n_links == HOLD_LINKS_MAX)
			return -E2BIG;
		bpf_link__disconnect(link); /* libbpf leaves its descriptor open */
		h->links[h->n_links++] = bpf_link__fd(link);
	}
	return 0;
}

static int hold_try(struct hold *h, uint64_t limit_usec, unsigned without)
{
	const char *what = "opening the BPF object";
	struct hold_bpf *bpf;
	int r = 0;

	h->without = without;
	hold_failure_listen();
	bpf = hold_bpf__open();
	if (!bpf)
		r = negative_errno();
	for (int i = 0; r >= 0 && i < bpf->skeleton->prog_cnt; i++) {
		const struct bpf_prog_skeleton *p = &bpf->skeleton->progs[i];

		if (program_is_optional(p->name) & without)
			(void)bpf_program__set_autoload(*p->prog, false);
	}
	if (r >= 0) {
		what = "loading the BPF programs";
		r = hold_bpf__load(bpf);
	}
	if (r >= 0) {
		what = "attaching to the kernel's functions";
		bpf->bss->limit_ns = limit_usec * 1000;
		bpf->bss->grace_ns = HOLD_GRACE_USEC * 1000;
		r = hold_attach(h, bpf);
	}
	if (r >= 0) {
		what = "keeping the BPF programs";
		r = hold_keep(h, bpf);
		memory_spare(bpf->skeleton->data, bpf->skeleton->data_sz);
	}
	if (r < 0) {
		hold_failure_explain(what, r, h->why_not, sizeof(h->why_not));
		hold_unload(h);
	}
	hold_bpf__destroy(bpf);
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
