#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# deps.sh GROUP... - install the Debian packages a step needs, and only those that are missing. Says nothing and asks
# for nothing when all are there. Groups: build, run, check, analyse, test, compat, gallery, deb, bench, soak.
set -eu

build='gcc libc6-dev meson ninja-build pkg-config python3 gettext libzydis-dev liburing-dev libslirp-dev libglib2.0-dev
	libjansson-dev libseccomp-dev libxxhash-dev libzstd-dev zlib1g-dev libpng-dev libvncserver-dev libgnutls28-dev libcmocka-dev
	libnbd-dev libcurl4-gnutls-dev libiscsi-dev'
# fakechroot and uidmap: mmdebstrap takes whichever way this host allows.
run='python3 mmdebstrap e2fsprogs fakeroot fakechroot uidmap tar gzip zstd xz-utils debian-archive-keyring util-linux'
test='clang-14 libclang-rt-14-dev python3-pytest python3-pexpect acpica-tools dpkg
	qemu-system-x86 qemu-utils e2fsprogs binutils seabios ovmf ipxe-qemu grub-common grub-pc-bin
	grub-efi-amd64-bin mtools gvncviewer gir1.2-gtk-vnc-2.0 python3-gi swtpm nbdkit gnutls-bin tgt'
# What is asked before a commit. clang-format: another version lays out other lines.
check='clang-format-14 shellcheck git'
# Static analysis (tools/analyse), and coverage.
analyse='clang-tidy-14 cppcheck gcc gcovr'
# What the Debian package is made with, and tried in.
deb='debhelper dpkg-dev fakeroot git mmdebstrap'
# What tests/compat makes its trees with and asks besides this host. The programs that it runs are installed in those trees only.
compat='mmdebstrap e2fsprogs uidmap dpkg tar xz-utils util-linux qemu-system-x86'
# What tests/gallery makes its disks and CD-ROMs with; the systems on them are unpacked, not installed.
gallery='apt dpkg mmdebstrap e2fsprogs uidmap xorriso mtools gcc binutils seabios ovmf grub-common grub-pc-bin grub-efi-amd64-bin qemu-system-x86'
# What bench/engine compares with, and the programs that its guests run.
bench='qemu-system-x86 qemu-utils user-mode-linux gcc libc6-dev libc6-dev-i386 lib32gcc-12-dev libc-bin libsqlite3-dev zlib1g-dev
	perl-base lua5.4 dash python3 python3-matplotlib util-linux'
# What the guest of bench/soak runs.
soak='gcc libc6-dev libc-bin libsqlite3-dev zlib1g-dev perl-base lua5.4 dash sqlite3 stress-ng python3 util-linux'

wanted=
for group; do
	case $group in
	build) wanted="$wanted $build" ;;
	run) wanted="$wanted $run" ;;
	check) wanted="$wanted $check" ;;
	analyse) wanted="$wanted $analyse" ;;
	test) wanted="$wanted $test" ;;
	compat) wanted="$wanted $compat" ;;
	gallery) wanted="$wanted $gallery" ;;
	deb) wanted="$wanted $deb" ;;
	bench) wanted="$wanted $bench" ;;
	soak) wanted="$wanted $soak" ;;
	*) echo "deps.sh: no group '$group': build, run, check, analyse, test, compat, gallery, deb, bench, soak" >&2; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	# shellcheck disable=SC2086
	echo 'deps.sh: this is not a Debian system; it needs what these Debian 12 packages hold:' $wanted >&2
	exit 0
fi
missing=
for package in $wanted; do
	case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
	*' installed') ;;
	*) case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null; then
	as_root=sudo
else
	printf 'deps.sh: these packages are missing, and neither root nor sudo is here to install them. As root:\n' >&2
	printf '    apt-get install --no-install-recommends%s\n' "$missing" >&2
	exit 1
fi
echo "Installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive

install_missing() {
	# shellcheck disable=SC2086
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o Dpkg::Use-Pty=0 $missing </dev/null >"$log" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A fresh machine has no package lists, an old one stale ones: update at once or after a failure.
lists=$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)
if [ -z "$lists" ] || ! install_missing; then
	if ! $as_root apt-get update -q </dev/null >"$log" 2>&1; then
		tail -n 5 "$log" >&2
		echo "deps.sh: 'apt-get update' failed: is there a network?" >&2
		exit 1
	fi
	if ! install_missing; then
		tail -n 15 "$log" >&2
		echo 'deps.sh: apt-get could not install the packages above' >&2
		exit 1
	fi
fi
