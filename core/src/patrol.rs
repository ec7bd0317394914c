//! Video patrol (视频巡更): a round over cameras, each stop looked at by the person who walks it and attested with a kept picture.
//!
//! ```text
//! begun ──picture──▶ stop seen ──attest: in order | abnormal | unseen──▶ … ──▶ ended
//! ```
//! A stop is attested once; what was attested is not changed afterwards. A round ended before its last stop says why, and the
//! stops that were left out stay left out.

use crate::id::{DeviceId, PatrolRoundId, PatrolRouteId, PictureId, WorkOrderId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most stops of a route.
pub const STOPS_MAX: usize = 64;
/// Longest name, note and thing to look at, characters.
pub const TEXT_MAX: usize = 500;

/// A stop of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStop {
    /// Which camera.
    pub camera: DeviceId,
    /// The preset that its head is turned to first, by name; empty: it is left as it is.
    #[serde(default)]
    pub preset: String,
    /// What to look at there; may be empty.
    #[serde(default)]
    pub look: String,
}

/// How a stop was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing out of the ordinary.
    InOrder,
    /// Something is; the note says what.
    Abnormal,
    /// The camera showed nothing; the note says why.
    Unseen,
}

/// The picture that a stop was attested by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPicture {
    /// Its file.
    pub id: PictureId,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// When it was taken.
    pub at: Timestamp,
}

/// What a person said of a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attest {
    /// How it was.
    pub verdict: Verdict,
    /// In words.
    pub note: String,
    /// When it was said.
    pub at: Timestamp,
    /// The work order that was opened for it.
    pub work_order: Option<WorkOrderId>,
}

/// A stop of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundStop {
    /// As planned.
    #[serde(flatten)]
    pub planned: RouteStop,
    /// Its newest picture; the one that counts once it is attested.
    pub picture: Option<StopPicture>,
    /// What was said of it.
    pub attest: Option<Attest>,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Its id.
    pub id: PatrolRoundId,
    /// The route it follows.
    pub route: PatrolRouteId,
    /// The route's name when it began.
    pub name: String,
    /// Who walks it.
    pub by: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended before its last stop.
    pub note: String,
    /// Its stops, as planned when it began.
    pub stops: Vec<RoundStop>,
}

/// Why a step of a round is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatrolError {
    /// It is over.
    #[error("the round is over")]
    Ended,
    /// Somebody else walks it.
    #[error("{0} walks this round")]
    Anothers(String),
    /// No such stop.
    #[error("the round has no stop {0}")]
    NoStop(usize),
    /// It was attested before.
    #[error("this stop was attested at {0}")]
    Attested(Timestamp),
    /// It has no picture.
    #[error("nothing was seen at this stop yet: take its picture, or say that it cannot be seen")]
    NoPicture,
    /// A note is missing.
    #[error("say in a few words {0}")]
    NoNote(&'static str),
}

impl Round {
    /// A round over a route's stops.
    pub fn begin(
        id: PatrolRoundId,
        route: PatrolRouteId,
        name: String,
        stops: Vec<RouteStop>,
        by: &str,
        now: Timestamp,
    ) -> Self {
        let stops = stops.into_iter().map(|planned| RoundStop { planned, picture: None, attest: None }).collect();
        Self { id, route, name, by: by.to_owned(), began_at: now, ended_at: None, note: String::new(), stops }
    }

    /// The stop, when this person may still do something there.
    fn open(&mut self, stop: usize, by: &str) -> Result<&mut RoundStop, PatrolError> {
        self.walked_by(by)?;
        let stop = self.stops.get_mut(stop).ok_or(PatrolError::NoStop(stop))?;
        match &stop.attest {
            Some(attest) => Err(PatrolError::Attested(attest.at)),
            None => Ok(stop),
        }
    }

    fn walked_by(&self, by: &str) -> Result<(), PatrolError> {
        match () {
            () if self.ended_at.is_some() => Err(PatrolError::Ended),
            () if self.by != by => Err(PatrolError::Anothers(self.by.clone())),
            () => Ok(()),
        }
    }

    /// Whether a picture may be taken at a stop, and of what.
    pub fn may_look(&self, stop: usize, by: &str) -> Result<RouteStop, PatrolError> {
        self.clone().open(stop, by).map(|stop| stop.planned.clone())
    }

    /// Keeps a stop's picture; one that was taken before gives way.
    pub fn look(&mut self, stop: usize, picture: StopPicture, by: &str) -> Result<(), PatrolError> {
        self.open(stop, by)?.picture = Some(picture);
        Ok(())
    }

