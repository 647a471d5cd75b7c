/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the enforcer says; see rebind-result.h. */
#include "daemon/reconcile/rebind-result.h"
#include "base/text.h"
#include "daemon/bus/errors.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

void _printf_(3, 4)
	rebind_result_fail(struct rebind_result *result, const char *error, const char *format, ...)
{
	va_list ap;

	*result = (struct rebind_result){};
	text_copy(result->error, sizeof(result->error), error);
	va_start(ap, format);
	(void)vsnprintf(result->reason, sizeof(result->reason), format, ap);
	va_end(ap);
}

static void line_take(const char *line, size_t n, const char *key, char *buf, size_t size)
{
	size_t k = strlen(key);

	if (n < k || strncmp(line, key, k) != 0)
		return;
	n = n - k < size - 1 ? n - k : size - 1;
	memcpy(buf, line + k, n);
	buf[n] = '\0';
}

/* Names of mount points and processes need not be UTF-8, and a cut may end within a character. */
static void line_take_reason(const char *line, size_t n, struct rebind_result *said)
{
	char raw[sizeof(said->reason)] = "";
	char *text;

	line_take(line, n, "REASON=", raw, sizeof(raw));
	if (!raw[0])
		return;
	text = utf8_from_bytes(raw, strlen(raw));
	(void)snprintf(said->reason, sizeof(said->reason), "%.*s",
		       text ? (int)utf8_prefix(text, sizeof(said->reason) - 1) : 0, text ? text : "");
	free(text);
}

static void line_take_all(const char *line, size_t n, struct rebind_result *said)
{
	line_take(line, n, "STATE=", said->state, sizeof(said->state));
	line_take(line, n, "ERROR=", said->error, sizeof(said->error));
	line_take(line, n, "DECISION=", said->decision, sizeof(said->decision));
	if (startswith(line, "CHANGED=1"))
		said->changed = true;
	line_take_reason(line, n, said);
}

void rebind_results_take(struct rebind_result *results, size_t n_results, const char *out)
{
	size_t at = n_results > 1 ? SIZE_MAX : 0;

	for (const char *line = out; *line;) {
		size_t n = strcspn(line, "\n");

		if (startswith(line, "DEVICE="))
			at++;
		if (at < n_results)
			line_take_all(line, n, &results[at]);
		line += n + (line[n] == '\n');
	}
}

int rebind_result_error(const struct rebind_result *result, sd_bus_error *error)
{
	static const char *const names[] = { ERROR_NO_SUCH_DEVICE, ERROR_NOT_SUPPORTED, ERROR_NO_SUCH_DRIVER,
					     ERROR_IN_USE,	   ERROR_STUCK,		ERROR_INVALID,
					     ERROR_POLICY_INVALID, ERROR_FOREIGN };

	if (!result->error[0])
		return 0;
	if (streq(result->error, REBIND_NOT_BEGUN))
		return sd_bus_error_setf(error, ERROR_STUCK, "%s", result->reason);
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(names[i] + strlen(ERROR_PREFIX), result->error))
			return sd_bus_error_setf(error, names[i], "%s", result->reason);
	return sd_bus_error_setf(error, SD_BUS_ERROR_FAILED, "%s", result->reason);
}
