/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The line of what libbpf and the kernel's verifier say that names the cause of a failure. */
#include "guard/hold-failure.h"
#include "tests/unit/fixtures/suite.h"

#include <string.h>

/* What is found in this. */
static void check_cause(const char *said, const char *expected)
{
	char line[64] = "before";

	hold_failure_cause(said, line, sizeof(line));
	ck_assert_str_eq(line, expected);
}

START_TEST(the_cause_is_the_verifiers_last_word_or_libbpfs_own)
{
	check_cause("libbpf: failed to find valid kernel BTF\n", "failed to find valid kernel BTF");
	check_cause("libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n"
		    "0: R1=ctx(off=0,imm=0)\n"
		    "unknown func bpf_loop#181\n"
		    "verification time 12 usec\n"
		    "stack depth 0\n"
		    "processed 12 insns (limit 1000000)\n"
		    "-- END PROG LOAD LOG --\n",
		    "unknown func bpf_loop#181");
	check_cause("libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\nunended", "unended");
	check_cause("libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n", "");
	check_cause("", "");
}
END_TEST

SUITE_MAIN("hold-failure", 30, the_cause_is_the_verifiers_last_word_or_libbpfs_own)
