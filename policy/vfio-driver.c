/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VFIO drivers as the kernel's modules offer them; see vfio-driver.h. */
#include "policy/vfio-driver.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Debian's have 1.6 MiB; a file beyond this is none. */
#define ALIASES_MAX (64U * 1024U * 1024U)
#define ALIASES_NAME "modules.alias"

struct alias {
	const char *pattern; /* "vfio_pci:v000015B3d0000101Esv*…" */
	const char *module;
	size_t wildcards;
	size_t order; /* as it was read */
};

struct vfio_drivers {
	struct arena arena;
	const char *sysfs;
	struct alias *v; /* the most specific first */
	size_t n, allocated;
	bool loaded;
	const char *why_unknown; /* why there are no aliases to tell variants by; NULL: there are */
};

/*
 * Folders of modules, beside sysfs, and then the kernel's release: what kmod is built for on most systems;
 * where /lib is no link to it; and as NixOS has kmod look, whose running kernel need not be the one that is
 * installed.
 */
static const char *const module_folders[] = {
	"/../lib/modules/",
	"/../usr/lib/modules/",
	"/../run/booted-system/kernel-modules/lib/modules/",
	"/../run/current-system/kernel-modules/lib/modules/",
};

bool driver_is_vfio(const char *driver)
{
	return startswith(driver, "vfio-") || startswith(driver, "vfio_") || strstr(driver, "-vfio-") ||
	       strstr(driver, "_vfio_");
}

bool driver_leaves_dma(const char *driver)
{
	return driver_is_vfio(driver) || streq(driver, "pcieport") || streq(driver, "pci-stub");
}

/* Names that differ in `-` and `_` only are the same to the kernel's module loader. */
static void module_name_normalize(char *s)
{
	for (; *s; s++)
		if (*s == '-')
			*s = '_';
}

void vfio_driver_of_bus(const char *bus, char buf[static DRIVER_NAME_MAX + 1])
{
	/* The s390 buses have theirs under other names; all others follow the pattern. */
	if (streq(bus, "ap"))
		text_copy(buf, DRIVER_NAME_MAX + 1, "vfio_ap");
	else if (streq(bus, "css"))
		text_copy(buf, DRIVER_NAME_MAX + 1, "vfio_ccw");
	else
		(void)snprintf(buf, DRIVER_NAME_MAX + 1, "vfio-%s", bus);
}

static void vfio_drivers_add_alias(struct vfio_drivers *v, const char *pattern, size_t pattern_n,
				   const char *module, size_t n)
{
	struct alias *a;

	/* "" would be whatever there is. */
	if (pattern_n == 0 || n == 0 || n > DRIVER_NAME_MAX)
		return;
	if (array_reserve(v->v, v->allocated, v->n) < 0)
		return;
	a = &v->v[v->n];
	*a = (struct alias){ arena_strndup(&v->arena, pattern, pattern_n),
			     arena_strndup(&v->arena, module, n), .order = v->n };
	if (!a->pattern || !a->module)
		return;
	for (const char *c = a->pattern; *c; c++)
		a->wildcards += *c == '*' || *c == '?' || *c == '[';
	v->n++;
}

/* modules.alias(5): "alias PATTERN MODULE", a line each. */
static void vfio_drivers_read_aliases(struct vfio_drivers *v, const char *text, size_t size)
{
	static const char begin[] = "\nalias vfio_";
	const char *end = text + size, *line = text;

	while ((line = memmem(line, (size_t)(end - line), begin, strlen(begin)))) {
		const char *pattern = line + strlen("\nalias "), *module, *newline;

		newline = memchr(pattern, '\n', (size_t)(end - pattern));
		if (!newline)
			return;
		line = newline;
		module = memchr(pattern, ' ', (size_t)(newline - pattern));
		if (module)
			vfio_drivers_add_alias(v, pattern, (size_t)(module - pattern), module + 1,
					       (size_t)(newline - module - 1));
	}
}

/* modules.builtin.modinfo: "MODULE.alias=PATTERN", each with a NUL behind it. */
static void vfio_drivers_read_builtin(struct vfio_drivers *v, const char *text, size_t size)
{
	static const char begin[] = ".alias=vfio_";

	for (const char *end = text + size, *at = text, *next; at < end; at = next + 1) {
		const char *dot;

		next = memchr(at, '\0', (size_t)(end - at));
		if (!next)
			return;
		dot = strstr(at, begin);
		if (dot)
			vfio_drivers_add_alias(v, dot + strlen(".alias="),
					       (size_t)(next - dot) - strlen(".alias="), at,
					       (size_t)(dot - at));
	}
}

