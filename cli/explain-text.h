/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An explanation for people, from its JSON: made here, or by the service of another machine. */
#pragma once

struct json_object;

void explain_print_text(struct json_object *o);
