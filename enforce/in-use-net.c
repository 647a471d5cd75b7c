/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a network interface is in use, by its upper devices in sysfs and by its addresses and routes in
 * rtnetlink. An interface that was moved to another network namespace is no longer visible in sysfs, but is
 * still counted there.
 */
#include "enforce/in-use-parts.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/fd-users.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Says who uses an interface; 1. Changes of addresses, routes and links tell when that may have ended. */
#define in_use_set_net_reason(u, ...)                                                                        \
	((void)strcpy((u)->answer->wait_for, "net"), in_use_set_reason(u, __VA_ARGS__))

typedef int (*rtnetlink_handler)(const struct nlmsghdr *h, void *userdata);

struct rtattrs {
	const void *data[IFLA_PARENT_DEV_BUS_NAME + 1];
	size_t size[IFLA_PARENT_DEV_BUS_NAME + 1];
};

/* NLMSG_DATA() casts the const away. */
static const void *nlmsg_body(const struct nlmsghdr *h)
{
	return (const char *)h + NLMSG_HDRLEN;
}

static void rtattr_parse(const struct nlmsghdr *h, size_t header, struct rtattrs *ret)
{
	const char *end = (const char *)h + h->nlmsg_len;
	const char *p = (const char *)h + NLMSG_LENGTH(NLMSG_ALIGN(header));

	*ret = (struct rtattrs){};
	while (end - p >= (ptrdiff_t)sizeof(struct rtattr)) {
		const struct rtattr *a = (const void *)p;

		if (a->rta_len < sizeof(*a) || a->rta_len > end - p)
			return;
		if ((a->rta_type & NLA_TYPE_MASK) < ELEMENTSOF(ret->data)) {
			ret->data[a->rta_type & NLA_TYPE_MASK] = p + RTA_LENGTH(0);
			ret->size[a->rta_type & NLA_TYPE_MASK] = a->rta_len - RTA_LENGTH(0);
		}
		if ((ptrdiff_t)RTA_ALIGN(a->rta_len) >= end - p)
			return;
		p += RTA_ALIGN(a->rta_len);
	}
}

static uint32_t rtattr_number(const struct rtattrs *a, unsigned type)
{
	uint32_t n = 0;

	if (a->size[type] == sizeof(n))
		memcpy(&n, a->data[type], sizeof(n));
	return n;
}

/* A NUL-terminated text, or "". */
static const char *rtattr_text(const struct rtattrs *a, unsigned type)
{
	const char *s = a->data[type];

	return a->size[type] > 0 && s[a->size[type] - 1] == '\0' ? s : "";
}

/* Hands the messages of one datagram to `each`. 0: more follow; 1: that was the last one; or a negative
 * errno. */
static int rtnetlink_parse_datagram(const char *buf, size_t n, rtnetlink_handler each, void *userdata,
				    int *ret_said)
{
	while (n >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *h = (const void *)buf;

		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > n)
			return -EBADMSG;
		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = nlmsg_body(h);

			return e->error < 0 ? e->error : -EBADMSG;
		}
		if (*ret_said == 0)
			*ret_said = each(h, userdata);
		if (NLMSG_ALIGN(h->nlmsg_len) >= n)
			break;
		buf += NLMSG_ALIGN(h->nlmsg_len);
		n -= NLMSG_ALIGN(h->nlmsg_len);
	}
	return 0;
}

/* Has the kernel list all of its objects. Returns the first answer of `each` other than 0, or negative errno.
 */
static int rtnetlink_dump(uint16_t type, rtnetlink_handler each, void *userdata)
{
	static _Alignas(struct nlmsghdr) char buf[64U * 1024U];
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr header;
		struct rtgenmsg body;
	} request = { .header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
				  .nlmsg_type = type,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	int r = 0, said = 0;

	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
		return negative_errno();
	while (r == 0) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return negative_errno();
		if ((size_t)n > sizeof(buf))
			return -EMSGSIZE;
		r = rtnetlink_parse_datagram(buf, (size_t)n, each, userdata, &said);
	}
	return r < 0 ? r : said;
}

