/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of the errors that callers get: org.driveroverrides1.Error. and one of the contract's names. */
#pragma once

#define ERROR_PREFIX "org.driveroverrides1.Error."
#define ERROR_NO_SUCH_DEVICE ERROR_PREFIX "NoSuchDevice"
#define ERROR_NOT_SUPPORTED ERROR_PREFIX "NotSupported"
#define ERROR_NO_SUCH_DRIVER ERROR_PREFIX "NoSuchDriver"
#define ERROR_IN_USE ERROR_PREFIX "InUse"
#define ERROR_STUCK ERROR_PREFIX "Stuck"
#define ERROR_INVALID ERROR_PREFIX "Invalid"
#define ERROR_POLICY_INVALID ERROR_PREFIX "PolicyInvalid"
#define ERROR_FOREIGN ERROR_PREFIX "Foreign"
#define ERROR_SHADOWED ERROR_PREFIX "Shadowed"
