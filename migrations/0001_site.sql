-- The site as imported: one row, the definition whole. What runs is resolved from it.
create table site (
  singleton   boolean primary key default true check (singleton),
  definition  jsonb not null,
  imported_at timestamptz not null
);

-- One row per place of the tree Site › Building › Floor › Space.
create table place (
  id      uuid primary key,
  key     text not null unique,
  parent  uuid references place (id) deferrable initially deferred,
  kind    text not null check (kind in ('site', 'building', 'floor', 'space')),
  name    text not null,
  name_zh text not null default ''
);

-- One row per device, configured or announced.
create table device (
  id           uuid primary key,
  key          text not null unique,
  kind         text not null,
  name         text not null,
  place        uuid not null references place (id) deferrable initially deferred,
  announcement jsonb,                                  -- as it introduced itself; null: configured
  removed_at   timestamptz                             -- no longer part of the site; its history stays
);