/* fe80::/10 and 169.254.0.0/16; also multicast, to which every interface with IPv6 has a route. */
static bool is_link_local(int family, const void *address)
{
	const uint8_t *b = address;

	if (family == AF_INET6)
		return (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || b[0] == 0xff;
	return (b[0] == 169 && b[1] == 254) || (b[0] & 0xf0) == 0xe0;
}

static size_t address_size(int family)
{
	return family == AF_INET ? sizeof(struct in_addr) : family == AF_INET6 ? sizeof(struct in6_addr) : 0;
}

struct interface_check {
	const struct in_use *u;
	const char *name;
	uint32_t index;
};

static int interface_check_address(const struct nlmsghdr *h, void *userdata)
{
	const struct interface_check *i = userdata;
	const struct ifaddrmsg *m = nlmsg_body(h);
	char address[INET6_ADDRSTRLEN];
	struct rtattrs a;
	unsigned type;

	if (h->nlmsg_type != RTM_NEWADDR || m->ifa_index != i->index)
		return 0;
	rtattr_parse(h, sizeof(*m), &a);
	type = a.data[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS; /* our own one on a point-to-point link */
	if (address_size(m->ifa_family) == 0 || a.size[type] != address_size(m->ifa_family) ||
	    is_link_local(m->ifa_family, a.data[type]))
		return 0;
	if (!inet_ntop(m->ifa_family, a.data[type], address, sizeof(address)))
		return 0;
	return in_use_set_net_reason(i->u, "%s has the address %s", i->name, address);
}

static bool route_uses(const struct rtattrs *a, uint32_t index)
{
	const struct rtnexthop *hop = a->data[RTA_MULTIPATH];
	size_t left = a->size[RTA_MULTIPATH];

	if (rtattr_number(a, RTA_OIF) == index)
		return true;
	for (; left >= sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= left;
	     hop = (const void *)((const char *)hop + RTNH_ALIGN(hop->rtnh_len))) {
		if ((uint32_t)hop->rtnh_ifindex == index)
			return true;
		if ((size_t)RTNH_ALIGN(hop->rtnh_len) >= left)
			break;
		left -= RTNH_ALIGN(hop->rtnh_len);
	}
	return false;
}

static int interface_check_route(const struct nlmsghdr *h, void *userdata)
{
	const struct interface_check *i = userdata;
	const struct rtmsg *m = nlmsg_body(h);
	char address[INET6_ADDRSTRLEN];
	struct rtattrs a;
	uint32_t table;

	/* The kernel itself makes a route to every address; those are in the local table. */
	if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_type != RTN_UNICAST || (m->rtm_flags & RTM_F_CLONED) ||
	    address_size(m->rtm_family) == 0)
		return 0;
	rtattr_parse(h, sizeof(*m), &a);
	table = a.data[RTA_TABLE] ? rtattr_number(&a, RTA_TABLE) : m->rtm_table;
	if (table == RT_TABLE_LOCAL || !route_uses(&a, i->index))
		return 0;
	if (m->rtm_dst_len == 0)
		return in_use_set_net_reason(i->u, "%s has the default route", i->name);
	if (a.size[RTA_DST] != address_size(m->rtm_family) || is_link_local(m->rtm_family, a.data[RTA_DST]) ||
	    !inet_ntop(m->rtm_family, a.data[RTA_DST], address, sizeof(address)))
		return 0;
	return in_use_set_net_reason(i->u, "%s has a route to %s/%u", i->name, address, m->rtm_dst_len);
}

/* A bridge, bond, team or switch is linked as `master` and as upper; a VLAN and the like as upper only. */
static int interface_check_uppers(const struct interface_check *i, const char *path)
{
	_cleanup_(closedirp) DIR *dir = opendir(path);
	char master[64] = "";
	const struct dirent *e;

	(void)in_use_link(path, "master", master, sizeof(master));
	if (master[0])
		return in_use_set_net_reason(i->u, "%s is a port of %s", i->name, master);
	while (dir && (e = readdir(dir))) {
		const char *upper = startswith(e->d_name, "upper_");

		if (upper)
			return in_use_set_net_reason(i->u, "%s carries %s", i->name, upper);
	}
	return 0;
}

int in_use_net(const struct in_use *u, const char *path, const char *name)
{
	struct interface_check i = { u, name, 0 };
	char index[16];
	int r = interface_check_uppers(&i, path);

	if (r == 0)
		r = in_use_attr(path, "ifindex", index, sizeof(index));
	/* EINVAL: an interface that is being unregistered (netdev_show() in net/core/net-sysfs.c). */
	if (r != 0)
		return r == -ENOENT || r == -EINVAL ? 0 : r;
	i.index = (uint32_t)strtoul(index, NULL, 10);
	if (i.index == 0)
		return 0;
	r = rtnetlink_dump(RTM_GETADDR, interface_check_address, &i);
	return r != 0 ? r : rtnetlink_dump(RTM_GETROUTE, interface_check_route, &i);
}

/* The search for an interface in other namespaces, by its parent device. */
struct link_search {
	const struct in_use *u;
	char device[128], bus[64];
	char found[64];
	ino_t *seen; /* namespaces that need not be looked at: our own comes first */
	size_t n_seen, allocated;
	int back; /* to our own namespace */
};

static int link_search_match(const struct nlmsghdr *h, void *userdata)
{
	struct link_search *s = userdata;
	struct rtattrs a;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	rtattr_parse(h, sizeof(struct ifinfomsg), &a);
	if (!streq(rtattr_text(&a, IFLA_PARENT_DEV_NAME), s->device) ||
	    !streq(rtattr_text(&a, IFLA_PARENT_DEV_BUS_NAME), s->bus))
		return 0;
	text_copy(s->found, sizeof(s->found), rtattr_text(&a, IFLA_IFNAME));
	return 1;
}

/* Remembers the namespace. False: it was looked at, as other processes are in it; or there is no memory. */
static bool link_search_is_new(struct link_search *s, ino_t namespace)
{
	for (size_t i = 0; i < s->n_seen; i++)
		if (s->seen[i] == namespace)
			return false;
	if (array_reserve(s->seen, s->allocated, s->n_seen) < 0)
		return false;
	s->seen[s->n_seen++] = namespace;
	return true;
}

/* Enters a namespace and looks. This process has one thread, and returns to its own namespace first of all.
 */
static bool link_search_namespace(struct link_search *s, const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0 || !link_search_is_new(s, st.st_ino) || setns(fd, CLONE_NEWNET) < 0)
		return false;
	r = rtnetlink_dump(RTM_GETLINK, link_search_match, s);
	if (setns(s->back, CLONE_NEWNET) < 0)
		_exit(EIO); /* nothing must be done in a wrong namespace */
	return r == 1;
}

