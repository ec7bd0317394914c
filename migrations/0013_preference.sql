-- One row per account that has kept something of its pages: saved layouts of the wall, for example. The document is the
-- browser's; the server bounds it and reads nothing from it, hence json (as written) and not jsonb.
create table preference (
  app_user   uuid primary key references app_user (id),
  version    bigint not null check (version > 0),      -- counts the changes; a writer names the one it saw
  content    json not null check (json_typeof(content) = 'object'),
  changed_at timestamptz not null
);
