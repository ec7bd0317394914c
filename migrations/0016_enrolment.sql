-- What a consent is of: the version and language of the text, and for a person under 14 who consented in their place. A date of
-- birth is kept of those under 14 only: it says when their own consent is due.
alter table consent
  add column version           text not null default '',     -- empty: recorded before texts had versions
  add column lang              text not null default '' check (lang in ('', 'zh', 'en')),
  add column under_14          boolean not null default false,
  add column born              date,
  add column guardian_name     text,
  add column guardian_relation text,
  add constraint consent_guardian check (
    under_14 = (born is not null) and under_14 = (guardian_name is not null) and under_14 = (guardian_relation is not null));

-- How many numbers a template has: templates of another model or length are never compared.
alter table face_template add column dimension integer not null default 512 check (dimension > 0);
alter table face_template alter column dimension drop default;

-- Where a person's face was removed, and where it is not confirmed yet.
create index command_face on command ((what ->> 'person')) where verb = 'forget_face';

-- The account of a screen beside a door: it shows what the active challenge asks, and sees nothing else.
alter table app_user drop constraint app_user_role_check;
alter table app_user
  add constraint app_user_role_check check (role in ('admin', 'operator', 'guard', 'engineer', 'manager', 'screen'));
