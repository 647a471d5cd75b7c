/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls that change something. */
#pragma once

enum operation_kind {
	OPERATION_SET,
	OPERATION_SET_MANY, /* SetOverrides */
	OPERATION_CLEAR,
	OPERATION_APPLY,
	OPERATION_APPLY_ALL,
	OPERATION_RELEASE,
	OPERATION_RELEASE_ALL,
	OPERATION_CONFIRM, /* OPERATION_SET, once its arguments are read */
	OPERATION_RELOAD,
	OPERATION_RETRY, /* OPERATION_RELOAD, of a policy that has failed */
};
