# SPDX-License-Identifier: GPL-2.0-or-later
"""patience.py - how long tests wait before they call something hung.

A time limit in a test bounds a hang; it does not measure. MICA_TEST_PATIENCE multiplies all of them (tests/patience.h
does so for C): run-tests sets it, generously, and more so on a busy machine.
"""
import os

FACTOR = max(float(os.environ.get("MICA_TEST_PATIENCE") or 1), 1)


def seconds(limit):
    return limit * FACTOR


def factor_now():
    """For a run that begins: what others do on this machine may double meanwhile."""
    return 5 * max(1, os.getloadavg()[0] / (os.cpu_count() or 1))
