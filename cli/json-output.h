/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON as the verbs print it. */
#pragma once

#include "cli/command-line.h"

#include <stdbool.h>

struct json_object;

/* One document and a newline, as cli->json says; gives the object back. */
void json_output_print(const struct cli *cli, struct json_object *o);

/* Adds a text that may have any bytes: those that are no UTF-8, and control characters, are \xHH. */
void json_output_add(struct json_object *o, const char *key, const char *value);
void json_output_add_bool(struct json_object *o, const char *key, bool value);

/* The text of a member; "": there is none, or it is no text. */
const char *json_output_get(struct json_object *o, const char *key);
