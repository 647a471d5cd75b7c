/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Overrides that are being written; see intent.h. */
#include "state/intent.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "policy/rule.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 128

struct intent {
	/* 0: free; the process whose it is, negative while it fills it in. */
	_Atomic(int) owner;
	bool kept;
	char bus[32];
	char name[128];
	char value[DRIVER_NAME_MAX + 1];
};

struct intents {
	struct intent slots[SLOTS];
};

/* The id of this process. A hold must not cost a system call for it each time. */
static pid_t own_pid;
/* How many intents this process has begun and not ended, and how many it keeps. */
static atomic_uint own_intents, kept_intents;

static int intents_map(const char *state_dir, int flags, struct intents **ret)
{
	_cleanup_(closep) int fd = -EBADF;
	const bool writes = flags != O_RDONLY;
	char path[PATH_MAX];
	struct stat st;
	void *p;
	int r;

	r = path_join(path, sizeof(path), state_dir, "/writing", NULL);
	if (r < 0)
		return r;
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return negative_errno();
	if (st.st_size != sizeof(**ret)) {
		/* None yet, or of another version of this program. */
		if (!writes)
			return -ENODATA;
		if (ftruncate(fd, 0) < 0)
			return negative_errno();
	}
	/* A hole could not be filled when the file system is full, and that would be a signal. */
	if (writes) {
		r = -posix_fallocate(fd, 0, sizeof(**ret));
		if (r < 0) {
			(void)unlink(path);
			return r;
		}
	}
	p = mmap(NULL, sizeof(**ret), writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return negative_errno();
	/* The guard has no time to fetch it when it writes, and may wait for long before it locks the rest.
	 */
	if (writes)
		(void)mlock(p, sizeof(**ret));
	*ret = p;
	return 0;
}

int intents_open(const char *state_dir, struct intents **ret)
{
	if (mkdir(state_dir, 0755) < 0 && errno != EEXIST)
		return negative_errno();
	own_pid = getpid();
	return intents_map(state_dir, O_RDWR | O_CREAT, ret);
}

void intents_forget_others(struct intents *intents)
{
	for (size_t i = 0; intents && i < SLOTS; i++) {
		int owner = atomic_load(&intents->slots[i].owner);

		/* A free one may be taken by a thread of ours in this moment. */
		if (owner != 0 && abs(owner) != own_pid)
			(void)atomic_compare_exchange_strong(&intents->slots[i].owner, &owner, 0);
	}
}

struct intent *intent_begin(struct intents *intents, const char *bus, const char *name, const char *value)
{
	if (!intents || strlen(bus) >= sizeof(intents->slots[0].bus) ||
	    strlen(name) >= sizeof(intents->slots[0].name) ||
	    strlen(value) >= sizeof(intents->slots[0].value))
		return NULL;
	for (size_t i = 0; i < SLOTS; i++) {
		struct intent *slot = &intents->slots[i];
		int nobody = 0;

		if (!atomic_compare_exchange_strong(&slot->owner, &nobody, -own_pid))
			continue;
		slot->kept = false;
		(void)strcpy(slot->bus, bus);
		(void)strcpy(slot->name, name);
		(void)strcpy(slot->value, value);
		atomic_store(&slot->owner, own_pid);
		atomic_fetch_add(&own_intents, 1);
		return slot;
	}
	return NULL;
}

static bool intent_is_for(const struct intent *slot, const char *bus, const char *name)
{
	return strncmp(slot->name, name, sizeof(slot->name)) == 0 &&
	       strncmp(slot->bus, bus, sizeof(slot->bus)) == 0;
}

bool intent_is_shared(struct intents *intents, const struct intent *own)
{
	if (!own || atomic_load(&own_intents) < 2)
		return false;
	for (size_t i = 0; i < SLOTS; i++) {
		const struct intent *slot = &intents->slots[i];

		if (slot != own && atomic_load(&slot->owner) == own_pid && !slot->kept &&
		    intent_is_for(slot, own->bus, own->name))
			return true;
	}
	return false;
}

void intent_end(struct intent *intent)
{
	if (intent) {
		atomic_store(&intent->owner, 0);
		atomic_fetch_sub(&own_intents, 1);
	}
}

void intent_keep(struct intent *intent)
{
	if (intent) {
		intent->kept = true;
		atomic_fetch_add(&kept_intents, 1);
		atomic_fetch_sub(&own_intents, 1);
	}
}

void intents_forget(struct intents *intents, const char *bus, const char *name)
{
	if (!intents || atomic_load(&kept_intents) == 0)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		struct intent *slot = &intents->slots[i];

		if (atomic_load(&slot->owner) == own_pid && slot->kept && intent_is_for(slot, bus, name)) {
			atomic_store(&slot->owner, 0);
			atomic_fetch_sub(&kept_intents, 1);
		}
	}
}

bool intent_is_pending(const char *state_dir, const char *bus, const char *name, const char *value)
{
	struct intents *intents;
	bool found = false;

	if (intents_map(state_dir, O_RDONLY, &intents) < 0)
		return false;
	for (size_t i = 0; i < SLOTS && !found; i++) {
		const struct intent *slot = &intents->slots[i];

		/* A slot that is being filled right now is not set yet, and its override not written. */
		found = atomic_load(&slot->owner) > 0 && intent_is_for(slot, bus, name) &&
			strncmp(slot->value, value, sizeof(slot->value)) == 0;
	}
	(void)munmap(intents, sizeof(*intents));
	return found;
}
