/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small things that every folder needs; see util.h. */
#include "base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdalign.h>
#include <sys/mman.h>

/* A device needs a few hundred bytes, a policy of a thousand rules some hundred thousand. */
#define ARENA_BLOCK_MIN 1000U
#define ARENA_BLOCK_MAX (64U * 1024U)
#define ARENA_ALIGN alignof(uint64_t)

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t mapped; /* bytes from mmap(); 0: from calloc() */
	char data[];
};

static void add_block(struct arena *a, struct arena_block *b, size_t size)
{
	b->next = a->blocks;
	b->size = size;
	a->blocks = b;
	a->next = b->data;
	a->left = size;
}

void arena_reserve(struct arena *a, size_t size)
{
	struct arena_block *b;

	if (size < ARENA_BLOCK_MAX)
		return;
	size += sizeof(*b);
	b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b == MAP_FAILED)
		return;
	b->mapped = size;
	add_block(a, b, size - sizeof(*b));
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

	if (size > a->left) {
		size_t want = a->grown ? 2 * a->grown : ARENA_BLOCK_MIN;
		struct arena_block *b;

		if (want > ARENA_BLOCK_MAX)
			want = ARENA_BLOCK_MAX;
		a->grown = want;
		if (want < size)
			want = size;
		b = calloc(1, sizeof(*b) + want);
		if (!b)
			return NULL;
		add_block(a, b, want);
	}
	p = a->next;
	a->next += size;
	a->left -= size;
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	if (p)
		memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		return NULL;

	p = arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, format);
	(void)vsnprintf(p, (size_t)n + 1, format, ap);
	va_end(ap);
	return p;
}

static void free_blocks(struct arena_block *b, const struct arena_block *end)
{
	while (b != end) {
		struct arena_block *next = b->next;

		if (b->mapped)
			(void)munmap(b, b->mapped);
		else
			free(b);
		b = next;
	}
}

void arena_done(struct arena *a)
{
	free_blocks(a->blocks, NULL);
	*a = (struct arena){};
}

void arena_reset(struct arena *a)
{
	struct arena_block *oldest = a->blocks;
	size_t used;

	if (!oldest)
		return;
	used = (size_t)(a->next - oldest->data);
	while (oldest->next) {
		oldest = oldest->next;
		used = oldest->size;
	}
	free_blocks(a->blocks, oldest);
	memset(oldest->data, 0, used);
	*a = (struct arena){ .blocks = oldest, .next = oldest->data, .left = oldest->size };
}

int dir_open(struct dir_reader *d, const char *path)
{
	d->at = d->n = 0;
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->fd < 0 ? negative_errno() : 0;
}

const char *dir_next(struct dir_reader *d)
{
	for (;;) {
		const struct dirent64 *e;

		if (d->at >= d->n) {
			ssize_t n = getdents64(d->fd, d->buf, sizeof(d->buf));

			if (n <= 0)
				return NULL;
			d->n = (size_t)n;
			d->at = 0;
		}
		e = (const void *)(d->buf + d->at);
		d->at += e->d_reclen;
		if (e->d_name[0] != '.')
			return e->d_name;
	}
}

int strings_add(struct strings *l, const char *s)
{
	if (l->n == l->allocated) {
		size_t want = l->allocated ? 2 * l->allocated : 8;
		const char **v = reallocarray(l->v, want, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->allocated = want;
	}
	l->v[l->n++] = s;
	return 0;
}

void strings_done(struct strings *l)
{
	free(l->v);
	*l = (struct strings){};
}

static bool name_char_is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '_' || c == ':' || c == '-';
}

bool is_file_name(const char *s)
{
	return *s && !strchr(s, '/') && !streq(s, ".") && !streq(s, "..");
}

int name_escape(const char *name, char *buf, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (const char *s = name; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (name_char_is_plain(c) && !(s == name && c == '.')) {
			if (n + 1 >= size)
				return -ENAMETOOLONG;
			buf[n++] = *s;
		} else {
			if (n + 4 >= size)
				return -ENAMETOOLONG;
			buf[n++] = '\\';
			buf[n++] = 'x';
			buf[n++] = hex[c >> 4];
			buf[n++] = hex[c & 15];
		}
	}
	if (n >= size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

int path_join(char *buf, size_t size, const char *first, ...)
{
	size_t used = 0;
	va_list ap;

	va_start(ap, first);
	for (const char *s = first; s; s = va_arg(ap, const char *)) {
		size_t n = strlen(s);

		if (n >= size - used) {
			buf[0] = '\0';
			va_end(ap);
			return -ENAMETOOLONG;
		}
		memcpy(buf + used, s, n);
		used += n;
	}
	va_end(ap);
	buf[used] = '\0';
	return 0;
}

char *number_to_text(unsigned n, char buf[static 16])
{
	char digits[16];
	size_t count = 0;

	do
		digits[count++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	for (size_t i = 0; i < count; i++)
		buf[i] = digits[count - 1 - i];
	buf[count] = '\0';
	return buf;
}

int path_printf(char *buf, size_t size, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(buf, size, format, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int read_full(int fd, size_t guess, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(freep) char *buf = NULL;
	size_t allocated = 0, n = 0;

	for (;;) {
		ssize_t k;

		if (allocated - n < 2) {
			size_t want = allocated ? 2 * allocated : guess + 2;
			char *p;

			if (want > max + 2)
				want = max + 2;
			if (want - n < 2)
				return -EFBIG;
			p = realloc(buf, want);
			if (!p)
				return -ENOMEM;
			buf = p;
			allocated = want;
		}
		k = read(fd, buf + n, allocated - n - 1);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return negative_errno();
		if (k == 0)
			break;
		n += (size_t)k;
		if (n > max)
			return -EFBIG;
	}
	buf[n] = '\0';
	*ret = TAKE_PTR(buf);
	*ret_size = n;
	return 0;
}

int read_first_line(const char *path, char *buf, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return negative_errno();
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return (int)strlen(buf);
}

int read_link(const char *path, char *buf, size_t size)
{
	ssize_t n = readlink(path, buf, size - 1);

	if (n < 0)
		return negative_errno();
	if ((size_t)n >= size - 1)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

int read_link_name(const char *path, char *buf, size_t size)
{
	char target[PATH_MAX];
	const char *last;
	int r = read_link(path, target, sizeof(target));

	if (r < 0)
		return r;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= size)
		return -ENAMETOOLONG;
	(void)strcpy(buf, last);
	return 0;
}

uint64_t fnv1a(uint64_t h, const void *data, size_t n)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

const char *boot_id(void)
{
	static char id[40];

	if (!id[0]) {
		_cleanup_(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, id, sizeof(id) - 1) : -1;

		id[n > 0 ? n : 0] = '\0';
		id[strcspn(id, "\n")] = '\0';
	}
	return id;
}
