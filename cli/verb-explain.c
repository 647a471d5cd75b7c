/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overridectl explain DEVICE: every rule that matches, which one decides, and why. It is worked out here, or
 * for another machine by the service there. Who uses the device and what apply would do only the service
 * knows.
 */
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-model.h"
#include "cli/device-names.h"
#include "cli/explain-service.h"
#include "cli/explain-text.h"
#include "cli/json-output.h"
#include "cli/null-override.h"
#include "cli/terminal.h"
#include "explain/explanation.h"
#include "policy/policy-in-force.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What else is to be known of the device; NULL: nothing. */
static const char *explain_note(const struct explanation *e)
{
	_cleanup_(null_override_finder_done) struct null_override_finder finder = {};
	struct arena *arena = &e->device->device.arena;
	const char *driver = null_override_find(&finder, e->device, arena);

	return driver ? null_override_text(e->device, driver, arena) : NULL;
}

static int explain_device(const struct cli *cli, struct sysfs_device *d, const struct policy *policy,
			  struct json_object **ret)
{
	static struct explanation e; /* as large as a page of sysfs and more */
	const char *note;
	char model[512];
	int r = explanation_make(&e, policy, d);

	if (r < 0)
		return cli_fail("%s", strerror(-r));
	*ret = explanation_json(&e);
	note = explain_note(&e);
	if (note)
		json_output_add(*ret, "note", note);
	device_model(cli, d->bus, d->name, model, sizeof(model));
	if (*model)
		json_output_add(*ret, "model", model);
	explanation_done(&e);
	return STATUS_DONE;
}

static int explain_here(const struct cli *cli, const struct device_name *name, struct json_object **ret)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	struct sysfs sysfs;
	int r;

	sysfs_init(&sysfs, &cli->settings);
	r = sysfs_device_find(&sysfs, name->bus, name->name, &d);
	if (r < 0)
		return cli_fail("%s/%s: %s", name->bus, name->name, sysfs_lookup_error(r));
	r = policy_load_settled(&cli->settings, &policy);
	if (r < 0)
		return cli_fail("reading the policy: %s", strerror(-r));
	for (size_t i = 0; i < policy->n_errors; i++)
		(void)cli_fail("%s:%u: %s", policy->errors[i].file, policy->errors[i].line,
			       policy->errors[i].text);
	r = explain_device(cli, d, policy, ret);
	sysfs_done(&sysfs);
	return r;
}

static int explain_elsewhere(const struct cli *cli, struct service_client *c, const struct device_name *name,
			     struct json_object **ret)
{
	int r = service_client_open(c, cli);

	if (r >= 0)
		r = explain_ask_service(c, name, ret);
	if (r == -EBADMSG)
		return cli_fail("%s: the service returned no explanation", cli->host);
	return r < 0 ? cli_fail("%s: %s", cli->host, service_error_text(c, r)) : STATUS_DONE;
}

int verb_explain(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(service_client_done) struct service_client c = {};
	_cleanup_(device_names_done) struct device_names names = {};
	struct json_object *o = NULL;
	int r = device_name_find_or_fail(&names, cli, args, n);

	if (r != STATUS_DONE)
		return r;
	if (cli->host)
		r = explain_elsewhere(cli, &c, &names.v[0], &o);
	else
		r = explain_here(cli, &names.v[0], &o);
	if (r != STATUS_DONE)
		return r;
	r = cli->host ? 0 : service_client_open(&c, cli);
	if (r >= 0)
		r = explain_add_now(&c, &names.v[0], o);
	json_output_add_bool(o, "service", r >= 0);
	terminal_start_pager(cli);
	if (cli->json) {
		json_output_print(cli, o);
		return STATUS_DONE;
	}
	explain_print_text(o);
	(void)json_object_put(o);
	return STATUS_DONE;
}
