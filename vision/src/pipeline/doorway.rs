//! The active challenge at one door camera: begun when a face meets the rule for opening, told to the door's screen, and only
//! its passing lets the door be asked to open.

use crate::track::TrackId;
use gatehouse_core::id::{DeviceId, PersonId};
use gatehouse_core::recognition::challenge::{Action, Challenge, ChallengePolicy, Failure, Gaze, Look, Standing};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// How long a result stays on the screen before another challenge begins.
const RESULT_FOR: SignedDuration = SignedDuration::from_secs(3);

/// What a door's screen says. It knows nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prompt {
    /// Nothing is asked.
    #[default]
    Idle,
    /// Do this.
    Ask {
        /// What.
        action: Action,
        /// Which action it is, from one.
        step: usize,
        /// Of how many.
        of: usize,
        /// Until then.
        until: Timestamp,
    },
    /// Done: look straight again.
    Straight {
        /// Which action was done, from one.
        step: usize,
        /// Of how many.
        of: usize,
        /// Until then.
        until: Timestamp,
    },
    /// All was done.
    Passed {
        /// Shown until then.
        until: Timestamp,
    },
    /// It was not.
    Failed {
        /// Why.
        why: Failure,
        /// Shown until then.
        until: Timestamp,
    },
    /// Too many failures: another way in, until then.
    Paused {
        /// Until then.
        until: Timestamp,
    },
}

impl Prompt {
    /// Until when it holds; `None` for the one that holds until another comes.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Prompt::Idle => None,
            Prompt::Ask { until, .. }
            | Prompt::Straight { until, .. }
            | Prompt::Passed { until }
            | Prompt::Failed { until, .. }
            | Prompt::Paused { until } => Some(*until),
        }
    }
}

/// One frame of a tracked face, as far as the challenge goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Which track.
    pub track: TrackId,
    /// Who meets the rule for opening a door now.
    pub recognised: Option<PersonId>,
    /// Whose face this frame by itself surely shows.
    pub counts: Option<PersonId>,
    /// What it measures; only asked for while a challenge runs.
    pub gaze: Option<Gaze>,
}

/// How a challenge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The door may be asked to open for them.
    Passed(PersonId),
    /// It may not.
    Failed(PersonId),
}

#[derive(Debug)]
struct Run {
    track: TrackId,
    person: PersonId,
    challenge: Challenge,
}

/// The challenge of one camera: one person at a time.
#[derive(Debug)]
pub struct Doorway {
    policy: ChallengePolicy,
    run: Option<Run>,
    /// What is shown when nobody is challenged.
    rest: Prompt,
    failures: u32,
    draw: fn() -> u64,
}

impl Doorway {
    /// Nobody is challenged.
    pub fn new(policy: ChallengePolicy) -> Self {
        Self { policy, run: None, rest: Prompt::Idle, failures: 0, draw }
    }

    /// Whether a challenge runs: faces are then measured, and pictures are not left out.
    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// What the screen says.
    pub fn prompt(&self) -> Prompt {
        let Some(run) = &self.run else { return self.rest };
        let (step, of) = run.challenge.step_of();
        match run.challenge.standing() {
            Standing::Asking { action, until } => Prompt::Ask { action, step, of, until },
            Standing::Returning { until } => Prompt::Straight { step, of, until },
            Standing::Passed | Standing::Failed(_) => self.rest,
        }
    }

    /// Takes a frame with the faces tracked in it; how a challenge ended with it, and of which track.
    pub fn take(&mut self, faces: &[Seen], known: impl Fn(PersonId) -> bool, now: Duration) -> Option<(End, TrackId)> {
        let now = moment(now);
        if self.rest.until().is_some_and(|until| now > until) {
            self.rest = Prompt::Idle;
        }
        let Some(run) = &mut self.run else {
            if self.rest == Prompt::Idle {
                self.begin(faces, now);
            }
            return None;
        };
        let seen = faces.iter().find(|seen| seen.track == run.track);
        let standing = match seen.and_then(|seen| Some((seen, seen.gaze?))) {
            // A consent may have been withdrawn since it began.
            _ if !known(run.person) => Standing::Failed(Failure::OtherPerson),
            Some((seen, gaze)) => {
                let same = seen.counts.map(|person| person == run.person);
                run.challenge.look(Look { gaze, same }, &self.policy, now)
            }
            None => run.challenge.tick(&self.policy, now),
        };
        let (person, track) = (run.person, run.track);
        match standing {
            Standing::Asking { .. } | Standing::Returning { .. } => None,
            Standing::Passed => {
                self.failures = 0;
                self.end(Prompt::Passed { until: after(now, RESULT_FOR) });
                Some((End::Passed(person), track))
            }
            Standing::Failed(why) => {
                self.failures += 1;
                let paused = self.failures >= self.policy.failures.max(1);
                self.end(if paused {
                    Prompt::Paused { until: after(now, self.policy.pause) }
                } else {
                    Prompt::Failed { why, until: after(now, RESULT_FOR) }
                });
                if paused {
                    self.failures = 0;
                }
                Some((End::Failed(person), track))
            }
        }
    }

    fn begin(&mut self, faces: &[Seen], now: Timestamp) {
        let first = faces.iter().find_map(|seen| Some((seen.track, seen.recognised?)));
        self.run = first.map(|(track, person)| Run {
            track,
            person,
            challenge: Challenge::new((self.draw)(), &self.policy, now),
        });
    }

