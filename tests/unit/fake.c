/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device that exists nowhere; see fake.h. */
#include "fake.h"

static struct fake *to_fake(struct device *d)
{
	return (struct fake *)((char *)d - offsetof(struct fake, device));
}

static int fact(struct device *d, enum fact fact, const char *attr, struct values *values)
{
	struct fake *f = to_fake(d);

	f->facts[fact].asked++;
	if (f->facts[fact].r < 0)
		return f->facts[fact].r;
	if (fact == FACT_ATTR && (!f->attr || !streq(attr, f->attr)))
		return 0;
	for (size_t i = 0; i < f->facts[fact].n; i++) {
		int r = device_add_value(d, values, f->facts[fact].v[i], strlen(f->facts[fact].v[i]));

		if (r < 0)
			return r;
	}
	return 0;
}

static int place(struct device *d, char *buf, size_t size)
{
	const struct fake *f = to_fake(d);

	return f->place ? path_printf(buf, size, "%s", f->place) : -EAGAIN;
}

static int group(struct device *d, struct device ***ret_members, size_t *ret_n)
{
	struct fake *f = to_fake(d);

	f->group_asked++;
	if (f->group_r < 0)
		return f->group_r;
	*ret_members = f->members;
	*ret_n = f->n_members;
	return 0;
}

static bool group_may_come(struct device *d)
{
	return to_fake(d)->group_may_come;
}

static int was_present(struct device *d)
{
	return to_fake(d)->present;
}

static uint64_t kept_rule(struct device *d)
{
	return to_fake(d)->kept;
}

void fake_init(struct fake *f)
{
	static const struct device_ops ops = {
		.fact = fact,
		.place = place,
		.group = group,
		.group_may_come = group_may_come,
		.was_present = was_present,
		.kept_rule = kept_rule,
	};

	*f = (struct fake){ .device.ops = &ops, .group_r = -ENODATA };
}

void fake_done(struct fake *f)
{
	device_done(&f->device);
}

void fake_add(struct fake *f, enum fact fact, const char *text)
{
	f->facts[fact].v[f->facts[fact].n++] = text;
}

void fake_unknown(struct fake *f, enum fact fact, int r)
{
	f->facts[fact].r = r;
}

void fake_attr(struct fake *f, const char *attr, const char *text)
{
	f->attr = attr;
	fake_add(f, FACT_ATTR, text);
}

void fake_group(struct fake *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++)
			v[i]->members[k] = &v[k]->device;
		v[i]->n_members = n;
		v[i]->group_r = 0;
	}
}

void fake_pci(struct fake *f, const char *name, const char *id, const char *class)
{
	fake_init(f);
	fake_add(f, FACT_BUS, "pci");
	fake_add(f, FACT_NAME, name);
	fake_add(f, FACT_ID, id);
	fake_add(f, FACT_CLASS, class);
}
