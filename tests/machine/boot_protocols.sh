#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# boot_protocols.sh MICA KERNEL - boot a kernel that checks what it is handed; it leaves through the debug-exit port.
set -eu
mica=$1 kernel=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf 'what the module holds\0' >"$dir/module"

status=0
limit=$(awk -v f="${MICA_TEST_PATIENCE:-1}" 'BEGIN { print int(60 * (f > 1 ? f : 1)) }')
timeout "$limit" "$mica" run --engine soft --memory 64M --net none --console none --debug-exit --no-reboot \
	--kernel "$kernel" --initrd "$dir/module" --append 'the command  line' </dev/null >"$dir/out" 2>&1 || status=$?
if [ "$status" != 33 ]; then # (16 << 1) | 1
	cat "$dir/out"
	echo "$kernel: status $status, wanted 33; an odd one is (failed step << 1) | 1" >&2
	exit 1
fi
