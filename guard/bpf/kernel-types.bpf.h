/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The fields of the kernel's types that the BPF programs use. libbpf ignores what follows ___ in a type's
 * name, and finds the fields where the running kernel has them (CO-RE).
 */
#pragma once

#ifdef __bpf__
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

struct kobject___local {
	const char *name;
	unsigned int uevent_suppress : 1;
};

struct bus_type___local {
	const char *name;
};

struct list_head___local {
	struct list_head___local *next;
};

struct iommu_group___local {
	struct list_head___local devices;
};

/* A member of an IOMMU group. */
struct group_device___local {
	struct list_head___local list;
	struct device___local *dev;
};

struct device___local {
	struct kobject___local kobj;
	const struct bus_type___local *bus;
	struct iommu_group___local *iommu_group;
};

struct pci_dev___local {
	struct device___local dev;
	unsigned short vendor, device;
	unsigned int class; /* six digits */
};

struct device_driver___local {
	const char *name;
};

struct atomic___local {
	int counter;
};

struct signal_struct___local {
	struct atomic___local live; /* threads that have not begun to exit */
	unsigned int flags;
	struct list_head___local thread_head;
};

struct thread_info___local {
	unsigned int cpu;
};

struct task_struct___local {
	struct thread_info___local thread_info;
	unsigned int __state;
	int on_cpu, on_rq, prio;
	int pid, tgid;
	struct signal_struct___local *signal;
	struct list_head___local thread_node;
	struct task_struct___local *group_leader;
};

struct rt_rq___local {
	unsigned int rt_nr_running;
};

struct rq___local {
	unsigned int nr_running;
	struct rt_rq___local rt;
};

struct seq_file___local;

struct bpf_iter_meta___local {
	struct seq_file___local *seq;
};

#ifdef __bpf__
#pragma clang attribute pop
#endif

/* As the kernel's bpf_iter__task; the kernel itself fits its layout to the program's. */
struct bpf_iter_task_context {
	struct bpf_iter_meta___local *meta;
	struct task_struct___local *task;
};

#define SIGINT___local 2
#define SIGKILL___local 9
#define SIGTERM___local 15
#define SIGNAL_GROUP_EXIT___local 4 /* SIGNAL_GROUP_EXIT: the whole process has been told to end */