    fn end(&mut self, rest: Prompt) {
        self.run = None;
        self.rest = rest;
    }
}

/// A number nobody knows beforehand: the random part of a new id.
fn draw() -> u64 {
    u64::try_from(Uuid::now_v7().as_u128() & u128::from(u32::MAX)).unwrap_or(0)
}

fn moment(now: Duration) -> Timestamp {
    i64::try_from(now.as_micros()).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or(Timestamp::MAX)
}

fn after(now: Timestamp, span: SignedDuration) -> Timestamp {
    now.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// What the screens of the cameras' doors say, for whoever shows it; the newest replaces what was not taken yet.
#[derive(Debug, Default)]
pub struct Prompts {
    shown: Mutex<BTreeMap<DeviceId, watch::Sender<Prompt>>>,
}

impl Prompts {
    /// Follows what the screens of a camera's doors say.
    pub fn follow(&self, camera: DeviceId) -> watch::Receiver<Prompt> {
        self.lock().entry(camera).or_insert_with(|| watch::channel(Prompt::Idle).0).subscribe()
    }

    /// Says something on them.
    pub fn show(&self, camera: DeviceId, prompt: Prompt) {
        let mut shown = self.lock();
        let sender = shown.entry(camera).or_insert_with(|| watch::channel(Prompt::Idle).0);
        sender.send_if_modified(|held| std::mem::replace(held, prompt) != prompt);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, watch::Sender<Prompt>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: u128) -> PersonId {
        PersonId(Uuid::from_u128(n))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_secs(1_800_000_000) + Duration::from_millis(ms)
    }

    fn seen(turn: f32, eyes_open: f32) -> Seen {
        let gaze = Some(Gaze { turn, eyes_open });
        Seen { track: TrackId(7), recognised: Some(person(1)), counts: Some(person(1)), gaze }
    }

    /// Whoever does what the screen says.
    fn obedient(prompt: Prompt) -> Seen {
        match prompt {
            Prompt::Ask { action: Action::TurnLeft, .. } => Seen { counts: None, ..seen(0.3, 0.9) },
            Prompt::Ask { action: Action::TurnRight, .. } => Seen { counts: None, ..seen(-0.3, 0.9) },
            Prompt::Ask { action: Action::CloseEyes, .. } => Seen { counts: None, ..seen(0.0, 0.1) },
            _ => seen(0.0, 0.95),
        }
    }

    /// Plays ten minutes at five frames a second; when each challenge ended and how.
    fn played(who: impl Fn(Prompt) -> Seen) -> Vec<(u64, End)> {
        let mut doorway = Doorway::new(ChallengePolicy::default());
        let mut ends = Vec::new();
        for frame in 0..3_000 {
            let seen = who(doorway.prompt());
            ends.extend(doorway.take(&[seen], |_| true, ms(200 * frame)).map(|(end, _)| (200 * frame, end)));
        }
        ends
    }

    #[test]
    fn a_person_passes_within_seconds_and_a_photograph_never_and_waits_after_three_failures() {
        let (at, first) = played(obedient)[0];
        assert_eq!(first, End::Passed(person(1)));
        assert!(at <= 4_000, "three actions of half a second and more: {at} ms");
        let ends = played(|_| seen(0.0, 0.95));
        assert!(ends.iter().all(|(_, end)| *end == End::Failed(person(1))), "{ends:?}");
        let gaps: Vec<_> = ends.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().skip(2).step_by(3).all(|gap| *gap >= 60_000), "{gaps:?}");
        assert!(ends.len() < 24, "ten minutes of it are few tries: {}", ends.len());
    }

    #[test]
    fn a_second_face_does_not_help_and_a_withdrawn_one_ends_it() {
        let mut doorway = Doorway::new(ChallengePolicy::default());
        assert_eq!(doorway.take(&[seen(0.0, 0.9)], |_| true, ms(0)), None);
        assert!(doorway.is_running());
        // Beside the photograph someone else does what is asked.
        for frame in 1..20 {
            let beside = Seen { track: TrackId(8), recognised: None, counts: None, ..obedient(doorway.prompt()) };
            assert_eq!(doorway.take(&[beside, seen(0.0, 0.9)], |_| true, ms(200 * frame)), None);
            assert!(matches!(doorway.prompt(), Prompt::Ask { step: 1, .. }), "{:?}", doorway.prompt());
        }
        assert_eq!(doorway.take(&[seen(0.0, 0.9)], |_| false, ms(4_200)), Some((End::Failed(person(1)), TrackId(7))));
        assert!(!doorway.is_running() && matches!(doorway.prompt(), Prompt::Failed { .. }));
    }

    #[test]
    fn a_screen_hears_each_change_once_and_the_newest_when_it_comes() {
        let (prompts, camera) = (Prompts::default(), DeviceId::from_key("door-1.camera"));
        let until = moment(ms(0));
        prompts.show(camera, Prompt::Passed { until });
        let mut screen = prompts.follow(camera);
        assert_eq!(*screen.borrow_and_update(), Prompt::Passed { until });
        prompts.show(camera, Prompt::Passed { until });
        assert!(!screen.has_changed().unwrap());
        prompts.show(camera, Prompt::Idle);
        assert!(screen.has_changed().unwrap());
    }
}
