/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the place of domain-xml.c where there is no expat. */
#include "cli/domain-xml.h"
#include "base/text.h"

#include <errno.h>

bool domain_xml_is_supported(void)
{
	return false;
}

int domain_devices_read(struct domain_devices *devices, const char *path, char reterr_text[static 256])
{
	(void)devices;
	(void)path;
	text_copy(reterr_text, 256, "built without expat");
	return -EOPNOTSUPP;
}

void domain_devices_done(struct domain_devices *devices)
{
	*devices = (struct domain_devices){};
}
