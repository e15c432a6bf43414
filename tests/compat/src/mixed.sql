-- SPDX-License-Identifier: GPL-2.0-or-later
-- SQLite: indexes, joins, recursion, windows, floats, full text, JSON, savepoints, constraints.
.bail on
create table t(id integer primary key, v real, s text, g int);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 8000)
insert into t select i, (i * 7919 % 10007) / 7.0, printf('%x-%s', i * 2654435761 % 4294967296, hex(i)), i % 37 from n;
create index ts on t(s);
create index tg on t(g, v);
select count(*), round(sum(v), 6), min(s), max(s) from t;
select g, count(*), round(avg(v), 8), group_concat(id % 10, '') from t where g < 4 and id < 1500 group by g;
select a.g, count(*) from t a join t b on a.s < b.s and b.id = a.id + 1 group by 1 order by 2 desc, 1 limit 5;
select id, round(v, 3), rank() over (partition by g order by v desc), round(sum(v) over (order by id rows 3 preceding), 4) from t where id between 300 and 306;
begin; savepoint a; delete from t where g = 5; select changes(); rollback to a; update t set v = v + 1 where g in (select g from t where id < 5); select changes(); commit;
create virtual table f using fts5(b);
insert into f select s || ' word' || (id % 91) || ' ' || replace(s, '-', ' ') from t where id < 2000;
select count(*) from f where f match 'word7 OR word13*';
select json_extract('{"a":[1,2,{"b":3.5}]}', '$.a[2].b'), json_group_array(g) from (select distinct g from t where g > 30);
create table u(a unique, b check(b > 0), c references t(id));
pragma foreign_keys = on;
insert or ignore into u values (1, 1, 1), (1, 2, 2), (3, 3, 3);
select count(*) from u;
with recursive m(cx, cy, x, y, i) as (select a.value * 0.25 - 2.0, b.value * 0.2 - 1.0, 0.0, 0.0, 0 from generate_series(0, 12) a, generate_series(0, 10) b
	union all select cx, cy, x * x - y * y + cx, 2 * x * y + cy, i + 1 from m where x * x + y * y < 4 and i < 20)
select cy, group_concat(n, '') from (select cx, cy, char(64 + max(i)) n from m group by cx, cy order by cy, cx) group by cy;
select 1e308 * 10, 9223372036854775807 + 1, 5 / 2, 5 % -3, 0.1 + 0.2, cast('12abc' as int), round(2.5), 1 << 62, typeof(1 / 2.0), abs(-7.25), x'00ff' || 'a';
vacuum;
pragma integrity_check;
