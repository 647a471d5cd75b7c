/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands for systemd on a private bus: takes StartTransientUnit for a timer and StopUnit, and runs what a
 * timer's service is to run when its time is over, and again if it fails and Restart= says so. Each call is a
 * line in the file argv[1]: "start UNIT USEC" or "stop UNIT"; each run is "run UNIT", and its end "end UNIT";
 * a property that is a string, a number or a bool is "property UNIT KEY=VALUE". While the file argv[2] is
 * there, StartTransientUnit fails; while argv[3] is, the time of every timer is over, and
 * nothing waits to be run again.
 */
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64
#define TIMERS_MAX 32

struct timer {
	char name[256];
	uint64_t at; /* 0: free */
	char *argv[ARGUMENTS_MAX];
	pid_t pid;	  /* of the service; 0: it does not run */
	bool has_elapsed; /* the timer has gone, its service is there until it succeeds */
	bool restarts;	  /* Restart=on-failure */
	uint64_t restart_usec;
};

static struct timer timers[TIMERS_MAX];
static const char *log_path, *refusal, *hurry;

static void note_line(const char *what, const char *unit, uint64_t usec)
{
	_cleanup_(fclosep) FILE *f = fopen(log_path, "ae");
	char number[32] = "";

	if (usec > 0)
		(void)snprintf(number, sizeof(number), " %ju", (uintmax_t)usec);
	if (!f || fprintf(f, "%s %s%s\n", what, unit, number) < 0)
		exit(3);
}

static struct timer *timer_find(const char *name)
{
	for (size_t i = 0; i < TIMERS_MAX; i++)
		if (timers[i].at > 0 && streq(timers[i].name, name))
			return &timers[i];
	return NULL;
}

static void timer_free(struct timer *t)
{
	for (size_t i = 0; t->argv[i]; i++)
		free(t->argv[i]);
	*t = (struct timer){};
}

/* A word of ExecStart= as the real one takes it: "$" and what follows is a variable, of which there is none.
 */
static char *command_word(const char *word)
{
	_cleanup_(freep) char *copy = strdup(word);

	if (copy)
		copy[strcspn(copy, "$")] = '\0';
	return TAKE_PTR(copy);
}

/* What the service is to run; the rest of its properties are passed over. */
static int read_command(sd_bus_message *m, struct timer *t)
{
	const char *path, *word;
	size_t n = 0;
	int r = sd_bus_message_enter_container(m, 'v', "a(sasb)");

	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "(sasb)");
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'r', "sasb");
	if (r >= 0)
		r = sd_bus_message_read(m, "s", &path);
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(m, "s", &word)) > 0 && n < ARGUMENTS_MAX - 1)
		t->argv[n++] = command_word(word);
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	if (r >= 0)
		r = sd_bus_message_skip(m, "b");
	for (unsigned i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_exit_container(m);
	return r;
}

static int read_time(sd_bus_message *m, uint64_t *ret)
{
	const char *base;
	int r = sd_bus_message_read(m, "v", "a(st)", 1, &base, ret);

	return r >= 0 && !streq(base, "OnActiveSec") ? -EINVAL : r;
}

static int read_simple(sd_bus_message *m, const char *unit, const char *key, struct timer *t)
{
	char what[512];
	const char *type, *text = "";
	uint64_t number = 0;
	int r = sd_bus_message_peek_type(m, NULL, &type), is = 0;

	if (r < 0)
		return r;
	if (streq(type, "s"))
		r = sd_bus_message_read(m, "v", type, &text);
	else if (streq(type, "t"))
		r = sd_bus_message_read(m, "v", type, &number);
	else if (streq(type, "b"))
		r = sd_bus_message_read(m, "v", type, &is);
	else
		return sd_bus_message_skip(m, "v");
	if (r < 0)
		return r;
	if (streq(type, "s"))
		(void)snprintf(what, sizeof(what), "%s %s=%s", unit, key, text);
	else
		(void)snprintf(what, sizeof(what), "%s %s=%ju", unit, key,
			       streq(type, "t") ? (uintmax_t)number : (uintmax_t)is);
	note_line("property", what, 0);
	if (streq(key, "Restart"))
		t->restarts = streq(text, "on-failure");
	if (streq(key, "RestartUSec"))
		t->restart_usec = number;
	return r;
}

