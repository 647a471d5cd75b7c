/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mock sysfs in domain words; see mock.h. */
#include "mock.h"
#include "suite.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

static void must(bool ok, const char *what)
{
	if (!ok)
		ck_abort_msg("mock: %s: %s", what, strerror(errno));
}

const char *mock_printf(struct mock *m, const char *format, ...)
{
	char *text = NULL;
	const char *kept;
	va_list ap;

	va_start(ap, format);
	must(vasprintf(&text, format, ap) >= 0, format);
	va_end(ap);
	kept = arena_strdup(&m->arena, text);
	free(text);
	must(kept != NULL, format);
	return kept;
}

void make_dirs(const char *path)
{
	char part[PATH_MAX];

	must(path_printf(part, sizeof(part), "%s", path) >= 0, path);
	for (char *slash = part; slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		must(mkdir(part, 0755) >= 0 || errno == EEXIST, part);
		if (slash)
			*slash = '/';
	}
}

void make_file(const char *path, const void *data, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0, path);
	must(write(fd, data, size) == (ssize_t)size, path);
}

/* A link inside the tree, from one path below its root to another: relative, as the kernel makes them. */
static void make_link(struct mock *m, const char *from, const char *to)
{
	const char *path = mock_printf(m, "%s%s", m->sysfs, from);
	char target[PATH_MAX] = "";
	size_t n = 0;

	for (const char *s = strchr(from + 1, '/'); s; s = strchr(s + 1, '/'))
		n += (size_t)snprintf(target + n, sizeof(target) - n, "../");
	(void)snprintf(target + n, sizeof(target) - n, "%s", to + 1);
	(void)unlink(path);
	must(symlink(target, path) >= 0, path);
}

struct mock *mock_new(void)
{
	static const char *const conf[] = { "etc", "run", "usr" };
	struct mock *m = calloc(1, sizeof(*m));
	char root[PATH_MAX + 16];

	must(m != NULL, "memory");
	(void)snprintf(root, sizeof(root), "%s/mock-XXXXXX", suite_dir);
	must(mkdtemp(root) != NULL, root);
	m->root = mock_printf(m, "%s", root);
	m->sysfs = mock_printf(m, "%s/sys", root);
	m->state = mock_printf(m, "%s/state", root);
	make_dirs(mock_printf(m, "%s/bus/pci/devices", m->sysfs));
	make_dirs(mock_printf(m, "%s/bus/platform/devices", m->sysfs));
	make_dirs(mock_printf(m, "%s/devices", m->sysfs));

	settings_init(&m->settings);
	for (size_t i = 0; i < MOCK_DIRS; i++) {
		m->conf[i] = mock_printf(m, "%s/%s", root, conf[i]);
		make_dirs(m->conf[i]);
		ck_assert_int_eq(settings_option(&m->settings, OPTION_CONF_DIR, m->conf[i]), 1);
	}
	ck_assert_int_eq(settings_option(&m->settings, OPTION_SYSFS, m->sysfs), 1);
	ck_assert_int_eq(settings_option(&m->settings, OPTION_STATE_DIR, m->state), 1);
	return m;
}

struct mock *mock_free(struct mock *m)
{
	remove_tree(m->root);
	arena_done(&m->arena);
	free(m);
	return NULL;
}

const char *mock_path(struct mock *m, const char *devpath, const char *attr)
{
	return mock_printf(m, "%s%s/%s", m->sysfs, devpath, attr);
}

void mock_attr_bytes(struct mock *m, const char *devpath, const char *attr, const void *data, size_t size)
{
	const char *path = mock_path(m, devpath, attr);
	char *dir = arena_strdup(&m->arena, path);

	*strrchr(dir, '/') = '\0';
	make_dirs(dir);
	make_file(path, data, size);
}

void mock_attr(struct mock *m, const char *devpath, const char *attr, const char *text)
{
	mock_attr_bytes(m, devpath, attr, text, strlen(text));
}

void mock_attr_remove(struct mock *m, const char *devpath, const char *attr)
{
	const char *path = mock_path(m, devpath, attr);

	must(unlink(path) >= 0 || errno == ENOENT, path);
}

void mock_attr_hangs(struct mock *m, const char *devpath, const char *attr)
{
	mock_attr_remove(m, devpath, attr);
	must(mkfifo(mock_path(m, devpath, attr), 0644) >= 0, attr);
}

