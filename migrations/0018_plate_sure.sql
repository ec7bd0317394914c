-- Whether a read is sure is a fact of the reader that read it: its limit, or a second reader's word.
alter table passage add column sure boolean not null default false;
update passage set sure = confidence >= 0.9;                -- the limit of the only reader so far
