/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the service takes to answer: bus-latency NUMBER BUS NAME. Asks so often, over one connection,
 * which object a device has and what its state is. Prints the median and the longest, in microseconds for
 * both questions together.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

static const char service[] = "org.driveroverrides1", root[] = "/org/driveroverrides1";

static int fail(const char *what, int r)
{
	(void)fprintf(stderr, "bus-latency: %s: %s\n", what, strerror(-r));
	return 1;
}

static int64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int ask(sd_bus *bus, const char *kind, const char *name)
{
	sd_bus_message *reply = NULL;
	char *state = NULL;
	const char *path;
	int r = sd_bus_call_method(bus, service, root, "org.driveroverrides1.Manager", "GetDevice", NULL,
				   &reply, "ss", kind, name);

	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, service, path, "org.driveroverrides1.Device", "State",
					       NULL, &state);
	sd_bus_message_unref(reply);
	free(state);
	return r;
}

int main(int argc, char **argv)
{
	int n = argc == 4 ? atoi(argv[1]) : 0, r;
	int64_t *took, begun;
	sd_bus *bus;

	if (n <= 0) {
		(void)fputs("bus-latency NUMBER BUS NAME\n", stderr);
		return 2;
	}
	took = calloc((size_t)n, sizeof(*took));
	if (!took)
		return 1;
	r = sd_bus_open_system(&bus);
	if (r < 0)
		return fail("the system bus", r);
	for (int i = 0; i < n; i++) {
		begun = now();
		r = ask(bus, argv[2], argv[3]);
		if (r < 0)
			return fail("a question", r);
		took[i] = now() - begun;
	}
	qsort(took, (size_t)n, sizeof(*took), compare);
	(void)printf("%lld %lld\n", (long long)took[n / 2], (long long)took[n - 1]);
	free(took);
	(void)sd_bus_flush_close_unref(bus);
	return 0;
}
