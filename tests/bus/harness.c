/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service on a private bus and a mock tree; see harness.h. */
#include "tests/bus/harness.h"
#include "base/macro.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char config[] =
	"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\"\n"
	" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
	"<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>\n"
	"<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\n"
	"<allow send_type=\"method_call\"/><allow send_type=\"signal\"/>\n"
	"<allow send_requested_reply=\"true\" send_type=\"method_return\"/>\n"
	"<allow send_requested_reply=\"true\" send_type=\"error\"/>\n"
	"<allow receive_type=\"method_call\"/><allow receive_type=\"method_return\"/>\n"
	"<allow receive_type=\"error\"/><allow receive_type=\"signal\"/></policy>\n"
	"<limit name=\"max_connections_per_user\">1024</limit></busconfig>\n";

uint64_t clock_usec(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

/* out: its stdout, or -1: the test's; log: a file for its stderr, or NULL: the test's. */
static pid_t program_start(const char *const *argv, int out, const char *log)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	/* When a test takes too long, libcheck kills its process group, and this process with it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (out >= 0)
		(void)dup2(out, STDOUT_FILENO);
	if (log)
		(void)dup2(open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), STDERR_FILENO);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	perror(argv[0]);
	_exit(127);
}

static void bus_start(struct harness *h)
{
	const char *file = mock_printf(h->m, "%s/bus.conf", h->m->root);
	const char *argv[] = { "dbus-daemon", "--nofork",	 "--nopidfile",
			       "--nosyslog",  "--print-address", mock_printf(h->m, "--config-file=%s", file),
			       NULL };
	char address[512];
	int fds[2];
	ssize_t n;

	make_file(file, config, strlen(config));
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	h->daemon = program_start(argv, fds[1], "/dev/null"); /* it says something about its limits */
	(void)close(fds[1]);
	n = read(fds[0], address, sizeof(address) - 1);
	(void)close(fds[0]);
	ck_assert_msg(n > 0, "dbus-daemon did not start");
	address[n] = '\0';
	address[strcspn(address, "\n")] = '\0';
	h->address = mock_printf(h->m, "%s", address);
	ck_assert_int_eq(setenv("DBUS_SYSTEM_BUS_ADDRESS", h->address, 1), 0);
	h->bus = connect_as(h, 0);
}

sd_bus *connect_as(struct harness *h, uid_t uid)
{
	uid_t own = geteuid();
	sd_bus *bus = NULL;
	int r = 0;

	if (uid)
		r = seteuid(uid);
	ck_assert_msg(r == 0, "cannot be user %u: %m", (unsigned)uid);
	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_address(bus, h->address), 0);
	ck_assert_int_ge(sd_bus_set_bus_client(bus, true), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	/* The uid counts while the connection says hello, so that is to be over. */
	ck_assert_int_ge(sd_bus_get_unique_name(bus, &(const char *){ NULL }), 0);
	if (uid)
		ck_assert_int_eq(seteuid(own), 0);
	(void)sd_bus_set_method_call_timeout(bus, PATIENCE_USEC);
	return bus;
}

struct harness *harness_new(void)
{
	struct harness *h = calloc(1, sizeof(*h));

	ck_assert_ptr_nonnull(h);
	h->m = mock_new();
	h->under = getenv("SERVICE_UNDER"); /* such as "valgrind -q --error-exitcode=9" */
	h->fifo = mock_printf(h->m, "%s/events", h->m->root);
	ck_assert_int_eq(mkfifo(h->fifo, 0600), 0);
	make_dirs(mock_printf(h->m, "%s/bus/platform/devices", h->m->sysfs));
	bus_start(h);
	return h;
}

static int reap(pid_t *pid)
{
	int status = 0;

	if (*pid > 0)
		ck_assert_int_eq(waitpid(*pid, &status, 0), *pid);
	*pid = 0;
	return status;
}

void harness_free(struct harness *h)
{
	if (h->service > 0)
		service_stop(h);
	(void)sd_bus_flush_close_unref(h->bus);
	if (h->polkit > 0)
		(void)kill(h->polkit, SIGKILL);
	(void)reap(&h->polkit);
	if (h->systemd > 0)
		(void)kill(h->systemd, SIGKILL);
	(void)reap(&h->systemd);
	(void)kill(h->daemon, SIGTERM);
	(void)reap(&h->daemon);
	sd_bus_error_free(&h->error);
	mock_free(h->m);
	free(h);
}

