-- What an alarm costs to write down. Measured a piece: the index on ids 2 µs an event, the check of a timeline line's alarm,
-- which locks and rewrites that alarm, 5 µs, rows that find no room beside their old version 6 µs an alarm.

-- An event is looked for by its number, which the journal gives once; its id is compared, never searched.
alter table event_log drop constraint event_log_id_key;

-- A machine reads on from where it stands, and stands near the end: that is a stretch of the log, in order.
drop index event_log_replay;
create index event_log_fired on event_log (seq) where code = 'rule.fired';

-- A line is written in the transaction of its alarm, by the one writer that there is.
alter table alarm_note drop constraint alarm_note_alarm_fkey;

-- Rows that change again and again find room in their own page, and no index is touched.
alter table machine set (fillfactor = 40);
alter table alarm set (fillfactor = 60);