    /// Says how a stop was; the last one ends the round.
    pub fn attest(&mut self, stop: usize, attest: Attest, by: &str) -> Result<(), PatrolError> {
        let (now, open) = (attest.at, self.open(stop, by)?);
        let is_noted = !attest.note.trim().is_empty();
        match attest.verdict {
            Verdict::InOrder | Verdict::Abnormal if open.picture.is_none() => return Err(PatrolError::NoPicture),
            Verdict::Abnormal if !is_noted => return Err(PatrolError::NoNote("what is not in order")),
            Verdict::Unseen if !is_noted => return Err(PatrolError::NoNote("why nothing can be seen")),
            Verdict::InOrder | Verdict::Abnormal | Verdict::Unseen => {}
        }
        open.attest = Some(attest);
        if self.left() == 0 {
            self.ended_at = Some(now);
        }
        Ok(())
    }

    /// Ends a round before its last stop.
    pub fn end(&mut self, note: &str, by: &str, now: Timestamp) -> Result<(), PatrolError> {
        self.walked_by(by)?;
        if note.trim().is_empty() {
            return Err(PatrolError::NoNote("why the round ends here"));
        }
        note.trim().clone_into(&mut self.note);
        self.ended_at = Some(now);
        Ok(())
    }

    /// Stops not attested.
    pub fn left(&self) -> usize {
        self.stops.iter().filter(|stop| stop.attest.is_none()).count()
    }

    /// Stops that were not in order.
    pub fn abnormal(&self) -> usize {
        let is = |stop: &&RoundStop| stop.attest.as_ref().is_some_and(|attest| attest.verdict == Verdict::Abnormal);
        self.stops.iter().filter(is).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + s).unwrap()
    }

    fn round() -> Round {
        let stop =
            |key: &str| RouteStop { camera: DeviceId::from_key(key), preset: String::new(), look: String::new() };
        let (id, route) = (PatrolRoundId::from_key("r"), PatrolRouteId::from_key("night"));
        Round::begin(id, route, "Night".into(), vec![stop("a"), stop("b")], "li", at(0))
    }

    fn picture(s: i64) -> StopPicture {
        StopPicture { id: PictureId::from_key(&s.to_string()), sha256: "00".into(), at: at(s) }
    }

    fn say(verdict: Verdict, note: &str, s: i64) -> Attest {
        Attest { verdict, note: note.into(), at: at(s), work_order: None }
    }

    #[test]
    fn the_last_attested_stop_ends_the_round() {
        let mut round = round();
        round.look(0, picture(1), "li").unwrap();
        round.look(0, picture(2), "li").unwrap();
        round.attest(0, say(Verdict::InOrder, "", 3), "li").unwrap();
        assert_eq!((round.left(), round.ended_at), (1, None));
        assert_eq!(round.stops[0].picture.as_ref().map(|picture| picture.at), Some(at(2)));
        round.attest(1, say(Verdict::Unseen, "the camera is away", 9), "li").unwrap();
        assert_eq!((round.left(), round.abnormal(), round.ended_at), (0, 0, Some(at(9))));
        assert_eq!(round.attest(1, say(Verdict::InOrder, "", 10), "li"), Err(PatrolError::Ended));
    }

    #[test]
    fn nothing_is_attested_unseen_twice_by_another_or_without_words() {
        let mut round = round();
        assert_eq!(round.attest(0, say(Verdict::InOrder, "", 1), "li"), Err(PatrolError::NoPicture));
        assert_eq!(round.look(0, picture(1), "wu"), Err(PatrolError::Anothers("li".into())));
        assert_eq!(round.look(7, picture(1), "li"), Err(PatrolError::NoStop(7)));
        round.look(0, picture(1), "li").unwrap();
        assert!(matches!(round.attest(0, say(Verdict::Abnormal, " ", 2), "li"), Err(PatrolError::NoNote(_))));
        assert!(matches!(round.attest(1, say(Verdict::Unseen, "", 2), "li"), Err(PatrolError::NoNote(_))));
        round.attest(0, say(Verdict::Abnormal, "the gate is open", 2), "li").unwrap();
        assert_eq!(round.attest(0, say(Verdict::InOrder, "", 3), "li"), Err(PatrolError::Attested(at(2))));
        assert_eq!(round.may_look(0, "li"), Err(PatrolError::Attested(at(2))));
        assert_eq!(round.abnormal(), 1);
    }

    #[test]
    fn a_round_may_end_early_with_a_reason() {
        let mut round = round();
        assert!(matches!(round.end(" ", "li", at(1)), Err(PatrolError::NoNote(_))));
        assert_eq!(round.end("fire alarm", "wu", at(1)), Err(PatrolError::Anothers("li".into())));
        round.end(" fire alarm ", "li", at(1)).unwrap();
        assert_eq!((round.note.as_str(), round.left(), round.ended_at), ("fire alarm", 2, Some(at(1))));
        assert_eq!(round.end("again", "li", at(2)), Err(PatrolError::Ended));
    }
}
