//! What happened before a camera, as marks on the timeline of its recording.

use super::store;
use crate::error::{Error, ErrorKind};
use crate::root::System;
use crate::telemetry::{Chart, ChartQuery, Line, Stretch};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::{DeviceId, EventId, PassageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most marks of a kind in one answer.
const MOST: usize = 1_000;
/// How fine motion is asked for: as the most detailed chart.
const POINTS: u32 = 2_000;

/// Which marks.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkQuery {
    /// Before this camera.
    pub camera: DeviceId,
    /// From then on.
    pub from: Timestamp,
    /// Before then.
    pub to: Timestamp,
    /// Also plates and faces.
    pub people: bool,
}

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum MarkKind {
    Alarm,
    Plate,
    Face,
    Motion,
}

/// A mark. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// What it stands for.
    pub kind: MarkKind,
    /// When, or since when.
    pub at: Timestamp,
    /// Until when, for what lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The alarm, the passage, or the event; none for motion.
    pub id: Uuid,
    /// The alarm's type, the passage's decision, `accepted` or `unknown` for a face; else empty.
    pub word: String,
    /// A plate's text; else empty.
    pub text: String,
    /// An alarm's priority; else 0.
    pub priority: u8,
}

/// Marks in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// The marks.
    pub marks: Vec<Mark>,
    /// Whether some were left out: a shorter span shows them.
    pub more: bool,
}

impl System {
    /// What happened before a camera. Motion is known for as long as the history of readings holds it.
    pub async fn marks(&self, query: &MarkQuery) -> Result<Marks, Error> {
        let most = MOST as i64 + 1;
        let mut kinds = vec![store::alarm_marks(self.pool(), query, most).await?];
        if query.people {
            let reads = store::read_marks(self.pool(), query, 2 * most).await?;
            let (plates, faces) = reads.into_iter().partition(|mark: &Mark| mark.kind == MarkKind::Plate);
            kinds.push(with_passages(plates, store::passage_marks(self.pool(), query, most).await?));
            kinds.push(faces);
        }
        kinds.push(motions(self.moved(query).await?));
        let more = kinds.iter().any(|kind| kind.len() > MOST);
        let mut marks: Vec<Mark> = kinds.into_iter().flat_map(|kind| kind.into_iter().take(MOST)).collect();
        marks.sort_by_key(|mark| (mark.at, mark.kind));
        Ok(Marks { marks, more })
    }

    /// When the camera said that it sees motion, and when that it does not.
    async fn moved(&self, query: &MarkQuery) -> Result<Vec<Stretch>, Error> {
        let MarkQuery { camera: device, from, to, .. } = *query;
        let chart = ChartQuery { device, point: "motion".to_owned(), from, to, points: POINTS };
        match self.history().chart(&chart).await {
            Ok(Chart { line: Line::States { stretches }, .. }) => Ok(stretches),
            Ok(Chart { line: Line::Numbers { .. }, .. }) => Ok(Vec::new()),
            // A camera that is not looked at for motion.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Plates that were read, with what was decided about those that came to a lane; a passage without a read (a car that no
/// plate was read of) stands for itself.
fn with_passages(reads: Vec<Mark>, passages: Vec<Mark>) -> Vec<Mark> {
    let of_read = |read: &Mark| PassageId::of_event(EventId(read.id), 0).0;
    let decided: std::collections::BTreeMap<Uuid, &Mark> = passages.iter().map(|mark| (mark.id, mark)).collect();
    let of_reads: std::collections::BTreeSet<Uuid> = reads.iter().map(of_read).collect();
    let mut plates: Vec<Mark> = reads
        .iter()
        .map(|read| Mark {
            word: decided.get(&of_read(read)).map_or(String::new(), |p| p.word.clone()),
            ..read.clone()
        })
        .collect();
    plates.extend(passages.iter().filter(|passage| !of_reads.contains(&passage.id)).cloned());
    plates.sort_by_key(|mark| mark.at);
    plates
}

/// Stretches in which there was motion; where the history holds only the last word of a minute or hour, those in which
/// there was some.
fn motions(moved: Vec<Stretch>) -> Vec<Mark> {
    let seen = moved.into_iter().filter(|stretch| stretch.mixed || stretch.state == Value::Bool(true));
    let mut found: Vec<Mark> = Vec::new();
    for Stretch { from: at, to, .. } in seen {
        match found.last_mut() {
            Some(last) if last.to == Some(at) => last.to = Some(to),
            Some(_) | None => found.push(Mark {
                kind: MarkKind::Motion,
                at,
                to: Some(to),
                id: Uuid::nil(),
                word: String::new(),
                text: String::new(),
                priority: 0,
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + s).unwrap()
    }

    #[test]
    fn motion_is_a_stretch_and_a_coarse_one_where_there_was_some() {
        let stretch = |from, to, state, mixed| Stretch { from: at(from), to: at(to), state: Value::Bool(state), mixed };
        let moved = vec![
            stretch(0, 10, false, false),
            stretch(10, 20, true, false),
            stretch(20, 30, false, true),
            stretch(30, 40, false, false),
            stretch(40, 50, true, false),
        ];
        let told: Vec<_> = motions(moved).into_iter().map(|mark| (mark.at, mark.to.unwrap())).collect();
        assert_eq!(told, [(at(10), at(30)), (at(40), at(50))]);
    }

    #[test]
    fn a_plate_is_one_mark_with_its_decision() {
        let mark = |id: Uuid, s, word: &str| Mark {
            kind: MarkKind::Plate,
            at: at(s),
            to: None,
            id,
            word: word.into(),
            text: "粤B12345".into(),
            priority: 0,
        };
        let (read, again) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let passage = PassageId::of_event(EventId(read), 0).0;
        let unread = Uuid::from_u128(9);
        let plates = with_passages(
            vec![mark(read, 1, ""), mark(again, 3, "")],
            vec![mark(passage, 1, "opened"), mark(unread, 2, "unread")],
        );
        let told: Vec<(Uuid, &str)> = plates.iter().map(|mark| (mark.id, mark.word.as_str())).collect();
        assert_eq!(told, [(read, "opened"), (unread, "unread"), (again, "")]);
    }
}
