-- One row per alarm: an occurrence of its key, from its first raise until it needs no one any more.
create table alarm (
  id            uuid primary key,
  key           text not null,                         -- source/kind/zone
  kind          text not null,
  zone          text not null default '',
  priority      smallint not null check (priority between 1 and 4),
  device        uuid,
  place         uuid,
  title         jsonb not null default '{}',
  raised_at     timestamptz not null,
  observed_at   timestamptz,
  active        boolean not null,
  acked         boolean not null,
  latched       boolean not null,
  shelved_until timestamptz,
  shelve_reason text not null default '',
  suppressed    boolean not null default false,
  in_service    boolean not null default true,
  acked_by      text,
  acked_at      timestamptz,
  cleared_at    timestamptz,
  closed_at     timestamptz,
  occurrences   integer not null check (occurrences > 0),
  cameras       uuid[] not null default '{}',
  work_order    uuid,
  source        text not null,
  cause         uuid not null
);
create unique index alarm_open on alarm (key) where closed_at is null;
create index alarm_raised on alarm (raised_at desc);

-- One row per thing that happened to an alarm or was done about it. Append-only.
create table alarm_note (
  id     bigint generated always as identity primary key,
  alarm  uuid not null references alarm (id) deferrable initially deferred,
  at     timestamptz not null,
  code   text not null,
  by     text not null,
  params jsonb not null default '{}'
);
create index alarm_note_alarm on alarm_note (alarm, id);

-- One row per stretch of recording that belongs to an alarm.
create table clip (
  id     uuid primary key,
  alarm  uuid not null references alarm (id) deferrable initially deferred,
  camera uuid not null,
  "from" timestamptz not null,
  "to"   timestamptz not null,
  ready  boolean not null default false,
  path   text not null default '',
  failed text not null default ''                      -- why there will be none
);
create index clip_alarm on clip (alarm);
create index clip_pending on clip ("from") where not ready and failed = '';

-- One row per work order.
create table work_order (
  id       uuid primary key,
  number   bigint not null unique,
  title    jsonb not null default '{}',
  kind     text not null,
  state    text not null check (state in ('pending', 'accepted', 'in_progress', 'done', 'cancelled')),
  priority smallint not null check (priority between 1 and 4),
  device   uuid,
  place    uuid,
  alarm    uuid,
  assignee text not null default '',
  at       timestamptz not null,
  due_at   timestamptz,
  done_at  timestamptz,
  notes    jsonb not null default '[]'
);
create index work_order_at on work_order (at desc);
create index work_order_alarm on work_order (alarm) where alarm is not null;