int kernel_release_find(const char *sysfs, char *buf, size_t size)
{
	char path[PATH_MAX];
	struct utsname kernel;

	/* A tree may be another machine's, and says so then. */
	if (!streq(sysfs, "/sys") &&
	    path_join(path, sizeof(path), sysfs, "/../proc/sys/kernel/osrelease", NULL) >= 0 &&
	    read_first_line(path, buf, size) > 0)
		return is_file_name(buf) ? 0 : -EINVAL;
	if (uname(&kernel) < 0)
		return negative_errno();
	return path_join(buf, size, kernel.release, NULL);
}

int vfio_aliases_dir(const char *sysfs, char *buf, size_t size)
{
	char path[PATH_MAX], release[KERNEL_RELEASE_MAX];
	int r = kernel_release_find(sysfs, release, sizeof(release));

	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTSOF(module_folders); i++)
		if (path_join(path, sizeof(path), sysfs, module_folders[i], release, "/" ALIASES_NAME,
			      NULL) >= 0 &&
		    access(path, F_OK) >= 0)
			return path_join(buf, size, sysfs, module_folders[i], release, NULL);
	return path_join(buf, size, sysfs, module_folders[0], release, NULL);
}

static const struct {
	const char *name;
	void (*read)(struct vfio_drivers *v, const char *text, size_t size);
} files[] = {
	{ ALIASES_NAME, vfio_drivers_read_aliases },
	{ "modules.builtin.modinfo", vfio_drivers_read_builtin },
};

bool vfio_aliases_are_in(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (streq(name, files[i].name))
			return true;
	return false;
}

uint64_t vfio_aliases_version(const char *sysfs)
{
	char dir[PATH_MAX], path[PATH_MAX];
	uint64_t h = FNV_BASIS;
	struct stat st;

	if (vfio_aliases_dir(sysfs, dir, sizeof(dir)) < 0)
		return h;
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		if (path_join(path, sizeof(path), dir, "/", files[i].name, NULL) < 0 || stat(path, &st) < 0)
			continue;
		h = fnv1a(h, &st.st_ino, sizeof(st.st_ino));
		h = fnv1a(h, &st.st_size, sizeof(st.st_size));
		h = fnv1a(h, &st.st_mtim, sizeof(st.st_mtim));
	}
	return h;
}

static int vfio_alias_compare(const void *a, const void *b)
{
	const struct alias *x = a, *y = b;
	int r = (x->wildcards > y->wildcards) - (x->wildcards < y->wildcards);

	return r ? r : (x->order > y->order) - (x->order < y->order);
}

struct vfio_drivers *vfio_drivers_new(const struct settings *settings)
{
	struct vfio_drivers *v = calloc(1, sizeof(*v));

	if (v)
		v->sysfs = settings->sysfs;
	return v;
}

struct vfio_drivers *vfio_drivers_free(struct vfio_drivers *v)
{
	if (v) {
		arena_done(&v->arena);
		free(v->v);
		free(v);
	}
	return NULL;
}

static int vfio_drivers_read_file(struct vfio_drivers *v, const char *dir, size_t i)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];
	struct stat st;
	size_t size;
	int r = path_join(path, sizeof(path), dir, "/", files[i].name, NULL);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return negative_errno();
	r = read_full(fd, (size_t)st.st_size, ALIASES_MAX, &text, &size);
	if (r >= 0)
		files[i].read(v, text, size);
	return r;
}

/* That the aliases of modules are not there is not the same as that there are no variants. */
static void vfio_drivers_set_unknown(struct vfio_drivers *v, int error)
{
	char release[KERNEL_RELEASE_MAX];

	if (kernel_release_find(v->sysfs, release, sizeof(release)) < 0)
		text_copy(release, sizeof(release), "?");
	v->why_unknown =
		error == -ENOENT || error == -ENOTDIR
			? arena_printf(&v->arena, "there is no " ALIASES_NAME " of kernel %s", release)
			: arena_printf(&v->arena, ALIASES_NAME " of kernel %s cannot be read: %s", release,
				       strerror(-error));
	if (!v->why_unknown)
		v->why_unknown = "out of memory";
}

void vfio_drivers_load(struct vfio_drivers *v)
{
	char dir[PATH_MAX];
	int r;

	if (!v || v->loaded)
		return;
	v->loaded = true;
	r = vfio_aliases_dir(v->sysfs, dir, sizeof(dir));
	for (size_t i = 0; i < ELEMENTSOF(files) && r >= 0; i++) {
		int read = vfio_drivers_read_file(v, dir, i);

		/* Without the other file there is only nothing built in. */
		if (streq(files[i].name, ALIASES_NAME) && read < 0)
			vfio_drivers_set_unknown(v, read);
	}
	if (r < 0)
		vfio_drivers_set_unknown(v, r);
	if (v->n > 0)
		qsort(v->v, v->n, sizeof(*v->v), vfio_alias_compare);
}

