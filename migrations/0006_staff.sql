-- One row per operator's account. Named app_user because user is a word of SQL.
create table app_user (
  id            uuid primary key,
  name          text not null unique,
  role          text not null check (role in ('admin', 'operator', 'guard', 'engineer', 'manager')),
  password_hash text not null,
  enabled       boolean not null default true,
  created_at    timestamptz not null,
  changed_at    timestamptz not null
);

-- One row per signed-in browser. The token itself is not stored.
create table session (
  token_hash bytea primary key,
  app_user   uuid not null references app_user (id),
  created_at timestamptz not null,
  seen_at    timestamptz not null,
  expires_at timestamptz not null,
  address    text not null default '',
  agent      text not null default ''
);
create index session_of_user on session (app_user);

-- One row per thing an operator did. Append-only; each row carries the hash of the one before it.
create table audit (
  id       bigint primary key,                         -- without gaps
  at       timestamptz not null,
  by       text not null,
  action   text not null,
  target   text not null,
  outcome  text not null,
  address  text not null default '',
  previous bytea not null,
  hash     bytea not null
);
create index audit_at on audit (at desc);
