//! The records of a group, one statement for each sort.

use crate::{access, alarm, command, outbox, passage, people, video, workorder};
use gatehouse_core::access::AccessRecord;
use gatehouse_core::alarm::{Alarm, Clip, Note};
use gatehouse_core::command::Command;
use gatehouse_core::effect::Record;
use gatehouse_core::id::CredentialId;
use gatehouse_core::outbox::Outgoing;
use gatehouse_core::passage::Passage;
use gatehouse_core::workorder::WorkOrder;
use jiff::Timestamp;
use sqlx::PgConnection;

/// Records by sort, each in the order they came.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    access: Vec<&'a AccessRecord>,
    commands: Vec<&'a Command>,
    passages: Vec<&'a Passage>,
    alarms: Vec<&'a Alarm>,
    notes: Vec<&'a Note>,
    clips: Vec<&'a Clip>,
    orders: Vec<&'a WorkOrder>,
    expired: Vec<(CredentialId, Timestamp)>,
    outgoing: Vec<&'a Outgoing>,
}

impl<'a> Sorted<'a> {
    pub(super) fn of(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut sorted = Self::default();
        for record in records {
            match record {
                Record::Access(row) => sorted.access.push(row),
                Record::Command(row) => sorted.commands.push(row),
                Record::Passage(row) => sorted.passages.push(row),
                Record::Alarm(row) => sorted.alarms.push(row),
                Record::Note(row) => sorted.notes.push(row),
                Record::Clip(row) => sorted.clips.push(row),
                Record::WorkOrder(row) => sorted.orders.push(row),
                Record::Expired(credential, at) => sorted.expired.push((*credential, *at)),
                Record::Outbox(row) => sorted.outgoing.push(row),
            }
        }
        sorted
    }

    /// Writes them: an alarm before what refers to it.
    pub(super) async fn write(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        macro_rules! put {
            ($rows:expr, $put:path) => {
                if !$rows.is_empty() {
                    $put(tx, &$rows).await?;
                }
            };
        }
        put!(self.access, access::store::append);
        put!(self.commands, command::store::put);
        put!(self.passages, passage::store::put);
        put!(self.alarms, alarm::store::put);
        put!(self.notes, alarm::store::note);
        put!(self.clips, video::store::put);
        put!(self.orders, workorder::store::put);
        for (credential, at) in &self.expired {
            people::store::expired(tx, *credential, *at).await?;
        }
        for row in &self.outgoing {
            outbox::store::put(tx, row).await?;
        }
        Ok(())
    }
}
