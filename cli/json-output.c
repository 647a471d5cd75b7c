/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON as the verbs print it; see json-output.h. */
#include "cli/json-output.h"
#include "base/macro.h"
#include "base/text.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* json-c escapes control characters of ASCII alone; terminals may obey those of C1, which are in strings
 * only. */
static void json_text_write(const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		if (*s == 0x7f)
			printf("\\u007f");
		else if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0)
			printf("\\u00%02x", *++s);
		else
			putchar(*s);
	}
	putchar('\n');
}

void json_output_print(const struct cli *cli, struct json_object *o)
{
	int flags = cli->json == JSON_PRETTY ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN;

	json_text_write(json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

void json_output_add(struct json_object *o, const char *key, const char *value)
{
	_cleanup_(freep) char *text = utf8_from_bytes(value, strlen(value));

	(void)json_object_object_add(o, key, json_object_new_string(text ? text : ""));
}

void json_output_add_bool(struct json_object *o, const char *key, bool value)
{
	(void)json_object_object_add(o, key, json_object_new_boolean(value));
}

const char *json_output_get(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}
