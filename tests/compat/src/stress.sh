# SPDX-License-Identifier: GPL-2.0-or-later
# stress-ng's classes that verify what they computed, a fixed amount of each.
cd /tmp
while read -r class ops more; do
	stress-ng --no-rand-seed --verify --temp-path /tmp --timeout 200 "--$class" 2 "--$class-ops" "$ops" $more >out 2>&1
	echo "$class: status $?"
	grep -iE 'fail|error|mismatch|incorrect|unexpected' out | sed -E 's/\[[0-9]+\]//; s/[0-9]{4,}/N/g'
done <<'END'
cpu 80
vecmath 20
vecwide 2
vecfp 20
vecshuf 20
matrix 60
matrix-3d 4
fp 4
regs 200
hash 4
qsort 3
bsearch 3
heapsort 2
mergesort 2
radixsort 2
shellsort 2
tsearch 2
hsearch 4
skiplist 2
list 10
str 20
wcs 20
memcpy 20
zlib 4
crypt 10
longjmp 3000
sigsegv 2000
sigfpe 2000
sigtrap 2000
goto 200
funccall 4
funcret 4
judy 2
jpeg 2
mprotect 300
vm 20 --vm-bytes 8m
fork 60
vfork 60
pthread 60
futex 2000
atomic 60
peterson 10000
dekker 10000
ptrace 300
timer 3000
itimer 200
pipe 5000
fifo 2000
mq 2000
vdso 5000
seccomp 20
usersyscall 300
tlb-shootdown 20
membarrier 30
rseq 20
nop 30
context 2000
END
