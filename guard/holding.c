/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads the hold and talks to it through its maps; see holding.h, and hold.bpf.c for what it does. */
#include "holding.h"
#include "../policy/util.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/epoll.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* generated */
#include "hold.skel.h"
#pragma GCC diagnostic pop

struct hold {
	struct hold_bpf *bpf;
	int tickets, outcomes, buses;
	char why_not[160];
};

static int quiet(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	(void)format;
	(void)ap;
	return 0;
}

/* [confidentiality] in /sys/kernel/security/lockdown: BPF may not read kernel memory then. */
static bool is_locked_down(void)
{
	_cleanup_(closep) int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "[confidentiality]") != NULL;
}

static void why(struct hold *h, const char *what, int r)
{
	if (access("/sys/kernel/btf/vmlinux", F_OK) < 0)
		(void)snprintf(
			h->why_not, sizeof(h->why_not), "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
	else if (is_locked_down())
		(void)snprintf(h->why_not, sizeof(h->why_not), "the kernel is locked down (confidentiality)");
	else if (r == -EPERM || r == -EACCES)
		(void)snprintf(h->why_not, sizeof(h->why_not), "%s: not permitted to use BPF", what);
	else
		(void)snprintf(h->why_not, sizeof(h->why_not), "%s: %s (bpf_loop needs Linux 5.17)", what,
			strerror(-r));
}

/* As libbpf says that the kernel has no such function. */
static bool is_missing(int r)
{
	return r == -ENOENT || r == -ESRCH;
}

/* Programs that a kernel may have no function for. */
enum { WITHOUT_PCI = 1, WITHOUT_REALLY_PROBE = 2 };

static int load(struct hold *h, uint64_t limit_usec, unsigned without)
{
	int r;

	h->bpf = hold_bpf__open();
	if (!h->bpf) {
		r = negative_errno();
		why(h, "opening the BPF object", r);
		return r;
	}
	h->bpf->rodata->limit_ns = limit_usec * 1000;
	if (without & WITHOUT_PCI) {
		(void)bpf_program__set_autoload(h->bpf->progs.on_pci_bus_add_device_1, false);
		(void)bpf_program__set_autoload(h->bpf->progs.on_pci_bus_add_device_2, false);
		(void)bpf_program__set_autoload(h->bpf->progs.on_pci_bus_add_device_3, false);
	}
	if (without & WITHOUT_REALLY_PROBE)
		(void)bpf_program__set_autoload(h->bpf->progs.on_really_probe, false);
	r = hold_bpf__load(h->bpf);
	if (r < 0)
		why(h, "loading the BPF programs", r);
	else {
		r = hold_bpf__attach(h->bpf);
		if (r < 0)
			why(h, "attaching to the kernel's functions", r);
	}
	if (r < 0)
		hold_bpf__destroy(TAKE_PTR(h->bpf));
	return r;
}

struct hold *hold_new(uint64_t limit_usec)
{
	struct hold *h = calloc(1, sizeof(*h));
	int r = -ENOENT;

	if (!h)
		return NULL;
	if (limit_usec == 0) {
		(void)strcpy(h->why_not, "turned off by --no-hold");
		return h;
	}
	(void)libbpf_set_print(quiet);
	/*
	 * A kernel without PCI needs no programs for it, and without the one that looks for races the hold is
	 * as good, but nobody would notice one. Tried, not asked: each look into the kernel's types takes as
	 * long as loading everything.
	 */
	for (unsigned without = 0; without <= (WITHOUT_PCI | WITHOUT_REALLY_PROBE) && is_missing(r);
		without++)
		r = load(h, limit_usec, without);
	if (r < 0)
		return h;
	h->tickets = bpf_map__fd(h->bpf->maps.tickets);
	h->outcomes = bpf_map__fd(h->bpf->maps.outcomes);
	h->buses = bpf_map__fd(h->bpf->maps.buses);
	(void)malloc_trim(0); /* of the kernel's types, before somebody locks the memory */
	return h;
}

struct hold *hold_free(struct hold *h)
{
	if (h)
		hold_bpf__destroy(h->bpf);
	free(h);
	return NULL;
}

const char *hold_why_not(const struct hold *h)
{
	return h->bpf ? NULL : h->why_not;
}

static void make_key(struct hold_key *key, const char *bus, const char *name)
{
	memset(key, 0, sizeof(*key));
	(void)strncpy(key->bus.name, bus, sizeof(key->bus.name) - 1);
	(void)strncpy(key->name, name, sizeof(key->name) - 1);
}

void hold_set_buses(struct hold *h, const char *const *buses, size_t n)
{
	struct hold_bus key, next;
	const __u8 one = 1;

	if (!h->bpf)
		return;
	for (void *previous = NULL; bpf_map_get_next_key(h->buses, previous, &next) == 0;) {
		bool wanted = false;

		key = next;
		previous = &key;
		for (size_t i = 0; i < n; i++)
			wanted = wanted || strncmp(buses[i], key.name, sizeof(key.name) - 1) == 0;
		if (!wanted) {
			(void)bpf_map_delete_elem(h->buses, &key);
			previous = NULL;
		}
	}
	for (size_t i = 0; i < n; i++) {
		memset(&key, 0, sizeof(key));
		(void)strncpy(key.name, buses[i], sizeof(key.name) - 1);
		(void)bpf_map_update_elem(h->buses, &key, &one, BPF_ANY);
	}
}

void hold_release(struct hold *h, const char *bus, const char *name)
{
	static const struct hold_ticket marked = { .mark = HOLD_DECIDED };
	struct hold_key key;

	if (!h->bpf)
		return;
	make_key(&key, bus, name);
	/* BPF_EXIST: a hold that has reached its limit has taken its ticket away. */
	(void)bpf_map_update_elem(h->tickets, &key, &marked, BPF_EXIST);
}

bool hold_siblings_wait(struct hold *h, const char *bus, const char *name)
{
	struct hold_ticket ticket;
	struct hold_key key;
	size_t n = strlen(name);

	/* Mostly it is alone, which is told without a system call. */
	if (!h->bpf || h->bpf->bss->waiting <= 1 || !streq(bus, "pci") || n == 0 || n >= sizeof(key.name))
		return false;
	make_key(&key, bus, name);
	for (int f = '0'; f < '8'; f++) {
		key.name[n - 1] = (char)f;
		if (f != name[n - 1] && bpf_map_lookup_elem(h->tickets, &key, &ticket) == 0)
			return true; /* decided or not: it has not been probed while its ticket is there */
	}
	return false;
}

void hold_release_all(struct hold *h)
{
	static const struct hold_ticket marked = { .mark = HOLD_LET_GO };
	struct hold_key key, next;

	if (!h->bpf)
		return;
	for (void *previous = NULL; bpf_map_get_next_key(h->tickets, previous, &next) == 0; previous = &key) {
		key = next;
		(void)bpf_map_update_elem(h->tickets, &key, &marked, BPF_EXIST);
	}
}

int hold_outcome(struct hold *h, const char *bus, const char *name, uint64_t *ret_waited_ns)
{
	struct hold_outcome outcome;
	struct hold_key key;

	if (!h->bpf)
		return -ENOENT;
	make_key(&key, bus, name);
	/* In this order: a hold that ends meanwhile leaves its outcome first and takes its ticket back then.
	 */
	if (hold_awaits(h, bus, name))
		return -EAGAIN;
	if (bpf_map_lookup_elem(h->outcomes, &key, &outcome) < 0)
		return -ENOENT;
	*ret_waited_ns = outcome.waited_ns;
	return (int)outcome.mark;
}

bool hold_awaits(struct hold *h, const char *bus, const char *name)
{
	struct hold_ticket ticket;
	struct hold_key key;

	if (!h->bpf)
		return false;
	make_key(&key, bus, name);
	return bpf_map_lookup_elem(h->tickets, &key, &ticket) == 0;
}

void hold_count(const struct hold *h, struct hold_counters *ret)
{
	*ret = (struct hold_counters){};
	if (h->bpf)
		*ret = h->bpf->bss->counters;
}

bool hold_has_given_up(const struct hold *h)
{
	return h->bpf && h->bpf->bss->expired_in_a_row >= h->bpf->rodata->give_up_after;
}

void hold_rearm(struct hold *h)
{
	if (h->bpf)
		h->bpf->bss->expired_in_a_row = 0;
}

struct hold_late {
	struct ring_buffer *ring; /* each listener's own view of the one ring */
	struct hold_key key;
};

/* One listener at a time takes from the ring. */
static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;

/* A negative answer ends the round, so that one device is taken and the next left for another listener. */
static int take_late(void *userdata, void *data, size_t size)
{
	struct hold_late *late = userdata;

	if (size < sizeof(late->key))
		return 0;
	memcpy(&late->key, data, sizeof(late->key));
	return -ECANCELED;
}

struct hold_late *hold_late_new(struct hold *h)
{
	struct hold_late *late = h->bpf ? calloc(1, sizeof(*late)) : NULL;

	if (!late)
		return NULL;
	late->ring = ring_buffer__new(bpf_map__fd(h->bpf->maps.late), take_late, late, NULL);
	if (!late->ring) {
		free(late);
		return NULL;
	}
	return late;
}

int hold_late_wait(struct hold_late *late, struct hold_key *ret)
{
	struct epoll_event event;
	int r;

	if (epoll_wait(ring_buffer__epoll_fd(late->ring), &event, 1, -1) < 0)
		return errno == EINTR ? 0 : negative_errno();
	(void)pthread_mutex_lock(&late_lock);
	r = ring_buffer__consume(late->ring);
	(void)pthread_mutex_unlock(&late_lock);
	if (r != -ECANCELED)
		return r < 0 ? r : 0;
	*ret = late->key;
	ret->bus.name[sizeof(ret->bus.name) - 1] = '\0';
	ret->name[sizeof(ret->name) - 1] = '\0';
	return 1;
}
