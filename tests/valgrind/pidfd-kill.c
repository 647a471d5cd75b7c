/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For LD_PRELOAD under valgrind (3.24), which does not know pidfd_send_signal(). */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static long pidfd_kill(int pidfd, int sig)
{
	char path[64], line[128];
	int pid = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f) && sscanf(line, "Pid: %d", &pid) != 1)
		;
	if (f)
		(void)fclose(f);
	if (pid > 0)
		return kill(pid, sig);
	errno = ESRCH;
	return -1;
}

PUBLIC long syscall(long number, ...)
{
	static long (*next)(long number, ...);
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (unsigned i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_pidfd_send_signal)
		return pidfd_kill((int)a[0], (int)a[1]);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
