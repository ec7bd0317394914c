-- One row per person whose face is to be removed from the devices that keep faces, until the log tells it. Written together
-- with the removal of the face itself, so that neither is without the other.
create table face_removal (
  person   uuid primary key references person (id),
  by       text not null,
  asked_at timestamptz not null
);

-- Faces that a device has not confirmed as removed.
create index command_forget_face on command ((what ->> 'person'))
  where verb = 'forget_face' and state in ('queued', 'sent', 'acked');
