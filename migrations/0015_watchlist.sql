-- What a passage knows besides its decision: how sure the read was, how often the car was read, what a person read instead.
alter table passage
  add column votes         integer not null default 0 check (votes >= 0),       -- frames that agreed
  add column reads         integer not null default 1 check (reads > 0),        -- reads merged into this passage
  add column last_at       timestamptz,                                         -- the last of them
  add column corrected     text,                                                -- the plate as an operator read it; plate stays as read
  add column corrected_why text,
  add column corrected_by  text,
  add column corrected_at  timestamptz,
  add column hits          jsonb not null default '[]',                         -- watch lists that the plate as read was on
  add constraint passage_corrected check ((corrected is null) = (corrected_at is null));
create index passage_lane on passage (lane, at desc);
create index passage_person on passage (person, at desc) where person is not null;
create index passage_corrected_text on passage (corrected) where corrected is not null;

-- One row per list of plates that is watched for. A deleted one stays, so that its deletion can be undone.
create table watch_list (
  id         uuid primary key,
  name       text not null check (name <> ''),
  listing    text not null check (listing in ('wanted', 'blocked', 'welcome')),
  alarm      smallint check (alarm between 1 and 4),     -- priority of the alarm a read raises; null: none
  opens      boolean not null default false check (not opens or listing = 'welcome'),
  version    integer not null check (version > 0),       -- grows with every change: whoever changes names the one they saw
  by         text not null,
  at         timestamptz not null,
  deleted_at timestamptz
);
create unique index watch_list_name on watch_list (name) where deleted_at is null;

-- One row per line of a list. A removed one stays, so that its removal can be undone and it is known who was listed when.
create table watch_entry (
  id         uuid primary key,
  list       uuid not null references watch_list (id),
  pattern    text not null check (pattern <> ''),        -- stored form; ? one character, * any run
  note       text not null default '',
  until      timestamptz,                                -- exclusive; null: for good
  by         text not null,
  at         timestamptz not null,
  removed_at timestamptz
);
create unique index watch_entry_listed on watch_entry (list, pattern) where removed_at is null;
