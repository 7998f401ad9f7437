-- What databases do: a table, an index, groups, sorting.
create table things(number integer primary key, name text, share real);
with recursive numbers(i) as (select 1 union all select i + 1 from numbers where i < 30000)
insert into things select i, 'thing ' || (i * 7919 % 30011), i / 3.0 from numbers;
create index by_name on things(name);
select count(*), sum(share), max(name) from things where name like '%77%';
select name, count(*) from things group by substr(name, 1, 8) order by 2 desc, 1 limit 5;
