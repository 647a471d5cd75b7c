/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an outcome says where nobody knows which VFIO driver was made for the device; see apply.h. */
#include "base/log.h"
#include "enforce/apply.h"

#include <stdio.h>
#include <string.h>

void outcome_add_vfio(const struct decision *decision, const struct record *old, struct outcome *o)
{
	const struct sysfs_device *d = to_sysfs_device(decision->device);
	const size_t n = strlen(o->reason);
	char note[DECISION_NOTE_MAX];

	decision_vfio_note(decision, note);
	if (!note[0])
		return;
	(void)snprintf(o->reason + n, sizeof(o->reason) - n, "%s%s", n > 0 ? "; " : "", note);
	/* Once: the record has it from then on. */
	if (!strstr(old->reason, note))
		log_line(LOG_WARNING, "%s %s: %s", d->bus, d->name, note);
}
