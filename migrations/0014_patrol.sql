-- One row per planned route of the video patrol. A deleted one stays, so that its deletion can be undone and its rounds have a name.
create table patrol_route (
  id         uuid primary key,
  name       text not null check (name <> ''),
  stops      jsonb not null,                           -- list of {camera, preset, look}
  by         text not null,                            -- who planned it last
  at         timestamptz not null,
  deleted_at timestamptz
);

-- One row per round that somebody walked. What was attested in it is never changed.
create table patrol_round (
  id       uuid primary key,
  route    uuid not null references patrol_route (id),
  began_at timestamptz not null,
  body     jsonb not null,                             -- gatehouse_core::patrol::Round
  version  integer not null check (version > 0)        -- grows with every step: two at the same moment are told apart
);
create index patrol_round_began on patrol_round (began_at desc);
create index patrol_round_route on patrol_round (route, began_at desc);
