/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl snapshot FILE: what decisions need of this machine, in one file, for --machine. */
#include "cli/cli.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/json-output.h"
#include "cli/snapshot.h"
#include "policy/policy-in-force.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void snapshot_add_boot(struct snapshot *s)
{
	const struct boot_devices *present = &s->sysfs.present;

	if (s->sysfs.state_dir && boot_devices_load(&s->sysfs.present, s->sysfs.state_dir) >= 0)
		snapshot_add(s, SNAPSHOT_BOOT, present->complete ? "complete" : "open", NULL, 0);
}

static int snapshot_collect(struct snapshot *s, size_t *ret_n)
{
	struct sysfs_device **v = NULL;
	size_t n = 0;
	int r = sysfs_enumerate(&s->sysfs, &v, &n);

	if (r < 0)
		return r;
	snapshot_add_boot(s);
	for (size_t i = 0; i < n; i++)
		snapshot_add_device(s, v[i]);
	snapshot_add_buses(s);
	snapshot_add_classes(s);
	snapshot_add_modules(s);
	snapshot_add_critical(s);
	snapshot_add_beside(s);
	sysfs_devices_free(v, n);
	*ret_n = n;
	return s->r;
}

/* What is no file is not replaced: a rename would put one in the place of a device node or a link. */
static bool snapshot_place_is_free(const char *file)
{
	struct stat st;

	return streq(file, "-") || lstat(file, &st) < 0 || S_ISREG(st.st_mode);
}

static int snapshot_write(const char *file, const char *text, size_t size)
{
	char temporary[PATH_MAX];
	const struct file_replacement how = {
		.path = file, .temporary = temporary, .mode = 0644, .durable = true
	};
	int r;

	if (streq(file, "-"))
		return fwrite(text, 1, size, stdout) == size ? 0 : -EIO;
	r = path_join(temporary, sizeof(temporary), file, ".XXXXXX", NULL);
	return r < 0 ? r : file_replace(&how, text, size);
}

static void snapshot_print(const struct cli *cli, const char *file, size_t devices, size_t size)
{
	struct json_object *o;

	/* The file itself is what is on stdout. */
	if (streq(file, "-"))
		return;
	if (!cli->json) {
		if (!cli->no_legend)
			printf("%zu devices, %zu bytes\n", devices, size);
		return;
	}
	o = json_object_new_object();
	json_output_add(o, "file", file);
	(void)json_object_object_add(o, "devices", json_object_new_int64((int64_t)devices));
	(void)json_object_object_add(o, "size", json_object_new_int64((int64_t)size));
	json_output_print(cli, o);
}

int verb_snapshot(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(snapshot_done) struct snapshot s = { .settings = &cli->settings,
						       .with_private = cli->option[VERB_PRIVATE] != NULL };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t devices, size;
	int r;

	(void)n;
	if (!snapshot_place_is_free(args[0]))
		return cli_fail("%s is no regular file, and is not replaced; - is standard output", args[0]);
	sysfs_init(&s.sysfs, &cli->settings);
	s.sysfs.settled = true;
	r = policy_load_settled(&cli->settings, &policy);
	if (r < 0)
		return cli_fail("reading the policy: %s", strerror(-r));
	s.policy = policy;
	r = snapshot_collect(&s, &devices);
	if (r >= 0)
		r = snapshot_text(&s, &text, &size);
	if (r < 0)
		return cli_fail("reading the devices: %s", strerror(-r));
	if (size > SNAPSHOT_SIZE_MAX)
		return cli_fail("the snapshot would be larger than --machine reads");
	r = snapshot_write(args[0], text, size);
	if (r < 0)
		return cli_fail("%s: %s", args[0], strerror(-r));
	snapshot_print(cli, args[0], devices, size);
	return STATUS_DONE;
}
