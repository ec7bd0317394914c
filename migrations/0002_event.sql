-- The event log: what happened, in order. Append-only; everything else can be rebuilt from it.
create table event_log (
  seq         bigint primary key,
  id          uuid not null unique,                    -- v7
  received_at timestamptz not null,                    -- our clock
  observed_at timestamptz,                             -- the device's clock
  device      uuid,
  place       uuid,
  cause       uuid,                                    -- the event that led to it
  by          text not null,
  code        text not null,
  shown       boolean not null,                        -- whether operators see it on the timeline
  source_key  text,                                    -- the device's own number for it: the same thing said twice is kept once
  body        jsonb not null
);
create unique index event_log_source on event_log (device, source_key) where source_key is not null and observed_at is not null;
create index event_log_device on event_log (device, seq);
create index event_log_shown on event_log (received_at desc, seq desc) where shown;
create index event_log_replay on event_log (code, seq);
create index event_log_internal on event_log using brin (received_at) where not shown;

-- Where each machine stands in the log, and its state there. Written in the same transaction as what it caused.
create table machine (
  key   text primary key,                              -- device:<uuid>, rule, alarm, life_safety, work_order
  seq   bigint not null,
  state jsonb not null
);

-- The command ledger: what was asked of a device and what became of it.
create table command (
  id         uuid primary key,                         -- derived from the idempotency key or the causing event
  device     uuid not null,
  what       jsonb not null,                           -- the verb with its arguments
  verb       text not null,
  state      text not null check (state in ('queued', 'sent', 'acked', 'executed', 'failed', 'timed_out', 'expired', 'cancelled')),
  reason     text not null default '',
  by         text not null,
  why        text not null default '',
  at         timestamptz not null,
  deadline   timestamptz not null,
  changed_at timestamptz not null
);
create index command_device on command (device, at desc);
create index command_at on command (at desc);