void mock_attr_link(struct mock *m, const char *devpath, const char *attr, const char *target)
{
	mock_attr_remove(m, devpath, attr);
	must(symlink(target, mock_path(m, devpath, attr)) >= 0, attr);
}

const char *mock_device_add(
	struct mock *m, const char *bus, const char *parent, const char *name, bool override)
{
	const char *devpath = mock_printf(m, "%s/%s", parent, name);

	make_dirs(mock_printf(m, "%s%s", m->sysfs, devpath));
	make_dirs(mock_printf(m, "%s/bus/%s/devices", m->sysfs, bus));
	make_dirs(mock_printf(m, "%s/bus/%s/drivers", m->sysfs, bus));
	make_file(mock_printf(m, "%s/bus/%s/drivers_probe", m->sysfs, bus), "", 0);
	make_link(m, mock_printf(m, "%s/subsystem", devpath), mock_printf(m, "/bus/%s", bus));
	make_link(m, mock_printf(m, "/bus/%s/devices/%s", bus, name), devpath);
	mock_attr(m, devpath, "uevent", "");
	if (override)
		mock_attr(m, devpath, "driver_override", "(null)\n");
	return devpath;
}

const char *mock_pci_add(struct mock *m, const char *name, const char *parent, unsigned vendor,
	unsigned device, unsigned class)
{
	const char *devpath;

	if (!parent)
		parent = mock_printf(m, "/devices/pci%.*s:00", (int)strcspn(name, ":"), name);
	devpath = mock_device_add(m, "pci", parent, name, true);
	mock_attr(m, devpath, "vendor", mock_printf(m, "0x%04x\n", vendor));
	mock_attr(m, devpath, "device", mock_printf(m, "0x%04x\n", device));
	mock_attr(m, devpath, "subsystem_vendor", "0x1af4\n");
	mock_attr(m, devpath, "subsystem_device", "0x1100\n");
	mock_attr(m, devpath, "class", mock_printf(m, "0x%06x\n", class));
	mock_attr(m, devpath, "modalias",
		mock_printf(m, "pci:v%08Xd%08Xsv00001AF4sd00001100bc%02Xsc%02Xi%02X\n", vendor, device,
			class >> 16, class >> 8 & 0xff, class & 0xff));
	return devpath;
}

const char *mock_platform_add(struct mock *m, const char *name, const char *modalias)
{
	const char *devpath = mock_device_add(m, "platform", "/devices/platform", name, true);

	if (modalias)
		mock_attr(m, devpath, "modalias", mock_printf(m, "%s\n", modalias));
	return devpath;
}

static const char *bus_of(struct mock *m, const char *devpath)
{
	const char *path = mock_path(m, devpath, "subsystem");
	char target[PATH_MAX] = "";

	must(readlink(path, target, sizeof(target) - 1) > 0, path);
	return mock_printf(m, "%s", strrchr(target, '/') + 1);
}

void mock_remove(struct mock *m, const char *devpath)
{
	static unsigned removed;
	const char *path = mock_printf(m, "%s%s", m->sysfs, devpath), *name = strrchr(devpath, '/') + 1;
	char group[PATH_MAX] = "";

	if (readlink(mock_path(m, devpath, "iommu_group"), group, sizeof(group) - 1) > 0)
		(void)unlink(mock_printf(
			m, "%s/kernel/iommu_groups/%s/devices/%s", m->sysfs, strrchr(group, '/') + 1, name));
	(void)unlink(mock_printf(m, "%s/bus/%s/devices/%s", m->sysfs, bus_of(m, devpath), name));
	/* Moved out of the tree, not removed: the file system shall not give its inode to another. */
	must(rename(path, mock_printf(m, "%s/removed-%u", m->root, removed++)) >= 0, path);
}

void mock_driver_add(struct mock *m, const char *bus, const char *driver)
{
	make_dirs(mock_printf(m, "%s/bus/%s/drivers/%s", m->sysfs, bus, driver));
}

void mock_bind(struct mock *m, const char *devpath, const char *driver)
{
	const char *bus = bus_of(m, devpath);

	mock_driver_add(m, bus, driver);
	make_link(m, mock_printf(m, "%s/driver", devpath), mock_printf(m, "/bus/%s/drivers/%s", bus, driver));
}

void mock_unbind(struct mock *m, const char *devpath)
{
	mock_attr_remove(m, devpath, "driver");
}

