/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why the BPF programs could not be loaded, in words: by its cause, not by the kernel's version. */
#pragma once

#include <stddef.h>

/* From now on what libbpf says is noted, and not printed. */
void hold_failure_listen(void);

/* what: was tried, and failed with r; in the words that name the cause, as far as it can be found out. */
void hold_failure_explain(const char *what, int r, char *text, size_t size);

/* Parts of these, for tests. The line of what libbpf and the verifier have said that names the cause; "":
 * none. */
void hold_failure_cause(const char *said, char *line, size_t size);
