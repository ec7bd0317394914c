-- How far each step has come. `closing` is promised to the writers first: what they write before it, they enter as late.
create table telemetry_rolled (
  step  text primary key check (step in ('closing', '1min', '1h', '1d')),
  until timestamptz not null
);
insert into telemetry_rolled
values ('closing', '-infinity'), ('1min', '-infinity'), ('1h', '-infinity'), ('1d', '-infinity');

-- One row per minute of a series that got a reading after it was closed: it is computed again.
create table telemetry_late (
  series integer not null,
  minute timestamptz not null,
  primary key (series, minute)
);

-- Where the licence has them: columnstore by segment, continuous aggregates. Each feature on its own; what is missing is made
-- of tables below and kept by the program.
do $$
begin
  if not (select hypertable from telemetry_store) then
    return;
  end if;
  begin
    -- Never segmented by device: many devices with few rows each would compress to nothing.
    execute $sql$
      alter table telemetry set (timescaledb.enable_columnstore = true, timescaledb.segmentby = 'segment',
                                 timescaledb.orderby = 'series, observed_at')
    $sql$;
    update telemetry_store set columnstore = true;
  exception when others then
    raise notice 'no columnstore: %', sqlerrm;
  end;
  begin
    execute $sql$
      create materialized view every_minute
      with (timescaledb.continuous, timescaledb.materialized_only = false) as
      select series,
             time_bucket(interval '1 minute', observed_at) as bucket,
             count(*) as count,
             min(coalesce(number, flag::integer::double precision)) as min,
             max(coalesce(number, flag::integer::double precision)) as max,
             sum(coalesce(number, flag::integer::double precision)) as sum,
             first(coalesce(number, flag::integer::double precision), observed_at) as first,
             last(coalesce(number, flag::integer::double precision), observed_at) as last,
             last(flag, observed_at) as flag,
             last(word, observed_at) as word,
             coalesce(min(word) <> max(word), false) or coalesce(bool_and(flag) <> bool_or(flag), false) as mixed
      from telemetry
      group by 1, 2
      with no data
    $sql$;
    execute $sql$
      create materialized view every_hour
      with (timescaledb.continuous, timescaledb.materialized_only = false) as
      select series,
             time_bucket(interval '1 hour', bucket) as bucket,
             sum(count)::bigint as count,
             min(min) as min,
             max(max) as max,
             sum(sum) as sum,
             first(first, bucket) as first,
             last(last, bucket) as last,
             last(flag, bucket) as flag,
             last(word, bucket) as word,
             bool_or(mixed) or coalesce(min(word) <> max(word), false) or coalesce(bool_and(flag) <> bool_or(flag), false) as mixed
      from every_minute
      group by 1, 2
      with no data
    $sql$;
    execute $sql$
      create materialized view every_day
      with (timescaledb.continuous, timescaledb.materialized_only = false) as
      select series,
             time_bucket(interval '1 day', bucket) as bucket,
             sum(count)::bigint as count,
             min(min) as min,
             max(max) as max,
             sum(sum) as sum,
             first(first, bucket) as first,
             last(last, bucket) as last,
             last(flag, bucket) as flag,
             last(word, bucket) as word,
             bool_or(mixed) or coalesce(min(word) <> max(word), false) or coalesce(bool_and(flag) <> bool_or(flag), false) as mixed
      from every_hour
      group by 1, 2
      with no data
    $sql$;
    update telemetry_store set aggregates = true;
  exception when others then
    raise notice 'no continuous aggregates: %', sqlerrm;
  end;
end
$$;

-- Without continuous aggregates: a table a step, and each view adds what is not in its table yet.
do $do$
declare
  step text;
