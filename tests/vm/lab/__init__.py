# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtual machine lab: guests, machines, the build under test, kernel traces and the scenario runner."""
