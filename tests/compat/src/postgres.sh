# SPDX-License-Identifier: GPL-2.0-or-later
# PostgreSQL: a cluster is made and started; queries with LLVM's JIT and in parallel; pgbench, whose sums must agree; a crash and recovery.
export PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/tmp/pg/data PGHOST=/tmp/pg PGUSER=postgres PGDATABASE=postgres
mkdir /tmp/pg && chown postgres /tmp/pg
as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
as initdb -A trust --locale C.UTF-8 >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
as pg_ctl -w -t 300 -l /tmp/pg/log -o '-c listen_addresses= -c unix_socket_directories=/tmp/pg -c fsync=off -c shared_buffers=32MB' start >/dev/null || { cat /tmp/pg/log; exit 1; }
psql -qAt -v ON_ERROR_STOP=1 <<'END'
create table t as select i, i * 7919 % 10007 as k, (i % 97)::float8 / 7 as f, md5(i::text) as m, (i * 1.37)::numeric(12,2) as n from generate_series(1, 30000) i;
create index on t(k); create index on t using hash(m); create index on t using brin(i); analyze t;
select count(*), sum(k), round(sum(f)::numeric, 6), sum(n), max(m) from t;
set jit_above_cost = 0; set jit_inline_above_cost = 0; set jit_optimize_above_cost = 0;
select k % 5, count(*), round(avg(f * 2 - k)::numeric, 6), sum(case when m like 'a%' then 1 else 0 end) from t where i % 3 <> 1 and f between 1 and 12 group by 1 order by 1;
select count(*) from t a join t b on a.k = b.k + 1 where a.n > b.n;
set jit = off; set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
select count(distinct m), sum(length(m)) from t where m ~ '^[0-9a-c]+[def]{2}';
with recursive r(a, b) as (select 0::numeric, 1::numeric union all select b, a + b from r where b < 1e60) select max(b), count(*) from r;
select 2 ^ 0.5, exp(1.0), ln(10.0::numeric(40,30)), sqrt(3::numeric), factorial(30), 10::numeric ^ -20, '1 day'::interval * 2.5, date '2024-02-29' + 366;
do $$ declare c int := 0; begin for i in 1..3000 loop begin if i % 3 = 0 then raise exception 'x'; elsif i % 3 = 1 then perform 1 / (i - i); end if; exception when division_by_zero then c := c + 1; when others then c := c + 2; end; end loop; raise notice '%', c; end $$;
select jsonb_path_query('{"a":[1,2,{"b":3}]}', '$.a[*] ? (@ > 1)'), to_tsvector('english', 'the runners were running') @@ to_tsquery('run');
END
pgbench -q -i -s 1 >/dev/null 2>&1 || echo "pgbench -i failed"
pgbench -n -c 4 -j 2 -t 100 2>/dev/null | grep -E 'processed|failed'
psql -qAt -c 'select (select sum(abalance) from pgbench_accounts) = (select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history), count(*) from pgbench_history'
as pg_ctl -m immediate stop >/dev/null
as pg_ctl -w -t 300 -l /tmp/pg/log -o '-c listen_addresses= -c unix_socket_directories=/tmp/pg' start >/dev/null || cat /tmp/pg/log
psql -qAt -c 'select count(*), sum(k) from t; select count(*) from pgbench_history'
as pg_ctl -m fast stop
