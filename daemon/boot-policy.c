/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How policy stands between boots; see boot-policy.h. */
#include "daemon/boot-policy.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/bus/bus-signals.h"

#include <stddef.h>
#include <syslog.h>

void boot_policy_update(struct service *s)
{
	const char *dir = s->settings->n_conf_dirs > 0 ? s->settings->conf_dirs[0] : "";
	char failed[BOOT_SENTENCE_MAX];
	struct boot_image image;

	boot_image_find(s->settings, &image);
	if (!streq(image.text, s->boot_image)) {
		if (image.state == BOOT_IMAGE_DIFFERS)
			log_line(LOG_WARNING, "%s: %s", dir, image.text);
		else if (image.state == BOOT_IMAGE_CURRENT && s->boot_image[0])
			log_line(LOG_INFO, "%s: the boot images have this policy now", dir);
		text_copy(s->boot_image, sizeof(s->boot_image), image.text);
		signal_manager_changed(s, "BootImage");
	}
	failed_policy_sentence(s->settings, failed);
	if (!streq(failed, s->failed_policy)) {
		if (failed[0])
			log_line(LOG_ERR, "%s: %s", dir, failed);
		else
			log_line(LOG_NOTICE, "%s: this policy is in force again", dir);
		text_copy(s->failed_policy, sizeof(s->failed_policy), failed);
		signal_manager_changed(s, "FailedPolicy");
	}
}
