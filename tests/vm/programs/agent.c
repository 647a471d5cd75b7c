/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other end of Machine.run(), in the guest: reads "ID LENGTH\n" and a script of that length from a
 * virtio port, runs each script as a process of its own (`bash -e`) and answers "ID STATUS LENGTH\n" and its
 * output. A port and not a console: bytes pass as they are, no echo, no line limit, no terminal queries; and
 * a command that hangs leaves the next one its way. A program and not a script, because starting processes is
 * what emulation is slowest at. For that reason a script that begins with a zero byte is no script, but the
 * words of one command, each with a zero byte at its end: no shell is started for it, and for what scenarios
 * do most (see OWN) no program either.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCRIPT "/run/lab/%s.sh"
#define NEVER "/run/lab/never" /* a pipe that nobody writes to: a script that reads from it sleeps */

struct job {
	char id[32];
	pid_t pid;
	int out;
	struct job *next;
};

static struct job *jobs;

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1); /* and be started anew */
}

/* The port, as soon as udev or the kernel has made it. */
static int open_port(void)
{
	for (;;) {
		glob_t found;
		int port = -1;

		if (glob("/dev/vport*p1", 0, NULL, &found) == 0)
			port = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
		globfree(&found);
		if (port >= 0)
			return port;
		usleep(50 * 1000);
	}
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		need(n > 0 || errno == EINTR, "write");
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
}

static int failed(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return 1;
}

static int own_cat(char **words)
{
	static char block[65536];

	for (; *words; words++) {
		int fd = open(*words, O_RDONLY | O_CLOEXEC);
		ssize_t n;

		if (fd < 0)
			return failed(*words);
		while ((n = read(fd, block, sizeof(block))) > 0)
			write_all(1, block, (size_t)n);
		if (n < 0)
			return failed(*words);
		close(fd);
	}
	return 0;
}

static int own_readlink(char **words)
{
	char target[4096];
	ssize_t n = readlink(words[0], target, sizeof(target) - 1);

	if (n < 0)
		return 1;
	target[n] = '\n';
	write_all(1, target, (size_t)n + 1);
	return 0;
}

/* As `test -e`, which is all that it is asked. */
static int own_exists(char **words)
{
	return access(words[0], F_OK) == 0 ? 0 : 1;
}

/* As `: >FILE`, but the file is there already. */
static int own_empty(char **words)
{
	return open(words[0], O_WRONLY | O_TRUNC | O_CLOEXEC) < 0 ? failed(words[0]) : 0;
}

/*
 * MODE FILE TEXT: as `printf %s TEXT >FILE; chmod MODE FILE; touch -d NOW FILE`. With a time of its own a
 * policy file counts at once: the lab is faster than the 200 ms of driver-overrides.d(5).
 */
