/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Singly linked lists: `first` is the pointer to the first item, items are linked by their `next`. */
#pragma once

#include <stddef.h>

/* The pointer that points to the item, or the last one, which is NULL, when the item is not in the list. */
#define list_find(first, item)                                                                               \
	({                                                                                                   \
		__typeof__(first) *_at = &(first);                                                           \
		while (*_at && *_at != (item))                                                               \
			_at = &(*_at)->next;                                                                 \
		_at;                                                                                         \
	})

/* Puts the item behind the last one. */
#define list_append(first, item) (*list_find(first, NULL) = (item))

/* Takes the item out; false: it is not in the list. */
#define list_remove(first, item)                                                                             \
	({                                                                                                   \
		__typeof__(first) *_place = list_find(first, item), _found = *_place;                        \
		if (_found)                                                                                  \
			*_place = _found->next;                                                              \
		_found != NULL;                                                                              \
	})
