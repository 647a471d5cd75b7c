/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which addresses and routes make a network interface one in use. rtnetlink is played by this test. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/in-use-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#define INDEX 7

/* What the kernel answers to a request for addresses and to one for routes, and which was asked last. */
static struct dump {
	char data[1024] __attribute__((aligned(8)));
	size_t n;
} addresses, routes, links, *asked;

/* How often this process went to another namespace, or came back. */
static unsigned n_entered;

/* In place of the C library's. */
int socket(int domain, int type, int protocol)
{
	ck_assert_int_eq(domain, AF_NETLINK);
	ck_assert_int_eq(protocol, NETLINK_ROUTE);
	(void)type;
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	const struct nlmsghdr *h = buf;

	(void)fd;
	(void)flags;
	ck_assert(h->nlmsg_type == RTM_GETADDR || h->nlmsg_type == RTM_GETROUTE ||
		  h->nlmsg_type == RTM_GETLINK);
	asked = h->nlmsg_type == RTM_GETADDR ? &addresses : h->nlmsg_type == RTM_GETROUTE ? &routes : &links;
	return (ssize_t)n;
}

int setns(int fd, int type)
{
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(type, CLONE_NEWNET);
	n_entered++;
	return 0;
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	struct nlmsghdr done = { .nlmsg_len = NLMSG_LENGTH(0), .nlmsg_type = NLMSG_DONE };

	(void)fd;
	(void)flags;
	ck_assert_uint_ge(n, asked->n + sizeof(done));
	memcpy(buf, asked->data, asked->n);
	memcpy((char *)buf + asked->n, &done, sizeof(done));
	return (ssize_t)(asked->n + sizeof(done));
}

/* A message with a body; attributes follow by attribute_add(). */
static struct nlmsghdr *message_add(struct dump *dump, uint16_t type, const void *body, size_t size)
{
	struct nlmsghdr *h = (void *)(dump->data + dump->n);

	h->nlmsg_type = type;
	h->nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
	memcpy(NLMSG_DATA(h), body, size);
	dump->n += NLMSG_ALIGN(h->nlmsg_len);
	return h;
}

static void attribute_add(struct dump *dump, struct nlmsghdr *h, unsigned short type, const void *data,
			  size_t size)
{
	struct rtattr *a = (void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(a), data, size);
	h->nlmsg_len = (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + RTA_LENGTH(size));
	dump->n = (size_t)((char *)h - dump->data) + NLMSG_ALIGN(h->nlmsg_len);
}

static int family_of(const char *text)
{
	return strchr(text, ':') ? AF_INET6 : AF_INET;
}

static size_t address_parse(const char *text, char buf[static 16])
{
	ck_assert_int_eq(inet_pton(family_of(text), text, buf), 1);
	return family_of(text) == AF_INET6 ? 16 : 4;
}

static void address_add(uint32_t index, const char *text)
{
	struct ifaddrmsg body = { .ifa_family = (uint8_t)family_of(text), .ifa_index = index };
	struct nlmsghdr *h = message_add(&addresses, RTM_NEWADDR, &body, sizeof(body));
	char address[16];

	attribute_add(&addresses, h, IFA_ADDRESS, address, address_parse(text, address));
}

/* `text` is "": the default route of IPv4. */
static struct nlmsghdr *route_add(uint32_t index, const char *text, uint8_t length, uint8_t table)
{
	struct rtmsg body = { .rtm_family = (uint8_t)(*text ? family_of(text) : AF_INET),
			      .rtm_dst_len = length,
			      .rtm_table = table,
			      .rtm_type = RTN_UNICAST };
	struct nlmsghdr *h = message_add(&routes, RTM_NEWROUTE, &body, sizeof(body));
	char address[16];

	if (*text)
		attribute_add(&routes, h, RTA_DST, address, address_parse(text, address));
	if (index)
		attribute_add(&routes, h, RTA_OIF, &index, sizeof(index));
	return h;
}

static struct in_use_fixture interface_new(void)
{
	struct in_use_fixture f = in_use_fixture_new();

	mock_class_add(f.m, "net", f.device, "eth0");
	mock_attr(f.m, mock_printf(f.m, "%s/net/eth0", f.device), "ifindex", mock_printf(f.m, "%d\n", INDEX));
	addresses.n = routes.n = 0;
	return f;
}

START_TEST(link_local_address_is_no_use)
{
	static const char *const local[] = { "fe80::1", "febf:ffff::1", "169.254.0.1" };
	static const char *const others[] = { "fec0::1", "2001:db8::1", "::1", "169.253.0.1", "10.0.0.1" };
	struct in_use_fixture f = interface_new();

	for (size_t i = 0; i < ELEMENTSOF(local); i++)
		address_add(INDEX, local[i]);
	assert_free(&f);
	for (size_t i = 0; i < ELEMENTSOF(others); i++) {
		addresses.n = 0;
		address_add(INDEX, local[0]);
		address_add(INDEX, others[i]);
		assert_used(&f, mock_printf(f.m, "eth0 has the address %s", others[i]));
	}
	in_use_fixture_done(&f);
}
END_TEST

