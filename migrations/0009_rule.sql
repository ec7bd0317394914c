-- One row per rule that operators wrote, as it is now. A deleted one stays, so that its deletion can be undone.
create table rule (
  id         uuid primary key,
  name       text not null check (name <> ''),
  text       text not null,                            -- as written; checked before it is stored
  enabled    boolean not null,
  version    integer not null check (version > 0),     -- grows with every change: whoever changes names the one they saw
  by         text not null,                            -- who changed it last
  at         timestamptz not null,
  deleted_at timestamptz
);

-- One row per version of a rule: who changed what, and what to go back to. Append-only.
create table rule_version (
  rule    uuid not null references rule (id),
  version integer not null,
  name    text not null,
  text    text not null,
  enabled boolean not null,
  what    text not null check (what in ('created', 'changed', 'enabled', 'disabled', 'deleted', 'undeleted', 'restored')),
  by      text not null,
  at      timestamptz not null,
  primary key (rule, version)
);
