-- One row per person known here. Deleted people keep their row without personal content, so that records stay whole.
create table person (
  id         uuid primary key,
  key        text unique,                              -- from the site file
  name       text not null,
  phone      text not null default '',
  unit       text not null default '',
  kind       text not null check (kind in ('resident', 'tenant', 'staff', 'visitor')),
  note       text not null default '',
  levels     text[] not null default '{}',
  created_at timestamptz not null,
  deleted_at timestamptz
);
create index person_name on person (name) where deleted_at is null;

-- One row per card or plate. `normal` is the value as compared: a card or plate in use belongs to one person.
create table credential (
  id          uuid primary key,
  person      uuid not null references person (id),
  kind        text not null check (kind in ('card', 'plate')),
  value       text not null,
  normal      text not null,
  valid_from  timestamptz,
  valid_until timestamptz,
  enabled     boolean not null default true,
  created_at  timestamptz not null,
  removed_at  timestamptz
);
create unique index credential_in_use on credential (kind, normal) where removed_at is null;
create index credential_person on credential (person);

-- One row per consent to face recognition: the text that was shown, when, how. Withdrawn consents stay as evidence.
create table consent (
  id           bigint generated always as identity primary key,
  person       uuid not null references person (id),
  purpose      text not null check (purpose in ('face')),
  text         text not null,
  text_sha256  bytea not null,
  channel      text not null,
  recorded_by  text not null,
  given_at     timestamptz not null,
  withdrawn_at timestamptz
);
create index consent_person on consent (person, given_at desc);

-- One row per person with faces: their own key, wrapped by the master key. Deleting it makes their templates noise.
create table face_key (
  person  uuid primary key references person (id),
  wrapped bytea not null
);

-- One row per face template, encrypted with its person's key.
create table face_template (
  id         bigint generated always as identity primary key,
  person     uuid not null references face_key (person) on delete cascade,
  model      text not null,
  sealed     bytea not null,
  created_at timestamptz not null
);
create index face_template_person on face_template (person);

-- One row per credential presented, granted or not. Append-only.
create table access_record (
  id          uuid primary key,                        -- derived from the read
  at          timestamptz not null,
  device      uuid not null,
  person      uuid,
  person_name text not null default '',
  via         text not null,
  granted     boolean not null,
  reason      text not null default '',                -- ONVIF deny reason, empty when granted
  picture     uuid,
  latency_ms  integer check (latency_ms >= 0)
);
create index access_record_at on access_record (at desc);
create index access_record_person on access_record (person, at desc) where person is not null;

-- One row per car at a lane.
create table passage (
  id          uuid primary key,                        -- derived from the plate read
  lane        text not null,
  camera      uuid not null,
  direction   text not null check (direction in ('in', 'out')),
  at          timestamptz not null,
  plate       text not null,
  colour      text not null default '',
  confidence  real not null,
  latency_ms  integer not null check (latency_ms >= 0),
  picture     uuid,
  person      uuid,
  person_name text not null default '',
  decision    text not null check (decision in ('opened', 'asked', 'refused', 'opened_by_guard', 'unread')),
  by          text not null default '',
  note        text not null default '',
  barrier     uuid not null
);
create index passage_at on passage (at desc);
create index passage_plate on passage (plate);
create index passage_asked on passage (at desc) where decision = 'asked';
