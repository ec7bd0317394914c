-- Which way a car was seen to go before the camera that read it.
alter table passage
  add column travel text check (travel in ('towards', 'away'));      -- null: it stood, or was seen too briefly to say
