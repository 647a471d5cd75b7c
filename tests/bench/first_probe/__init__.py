# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts of tests/bench/first-probe: ways to ask for a driver, devices that come, samples, the table."""
