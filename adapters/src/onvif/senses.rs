//! What a camera notices, of the many words it has for it: motion, tampering, its inputs.
//!
//! Each point is what any of its origins (a rule, a region, a topic) says. What merely stands when we begin to listen is no
//! news: it raises nothing, but what has ended meanwhile clears. What changed while we were away is news.

use super::codec::{Notification, Operation};
use std::collections::BTreeMap;

/// Origins remembered per camera; one more is not listened to.
const ORIGINS_MAX: usize = 256;
/// Letters of an input's token in its point's name.
const TOKEN_MAX: usize = 24;

/// What one origin said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    active: bool,
    /// Whether it counts: false for what stood already when we began to listen.
    news: bool,
}

/// The senses of one camera.
#[derive(Clone, Debug, Default)]
pub struct Senses {
    motion: bool,
    origins: BTreeMap<(String, String), Said>,
    told: BTreeMap<String, bool>,
}

impl Senses {
    /// Nothing heard yet. `motion`: whether its motion is listened to.
    pub fn new(motion: bool) -> Self {
        Self { motion, ..Self::default() }
    }

    /// Takes a notification; the point and its new value, when that is news.
    pub fn take(&mut self, notification: &Notification) -> Option<(String, bool)> {
        let point = point_of(notification).filter(|point| self.motion || point != "motion")?;
        let origin = (point.clone(), origin_of(notification));
        let known = self.origins.get(&origin).copied();
        if notification.operation == Operation::Deleted {
            self.origins.remove(&origin);
        } else {
            let active = active(notification)?;
            if known.is_none() && self.origins.len() >= ORIGINS_MAX {
                return None;
            }
            let stood = notification.operation == Operation::Initialized && known.is_none();
            let repeated = known.filter(|said| said.active == active);
            self.origins.insert(origin, repeated.unwrap_or(Said { active, news: !stood }));
        }
        let standing = || self.origins.iter().filter(|((of, _), said)| *of == point && said.active);
        let now = match (standing().any(|(_, said)| said.news), standing().next().is_some()) {
            (true, _) => true,
            // Neither begun since we listen nor over.
            (false, true) => return None,
            (false, false) => false,
        };
        (self.told.insert(point.clone(), now) != Some(now)).then_some((point, now))
    }
}

/// The point that a topic is about.
fn point_of(notification: &Notification) -> Option<String> {
    let has = |words: &[&str]| notification.topic.split('/').any(|part| words.contains(&part));
    if has(&["ImageTooBlurry", "ImageTooDark", "ImageTooBright", "GlobalSceneChange", "TamperDetector", "Tamper"]) {
        return Some("tamper".to_owned());
    }
    if has(&["CellMotionDetector", "MotionRegionDetector", "MotionAlarm", "Motion"]) {
        return Some("motion".to_owned());
    }
    if has(&["DigitalInput"]) {
        let token = notification.source.iter().find(|(name, _)| name == "InputToken").map_or("", |(_, value)| value);
        let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let token: String = token.chars().map(clean).take(TOKEN_MAX).collect();
        return Some(match token.trim_matches('_') {
            "" => "input".to_owned(),
            token if token.starts_with("input") => token.to_owned(),
            token => format!("input_{token}"),
        });
    }
    None
}

fn origin_of(notification: &Notification) -> String {
    let mut origin = notification.topic.clone();
    for (name, value) in &notification.source {
        origin.push('|');
        origin.push_str(name);
        origin.push('=');
        origin.push_str(value);
    }
    origin
}

