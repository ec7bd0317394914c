-- One row per point of a device that was ever read. Its number stands for both in the history: a third of the bytes.
create table series (
  id      integer generated always as identity primary key,
  device  uuid not null,
  point   text not null,
  segment smallint not null,                           -- hash of the point's name, 0 to 511: what a columnstore groups by
  unique (device, point)
);

-- The newest value of every series. Half-empty pages: an update stays on its page and touches no index.
create table latest_value (
  series      integer primary key,
  observed_at timestamptz not null,
  number      double precision,
  flag        boolean,
  word        text
) with (fillfactor = 50);

-- One row per writer of readings: its last batch, so that a batch whose answer was lost is not written twice.
create table telemetry_writer (
  writer uuid primary key,                             -- new at every start
  batch  bigint not null,
  at     timestamptz not null
);

-- One row: what this database can do with readings, and how far it has come.
create table telemetry_store (
  singleton       boolean primary key default true check (singleton),
  hypertable      boolean not null default false,      -- telemetry is a hypertable of TimescaleDB
  columnstore     boolean not null default false,      -- old chunks are compressed by a policy
  aggregates      boolean not null default false,      -- rollups are continuous aggregates
  filled          boolean not null default false,      -- continuous aggregates: what was here before them is in them
  raw_from        timestamptz not null default '-infinity', -- readings before this moment are gone
  rows_per_minute double precision not null default 0  -- of the last pass: what reading raw rows would cost
);
insert into telemetry_store default values;

-- Makes a partition of a table that has a default one, and moves what waits there into it. False when it is there already.
create function make_partition(parent text, key text, first timestamptz, past timestamptz) returns boolean
language plpgsql as $$
declare
  rest text := parent || '_rest';
  part text := parent || '_' || to_char(first at time zone 'utc', 'YYYYMMDD');
begin
  if to_regclass(part) is not null then
    return false;
  end if;
  -- Writers wait for this moment: a row that came between the move and the attachment would refuse it.
  execute format('lock table %I in share row exclusive mode', rest);
  execute format('create table %I (like %I including defaults including storage including constraints)', part, parent);
  execute format('with moved as (delete from %I where %I >= %L and %I < %L returning *) insert into %I select * from moved',
                 rest, key, first, key, past, part);
  execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, part, first, past);
  return true;
end
$$;

-- Drops the partitions that end by a moment and removes older rows of the default one. Gives how many partitions went.
create function drop_partitions(parent text, key text, span interval, before timestamptz) returns integer
language plpgsql as $$
declare
  part text;
  gone integer := 0;
begin
  for part in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass(parent)
      and c.relname ~ ('^' || parent || '_[0-9]{8}$')
      and to_timestamp(right(c.relname, 8) || '+00', 'YYYYMMDDTZH') + span <= before
    order by c.relname
  loop
    execute format('drop table %I', part);
    gone := gone + 1;
  end loop;
  execute format('delete from %I where %I < %L', parent || '_rest', key, before);
  return gone;
end
$$;

drop view reading;
drop index if exists telemetry_time;
drop index if exists telemetry_device;
alter table telemetry rename to telemetry_before;
alter table latest rename to latest_before;

-- One row per reading, of a number, a flag or a word. The order of the columns leaves no byte unused.
-- With TimescaleDB a hypertable, without it a partition a day; BRIN is all it has.
do $$
declare
  day timestamptz;
begin
  if exists (select from pg_extension where extname = 'timescaledb')
     and coalesce(current_setting('gatehouse.timescale', true), 'on') <> 'off'
  then
    begin
      create table telemetry (
        observed_at timestamptz not null,
        number      double precision,
        series      integer not null,
        segment     smallint not null,
        flag        boolean,
        word        text
      );
      perform create_hypertable('telemetry', 'observed_at', chunk_time_interval => interval '1 day', create_default_indexes => false);
      update telemetry_store set hypertable = true;
    exception when others then
      raise notice 'timescaledb is not usable here: %', sqlerrm;
    end;
  end if;
  if to_regclass('telemetry') is null then
    create table telemetry (
      observed_at timestamptz not null,
      number      double precision,
      series      integer not null,
      segment     smallint not null,
      flag        boolean,
      word        text
    ) partition by range (observed_at);
    -- What belongs to no day that was made: nothing is lost while a day is missing.
    create table telemetry_rest partition of telemetry default;
  end if;
  create index telemetry_time on telemetry using brin (observed_at) with (pages_per_range = 32, autosummarize = on);

  insert into series (device, point, segment)
    select device, point, hashtext(point) & 511
    from (select device, point from telemetry_before union select device, point from latest_before) known;
  if not (select hypertable from telemetry_store) then
    for day in
      select distinct date_trunc('day', observed_at, 'utc')
      from telemetry_before
      where observed_at > now() - interval '400 days' and observed_at < now() + interval '4 days'
    loop
      perform make_partition('telemetry', 'observed_at', day, day + interval '1 day');
    end loop;
  end if;
  insert into telemetry (observed_at, number, series, segment, flag, word)
    select t.observed_at, t.number, s.id, s.segment, t.flag, t.word
    from telemetry_before t
    join series s using (device, point)
    order by t.observed_at;
  insert into latest_value (series, observed_at, number, flag, word)
    select s.id, l.observed_at, l.number, l.flag, l.word
    from latest_before l
    join series s using (device, point);
end
$$;
drop table telemetry_before;
drop table latest_before;

create view latest as
  select s.device, s.point, l.observed_at, l.number, l.word, l.flag
  from latest_value l
  join series s on s.id = l.series;

create view reading as
  select t.series, s.device, s.point, t.observed_at, t.number, t.word, t.flag
  from telemetry t
  join series s on s.id = t.series;