START_TEST(address_of_another_interface_is_no_use)
{
	struct in_use_fixture f = interface_new();

	address_add(INDEX + 1, "10.0.0.1");
	assert_free(&f);
	in_use_fixture_done(&f);
}
END_TEST

START_TEST(own_address_of_a_pair_is_named)
{
	struct ifaddrmsg body = { .ifa_family = AF_INET, .ifa_index = INDEX };
	struct in_use_fixture f = interface_new();
	struct nlmsghdr *h = message_add(&addresses, RTM_NEWADDR, &body, sizeof(body));
	char address[16];

	attribute_add(&addresses, h, IFA_ADDRESS, address, address_parse("10.0.0.2", address));
	attribute_add(&addresses, h, IFA_LOCAL, address, address_parse("10.0.0.1", address));
	assert_used(&f, "eth0 has the address 10.0.0.1");
	in_use_fixture_done(&f);
}
END_TEST

START_TEST(route_is_use_unless_the_kernel_makes_it_by_itself)
{
	struct in_use_fixture f = interface_new();

	route_add(INDEX, "fe80::", 64, RT_TABLE_MAIN);
	route_add(INDEX, "ff00::", 8, RT_TABLE_MAIN);
	route_add(INDEX, "169.254.0.0", 16, RT_TABLE_MAIN);
	route_add(INDEX, "224.0.0.0", 4, RT_TABLE_MAIN);
	route_add(INDEX, "10.0.0.1", 32, RT_TABLE_LOCAL);
	route_add(INDEX + 1, "10.1.0.0", 16, RT_TABLE_MAIN);
	assert_free(&f);
	route_add(INDEX, "10.2.0.0", 16, RT_TABLE_MAIN);
	assert_used(&f, "eth0 has a route to 10.2.0.0/16");
	routes.n = 0;
	route_add(INDEX, "", 0, RT_TABLE_MAIN);
	assert_used(&f, "eth0 has the default route");
	in_use_fixture_done(&f);
}
END_TEST

START_TEST(every_hop_of_a_multipath_route_is_used)
{
	struct rtnexthop hops[] = { { .rtnh_len = sizeof(*hops), .rtnh_ifindex = INDEX + 1 },
				    { .rtnh_len = sizeof(*hops), .rtnh_ifindex = INDEX } };
	struct in_use_fixture f = interface_new();
	struct nlmsghdr *h = route_add(0, "10.0.0.0", 8, RT_TABLE_MAIN);

	attribute_add(&routes, h, RTA_MULTIPATH, hops, sizeof(*hops));
	assert_free(&f);
	routes.n = 0;
	h = route_add(0, "10.0.0.0", 8, RT_TABLE_MAIN);
	attribute_add(&routes, h, RTA_MULTIPATH, hops, sizeof(hops));
	assert_used(&f, "eth0 has a route to 10.0.0.0/8");
	in_use_fixture_done(&f);
}
END_TEST

START_TEST(error_of_the_kernel_is_an_error)
{
	struct nlmsgerr body = { .error = -EPERM };
	struct in_use_fixture f = interface_new();

	message_add(&routes, NLMSG_ERROR, &body, sizeof(body));
	ck_assert_int_eq(in_use_fixture_check(&f), -EPERM);
	in_use_fixture_done(&f);
}
END_TEST

START_TEST(message_that_is_cut_off_is_an_error)
{
	struct in_use_fixture f = interface_new();

	address_add(INDEX + 1, "10.0.0.1");
	((struct nlmsghdr *)(void *)addresses.data)->nlmsg_len = sizeof(addresses.data);
	ck_assert_int_eq(in_use_fixture_check(&f), -EBADMSG);
	in_use_fixture_done(&f);
}
END_TEST

/* Containers have many processes each. */
START_TEST(each_namespace_is_looked_at_once)
{
	struct in_use_fixture f = in_use_fixture_new();

	make_dirs(mock_printf(f.m, "%s%s/net", f.m->sysfs, f.device));
	for (unsigned i = 0; i < 3; i++)
		beside_file(&f, mock_printf(f.m, "namespaces/%u", i), "");
	beside_link(&f, "proc/self/ns/net", "../../../namespaces/0");
	for (unsigned pid = 1; pid <= 12; pid++)
		beside_link(&f, mock_printf(f.m, "proc/%u/ns/net", pid),
			    mock_printf(f.m, "../../../namespaces/%u", pid % 3));
	links.n = n_entered = 0;
	ck_assert_int_eq(in_use_fixture_check(&f), 1);
	ck_assert_str_eq(f.answer.reason, "a network interface of it is in another network namespace");
	ck_assert_uint_eq(n_entered, 2 * 2); /* there and back */
	in_use_fixture_done(&f);
}
END_TEST

SUITE_MAIN("in-use-net", 20, link_local_address_is_no_use, address_of_another_interface_is_no_use,
	   own_address_of_a_pair_is_named, route_is_use_unless_the_kernel_makes_it_by_itself,
	   every_hop_of_a_multipath_route_is_used, error_of_the_kernel_is_an_error,
	   message_that_is_cut_off_is_an_error, each_namespace_is_looked_at_once)
