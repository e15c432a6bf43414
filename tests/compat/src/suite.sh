# SPDX-License-Identifier: GPL-2.0-or-later
# suite.sh build NAME FOLDER - compiles a suite out of gcc's own, as DejaGnu would: those tests that are to be run, with the options they name.
# suite.sh run FOLDER - runs what was compiled; a line for each with its status, which is all that says whether it passed.
if [ "$1" = run ]; then
	ulimit -s 8192 -c 0
	cd "$2" || exit 1
	# Not by timeout: it hands to a shell what the kernel does not execute, programs of 32 bits where it has none.
	for p in *; do
		"./$p" >/dev/null 2>&1
		[ $? != 126 ] || exit 126
		break
	done
	for p in *; do
		timeout -k 1 100 "./$p" >/dev/null 2>&1
		echo "$p $?"
	done 2>/dev/null
	exit 0
fi
name=$2 to=$3
tests=/compat/gcc/gcc/testsuite
rm -rf "$to"
mkdir -p "$to"
bits=-m64
case $name in *-32) bits='-m32 -msse2 -mfpmath=387' name=${name%-32} ;; esac
# Of large suites every n-th test: the whole of c-torture is 1592 tests, those that execute x86's instructions 1345.
every=1
case $name in gcc-torture) every=10 ;; gcc-i386) every=12 ;; g++-eh) every=3 ;; esac
case $name in
gcc-torture) set -- "$tests"/gcc.c-torture/execute/*.c ;;
gcc-ieee) set -- "$tests"/gcc.c-torture/execute/ieee/*.c ;;
gcc-i386) set -- $(grep -l 'dg-do run' "$tests"/gcc.target/i386/{sse,ssse3,avx-,avx2-,bmi,fma,aes,pclmul,adx,movbe,lzcnt,mmx,rdrand,sha,vect}*.c) ;;
g++-eh) set -- "$tests"/g++.dg/eh/*.C "$tests"/g++.old-deja/g++.eh/*.C ;;
esac
one() {
	src=$1 out=$2/$(basename "$1" | sed 's/\.[cC]$//')
	opt=-O2
	case $src in
	*/gcc.target/*)
		grep -q 'dg-do run' "$src" && ! grep -qE 'dg-do run .*(! *lp64|lp64|ia32|! *ia32)|avx512|amx|xop|sse4a|fma4|tbm|3dnow|dg-additional-sources' "$src" || return
		opt="$(sed -nE 's/.*dg-options [{ ]*"([^"]*)".*/\1/p' "$src" | head -n 1)"
		case $opt in *avx512*|*-mx32*|*-m32*|*-m64*|*lto*) return ;; esac ;;
	*.C)
		! grep -qE 'dg-do (compile|link|assemble|preprocess)|dg-error|// *(Build|Skip)|dg-additional-sources' "$src" || return
		opt="-O2 $(sed -nE 's/.*dg-options [{ ]*"([^"]*)".*/\1/p' "$src" | head -n 1)" ;;
	*)
		! grep -qE 'dg-additional-sources|dg-require-effective-target (trampolines|label_values)xx' "$src" || return
		opt="-O2 $(sed -nE 's/.*dg-(additional-)?options [{ ]*"([^"]*)".*/\2/p' "$src" | head -n 1)" ;;
	esac
	cc=gcc
	[ "$src" = "${src%.C}" ] || cc='g++ -std=gnu++14'
	# What does not compile here DejaGnu would have left out for a reason of its own.
	timeout 60 $cc -w $3 $opt -I"$(dirname "$src")" -o "$out" "$src" -lm -pthread >/dev/null 2>&1
}
export -f one
printf '%s\n' "$@" | awk -v every=$every 'NR % every == 1 % every' | xargs -P "$(nproc)" -I{} bash -c 'one "$@"' one {} "$to" "$bits"
count=$(ls "$to" | wc -l)
echo "$name $bits: $count programs"
[ "$count" -gt 0 ]
