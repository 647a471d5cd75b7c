/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads domains with expat; see domain-xml.h. */
#include "cli/domain-xml.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <expat.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DOMAIN_SIZE_MAX = 16 * 1024 * 1024 };

struct domain_parser {
	XML_Parser xml;
	struct domain_devices *devices;
	unsigned depth, device_depth; /* of the device that we are in; 0: in none */
	bool in_devices, in_source;
	bool is_domain;
	int r;
};

bool domain_xml_is_supported(void)
{
	return true;
}

void domain_devices_done(struct domain_devices *devices)
{
	free(devices->v);
	*devices = (struct domain_devices){};
}

static const char *attribute_value(const char **attributes, const char *name)
{
	for (; *attributes; attributes += 2)
		if (streq(attributes[0], name))
			return attributes[1];
	return "";
}

static struct domain_device *domain_device_last(struct domain_parser *p)
{
	return &p->devices->v[p->devices->n - 1];
}

static void domain_device_begin(struct domain_parser *p, const char *element, const char **attributes)
{
	const char *type = attribute_value(attributes, "type");
	struct domain_device d = { .managed = streq(attribute_value(attributes, "managed"), "yes") };

	if (array_reserve(p->devices->v, p->devices->allocated, p->devices->n) < 0) {
		p->r = -ENOMEM;
		return;
	}
	if (streq(element, "hostdev") && !streq(type, "pci"))
		(void)snprintf(d.why, sizeof(d.why),
			       "a hostdev of type %.20s is no device with a driver to choose", type);
	else
		text_copy(d.why, sizeof(d.why), "a hostdev has no PCI address as its source");
	p->devices->v[p->devices->n++] = d;
	p->device_depth = p->depth;
}

/* A network of functions of a card, of which a domain gets one. */
static void domain_pool_add(struct domain_parser *p)
{
	struct domain_device d = {};

	text_copy(d.why, sizeof(d.why),
		  "a pool of functions: which of them a domain gets is known only when it starts");
	if (array_reserve(p->devices->v, p->devices->allocated, p->devices->n) < 0)
		p->r = -ENOMEM;
	else
		p->devices->v[p->devices->n++] = d;
}

static bool number_attribute(const char **attributes, const char *name, unsigned long most,
			     unsigned long *ret)
{
	const char *text = attribute_value(attributes, name);
	char *end;

	/* As libvirt reads it: 0x03, 3 or 03. */
	*ret = strtoul(text, &end, 0);
	return *text && !*end && *text != '-' && *ret <= most;
}

static void domain_device_set_address(struct domain_device *d, const char **attributes)
{
	unsigned long domain = 0, bus, slot, function;

	if (*attribute_value(attributes, "domain") &&
	    !number_attribute(attributes, "domain", 0xffff, &domain))
		return;
	if (number_attribute(attributes, "bus", 0xff, &bus) &&
	    number_attribute(attributes, "slot", 0x1f, &slot) &&
	    number_attribute(attributes, "function", 7, &function))
		(void)snprintf(d->name, sizeof(d->name), "%04lx:%02lx:%02lx.%lx", domain, bus, slot,
			       function);
}

static void domain_element_begin(void *data, const char *element, const char **attributes)
{
	struct domain_parser *p = data;

	p->depth++;
	if (p->depth == 1)
		p->is_domain =
			streq(element, "domain") || streq(element, "domstatus") || streq(element, "network");
	if (p->depth == 2 && streq(element, "forward") &&
	    streq(attribute_value(attributes, "mode"), "hostdev"))
		domain_pool_add(p);
	if (p->device_depth == 0 &&
	    (streq(element, "hostdev") ||
	     (streq(element, "interface") && streq(attribute_value(attributes, "type"), "hostdev")))) {
		domain_device_begin(p, element, attributes);
		return;
	}
	if (p->device_depth == 0)
		return;
	if (p->depth == p->device_depth + 1) {
		p->in_source = streq(element, "source");
		if (streq(element, "driver"))
			text_copy(domain_device_last(p)->driver, sizeof(domain_device_last(p)->driver),
				  attribute_value(attributes, "model"));
	} else if (p->in_source && streq(element, "address") &&
		   !startswith(domain_device_last(p)->why, "a hostdev of type")) {
		domain_device_set_address(domain_device_last(p), attributes);
	}
}

static void domain_element_end(void *data, const char *element)
{
	struct domain_parser *p = data;

	(void)element;
	if (p->depth == p->device_depth)
		p->device_depth = 0;
	if (p->depth <= p->device_depth + 1)
		p->in_source = false;
	p->depth--;
}

/* libvirt writes none; with one come entities, and what they can do. */
static void domain_doctype(void *data, const char *name, const char *system, const char *public, int internal)
{
	struct domain_parser *p = data;

	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	p->r = -EINVAL;
	(void)XML_StopParser(p->xml, XML_FALSE);
}

static uintmax_t domain_parser_line(XML_Parser parser)
{
#ifdef HAVE_XML_LINE_NUMBER_64
	return XML_GetCurrentLineNumber64(parser);
#else
	return XML_GetCurrentLineNumber(parser);
#endif
}

static int domain_parse(struct domain_parser *p, const char *text, size_t n, char reterr_text[static 256])
{
	enum XML_Status status;

	XML_SetUserData(p->xml, p);
	XML_SetElementHandler(p->xml, domain_element_begin, domain_element_end);
	XML_SetStartDoctypeDeclHandler(p->xml, domain_doctype);
	status = XML_Parse(p->xml, text, (int)n, XML_TRUE);
	if (p->r < 0)
		(void)snprintf(reterr_text, 256, "%s",
			       p->r == -ENOMEM ? "out of memory"
					       : "has a document type, which no domain has");
	else if (status != XML_STATUS_OK)
		(void)snprintf(reterr_text, 256, "line %ju: %s", domain_parser_line(p->xml),
			       XML_ErrorString(XML_GetErrorCode(p->xml)));
	else if (!p->is_domain)
		(void)snprintf(reterr_text, 256, "is no domain");
	else
		return 0;
	return p->r < 0 ? p->r : -EINVAL;
}

int domain_devices_read(struct domain_devices *devices, const char *path, char reterr_text[static 256])
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_cleanup_(freep) char *text = NULL;
	struct domain_parser p = { .devices = devices };
	size_t n;
	int r = fd >= 0 ? read_full(fd, 4096, DOMAIN_SIZE_MAX, &text, &n) : negative_errno();

	if (r < 0) {
		(void)snprintf(reterr_text, 256, "%s", strerror(-r));
		return r;
	}
	p.xml = XML_ParserCreate("UTF-8");
	if (!p.xml) {
		(void)snprintf(reterr_text, 256, "out of memory");
		return -ENOMEM;
	}
	r = domain_parse(&p, text, n, reterr_text);
	XML_ParserFree(p.xml);
	return r;
}