static int link_search_process(const char *pid, void *userdata)
{
	struct link_search *s = userdata;
	const struct in_use *u = s->u;
	char path[PATH_MAX], who[128];

	if (path_join(path, sizeof(path), u->root, "/../proc/", pid, "/ns/net", NULL) < 0 ||
	    !link_search_namespace(s, path))
		return 0;
	fd_users_process_name(u->root, pid, who, sizeof(who));
	return in_use_set_net_reason(u, "%s is in the network namespace of %s", s->found, who);
}

/*
 * Opens the folder where `ip netns` keeps namespaces by name, as PID 1 sees it: a service has mounts of its
 * own, and newer versions of ip (that of forky) detach the folder from /run, so that a running service does
 * not see what is mounted there later.
 */
static DIR *netns_open_folder(const struct in_use *u, char *path, size_t size)
{
	static const char *const folders[] = { "/../proc/1/root/run/netns", "/../run/netns" };
	DIR *dir = NULL;

	for (size_t i = 0; !dir && i < ELEMENTSOF(folders); i++)
		if (path_join(path, size, u->root, folders[i], NULL) >= 0)
			dir = opendir(path);
	return dir;
}

static int link_search_named(const struct in_use *u, struct link_search *s)
{
	char path[PATH_MAX], ns[PATH_MAX];
	_cleanup_(closedirp) DIR *dir = netns_open_folder(u, path, sizeof(path));
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && path_join(ns, sizeof(ns), path, "/", e->d_name, NULL) >= 0 &&
		    link_search_namespace(s, ns))
			return in_use_set_net_reason(u, "%s is in the network namespace %.64s", s->found,
						     e->d_name);
	return 0;
}

static int link_search(const struct in_use *u, const char *above)
{
	struct link_search s = { .u = u, .back = -EBADF };
	char path[PATH_MAX];
	struct stat st;
	int r = 0;

	text_copy(s.device, sizeof(s.device), strrchr(above, '/') + 1);
	(void)in_use_link(above, "subsystem", s.bus, sizeof(s.bus));
	if (path_join(path, sizeof(path), u->root, "/../proc/self/ns/net", NULL) < 0)
		return 0;
	s.back = open(path, O_RDONLY | O_CLOEXEC);
	if (s.back >= 0 && fstat(s.back, &st) >= 0 && link_search_is_new(&s, st.st_ino)) {
		r = link_search_named(u, &s);
		if (r == 0)
			r = fd_users_each_process(u->root, link_search_process, &s);
	}
	closep(&s.back);
	free(s.seen);
	return r;
}

int in_use_net_elsewhere(const struct in_use *u, const char *path)
{
	_cleanup_(closedirp) DIR *dir = opendir(path);
	const struct dirent *e;
	char above[PATH_MAX];
	struct stat st;
	nlink_t seen = 0;

	if (!dir || fstat(dirfd(dir), &st) < 0)
		return in_use_has_gone(-errno) ? 0 : negative_errno();
	while ((e = readdir(dir)))
		seen += e->d_type == DT_DIR && e->d_name[0] != '.';
	/*
	 * The kernel removes the folder with its last interface, and the link count includes the interfaces
	 * of all namespaces.
	 */
	if (seen > 0 && st.st_nlink <= seen + 2)
		return 0;
	text_copy(above, sizeof(above), path);
	*strrchr(above, '/') = '\0';
	if (link_search(u, above) > 0)
		return 1;
	return in_use_set_net_reason(u, "a network interface of it is in another network namespace");
}
