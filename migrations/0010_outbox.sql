-- Where each consumer of the event log stands. Moved in the same transaction as what the consumer wrote of the events before.
create table consumer (
  key      text primary key,                           -- webhook:<target>
  seq      bigint not null check (seq >= 0),           -- the last event it has handled
  moved_at timestamptz not null
);

-- One row per notice for a target: written before it is sent, kept until it was taken or given up.
create table outbox (
  id         uuid primary key,                         -- derived from target and event: written again, it is the same row
  target     text not null,
  alarm      uuid,                                     -- a later notice of an alarm waits for the earlier ones; null: a test
  seq        bigint not null,                          -- the event's number, 0 for a test
  kind       text not null,                            -- alarm.raised, alarm.acknowledged, …, test
  body       text not null,                            -- JSON as it is signed: the same bytes at every attempt
  at         timestamptz not null,                     -- when it happened
  state      text not null check (state in ('waiting', 'done', 'dead')),
  attempts   integer not null default 0 check (attempts >= 0),
  next_at    timestamptz not null,
  expires_at timestamptz not null,                     -- given up then
  reason     text not null default '',                 -- why the last attempt failed
  changed_at timestamptz not null
);
create index outbox_waiting on outbox (target, seq) where state = 'waiting';
create index outbox_order on outbox (target, alarm, seq) where state = 'waiting';
create index outbox_newest on outbox (target, changed_at desc);
create index outbox_dead on outbox (target) where state = 'dead';

-- One row per target of notices: whether it is enabled, and how it does.
create table outbox_target (
  name         text primary key,
  enabled      boolean not null,
  health       text not null check (health in ('working', 'failing', 'gone')),
  delivered_at timestamptz,
  failed_at    timestamptz,
  failure      text not null default ''
);
