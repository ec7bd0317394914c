-- Someone has to take a work order up by `respond_by` and be done by `due_at`; what was missed is noted once.
alter table work_order
  add column respond_by       timestamptz,
  add column late_response_at timestamptz,             -- when nobody had taken it up in time
  add column overdue_at       timestamptz;             -- when it was not done in time

-- When the end of a card or plate was told; those that ended before there was such a word count as told.
alter table credential add column expired_at timestamptz;
update credential set expired_at = valid_until where valid_until <= now();
create index credential_expiry on credential (valid_until) where valid_until is not null and expired_at is null and removed_at is null;