bool has_name(struct harness *h)
{
	sd_bus_message *reply = NULL;
	int has = 0;

	if (sd_bus_call_method(h->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner",
			       NULL, &reply, "s", "org.driveroverrides1") >= 0)
		(void)sd_bus_message_read(reply, "b", &has);
	(void)sd_bus_message_unref(reply);
	return has;
}

void service_start(struct harness *h)
{
	const char *argv[32] = {}, *under = h->under;
	size_t n = 0;

	for (; under && *under && n < 8; under += strcspn(under, " ") + (strchr(under, ' ') != NULL))
		argv[n++] = mock_printf(h->m, "%.*s", (int)strcspn(under, " "), under);
	argv[n++] = getenv("DRIVER_OVERRIDED");
	ck_assert_ptr_nonnull(argv[n - 1]);
	argv[n++] = "--enforcer";
	argv[n++] = getenv("FAKE_ENFORCER");
	argv[n++] = "--events";
	argv[n++] = h->fifo;
	argv[n++] = "--sysfs";
	argv[n++] = h->m->sysfs;
	argv[n++] = "--state-dir";
	argv[n++] = h->m->state;
	for (size_t i = 0; i < MOCK_DIRS; i++) {
		argv[n++] = "--conf-dir";
		argv[n++] = h->m->conf[i];
	}
	if (h->idle_exit) {
		argv[n++] = "--idle-exit";
		argv[n++] = h->idle_exit;
	}
	if (h->read_timeout) {
		argv[n++] = "--read-timeout";
		argv[n++] = h->read_timeout;
	}
	h->service = program_start(argv, -1, h->log);
	for (uint64_t end = clock_usec() + PATIENCE_USEC; !has_name(h); (void)usleep(500)) {
		int status;

		ck_assert_msg(waitpid(h->service, &status, WNOHANG) == 0, "the service ended: %x",
			      (unsigned)status);
		ck_assert_msg(clock_usec() < end, "the service does not come up");
	}
	/* What it does when it has got the name is done when it answers. */
	(void)sd_bus_call_method(h->bus, "org.driveroverrides1", "/org/driveroverrides1",
				 "org.freedesktop.DBus.Peer", "Ping", NULL, NULL, NULL);
}

/* The next one would find the name taken, and end. */
static void wait_for_bus_to_notice(struct harness *h)
{
	for (uint64_t end = clock_usec() + PATIENCE_USEC; has_name(h); (void)usleep(500))
		ck_assert_msg(clock_usec() < end, "the bus does not notice that the service has ended");
}

void service_stop(struct harness *h)
{
	int status;

	ck_assert_int_eq(kill(h->service, SIGTERM), 0);
	status = reap(&h->service);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the service ended with %x",
		      (unsigned)status);
	wait_for_bus_to_notice(h);
}

void service_kill(struct harness *h)
{
	ck_assert_int_eq(kill(h->service, SIGKILL), 0);
	(void)reap(&h->service);
	wait_for_bus_to_notice(h);
}

void polkit_answers(struct harness *h, const char *answers)
{
	const char *path = mock_printf(h->m, "%s/answers", h->m->root);
	const char *new = mock_printf(h->m, "%s.new", path);

	/* At once: polkit may be reading it. */
	make_file(new, answers, strlen(answers));
	ck_assert_int_eq(rename(new, path), 0);
	(void)unlink(mock_printf(h->m, "%s/questions", h->m->root));
}

const char *polkit_questions(struct harness *h)
{
	const char *path = mock_printf(h->m, "%s/questions", h->m->root);

	return access(path, F_OK) == 0 ? mock_read(h->m, path) : "";
}

void polkit_start(struct harness *h, const char *answers)
{
	const char *argv[] = { getenv("FAKE_POLKIT"), mock_printf(h->m, "%s/answers", h->m->root),
			       mock_printf(h->m, "%s/questions", h->m->root), NULL };

	ck_assert_ptr_nonnull(argv[0]);
	polkit_answers(h, answers);
	h->polkit = program_start(argv, -1, NULL);
	WAIT_UNTIL(sd_bus_call_method(h->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
				      "GetNameOwner", NULL, NULL, "s", "org.freedesktop.PolicyKit1") >= 0);
}

struct harness *service_with_polkit(const char *answers)
{
	struct harness *h = harness_new();