begin
  if (select aggregates from telemetry_store) then
    return;
  end if;
  foreach step in array array['1min', '1h', '1d'] loop
    -- One row per series and minute, hour or day (UTC) with readings. A flag counts as 1 and 0; `flag` and `word` are the last
    -- state, `mixed` says that there was more than one.
    execute format($sql$
      create table telemetry_%1$s (
        series integer not null,
        bucket timestamptz not null,
        count  bigint not null check (count > 0),
        min    double precision,
        max    double precision,
        sum    double precision,
        first  double precision,
        last   double precision,
        flag   boolean,
        word   text,
        mixed  boolean not null,
        primary key (series, bucket)
      ) %2$s
    $sql$, step, case when step = '1d' then '' else 'partition by range (bucket)' end);
    if step <> '1d' then
      execute format('create table telemetry_%1$s_rest partition of telemetry_%1$s default', step);
    end if;
  end loop;

  -- The minutes of the raw readings from `past` on, before `until`.
  create function minutes_of(past timestamptz, until timestamptz) returns setof telemetry_1min
  language sql stable as $sql$
    select series,
           date_trunc('minute', observed_at) as bucket,
           count(*),
           min(coalesce(number, flag::integer::double precision)),
           max(coalesce(number, flag::integer::double precision)),
           sum(coalesce(number, flag::integer::double precision)),
           (min(array[extract(epoch from observed_at)::double precision, coalesce(number, flag::integer::double precision)]))[2],
           (max(array[extract(epoch from observed_at)::double precision, coalesce(number, flag::integer::double precision)]))[2],
           (array_agg(flag order by observed_at desc) filter (where flag is not null))[1],
           (array_agg(word order by observed_at desc) filter (where word is not null))[1],
           coalesce(min(word) <> max(word), false) or coalesce(bool_and(flag) <> bool_or(flag), false)
    from telemetry
    where observed_at >= past and observed_at < until
    group by series, date_trunc('minute', observed_at)
  $sql$;

  create view every_minute as
    select series, bucket, count, min, max, sum, first, last, flag, word, mixed
    from telemetry_1min
    union all
    select m.series, m.bucket, m.count, m.min, m.max, m.sum, m.first, m.last, m.flag, m.word, m.mixed
    from telemetry_rolled r
    cross join lateral minutes_of(r.until, 'infinity') m
    where r.step = '1min';

  -- Larger steps of smaller ones: table, source of the program's pass, source of the view, step, word of date_trunc.
  for step in select unnest(array['hour', 'day']) loop
    execute format($sql$
      create function %1$ss_of(past timestamptz, until timestamptz) returns setof telemetry_%2$s
      language sql stable as $body$
        select series,
               date_trunc('%1$s', bucket, 'utc') as bucket,
               sum(count)::bigint,
               min(min),
               max(max),
               sum(sum),
               (min(array[extract(epoch from bucket)::double precision, first]))[2],
               (max(array[extract(epoch from bucket)::double precision, last]))[2],
               (array_agg(flag order by bucket desc) filter (where flag is not null))[1],
               (array_agg(word order by bucket desc) filter (where word is not null))[1],
               bool_or(mixed) or coalesce(min(word) <> max(word), false) or coalesce(bool_and(flag) <> bool_or(flag), false)
        from telemetry_%3$s
        where bucket >= past and bucket < until
        group by series, date_trunc('%1$s', bucket, 'utc')
      $body$;
    $sql$, step, case step when 'hour' then '1h' else '1d' end, case step when 'hour' then '1min' else '1h' end);
    execute format($sql$
      create view every_%1$s as
        select series, bucket, count, min, max, sum, first, last, flag, word, mixed
        from telemetry_%2$s
        union all
        select series,
               date_trunc('%1$s', bucket, 'utc'),
               sum(count)::bigint,
               min(min),
               max(max),
               sum(sum),
               (min(array[extract(epoch from bucket)::double precision, first]))[2],
               (max(array[extract(epoch from bucket)::double precision, last]))[2],
               (array_agg(flag order by bucket desc) filter (where flag is not null))[1],
               (array_agg(word order by bucket desc) filter (where word is not null))[1],
               bool_or(mixed) or coalesce(min(word) <> max(word), false) or coalesce(bool_and(flag) <> bool_or(flag), false)
        from every_%3$s
        where bucket >= (select until from telemetry_rolled where step = '%2$s')
        group by series, date_trunc('%1$s', bucket, 'utc')
    $sql$, step, case step when 'hour' then '1h' else '1d' end, case step when 'hour' then 'minute' else 'hour' end);
  end loop;
end
$do$;

-- The same on every branch.
create view reading_1min as
  select a.series, s.device, s.point, a.bucket, a.count, a.min, a.max, a.sum, a.first, a.last, a.flag, a.word, a.mixed
  from every_minute a
  join series s on s.id = a.series;
create view reading_1h as
  select a.series, s.device, s.point, a.bucket, a.count, a.min, a.max, a.sum, a.first, a.last, a.flag, a.word, a.mixed
  from every_hour a
  join series s on s.id = a.series;
create view reading_1d as
  select a.series, s.device, s.point, a.bucket, a.count, a.min, a.max, a.sum, a.first, a.last, a.flag, a.word, a.mixed
  from every_day a
  join series s on s.id = a.series;

-- Sets TimescaleDB's policies. What is refreshed must still be there raw: each refresh begins a day after what it reads ends.
create function set_telemetry_policies(raw_days integer, minute_days integer, hour_days integer) returns void
language plpgsql as $$
begin
  if (select columnstore from telemetry_store) then
    call remove_columnstore_policy('telemetry', if_exists => true);
    call add_columnstore_policy('telemetry', after => interval '2 days');
  end if;
  perform remove_retention_policy('telemetry', if_exists => true);
  perform add_retention_policy('telemetry', raw_days * interval '1 day');
  perform remove_retention_policy('every_minute', if_exists => true);
  perform add_retention_policy('every_minute', minute_days * interval '1 day');
  perform remove_retention_policy('every_hour', if_exists => true);
  perform add_retention_policy('every_hour', hour_days * interval '1 day');
  perform remove_continuous_aggregate_policy('every_minute', if_exists => true);
  perform add_continuous_aggregate_policy('every_minute', start_offset => (raw_days - 1) * interval '1 day',
            end_offset => interval '1 minute', schedule_interval => interval '1 minute');
  perform remove_continuous_aggregate_policy('every_hour', if_exists => true);
  perform add_continuous_aggregate_policy('every_hour', start_offset => (least(raw_days, minute_days) - 1) * interval '1 day',
            end_offset => interval '1 hour', schedule_interval => interval '10 minutes');
  perform remove_continuous_aggregate_policy('every_day', if_exists => true);
  perform add_continuous_aggregate_policy('every_day', start_offset => (least(raw_days, hour_days) - 1) * interval '1 day',
            end_offset => interval '1 day', schedule_interval => interval '1 hour');
end
$$;
