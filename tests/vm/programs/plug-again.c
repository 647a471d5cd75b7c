/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plug-again PORT DEVICE: takes a PCI device below a port away and has the kernel find it anew, again and
 * again, until there is a file /run/lab/plug-enough. How often is in /run/lab/plugged; at the end there is
 * /run/lab/plugged.end. It goes to the background, and outlives what a machine goes through: it has nothing
 * but descriptors, ignores SIGTERM, and systemd spares a process whose name begins with @.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int run;

static void put(int folder, const char *name, int flags, const char *text)
{
	int fd = openat(folder, name, O_WRONLY | O_CLOEXEC | flags, 0644);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		perror(name);
	close(fd);
}

static void plug(int port, const char *device)
{
	char path[64], count[16];

	snprintf(path, sizeof(path), "%s/remove", device);
	for (int n = 1; faccessat(run, "lab/plug-enough", F_OK, 0) < 0; n++) {
		put(port, path, 0, "1");
		put(port, "rescan", 0, "1");
		snprintf(count, sizeof(count), "%d\n", n);
		put(run, "lab/plugged", O_CREAT, count); /* it never gets shorter, and is whole at any time */
		usleep(1500 * 1000);			 /* while it is held, it keeps a CPU to itself */
	}
	put(run, "lab/plugged.end", O_CREAT, "");
}

int main(int argc, char **argv)
{
	char path[128], device[32];
	int port;

	if (argc != 3)
		return 2;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", argv[1]);
	snprintf(device, sizeof(device), "%s", argv[2]);
	port = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	run = open("/run", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (port < 0 || run < 0) {
		perror(path);
		return 1;
	}
	(void)mkdirat(run, "lab", 0755);
	if (fork() > 0)
		return 0;
	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	argv[0][0] = '@';
	plug(port, device);
	return 0;
}