	ck_assert_msg(geteuid() == 0, "only root can call as another user");
	three_devices(h);
	if (answers)
		polkit_start(h, answers);
	service_start(h);
	return h;
}

static const char *systemd_file(struct harness *h, const char *name)
{
	return mock_printf(h->m, "%s/systemd-%s", h->m->root, name);
}

void systemd_start(struct harness *h)
{
	const char *argv[] = { getenv("FAKE_SYSTEMD"), systemd_file(h, "log"), systemd_file(h, "refuses"),
			       systemd_file(h, "hurries"), NULL };

	ck_assert_ptr_nonnull(argv[0]);
	h->systemd = program_start(argv, -1, NULL);
	WAIT_UNTIL(sd_bus_call_method(h->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
				      "GetNameOwner", NULL, NULL, "s", "org.freedesktop.systemd1") >= 0);
}

const char *systemd_log(struct harness *h)
{
	const char *path = systemd_file(h, "log");

	return access(path, F_OK) == 0 ? mock_read(h->m, path) : "";
}

void systemd_refuses(struct harness *h, bool refuses)
{
	if (refuses)
		make_file(systemd_file(h, "refuses"), "", 0);
	else
		(void)unlink(systemd_file(h, "refuses"));
}

void systemd_hurries(struct harness *h, bool hurries)
{
	if (hurries)
		make_file(systemd_file(h, "hurries"), "", 0);
	else
		(void)unlink(systemd_file(h, "hurries"));
}

void tell(struct harness *h, const char *action, const char *bus, const char *name)
{
	int fd = open(h->fifo, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(dprintf(fd, "%s %s %s\n", action, bus, name), 0);
	(void)close(fd);
}

const char *policy_text(struct harness *h, enum mock_dir dir, const char *name)
{
	const char *path = mock_printf(h->m, "%s/%s", h->m->conf[dir], name);

	return access(path, F_OK) == 0 ? mock_read(h->m, path) : NULL;
}

static unsigned count_entries(const char *path)
{
	_cleanup_(closedirp) DIR *d = opendir(path);
	const struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += !streq(e->d_name, ".") && !streq(e->d_name, "..");
	return n;
}

unsigned policy_files(struct harness *h, enum mock_dir dir)
{
	return count_entries(h->m->conf[dir]);
}

unsigned staging_dirs(struct harness *h)
{
	return count_entries(mock_printf(h->m, "%s/staging", h->m->state));
}

void faults(struct harness *h, const char *text)
{
	const char *path = mock_printf(h->m, "%s/faults", h->m->root),
		   *whole = mock_printf(h->m, "%s.new", path);

	make_file(whole, text, strlen(text));
	ck_assert_int_eq(rename(whole, path), 0);
}

unsigned calls(struct harness *h, const char *text)
{
	const char *path = mock_printf(h->m, "%s/calls", h->m->root), *log;
	unsigned n = 0;

	log = access(path, F_OK) == 0 ? mock_read(h->m, path) : "";
	for (const char *line = log; *line; line += strcspn(line, "\n") + 1) {
		const char *found = strstr(line, text);

		n += found && found < line + strcspn(line, "\n") + 1;
	}
	return n;
}

void three_devices(struct harness *h)
{
	const char *card = mock_pci_add(h->m, CARD, NULL, 0x8086, 0x10d3, 0x020000);
	const char *disk = mock_pci_add(h->m, DISK, NULL, 0x1b36, 0x0010, 0x010802);
	const char *foo = mock_platform_add(h->m, "foo.0", "platform:foo");

	mock_bind(h->m, card, "e1000e");
	mock_attr(h->m, card, "own_driver", "e1000e\n");
	mock_bind(h->m, disk, "nvme");
	mock_attr(h->m, disk, "own_driver", "nvme\n");
	mock_bind(h->m, foo, "foo");
	mock_attr(h->m, foo, "own_driver", "foo\n");
	mock_driver_add(h->m, "pci", "vfio-pci");
	mock_group(h->m, 5, card, NULL);
	mock_group(h->m, 7, disk, NULL);
}

void drift(struct harness *h, const char *devpath, const char *override, const char *driver)
{
	mock_attr(h->m, devpath, "driver_override", override);
	if (driver)
		mock_bind(h->m, devpath, driver);
	else
		mock_unbind(h->m, devpath);
}
