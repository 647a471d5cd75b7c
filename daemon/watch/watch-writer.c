/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who wrote a driver_override last; see watch-writer.h. */
#include "daemon/watch/watch-writer.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <syslog.h>
#include <systemd/sd-event.h>
#include <unistd.h>

/* A writer is asked for as soon as its device has been looked at, so few need to be remembered. */
#define WRITERS_MAX 64U

struct override_writer {
	uint64_t inode;		     /* of the file; 0: none */
	char who[WATCH_WRITER_SIZE]; /* "": one of our own programs */
};

struct watch_writer {
	sd_event_source *source;
	int fd; /* -EBADF: there is no fanotify */
	struct override_writer writers[WRITERS_MAX];
	size_t next; /* the one that is forgotten next */
};

static void process_read_line(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if (read_first_line(path, buf, size) < 0)
		buf[0] = '\0';
}

/* The process has written, and may have ended since. Our own programs are nobody to be told of. */
static void process_describe(pid_t pid, char *buf, size_t size)
{
	char name[32], cgroup[512];
	const char *unit;

	process_read_line(pid, "comm", name, sizeof(name));
	if (startswith(name, "driver-override")) {
		buf[0] = '\0';
		return;
	}
	process_read_line(pid, "cgroup", cgroup, sizeof(cgroup));
	/* What the kernel adds when the unit has ended meanwhile: " (deleted)". A unit has no space in it. */
	cgroup[strcspn(cgroup, " ")] = '\0';
	unit = strrchr(cgroup, '/');
	if (!name[0])
		(void)snprintf(buf, size, "a process that has ended (pid %d)", (int)pid);
	else if (unit && unit[1])
		(void)snprintf(buf, size, "%s (pid %d, %.100s)", name, (int)pid, unit + 1);
	else
		(void)snprintf(buf, size, "%s (pid %d)", name, (int)pid);
}

static struct override_writer *writer_find(struct watch_writer *w, uint64_t inode)
{
	for (size_t i = 0; i < WRITERS_MAX; i++)
		if (w->writers[i].inode == inode)
			return &w->writers[i];
	return NULL;
}

static void writer_note(struct watch_writer *w, uint64_t inode, pid_t pid)
{
	struct override_writer *writer = writer_find(w, inode);

	if (!writer) {
		writer = &w->writers[w->next];
		w->next = (w->next + 1) % WRITERS_MAX;
	}
	writer->inode = inode;
	process_describe(pid, writer->who, sizeof(writer->who));
}

static int on_write(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct fanotify_event_metadata) char buffer[4096];
	struct watch_writer *w = userdata;
	ssize_t n = read(fd, buffer, sizeof(buffer));

	(void)source;
	(void)revents;
	/* An event whose file has gone is an error of the read; the next one is read in another turn. */
	if (n < 0)
		return 0;
	for (struct fanotify_event_metadata *event = (void *)buffer; FAN_EVENT_OK(event, n);
	     event = FAN_EVENT_NEXT(event, n)) {
		_cleanup_(closep) int file = event->fd;
		struct stat st;

		/* Whoever wrote since what is remembered is not known. */
		if (event->mask & FAN_Q_OVERFLOW)
			memset(w->writers, 0, sizeof(w->writers));
		else if (file >= 0 && fstat(file, &st) >= 0)
			writer_note(w, st.st_ino, event->pid);
	}
	return 0;
}

void watch_writer_add(struct service *s, const char *path)
{
	/* The mark goes with its file. */
	if (s->watch_writer->fd >= 0 &&
	    fanotify_mark(s->watch_writer->fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, path) < 0)
		log_line(LOG_DEBUG, "%s: who writes it is not seen: %m", path);
}

void watch_writer_find(struct service *s, const struct device_entry *e, char *buf, size_t size)
{
	const struct override_writer *writer;
	char path[PATH_MAX];
	struct stat st;

	buf[0] = '\0';
	/* Looks the file up and does not open it, so this does not wait for the device. */
	if (path_printf(path, sizeof(path), "%s/bus/%s/devices/%s/driver_override", s->settings->sysfs,
			e->field[FIELD_BUS], e->field[FIELD_NAME]) < 0 ||
	    stat(path, &st) < 0)
		return;
	writer = writer_find(s->watch_writer, st.st_ino);
	if (writer)
		text_copy(buf, size, writer->who);
}

int watch_writer_new(struct service *s)
{
	struct watch_writer *w = s->watch_writer = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS,
			      O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (w->fd < 0) {
		log_line(LOG_INFO, "fanotify: %m, so who writes an override is not known");
		w->fd = -EBADF;
		return 0;
	}
	r = sd_event_add_io(s->event, &w->source, w->fd, EPOLLIN, on_write, w);
	if (r >= 0)
		r = sd_event_source_set_io_fd_own(w->source, true);
	/* A writer may end at any moment, and then its name is not known any more. */
	return r < 0 ? r : sd_event_source_set_priority(w->source, SD_EVENT_PRIORITY_IMPORTANT);
}

void watch_writer_free(struct service *s)
{
	struct watch_writer *w = s->watch_writer;

	if (!w)
		return;
	if (!w->source && w->fd >= 0)
		(void)close(w->fd);
	(void)sd_event_source_disable_unref(w->source);
	free(TAKE_PTR(s->watch_writer));
}
