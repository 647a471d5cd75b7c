/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* What can be seen of the guard's threads: whether one of them waits for the very CPU that waits for the
 * guard, and where in the kernel each of them is. */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "guard/bpf/hold-abi.h"
#include "guard/bpf/kernel-types.bpf.h"

#define GUARD_THREADS_MAX 128
#define TASK_IS_QUEUED 1 /* `on_rq` of a task that runs or may run */
#define STACK_FRAMES 16

extern const struct rq___local runqueues __ksym __weak;

__u32 guard_tgid;   /* the guard's process; 0: it is not known */
__u64 guard_leader; /* the kernel's address of its main thread */
struct hold_expiry first_expiry;

struct witness_walk {
	__u64 node, end;
	__u32 cpu;
	__u32 asleep, running, kept_out, elsewhere;
};

/* Called by bpf_loop(): looks at one thread of the guard. 1 ends the loop. */
static long witness_look_at_thread(__u32 i, struct witness_walk *w)
{
	const struct task_struct___local *task;
	struct list_head___local *next = NULL;
	__u32 cpu;

	(void)i;
	if (!w->node || w->node == w->end)
		return 1;
	task = (void *)(w->node - bpf_core_field_offset(struct task_struct___local, thread_node));
	if ((__u64)task != guard_leader) {
		cpu = BPF_CORE_READ(task, thread_info.cpu);
		if (BPF_CORE_READ_BITFIELD_PROBED(task, on_rq) != TASK_IS_QUEUED)
			w->asleep++;
		else if (BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu))
			w->running++;
		else if (cpu == w->cpu)
			w->kept_out++;
		else
			w->elsewhere++;
	}
	bpf_core_read(&next, sizeof(next), &task->thread_node.next);
	w->node = (__u64)next;
	return 0;
}

/*
 * Called when a hold has reached its limit. Whether a thread of the guard could have run but for this hold.
 * Verified by itself, as hold_end().
 */
__noinline int witness_expiry(const struct hold_key *key, __u64 number, __u64 waited_ns)
{
	const struct task_struct___local *leader = (void *)guard_leader;
	struct witness_walk w = { .cpu = bpf_get_smp_processor_id() };
	const struct rq___local *rq;

	if (!key)
		return 0;
	if (leader && bpf_core_field_exists(leader->thread_node)) {
		struct signal_struct___local *signal = BPF_CORE_READ(leader, signal);

		w.end = (__u64)signal + bpf_core_field_offset(struct signal_struct___local, thread_head);
		w.node = (__u64)BPF_CORE_READ(signal, thread_head.next);
		bpf_loop(GUARD_THREADS_MAX, witness_look_at_thread, &w, 0);
	}
	if (__sync_val_compare_and_swap(&first_expiry.number, 0, number) != 0)
		return w.kept_out > 0;
	first_expiry.key = *key;
	first_expiry.waited_ns = waited_ns;
	first_expiry.cpu = w.cpu;
	if (&runqueues) {
		rq = bpf_this_cpu_ptr(&runqueues);
		first_expiry.runnable = rq->nr_running;
		first_expiry.realtime = rq->rt.rt_nr_running;
	}
	first_expiry.asleep = w.asleep;
	first_expiry.running = w.running;
	first_expiry.kept_out = w.kept_out;
	first_expiry.elsewhere = w.elsewhere;
	first_expiry.is_complete = 1;
	return w.kept_out > 0;
}

/* The guard's main thread runs this itself, once, by the bpf system call: so the guard is known. */
SEC("raw_tp")
int remember_guard(void *context)
{
	const struct task_struct___local *task = (void *)bpf_get_current_task();

	(void)context;
	guard_tgid = bpf_get_current_pid_tgid() >> 32;
	guard_leader = (__u64)BPF_CORE_READ(task, group_leader);
	return 0;
}

/* Each thread of the guard in a line: its number, state, CPU, priority, and where in the kernel it is. */
SEC("iter/task")
int show_guard(struct bpf_iter_task_context *context)
{
	struct seq_file___local *seq = context->meta->seq;
	struct task_struct___local *task = context->task;
	__u64 stack[STACK_FRAMES] = {};
	long size;

	if (!task || (__u32)task->tgid != guard_tgid)
		return 0;
	size = bpf_get_task_stack((void *)task, stack, sizeof(stack), 0);
	BPF_SEQ_PRINTF((struct seq_file *)seq, "%d %x %d %d", task->pid, task->__state,
		       BPF_CORE_READ(task, thread_info.cpu), task->prio);
	for (int i = 0; i < STACK_FRAMES; i++)
		if ((long)(i * sizeof(stack[0])) < size)
			BPF_SEQ_PRINTF((struct seq_file *)seq, " %pB", stack[i]);
	BPF_SEQ_PRINTF((struct seq_file *)seq, "\n");
	return 0;
}