static const struct alias *vfio_drivers_find_alias(const struct vfio_drivers *v, const char *bus,
						   const char *modalias)
{
	const char *rest = strchr(modalias, ':');
	char prefix[64], name[1024];

	if (!rest || path_join(prefix, sizeof(prefix), "vfio_", bus, NULL) < 0)
		return NULL;
	module_name_normalize(prefix);
	if (path_join(name, sizeof(name), prefix, rest, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < v->n; i++)
		if (fnmatch(v->v[i].pattern, name, 0) == 0)
			return &v->v[i];
	return NULL;
}

void vfio_drivers_of_id(struct vfio_drivers *v, const char *id,
			void (*take)(void *userdata, const char *module), void *userdata)
{
	char name[] = "vfio_pci:v0000VVVVd0000DDDD", pattern[sizeof(name)];
	char *vendor = strstr(name, "VVVV"), *device = strstr(name, "DDDD");

	if (strlen(id) < strlen("vvvv:dddd"))
		return;
	for (size_t i = 0; i < 4; i++) {
		vendor[i] = (char)toupper((unsigned char)id[i]);
		device[i] = (char)toupper((unsigned char)id[i + 5]);
	}
	vfio_drivers_load(v);
	for (size_t i = 0; i < v->n; i++) {
		const char *rest = strstr(v->v[i].pattern, "sv");

		if (rest &&
		    path_printf(pattern, sizeof(pattern), "%.*s", (int)(rest - v->v[i].pattern),
				v->v[i].pattern) >= 0 &&
		    fnmatch(pattern, name, 0) == 0)
			take(userdata, v->v[i].module);
	}
}

/*
 * The one name in a folder that begins so and is a VFIO driver's; false: none, or several. A driver's name is
 * its module's (KBUILD_MODNAME) by custom only; once it is registered it is known.
 */
static bool folder_has_one_driver(const char *folder, const char *begin, char buf[static DRIVER_NAME_MAX + 1])
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	const char *entry;
	size_t n = 0;

	if (dir_open(&dir, folder) < 0)
		return false;
	while ((entry = dir_next(&dir))) {
		const char *name = startswith(entry, begin) ? entry + strlen(begin) : "";

		if (!*name || strlen(name) > DRIVER_NAME_MAX || (!*begin && !driver_is_vfio(name)))
			continue;
		text_copy(buf, DRIVER_NAME_MAX + 1, name);
		n++;
	}
	return n == 1;
}

void vfio_driver_of_module(const char *sysfs, const char *bus, const char *module,
			   char buf[static DRIVER_NAME_MAX + 1])
{
	char path[PATH_MAX], begin[64], plain[DRIVER_NAME_MAX + 1], name[DRIVER_NAME_MAX + 1];

	vfio_driver_of_bus(bus, plain);
	text_copy(buf, DRIVER_NAME_MAX + 1, plain);
	module_name_normalize(plain);
	text_copy(name, sizeof(name), module);
	module_name_normalize(name);
	if (streq(name, plain))
		return; /* what all of them know, and mostly what is wanted: no look is needed */
	if (path_join(path, sizeof(path), sysfs, "/module/", name, "/drivers", NULL) < 0 ||
	    path_join(begin, sizeof(begin), bus, ":", NULL) < 0 || !folder_has_one_driver(path, begin, buf))
		text_copy(buf, DRIVER_NAME_MAX + 1, name);
}

const char *vfio_drivers_choose(struct vfio_drivers *v, struct device *device,
				char buf[static DRIVER_NAME_MAX + 1], const char **ret_module)
{
	const char *bus = device_text(device, FACT_BUS), *modalias;
	const struct alias *alias;
	char path[PATH_MAX], only[DRIVER_NAME_MAX + 1];

	*ret_module = NULL;
	vfio_driver_of_bus(bus ? bus : "", buf);
	if (!v || !bus)
		return NULL;
	vfio_drivers_load(v);
	modalias = v->n > 0 ? device_text(device, FACT_MODALIAS) : NULL;
	alias = modalias ? vfio_drivers_find_alias(v, bus, modalias) : NULL;
	if (alias) {
		vfio_driver_of_module(v->sysfs, bus, alias->module, buf);
		*ret_module = alias->module;
	}
	/* Only PCI has variants beside a plain driver. */
	if (streq(bus, "pci"))
		return v->why_unknown;
	/* A driver that is registered there is the one; on PCI that would be a guess. */
	if (!alias && path_join(path, sizeof(path), v->sysfs, "/bus/", bus, "/drivers", NULL) >= 0 &&
	    folder_has_one_driver(path, "", only))
		text_copy(buf, DRIVER_NAME_MAX + 1, only);
	return NULL;
}
