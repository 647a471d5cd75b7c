/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The yardstick: links libudev, as a program that udev starts commonly does, and does nothing with it. */
#include <libudev.h>

int main(void)
{
	struct udev *udev = udev_new();

	udev_unref(udev);
	return udev ? 0 : 1;
}
