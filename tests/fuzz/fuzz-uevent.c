/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a message of the kernel: the parser takes or refuses them. What must hold for every message
 * that it takes is checked here; what must never happen, the sanitizers see.
 */
#include "guard/uevent.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_that(bool ok)
{
	if (!ok)
		abort();
}

/* A string that is in the message as a whole, its NUL included. */
static void check_string(const char *message, size_t size, const char *s)
{
	check_that(s >= message && s < message + size);
	check_that(memchr(s, '\0', size - (size_t)(s - message)) != NULL);
}

static void check_event(const char *message, size_t size, const struct uevent *e)
{
	const char *bus = startswith(e->devpath, "/bus/");

	/* The guard looks for the device's name behind the last slash. */
	check_string(message, size, e->devpath);
	check_that(bus || startswith(e->devpath, "/devices/"));
	check_that(!bus || !strchr(bus, '/'));
	if (e->subsystem)
		check_string(message, size, e->subsystem);
	if (e->modalias)
		check_string(message, size, e->modalias);
	if (e->driver)
		check_string(message, size, e->driver);
	switch (e->action) {
	case UEVENT_ADD:
		check_that(startswith(message, "add@") != NULL);
		break;
	case UEVENT_REMOVE:
		check_that(startswith(message, "remove@") != NULL);
		break;
	case UEVENT_BIND:
		check_that(startswith(message, "bind@") != NULL);
		break;
	case UEVENT_UNBIND:
		check_that(startswith(message, "unbind@") != NULL);
		break;
	case UEVENT_MOVE:
		check_that(startswith(message, "move@") != NULL);
		break;
	case UEVENT_OTHER:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uevent e;
	char *message;

	/* The guard's buffer; a message that does not fit in it is dropped unread. */
	if (size > UEVENT_SIZE)
		return 0;
	/* The buffer has exactly that size, so that a sanitizer sees a read behind the end. */
	message = malloc(size ? size : 1);
	if (!message)
		return 0;
	if (size)
		memcpy(message, data, size);
	if (uevent_parse(message, size, &e))
		check_event(message, size, &e);
	free(message);
	return 0;
}