/// The state among the data.
fn active(notification: &Notification) -> Option<bool> {
    let named = ["State", "IsMotion", "IsTamper", "LogicalState", "Value"];
    let value = |name: &&str| notification.data.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = notification.data.first().map(|(_, value)| value.as_str());
    match named.iter().find_map(value).or(first)?.trim() {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notification(topic: &str, operation: Operation, source: &str, data: &str) -> Notification {
        Notification {
            topic: topic.into(),
            operation,
            source: vec![("InputToken".into(), source.into())],
            data: vec![("State".into(), data.into())],
            at: None,
        }
    }

    const SCENE: &str = "VideoSource/GlobalSceneChange/ImagingService";
    use Operation::{Changed, Deleted, Initialized};

    #[test]
    fn topics_are_sorted_into_points() {
        let check = |topic: &str, source: &str, point: Option<&str>| {
            let found = point_of(&notification(topic, Changed, source, "true"));
            assert_eq!(found.as_deref(), point, "{topic}");
        };
        check("RuleEngine/CellMotionDetector/Motion", "", Some("motion"));
        check("VideoSource/MotionAlarm", "", Some("motion"));
        check("VideoSource/ImageTooDark/AnalyticsService", "", Some("tamper"));
        check("RuleEngine/TamperDetector/Tamper", "", Some("tamper"));
        check("Device/Trigger/DigitalInput", "Input-1", Some("input_1"));
        check("Device/Trigger/DigitalInput", "AlarmIn_2", Some("input_alarmin_2"));
        check("Device/Trigger/DigitalInput", "东门", Some("input"));
        check("Monitoring/ProcessorUsage", "", None);
    }

    #[test]
    fn what_stands_at_the_begin_raises_nothing_and_what_repeats_is_no_news() {
        let mut senses = Senses::new(true);
        let mut take = |operation, data| senses.take(&notification(SCENE, operation, "", data));
        assert_eq!(take(Initialized, "true"), None);
        assert_eq!(take(Changed, "true"), None, "it stood already");
        assert_eq!(
            take(Changed, "false"),
            Some(("tamper".into(), false)),
            "whoever had told of it before hears the end"
        );
        assert_eq!(take(Changed, "true"), Some(("tamper".into(), true)));
        assert_eq!(take(Changed, "true"), None);
        assert_eq!(take(Initialized, "true"), None, "a new subscription, nothing new");
        assert_eq!(take(Initialized, "false"), Some(("tamper".into(), false)), "it ended while we were away");
        assert_eq!(take(Initialized, "true"), Some(("tamper".into(), true)), "and began again");
        assert_eq!(take(Deleted, ""), Some(("tamper".into(), false)));
        assert_eq!(take(Changed, "perhaps"), None);
    }

    #[test]
    fn a_point_is_active_while_any_of_its_origins_is() {
        let mut senses = Senses::new(false);
        let dark = "VideoSource/ImageTooDark/ImagingService";
        let mut take = |topic: &str, data| senses.take(&notification(topic, Changed, "", data));
        assert_eq!(take(SCENE, "1"), Some(("tamper".into(), true)));
        assert_eq!(take(dark, "true"), None);
        assert_eq!(take(SCENE, "0"), None);
        assert_eq!(take(dark, "False"), Some(("tamper".into(), false)));
        assert_eq!(take("VideoSource/MotionAlarm", "true"), None, "motion is not listened to");
    }

    proptest! {
        #[test]
        fn what_is_told_of_a_point_alternates(said in proptest::collection::vec((0..3u8, 0..3u8, any::<bool>()), 0..60)) {
            let mut senses = Senses::new(true);
            let (mut last, mut heard) = (None, std::collections::BTreeSet::new());
            for (operation, origin, active) in said {
                let operation = [Initialized, Changed, Deleted][usize::from(operation)];
                let told = senses.take(&notification(SCENE, operation, &origin.to_string(), if active { "1" } else { "0" }));
                if let Some((_, now)) = told {
                    prop_assert_ne!(last, Some(now));
                    // What stands when an origin is first heard of raises nothing; what began since then does.
                    prop_assert!(!(operation == Initialized && now && !heard.contains(&origin)));
                    last = Some(now);
                }
                heard.insert(origin);
            }
        }
    }
}