/* a(sv) */
static int read_properties(sd_bus_message *m, const char *unit, struct timer *t, uint64_t *ret_usec)
{
	const char *key;
	int r = sd_bus_message_enter_container(m, 'a', "(sv)");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'r', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &key);
		if (r >= 0 && streq(key, "ExecStart"))
			r = read_command(m, t);
		else if (r >= 0 && streq(key, "TimersMonotonic"))
			r = read_time(m, ret_usec);
		else if (r >= 0)
			r = read_simple(m, unit, key, t);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int start_unit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct timer t = {};
	const char *name, *mode, *service;
	size_t free_one = 0;
	uint64_t usec = 0;
	int r = sd_bus_message_read(m, "ss", &name, &mode);

	(void)userdata;
	if (r >= 0)
		r = read_properties(m, name, &t, &usec);
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "(sa(sv))");
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'r', "sa(sv)");
	if (r >= 0)
		r = sd_bus_message_read(m, "s", &service);
	if (r >= 0)
		r = read_properties(m, service, &t, &usec);
	if (r < 0 || usec == 0 || !t.argv[0])
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "not a timer with a service");
	if (access(refusal, F_OK) == 0)
		return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "out of order");
	if (timer_find(name))
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.UnitExists", "%s exists", name);
	while (timers[free_one].at > 0)
		free_one++;
	text_copy(t.name, sizeof(t.name), name);
	t.at = now_usec() + usec;
	timers[free_one] = t;
	note_line("start", name, usec);
	return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/1");
}

static int stop_unit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *name, *mode;
	struct timer *t;
	int r = sd_bus_message_read(m, "ss", &name, &mode);

	(void)userdata;
	if (r < 0)
		return r;
	note_line("stop", name, 0);
	t = timer_find(name);
	if (!t || t->has_elapsed)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit", "no unit %s", name);
	timer_free(t);
	return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/1");
}

static void timers_run(void)
{
	const bool all = access(hurry, F_OK) == 0;

	for (struct timer *t = timers; t < timers + TIMERS_MAX; t++) {
		if (t->at == 0 || t->pid > 0 || (t->at > now_usec() && !all))
			continue;
		note_line("run", t->name, 0);
		t->has_elapsed = true;
		t->pid = fork();
		if (t->pid == 0) {
			(void)execv(t->argv[0], t->argv);
			_exit(127);
		}
	}
}

static void timers_reap(void)
{
	int status;

	for (struct timer *t = timers; t < timers + TIMERS_MAX; t++) {
		if (t->pid <= 0 || waitpid(t->pid, &status, WNOHANG) <= 0)
			continue;
		note_line("end", t->name, 0);
		t->pid = 0;
		if (t->restarts && status != 0)
			t->at = now_usec() + t->restart_usec;
		else
			timer_free(t);
	}
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", start_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StopUnit", "ss", "o", stop_unit, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END
};

int main(int argc, char **argv)
{
	sd_bus *bus = NULL;
	int r;

	if (argc != 4)
		return 2;
	log_path = argv[1];
	refusal = argv[2];
	hurry = argv[3];
	r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/systemd1",
					     "org.freedesktop.systemd1.Manager", vtable, NULL);
	if (r >= 0)
		r = sd_bus_request_name(bus, "org.freedesktop.systemd1", 0);
	while (r >= 0) {
		timers_reap();
		timers_run();
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, 20000);
	}
	(void)sd_bus_unref(bus);
	return r == -ECONNRESET ? 0 : 1;
}
