# SPDX-License-Identifier: GPL-2.0-or-later
# The one line that table.c gets.
/the end/i\
	DEVICE(counter, "counter.c") \\