static int own_write(char **words)
{
	int fd = open(words[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct timespec times[2];

	if (fd < 0)
		return failed(words[1]);
	if (write(fd, words[2], strlen(words[2])) != (ssize_t)strlen(words[2]))
		return failed(words[1]);
	if (fchmod(fd, (mode_t)strtoul(words[0], NULL, 8)) < 0)
		return failed(words[1]);
	(void)clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
	return futimens(fd, times) < 0 ? failed(words[1]) : 0;
}

static const struct {
	const char *name;
	int count; /* of its words; -1: any */
	int (*run)(char **words);
} OWN[] = {
	{ "cat", -1, own_cat },	   { "readlink", 1, own_readlink }, { "exists", 1, own_exists },
	{ "empty", 1, own_empty }, { "write", 3, own_write },
};

/* In the job's own process: it may sleep in the kernel for ever. */
static int run_words(const char *data, size_t size)
{
	char **words = NULL;
	int count = 0;

	for (const char *at = data; at < data + size; at += strlen(at) + 1) {
		words = realloc(words, (size_t)(count + 2) * sizeof(*words));
		need(words != NULL, "realloc");
		words[count++] = strdup(at);
	}
	need(count > 0, "no words");
	words[count] = NULL;
	for (size_t i = 0; i < sizeof(OWN) / sizeof(*OWN); i++)
		if (strcmp(words[0], OWN[i].name) == 0 && (OWN[i].count < 0 || OWN[i].count == count - 1))
			return OWN[i].run(words + 1);
	execvp(words[0], words);
	(void)failed(words[0]);
	return 127;
}

static void start(const char *id, const char *script, size_t size)
{
	struct job *job = calloc(1, sizeof(*job));
	int shell = size == 0 || script[0] != '\0';
	char path[64];
	int fd;

	need(job != NULL, "calloc");
	(void)snprintf(job->id, sizeof(job->id), "%s", id);
	(void)snprintf(path, sizeof(path), SCRIPT, id);
	if (shell) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		need(fd >= 0, path);
		write_all(fd, script, size);
		close(fd);
	}
	job->out = memfd_create("output", MFD_CLOEXEC);
	need(job->out >= 0, "memfd_create");
	job->pid = fork();
	need(job->pid >= 0, "fork");
	if (job->pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		fd = open("/dev/null", O_RDONLY);
		if (dup2(fd, 0) < 0 || dup2(job->out, 1) < 0 || dup2(job->out, 2) < 0)
			_exit(126);
		if (fd > 2)
			close(fd);
		if (!shell)
			_exit(run_words(script + 1, size - 1));
		execl("/bin/bash", "bash", "-e", path, (char *)NULL);
		_exit(127);
	}
	job->next = jobs;
	jobs = job;
}

/* Answers for a script that has ended; what it has left in the background may go on writing, to nobody. */
static void answer(int port, struct job *job, int status)
{
	struct stat st;
	char head[96], path[64];
	char *out = NULL;

	need(fstat(job->out, &st) == 0, "fstat");
	if (st.st_size > 0) {
		out = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, job->out, 0);
		need(out != MAP_FAILED, "mmap");
	}
	(void)snprintf(head, sizeof(head), "%s %d %lld\n", job->id,
		       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
		       (long long)st.st_size);
	write_all(port, head, strlen(head));
	if (out) {
		write_all(port, out, (size_t)st.st_size);
		munmap(out, (size_t)st.st_size);
	}
	(void)snprintf(path, sizeof(path), SCRIPT, job->id);
	(void)unlink(path);
	close(job->out);
}

static void reap(int port)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct job **link = &jobs; *link; link = &(*link)->next)
			if ((*link)->pid == pid) {
				struct job *job = *link;

				answer(port, job, status);
				*link = job->next;
				free(job);
				break;
			}
}

/* Starts all that has come in whole; the number of bytes used. */
static size_t take(const char *data, size_t size)
{
	size_t used = 0;

	for (;;) {
		const char *end = memchr(data + used, '\n', size - used);
		size_t length, head;
		char id[32];

		if (!end)
			return used;
		head = (size_t)(end - (data + used)) + 1;
		need(sscanf(data + used, "%31[0-9a-f] %zu", id, &length) == 2, "a line that is no command");
		if (size - used - head < length)
			return used;
		start(id, end + 1, length);
		used += head + length;
	}
}

int main(void)
{
	static const char hello[] = "hello 0 0\n";
	char *data = NULL;
	size_t size = 0, room = 0;
	sigset_t mask;
	int port, signals;

	(void)mkdir("/run/lab", 0755);
	(void)mkfifo(NEVER, 0600);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	need(signals >= 0, "signalfd");
	port = open_port();
	write_all(port, hello, strlen(hello));
	for (;;) {
		struct pollfd fds[] = { { .fd = port, .events = POLLIN },
					{ .fd = signals, .events = POLLIN } };
		struct signalfd_siginfo info;

		need(poll(fds, 2, -1) > 0 || errno == EINTR, "poll");
		while (read(signals, &info, sizeof(info)) > 0)
			;
		reap(port);
		if (fds[0].revents & POLLIN) {
			ssize_t n;

			if (room - size < 65536) {
				room = 2 * room + 131072;
				data = realloc(data, room);
				need(data != NULL, "realloc");
			}
			n = read(port, data + size, 65536);
			need(n >= 0 || errno == EINTR, "read");
			if (n > 0) {
				size_t used;

				size += (size_t)n;
				used = take(data, size);
				memmove(data, data + used, size - used);
				size -= used;
			}
		} else if (fds[0].revents & (POLLHUP | POLLERR)) {
			usleep(50 * 1000); /* nobody is at the other end */
		}
	}
}
