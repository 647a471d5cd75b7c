/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeps what a device answered; see device.h. */
#include "policy/device.h"
#include "base/arena.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct attr_answer {
	struct attr_answer *next;
	const char *name;
	struct values values;
	int r;
};

int device_add_value(struct device *d, struct values *values, const char *text, size_t length)
{
	struct value *v;

	/* Lists are short (ancestors, compatible strings), so room for a power of two is made each time. */
	if ((values->n & (values->n - 1)) == 0) {
		v = arena_alloc(device_arena(d), sizeof(*v) * (values->n ? 2 * values->n : 1));
		if (!v)
			return -ENOMEM;
		if (values->n)
			memcpy(v, values->v, values->n * sizeof(*v));
		values->v = v;
	}
	v = &values->v[values->n];
	v->text = arena_strndup(device_arena(d), text, length);
	if (!v->text)
		return -ENOMEM;
	v->length = length;
	v->hash = value_hash(text, length);
	values->n++;
	return 0;
}

static int device_attr_fact(struct device *d, const char *attr, struct values *ret)
{
	struct attr_answer *a;

	for (a = d->attrs; a; a = a->next)
		if (streq(a->name, attr))
			break;
	if (!a) {
		a = arena_alloc(device_arena(d), sizeof(*a));
		if (!a)
			return -ENOMEM;
		a->name = arena_strdup(device_arena(d), attr);
		if (!a->name)
			return -ENOMEM;
		a->r = d->ops->fact(d, FACT_ATTR, attr, &a->values);
		a->next = d->attrs;
		d->attrs = a;
	}
	*ret = a->values;
	return a->r;
}

int device_fact(struct device *d, enum fact fact, const char *attr, struct values *ret)
{
	if (attr)
		return device_attr_fact(d, attr, ret);
	if (!d->facts[fact].asked) {
		d->facts[fact].r = d->ops->fact(d, fact, NULL, &d->facts[fact].values);
		d->facts[fact].asked = true;
	}
	*ret = d->facts[fact].values;
	return d->facts[fact].r;
}

const char *device_text(struct device *d, enum fact fact)
{
	struct values values;

	if (fact >= FACT_ATTR || device_fact(d, fact, NULL, &values) < 0 || values.n == 0)
		return NULL;
	return values.v[0].text;
}

void device_done(struct device *d)
{
	arena_done(&d->arena);
	d->attrs = NULL;
	memset(d->facts, 0, sizeof(d->facts));
}

const char *const fact_keys[] = {
	[FACT_BUS] = "Bus=",	       [FACT_NAME] = "Name=",
	[FACT_ANCESTOR] = "Ancestor=", [FACT_PATH] = "Path=",
	[FACT_MODALIAS] = "Modalias=", [FACT_ID] = "Id=",
	[FACT_CLASS] = "Class=",       [FACT_PHYSFN] = "PhysFn=",
	[FACT_FIRMWARE] = "Firmware=", [FACT_COMPATIBLE] = "Compatible=",
	[FACT_ATTR] = "Attr.",	       [FACT_COUNT] = "",
};
