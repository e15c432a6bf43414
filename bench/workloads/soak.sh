# SPDX-License-Identifier: GPL-2.0-or-later
# What bench/soak runs in the guest and, for what is to be expected, once on the host. Sourced by the agent.
#
#	soak_once LOAD N       piece N of /soak/LOAD: one line, "R LOAD N STATUS MILLISECONDS WORD..."
#	soak_start [LOAD...]   each load in a loop, results go to /tmp/soak/results
#	soak_stop              ... until now
#
# /soak/LOAD has a piece in each line: one of the functions below with its arguments. What it prints must be the same
# everywhere; what it says on standard error is shown where its status or its output is wrong.
export LC_ALL=C PERL_HASH_SEED=0 TMPDIR=/tmp
SOAK=/tmp/soak

sum() { sha256sum | cut -c 1-16; }

# Four files one by one, the link, and what the program computes. Every piece has a folder of its own to work in.
compile() {
	for source in harness integer branchy parallel; do
		gcc $1 -pthread -DVARIANT="$2" -c -o $source.o /bench/src/$source.c || return
	done
	gcc -o made harness.o integer.o branchy.o parallel.o || return
	echo objects $(cat ./*.o | sum) program $(sum <made) $(./made float int-mix 20000; ./made float qsort 1; ./made float fib 2)
}

# What else gcc has passes for: the same file preprocessed, to assembly, assembled, and back by way of LTO.
passes() {
	gcc $1 -S -g -o a.s /bench/src/"$2".c && gcc -c -o a.o a.s && echo assembly $(sum <a.s) object $(sum <a.o)
}

database() {
	cat >script <<-END
		pragma journal_mode=$2; pragma cache_size=50;
		create table t (id integer primary key, name text, value integer, hash blob);
		create index by_name on t (name); create unique index by_value on t (value, id);
		begin;
		with recursive n(i) as (select 1 union all select i + 1 from n where i < 600)
			insert into t select i, 'item ' || (i * 7919 % 997), i * i * $1 % 10007, zeroblob(i % 300) from n;
		commit;
		begin; delete from t where id % 3 = 0; update t set value = 1; rollback;
		begin; update t set name = name || '-' || $1, value = value + id where id % 4 = 1; delete from t where id % 11 = $1 % 11; commit;
		insert into t select id + 1000, upper(name), -value, hash from t where id % 5 = 0;
		select count(*), sum(value), sum(length(hash)), min(name), max(name) from t;
		select name, count(*) c from t group by name order by c desc, name limit 3;
		select sum(a.value * b.id) from t a join t b on a.name = b.name;
		vacuum; pragma integrity_check;
	END
	sqlite3 -batch made.db <script | tr '\n' ' '
}

# Processes that write one database at once, each its own rows.
writers() {
	sqlite3 made.db "pragma journal_mode=$1; create table t (id integer primary key, who integer, value integer);" || return
	for who in 1 2 3; do
		(i=0; while [ $i -lt 12 ]; do
			i=$((i + 1))
			echo ".timeout 60000"
			echo "begin immediate; insert into t (who, value) values ($who, $i); insert into t (who, value) select who + 10, value * $who from t where who = $who and value = $i; commit;"
		done | sqlite3 -batch made.db) &
	done
	wait
	sqlite3 made.db "select count(*), sum(value), count(distinct who), max(id) from t; pragma integrity_check;" | tr '\n' ' '
}

pack() {
	dd if="$2" bs=16k skip="$3" count="$4" 2>/dev/null >in
	gzip "-$1" -c <in >packed && gunzip -c <packed >out
	echo in $(sum <in) packed $(sum <packed) out $(sum <out)
}

digests() {
	dd if="$1" bs=16k skip="$2" count=20 2>/dev/null >in
	for tool in md5sum sha1sum sha256sum sha512sum sha3sum; do
		echo $tool $($tool in | sed 's/in$//' | tr -d ' -' | cut -c 1-20)
	done
	base64 in | base64 -d | cmp - in && echo $(xxd in | sum)
}

archive() {
	mkdir tree && cp -r /bench/src /bench/loop.* tree/ && dd if="$1" of=tree/part bs=1k count=300 skip="$2" 2>/dev/null
	tar -c -f - tree | gzip | gunzip | (mkdir back && tar -x -f - -C back)
	find tree -type f | sort | while read -r file; do cmp "$file" "back/$file"; done
	echo files $(find back -type f | wc -l) $(cd back && find . -type f | sort | xargs cat | sum)
}

perl_loop() { perl /bench/loop.pl "$1"; }
lua_loop() { lua5.4 /bench/loop.lua "$1"; }
shell_loop() { sh /bench/loop.sh "$1"; }
program() { "$1" float "$2" "$3"; }

# A shell's own business: pipelines, subshells, background jobs, signals, a FIFO.
processes() {
	n=0
	mkfifo way
	while [ $n -lt "$1" ]; do
		n=$((n + 1))
		sh -c 'exit 7' || [ $? = 7 ] || echo "status $?"
		[ "$(sh -c 'trap "echo got" USR1; kill -USR1 $$; :')" = got ] || echo "no signal"
		(seq 1 50 | sed 's/1/x/g' >way) &
		lines=$(sort <way | uniq | wc -l)
		wait
		[ "$lines" = 50 ] || echo "lines $lines"
	done
	find /usr /bench -type f | xargs -n 20 sh -c 'echo $#' | awk '{ s += $1 } END { print "files", NR, s }'
}

awk_loop() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) { k = i * 7919 % 613; a[k] += i; s = s substr("abcdefgh", i % 8 + 1, 1)
		if (length(s) > 200) { gsub(/[ace]/, "<&>", s); t += length(s); s = "" } }
		for (k = 0; k < 613; k++) c = (c * 31 + a[k]) % 1000003; print c, t, sin(n) * exp(2) / 3 }'
	echo "scale=60; s=0; for (i=1;i<$1/10+2;++i) s+=1/(i*i); s; scale=0; $1^40 % 1000000007" | bc
}

# Verifies itself. On the host it is only seen whether it runs at all.
stress() {
	set -- "$1" "--verify --no-rand-seed --temp-path . --$1 $2 --vm-bytes 24m --mmap-bytes 16m --shm-bytes 4m"
	if [ "${SOAK_GUEST:-}" ]; then
		stress-ng $2 --timeout 3 >log 2>&1
	else
		# Some cannot do so little.
		stress-ng $2 --timeout 3 "--$1-ops" 1 >log 2>&1 || stress-ng $2 --timeout 1 >log 2>&1
	fi && { echo stress "$1" well; return; }
	status=$?
	grep -v 'info:' log >&2
	return $status
}

# Deliberate faults, for bench/soak --self-test: what each of them is must be found.
injected() {
	case $1 in
	mismatch) [ "${SOAK_GUEST:-}" ] && echo 1 2 4 || echo 1 2 3 ;;
	status) echo well; [ -z "${SOAK_GUEST:-}" ] || { echo "this is why" >&2; return 3; } ;;
	warning) [ -z "${SOAK_GUEST:-}" ] || echo "<4>WARNING: CPU: 0 PID: 1 at injected.c" >/dev/kmsg; echo well ;;
	segfault) [ -z "${SOAK_GUEST:-}" ] || perl -e 'print unpack("p", pack("J", 8))'; echo well ;;
	stuck) [ -z "${SOAK_GUEST:-}" ] || sleep 100000; echo well ;;
	esac
}

# No leading zeros: that would be octal.
hundredths() { echo "${1%.*}${1#*.}" | sed 's/^0*\(.\)/\1/'; }

soak_once() {
	piece=$(sed -n "$2p" "/soak/$1")
	soak_run "$1" "$2" "$piece"
}

soak_run() {
	folder=$SOAK/work/$1
	rm -rf "$folder"
	mkdir -p "$folder"
	begun=$(cut -d ' ' -f 1 /proc/uptime)
	printed=$(cd "$folder" && { eval "$3"; } 2>"$SOAK/errors.$1" </dev/null)
	status=$?
	ended=$(cut -d ' ' -f 1 /proc/uptime)
	load=$1 number=$2
	set -f
	# shellcheck disable=SC2086
	set -- $printed
	set +f
	[ $status = 0 ] && [ ! -s "$SOAK/errors.$load" ] || sed "s/^/E $load $number /" "$SOAK/errors.$load" | tail -n 20
	echo "R $load $number $status $((($(hundredths $ended) - $(hundredths $begun)) * 10)) $*"
}

soak_loop() {
	# What keeps many processes running at once leaves the others room.
	case $1 in code | cpus | processes | stress-*) renice -n 8 -p "$(sh -c 'echo $PPID')" >/dev/null ;; esac
	pieces=$(wc -l <"/soak/$1") i=$2
	while [ ! -e $SOAK/stop ]; do
		soak_once "$1" $((i % pieces + 1)) >"$SOAK/result.$1"
		cat "$SOAK/result.$1" >>$SOAK/results
		i=$((i + 1))
	done
}

# Processes are moved to other CPUs again and again, whatever the scheduler thinks.
soak_move() {
	i=0
	while [ ! -e $SOAK/stop ]; do
		for process in /proc/[0-9]*; do
			i=$(((i * 5 + 3) % 1009))
			# Kernel threads have no program.
			[ ! -e "$process/exe" ] || taskset -p $(printf %x $((i % $1 + 1))) "${process#/proc/}" >/dev/null 2>&1
		done
		sleep 0.2
	done
}

soak_start() {
	export SOAK_GUEST=1
	mkdir -p $SOAK/work /dev/shm
	mount -t tmpfs tmp /dev/shm
	: >$SOAK/results
	offset=$1
	shift
	for load; do
		soak_loop "$load" "$offset" </dev/null >$SOAK/loop.$load 2>&1 &
	done
	cpus=$(nproc)
	soak_move $(((1 << cpus) - 1)) </dev/null >/dev/null 2>&1 &
}

# Results from byte $1 on, and what the kernel has said since.
soak_poll() {
	tail -c "+$(($1 + 1))" $SOAK/results
	dmesg -c -r | sed 's/^/D /'
}

# For whoever looks into why nothing ends: processes, and where the CPUs are.
soak_stuck() {
	dmesg -c -r | sed 's/^/D /'
	ps -o pid,ppid,stat,args | grep -v '\]$'
	for process in /proc/[0-9]*; do
		[ ! -e "$process/exe" ] || echo "${process#/proc/}: $(cat "$process/wchan" 2>/dev/null) $(head -n 1 "$process/syscall" 2>/dev/null)"
	done
	echo l >/proc/sysrq-trigger
	sleep 1
	dmesg -c
}
