/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stops all threads of a process but its main thread: stop-threads PID. A signal to the process still ends
 * it, and then this program ends, too; when this program is ended, the threads go on.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char path[64];
	DIR *tasks;

	(void)snprintf(path, sizeof(path), "/proc/%s/task", argc == 2 ? argv[1] : "");
	tasks = opendir(path);
	for (struct dirent *e; tasks && (e = readdir(tasks));) {
		const int tid = atoi(e->d_name);
		int status;

		if (tid == 0 || tid == atoi(argv[1]))
			continue;
		if (ptrace(PTRACE_SEIZE, tid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0 ||
		    waitpid(tid, &status, __WALL) < 0) {
			perror(e->d_name);
			return 1;
		}
	}
	(void)puts("stopped");
	(void)fflush(stdout);
	while (waitpid(-1, NULL, __WALL) > 0)
		; /* they end with the process */
	return 0;
}
