# SPDX-License-Identifier: GPL-2.0-or-later
# Arithmetic, cases, functions and parameter expansion: a script that starts no other program.
step() {
	case $(($1 % 3)) in
	0) s="${s#?}x" ;;
	1) s="${s%?}y" ;;
	*) t=$((t + ${#s} * $1)) ;;
	esac
}
i=0 t=0 s=abcdefgh
while [ "$i" -lt "$1" ]; do
	i=$((i + 1))
	step "$i"
	set -- "$1" a b "$i"
	[ "$4" = "$i" ] || t=wrong
done
echo "$t $s"
