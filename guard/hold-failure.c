/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why the BPF programs could not be loaded; see hold-failure.h. */
#include "guard/hold-failure.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/text.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBBPF_PREFIX "libbpf: "
#define KERNEL_ENOTSUPP 524 /* which the kernel keeps to itself elsewhere */

/* Of the attempt that was made last. Only the thread that loads the programs uses it. */
static char failure_said[256];

/* The verifier's last words, which say what it refused, come before its statistics. */
static bool is_statistics(const char *line)
{
	return startswith(line, "processed ") || startswith(line, "--") ||
	       startswith(line, "verification time") || startswith(line, "stack depth") || line[0] == '\0';
}

void hold_failure_cause(const char *said, char *line, size_t size)
{
	const char *log = strstr(said, "BEGIN PROG LOAD LOG --\n");

	if (size > 0)
		line[0] = '\0';
	if (!log) {
		said = startswith(said, LIBBPF_PREFIX) ? said + strlen(LIBBPF_PREFIX) : said;
		(void)snprintf(line, size, "%.*s", (int)strcspn(said, "\n"), said);
		return;
	}
	for (const char *at = strchr(log, '\n') + 1; *at;) {
		const size_t n = strcspn(at, "\n");
		char one[160];

		(void)snprintf(one, sizeof(one), "%.*s", (int)n, at);
		if (!is_statistics(one))
			(void)snprintf(line, size, "%s", one);
		at += n + (at[n] == '\n');
	}
}

_printf_(2, 0) static int failure_note(enum libbpf_print_level level, const char *format, va_list ap)
{
	_cleanup_(freep) char *said = NULL;

	if (level != LIBBPF_WARN || vasprintf(&said, format, ap) < 0)
		return 0;
	/* What comes first is the cause, what follows are its consequences; but the verifier's words say
	 * more. */
	if (!failure_said[0] || strstr(said, "BEGIN PROG LOAD LOG"))
		hold_failure_cause(said, failure_said, sizeof(failure_said));
	return 0;
}

void hold_failure_listen(void)
{
	failure_said[0] = '\0';
	(void)libbpf_set_print(failure_note);
}

/* [confidentiality] in /sys/kernel/security/lockdown: BPF may not read kernel memory then. */
static bool kernel_is_locked_down(void)
{
	char text[128];

	return read_first_line("/sys/kernel/security/lockdown", text, sizeof(text)) >= 0 &&
	       strstr(text, "[confidentiality]");
}

static bool kernel_has_no_jit(void)
{
	char text[16];

	return read_first_line("/proc/sys/net/core/bpf_jit_enable", text, sizeof(text)) >= 0 &&
	       streq(text, "0");
}

static uint64_t capability_bit(unsigned capability)
{
	return 1ULL << capability;
}

/* Which of the two capabilities for BPF this process has not; "": it has both. */
static const char *missing_capabilities(void)
{
	_cleanup_(fclosep) FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	uint64_t has = UINT64_MAX;

	while (f && fgets(line, sizeof(line), f))
		if (startswith(line, "CapEff:"))
			has = strtoull(line + strlen("CapEff:"), NULL, 16);
	if (has & capability_bit(CAP_SYS_ADMIN)) /* it is as good as both */
		return "";
	if (!(has & capability_bit(CAP_BPF)))
		return has & capability_bit(CAP_PERFMON) ? "CAP_BPF" : "CAP_BPF, CAP_PERFMON";
	return has & capability_bit(CAP_PERFMON) ? "" : "CAP_PERFMON";
}

void hold_failure_explain(const char *what, int r, char *text, size_t size)
{
	const char *missing = r == -EPERM || r == -EACCES ? missing_capabilities() : "";

	if (access("/sys/kernel/btf/vmlinux", F_OK) < 0)
		(void)snprintf(text, size, "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
	else if (kernel_is_locked_down())
		(void)snprintf(text, size, "the kernel is locked down (confidentiality)");
	else if (missing[0])
		(void)snprintf(text, size, "%s: not permitted to use BPF without %s", what, missing);
	else if (r == -EPERM)
		(void)snprintf(text, size, "%s: not permitted to use BPF", what);
	else if (r == -ENOSYS)
		(void)snprintf(text, size, "%s: the kernel has no BPF (CONFIG_BPF_SYSCALL)", what);
	else if (r == -KERNEL_ENOTSUPP && kernel_has_no_jit())
		(void)snprintf(text, size,
			       "%s: BPF is not compiled to machine code (net.core.bpf_jit_enable is 0)",
			       what);
	else if (r == -KERNEL_ENOTSUPP)
		(void)snprintf(text, size,
			       "%s: this kernel cannot trace its functions by BPF on this machine", what);
	else if (strstr(failure_said, "bpf_loop#"))
		(void)snprintf(text, size, "%s: this kernel's BPF has no bpf_loop", what);
	else
		(void)snprintf(text, size, "%s: %s%s%s%s", what, strerror(-r), failure_said[0] ? " (" : "",
			       failure_said, failure_said[0] ? ")" : "");
}