void mock_group(struct mock *m, unsigned number, ...)
{
	const char *group = mock_printf(m, "/kernel/iommu_groups/%u", number), *devpath;
	va_list ap;

	make_dirs(mock_printf(m, "%s%s/devices", m->sysfs, group));
	va_start(ap, number);
	while ((devpath = va_arg(ap, const char *))) {
		make_link(m, mock_printf(m, "%s/iommu_group", devpath), group);
		make_link(m, mock_printf(m, "%s/devices/%s", group, strrchr(devpath, '/') + 1), devpath);
	}
	va_end(ap);
}

void mock_group_open(struct mock *m, unsigned number)
{
	const char *node = mock_printf(m, "/class/vfio/%u", number);

	make_dirs(mock_printf(m, "%s%s", m->sysfs, node));
	mock_attr(m, node, "dev", "1:3\n");
	make_dirs(mock_printf(m, "%s/proc/4711/fd", m->root));
	make_file(mock_printf(m, "%s/proc/4711/comm", m->root), "qemu\n", 5);
	must(symlink("/dev/null", mock_printf(m, "%s/proc/4711/fd/7", m->root)) >= 0, node);
}

void mock_group_close(struct mock *m)
{
	must(unlink(mock_printf(m, "%s/proc/4711/fd/7", m->root)) >= 0, "/proc/4711/fd/7");
}

void mock_class_add(struct mock *m, const char *class, const char *parent, const char *name)
{
	const char *devpath = mock_printf(m, "%s/%s/%s", parent, class, name);

	make_dirs(mock_printf(m, "%s%s", m->sysfs, devpath));
	make_dirs(mock_printf(m, "%s/class/%s", m->sysfs, class));
	make_link(m, mock_printf(m, "%s/subsystem", devpath), mock_printf(m, "/class/%s", class));
	make_link(m, mock_printf(m, "/class/%s/%s", class, name), devpath);
}

void mock_physfn(struct mock *m, const char *vf, const char *pf, unsigned number)
{
	mock_attr_link(m, vf, "physfn", mock_printf(m, "../%s", strrchr(pf, '/') + 1));
	mock_attr_link(
		m, pf, mock_printf(m, "virtfn%u", number), mock_printf(m, "../%s", strrchr(vf, '/') + 1));
}

void mock_sriov(
	struct mock *m, const char *pf, unsigned total, unsigned offset, unsigned stride, unsigned vf_device)
{
	mock_attr(m, pf, "sriov_totalvfs", mock_printf(m, "%u\n", total));
	mock_attr(m, pf, "sriov_numvfs", "0\n");
	mock_attr(m, pf, "sriov_offset", mock_printf(m, "%u\n", offset));
	mock_attr(m, pf, "sriov_stride", mock_printf(m, "%u\n", stride));
	if (vf_device)
		mock_attr(m, pf, "sriov_vf_device", mock_printf(m, "%x\n", vf_device));
}

const char *mock_read(struct mock *m, const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *text = NULL;
	size_t size;

	must(fd >= 0, path);
	ck_assert_int_eq(read_full(fd, 4096, 1U << 20, &text, &size), 0);
	return mock_printf(m, "%s", text);
}

const char *mock_override(struct mock *m, const char *devpath)
{
	return mock_read(m, mock_path(m, devpath, "driver_override"));
}

const char *mock_policy(struct mock *m, enum mock_dir dir, const char *name, const char *text)
{
	const char *path = mock_printf(m, "%s/%s", m->conf[dir], name);
	const char *temporary = mock_printf(m, "%s/new-policy", m->root);

	make_file(temporary, text, strlen(text));
	must(rename(temporary, path) >= 0, path);
	return path;
}

struct policy *mock_load(struct mock *m)
{
	struct policy *policy = NULL;

	ck_assert_int_eq(policy_load(&m->settings, &policy), 0);
	ck_assert_ptr_nonnull(policy);
	return policy;
}

struct sysfs_device *mock_device(struct sysfs *sysfs, const char *devpath)
{
	struct sysfs_device *d = NULL;
	int r = sysfs_device_new(sysfs, devpath, NULL, &d);

	ck_assert_msg(r == 0, "%s: %s", devpath, strerror(-r));
	return d;
}

bool mock_record(struct mock *m, const char *devpath, struct record *ret)
{
	struct stat st;

	must(stat(mock_printf(m, "%s%s", m->sysfs, devpath), &st) >= 0, devpath);
	return record_read(m->state, bus_of(m, devpath), strrchr(devpath, '/') + 1, st.st_ino, ret) == 0;
}
