/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel behind a mock tree: write(2) itself is replaced; see kernel.h. */
#include "kernel.h"
#include "suite.h"

#include <sys/syscall.h>

static struct {
	struct mock *m;
	const char *own_driver, *matched;
	bool answers;
	char writes[1024];
	/* The override that was written last, in which file: a store that is refused changes nothing. */
	char stands[256], where[PATH_MAX];
	struct {
		const char *what;
		int error;
	} refused[8];
	size_t n_refused;
} kernel;

void kernel_start(struct mock *m, const char *own_driver)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.m = m;
	kernel.own_driver = own_driver;
	kernel_driver_add(m, own_driver);
}

void kernel_answers(bool answers)
{
	kernel.answers = answers;
}

void kernel_has_matched(const char *driver)
{
	kernel.matched = driver;
}

void kernel_driver_add(struct mock *m, const char *driver)
{
	static const char *const files[] = { "bind", "unbind" };

	mock_driver_add(m, "pci", driver);
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		make_file(mock_printf(m, "%s/bus/pci/drivers/%s/%s", m->sysfs, driver, files[i]), "", 0);
}

void kernel_bind(struct mock *m, const char *devpath, const char *driver)
{
	kernel_driver_add(m, driver);
	mock_bind(m, devpath, driver);
}

void kernel_refuses(const char *what, int error)
{
	for (size_t i = 0; i < kernel.n_refused; i++)
		if (streq(kernel.refused[i].what, what)) {
			kernel.refused[i].error = error;
			return;
		}
	ck_assert_uint_lt(kernel.n_refused, ELEMENTSOF(kernel.refused));
	kernel.refused[kernel.n_refused].what = what;
	kernel.refused[kernel.n_refused++].error = error;
}

const char *kernel_writes(struct mock *m)
{
	const char *writes = mock_printf(m, "%s", kernel.writes);

	kernel.writes[0] = '\0';
	return writes;
}

static int refusal(const char *what)
{
	for (size_t i = 0; i < kernel.n_refused; i++)
		if (streq(kernel.refused[i].what, what))
			return kernel.refused[i].error;
	return 0;
}

static void note(const char *what)
{
	size_t n = strlen(kernel.writes);

	(void)snprintf(kernel.writes + n, sizeof(kernel.writes) - n, "%s%s", n ? ", " : "", what);
}

static const char *devpath_of(const char *name)
{
	char target[PATH_MAX] = "";

	ck_assert_int_gt(readlink(mock_printf(kernel.m, "%s/bus/pci/devices/%s", kernel.m->sysfs, name),
				 target, sizeof(target) - 1),
		0);
	return mock_printf(kernel.m, "%s", strstr(target, "/devices/"));
}

/* "" when there is none. */
static const char *driver_of(const char *devpath)
{
	char target[PATH_MAX] = "";

	if (readlink(mock_path(kernel.m, devpath, "driver"), target, sizeof(target) - 1) < 0)
		return "";
	return mock_printf(kernel.m, "%s", strrchr(target, '/') + 1);
}

static int bind_to(const char *devpath, const char *driver)
{
	const char *override = mock_override(kernel.m, devpath);
	int error = refusal(mock_printf(kernel.m, "bind %s", driver));

	if (!override[0] || override[0] == '\n' || streq(override, "(null)\n"))
		override = kernel.own_driver;
	if (error == 0 && (!streq(override, driver) || driver_of(devpath)[0]))
		error = driver_of(devpath)[0] ? EBUSY : ENODEV;
	if (error == 0)
		mock_bind(kernel.m, devpath, driver);
	return error;
}

/* That the group belongs to VFIO is the one error of a probe that counts; drivers_probe has EINVAL for any.
 */
static int probe(const char *devpath)
{
	const char *override = mock_override(kernel.m, devpath);

	if (kernel.matched)
		mock_bind(kernel.m, devpath, TAKE_PTR(kernel.matched));
	if (!override[0] || override[0] == '\n' || streq(override, "(null)\n"))
		override = kernel.own_driver;
	if (access(mock_printf(kernel.m, "%s/bus/pci/drivers/%s", kernel.m->sysfs, override), F_OK) == 0)
		return bind_to(devpath, override) == EBUSY && !driver_of(devpath)[0] ? EINVAL : 0;
	return 0;
}

/* What a write to a file of the tree does; 0: nothing but to the file. */
static int act(const char *path, const char *text)
{
	const char *driver = strstr(path, "/drivers/"), *last = strrchr(path, '/') + 1, *devpath;
	int error;

	if (streq(last, "driver_override")) {
		note(mock_printf(kernel.m, "override %s", text[0] == '\n' ? "-" : text));
		return refusal(mock_printf(kernel.m, "override %s", text[0] == '\n' ? "-" : text));
	}
	if (streq(last, "drivers_probe")) {
		note("probe");
		return probe(devpath_of(text));
	}
	if (!driver || (!streq(last, "bind") && !streq(last, "unbind")))
		return 0;
	driver += strlen("/drivers/");
	driver = mock_printf(kernel.m, "%.*s", (int)strcspn(driver, "/"), driver);
	note(mock_printf(kernel.m, "%s %s", last, driver));
	devpath = devpath_of(text);
	if (streq(last, "bind"))
		return bind_to(devpath, driver);
	error = refusal(mock_printf(kernel.m, "unbind %s", driver));
	if (error == 0 && !streq(driver_of(devpath), driver))
		error = ENODEV;
	if (error == 0)
		mock_unbind(kernel.m, devpath);
	return error;
}

/* Instead of the C library's, for all that is linked into the test. */
ssize_t write(int fd, const void *buf, size_t n)
{
	char link[64], path[PATH_MAX] = "", text[256] = "";
	int error = 0;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (kernel.m && readlink(link, path, sizeof(path) - 1) > 0 && kernel.answers &&
		startswith(path, kernel.m->sysfs) && n < sizeof(text)) {
		memcpy(text, buf, n);
		error = act(path, text);
	}
	if (error != 0) {
		/* Opening it has emptied the file, as no file of sysfs is emptied. */
		if (streq(path, kernel.where))
			(void)syscall(SYS_write, fd, kernel.stands, strlen(kernel.stands));
		errno = error;
		return -1;
	}
	if (n < sizeof(kernel.stands) && strstr(path, "/driver_override")) {
		(void)snprintf(kernel.where, sizeof(kernel.where), "%s", path);
		(void)snprintf(kernel.stands, sizeof(kernel.stands), "%.*s", (int)n, (const char *)buf);
	}
	return syscall(SYS_write, fd, buf, n);
}
