-- The newest value of every point.
create table latest (
  device      uuid not null,
  point       text not null,
  observed_at timestamptz not null,
  number      double precision,
  word        text,
  flag        boolean,
  primary key (device, point)
);

-- One row per reading. With TimescaleDB a hypertable, without it a table with a BRIN index: readers see the view `reading`.
create table telemetry (
  device      uuid not null,
  point       text not null,
  observed_at timestamptz not null,
  number      double precision,
  word        text,
  flag        boolean
);

do $$
begin
  if exists (select from pg_available_extensions where name = 'timescaledb')
     and coalesce(current_setting('gatehouse.timescale', true), 'on') <> 'off'
  then
    begin
      create extension if not exists timescaledb;
      perform create_hypertable('telemetry', 'observed_at', chunk_time_interval => interval '1 day', create_default_indexes => false);
      create index telemetry_device on telemetry (device, point, observed_at desc);
    exception when others then
      -- Available is not loadable: shared_preload_libraries may be missing. Plain tables do the same work.
      raise notice 'timescaledb is not usable here: %', sqlerrm;
      create index if not exists telemetry_time on telemetry using brin (observed_at);
    end;
  else
    create index telemetry_time on telemetry using brin (observed_at);
  end if;
end
$$;

create view reading as
  select device, point, observed_at, number, word, flag
  from telemetry;
