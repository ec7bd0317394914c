//! The event service: what the camera notices, told to pull points (WS-BaseNotification 1.3, ONVIF Core §9).

use super::Shared;
use super::soap::{Answer, Fault};
use super::xml::{Node, escape};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Pull points at a time; one more gets a fault, as from cameras.
const POINTS_MAX: usize = 8;
/// Messages that wait at one pull point; the oldest give way.
const MESSAGES_MAX: usize = 256;
/// How long a pull point lives when its opener does not say.
const LIFE: Duration = Duration::from_secs(60);
/// The longest life a pull point may ask for.
const LIFE_MAX: Duration = Duration::from_secs(600);
/// The longest a pull waits for something to tell.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What a camera can notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Something moves.
    Motion,
    /// The lens is covered, or the camera turned away.
    Tamper,
    /// A contact at the camera's input of this number.
    Input(u8),
}

impl Topic {
    const ALL: [Topic; 4] = [Topic::Motion, Topic::Tamper, Topic::Input(1), Topic::Input(2)];

    /// Topic expression, source and data item.
    fn words(self) -> (&'static str, &'static str, String, &'static str) {
        match self {
            Topic::Motion => (
                "tns1:RuleEngine/CellMotionDetector/Motion",
                "VideoSourceConfigurationToken",
                "source".into(),
                "IsMotion",
            ),
            Topic::Tamper => ("tns1:VideoSource/GlobalSceneChange/ImagingService", "Source", "source".into(), "State"),
            Topic::Input(n) => ("tns1:Device/Trigger/DigitalInput", "InputToken", format!("input-{n}"), "LogicalState"),
        }
    }

    fn message(self, active: bool, operation: &str, at: Timestamp) -> String {
        let (topic, source, of, data) = self.words();
        format!(
            "<wsnt:NotificationMessage>\
             <wsnt:Topic Dialect=\"http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet\">{topic}</wsnt:Topic>\
             <wsnt:Message><tt:Message UtcTime=\"{at}\" PropertyOperation=\"{operation}\">\
             <tt:Source><tt:SimpleItem Name=\"{source}\" Value=\"{of}\"/></tt:Source>\
             <tt:Data><tt:SimpleItem Name=\"{data}\" Value=\"{active}\"/></tt:Data></tt:Message></wsnt:Message>\
             </wsnt:NotificationMessage>"
        )
    }
}

#[derive(Debug)]
struct Point {
    queue: VecDeque<String>,
    until: Instant,
}

#[derive(Debug)]
struct State {
    said: BTreeMap<Topic, bool>,
    points: BTreeMap<u64, Point>,
    opened: u64,
}

/// The pull points of a camera.
#[derive(Debug)]
pub(crate) struct PullPoints {
    state: Mutex<State>,
    news: Notify,
    closing: CancellationToken,
}

impl PullPoints {
    pub(crate) fn new() -> Self {
        let said = Topic::ALL.into_iter().map(|topic| (topic, false)).collect();
        Self {
            state: Mutex::new(State { said, points: BTreeMap::new(), opened: 0 }),
            news: Notify::new(),
            closing: CancellationToken::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.points.retain(|_, point| point.until > now);
        state
    }

    pub(crate) fn tell(&self, topic: Topic, active: bool) {
        let mut state = self.state();
        if state.said.insert(topic, active) != Some(active) {
            state.say(&topic.message(active, "Changed", Timestamp::now()));
        }
        drop(state);
        self.news.notify_waiters();
    }

    pub(crate) fn repeat(&self, topic: Topic) {
        let mut state = self.state();
        let active = state.said.get(&topic).copied().unwrap_or_default();
        state.say(&topic.message(active, "Changed", Timestamp::now()));
        drop(state);
        self.news.notify_waiters();
    }

    /// Open now, opened since the start.
    pub(crate) fn count(&self) -> (u64, u64) {
        let state = self.state();
        (state.points.len() as u64, state.opened)
    }

    pub(crate) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

impl State {
    fn say(&mut self, message: &str) {
        for point in self.points.values_mut() {
            if point.queue.len() >= MESSAGES_MAX {
                point.queue.pop_front();
            }
            point.queue.push_back(message.to_owned());
        }
    }
}

pub(crate) fn answer(shared: &Shared, request: &Node) -> Answer {
    match request.name.as_str() {
        "CreatePullPointSubscription" => create(shared, request),
        "GetServiceCapabilities" => Ok(format!(
            "<tev:GetServiceCapabilitiesResponse><tev:Capabilities WSPullPointSupport=\"true\" MaxPullPoints=\"{POINTS_MAX}\"/>\
             </tev:GetServiceCapabilitiesResponse>"
        )),
        "GetEventProperties" => Ok(properties()),
        other => Err(Fault::unsupported(other)),
    }
}

fn create(shared: &Shared, request: &Node) -> Answer {
    let life = life(shared, request.text_of("InitialTerminationTime"))?;
    let mut state = shared.points.state();
    if state.points.len() >= POINTS_MAX {
        return Err(Fault::sender("ter:MaxNotificationProducers", "No more pull points"));
    }
    state.opened += 1;
    let id = state.opened;
    let at = shared.now();
    let queue = state.said.iter().map(|(topic, active)| topic.message(*active, "Initialized", at)).collect();
    state.points.insert(id, Point { queue, until: Instant::now() + life });
    drop(state);
    let base = &shared.base;
    let reference = match shared.config.references {
        true => format!(
            "<wsa:Address>{base}/subscription</wsa:Address><wsa:ReferenceParameters>\
             <sim:SubscriptionId xmlns:sim=\"urn:gatehouse:virtual-camera\" sim:kind=\"pull\">{id}</sim:SubscriptionId>\
             </wsa:ReferenceParameters>"
        ),
        false => format!("<wsa:Address>{base}/subscription?id={id}</wsa:Address>"),
    };
    Ok(format!(
        "<tev:CreatePullPointSubscriptionResponse><tev:SubscriptionReference>{reference}</tev:SubscriptionReference>{}\
         </tev:CreatePullPointSubscriptionResponse>",
        times(shared, life, "wsnt")
    ))
}

/// An operation on the pull point that the reference parameters of the header name, or the address.
pub(crate) async fn pull(shared: &Shared, envelope: &Node, by_address: Option<&str>, request: &Node) -> Answer {
    let referenced = envelope.child("Header").and_then(|header| header.text_of("SubscriptionId"));
    let id = if shared.config.references { referenced } else { by_address };
    let gone = || Fault::sender("ter:InvalidArgVal", "No subscription is named by reference parameters, or it ended");
    let id: u64 = id.and_then(|id| id.parse().ok()).ok_or_else(gone)?;
    if !shared.points.state().points.contains_key(&id) {
        return Err(gone());
    }
    match request.name.as_str() {
        "PullMessages" => {
            let wait = request.text_of("Timeout").and_then(span).unwrap_or_default().min(WAIT_MAX);
            let most = request.text_of("MessageLimit").and_then(|n| n.parse().ok()).unwrap_or(1_usize).max(1);
            let messages = take(&shared.points, id, most, wait).await.ok_or_else(gone)?;
            Ok(format!(
                "<tev:PullMessagesResponse>{}{}</tev:PullMessagesResponse>",
                times(shared, left(&shared.points, id), "tev"),
                messages.concat()
            ))
        }
        "Renew" => {
            let life = life(shared, request.text_of("TerminationTime"))?;
            let mut state = shared.points.state();
            state.points.get_mut(&id).ok_or_else(gone)?.until = Instant::now() + life;
            drop(state);
            Ok(format!("<wsnt:RenewResponse>{}</wsnt:RenewResponse>", times(shared, life, "wsnt")))
        }
        "Unsubscribe" => {
            shared.points.state().points.remove(&id);
            Ok("<wsnt:UnsubscribeResponse/>".to_owned())
        }
        "SetSynchronizationPoint" => {
            let at = shared.now();
            let mut state = shared.points.state();
            let said: Vec<_> = state.said.iter().map(|(t, active)| t.message(*active, "Initialized", at)).collect();
            state.points.get_mut(&id).ok_or_else(gone)?.queue.extend(said);
            Ok("<tev:SetSynchronizationPointResponse/>".to_owned())
        }
        other => Err(Fault::unsupported(other)),
    }
}

/// Up to `most` messages, waited for when there are none; `None` when the pull point is gone.
async fn take(points: &PullPoints, id: u64, most: usize, wait: Duration) -> Option<Vec<String>> {
    let until = tokio::time::Instant::now() + wait;
    loop {
        let news = points.news.notified();
        tokio::pin!(news);
        // Registered before the look: what is told in between wakes it.
        news.as_mut().enable();
        {
            let mut state = points.state();
            let queue = &mut state.points.get_mut(&id)?.queue;
            if !queue.is_empty() {
                let count = most.min(queue.len());
                return Some(queue.drain(..count).collect());
            }
        }
        if tokio::time::timeout_at(until, news).await.is_err() {
            return Some(Vec::new());
        }
    }
}

fn left(points: &PullPoints, id: u64) -> Duration {
    let until = points.state().points.get(&id).map(|point| point.until);
    until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
}

/// A life asked for as duration or as a moment by the camera's clock.
fn life(shared: &Shared, text: Option<&str>) -> Result<Duration, Fault> {
    let Some(text) = text else { return Ok(LIFE) };
    let moment = |text: &str| {
        let until: Timestamp = text.parse().ok()?;
        Duration::try_from(until.duration_since(shared.now())).ok()
    };
    let life = span(text).or_else(|| moment(text));
    let fault =
        || Fault::sender("ter:UnacceptableInitialTerminationTime", "The termination time is no duration or moment");
    Ok(life.ok_or_else(fault)?.min(LIFE_MAX))
}

fn span(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()
}

fn times(shared: &Shared, life: Duration, prefix: &str) -> String {
    let now = shared.now();
    let until = now.saturating_add(SignedDuration::try_from(life).unwrap_or_default()).unwrap_or(Timestamp::MAX);
    format!(
        "<{prefix}:CurrentTime>{now}</{prefix}:CurrentTime><{prefix}:TerminationTime>{until}</{prefix}:TerminationTime>"
    )
}

fn properties() -> String {
    let topics = [Topic::Motion, Topic::Tamper, Topic::Input(1)].iter().fold(String::new(), |mut out, topic| {
        let (words, source, _, data) = topic.words();
        let path: Vec<_> = words.trim_start_matches("tns1:").split('/').collect();
        for (depth, part) in path.iter().enumerate() {
            let leaf = if depth + 1 == path.len() { " wstop:topic=\"true\"" } else { "" };
            let prefix = if depth == 0 { "tns1:" } else { "" };
            let _ = write!(out, "<{prefix}{part}{leaf}>");
        }
        let _ = write!(
            out,
            "<tt:MessageDescription IsProperty=\"true\"><tt:Source>\
             <tt:SimpleItemDescription Name=\"{source}\" Type=\"tt:ReferenceToken\"/></tt:Source><tt:Data>\
             <tt:SimpleItemDescription Name=\"{data}\" Type=\"xs:boolean\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"/>\
             </tt:Data></tt:MessageDescription>"
        );
        for (depth, part) in path.iter().enumerate().rev() {
            let prefix = if depth == 0 { "tns1:" } else { "" };
            let _ = write!(out, "</{prefix}{part}>");
        }
        out
    });
    let dialect = escape("http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet");
    format!(
        "<tev:GetEventPropertiesResponse>\
         <tev:TopicNamespaceLocation>http://www.onvif.org/onvif/ver10/topics/topicns.xml</tev:TopicNamespaceLocation>\
         <wsnt:FixedTopicSet>true</wsnt:FixedTopicSet><wstop:TopicSet>{topics}</wstop:TopicSet>\
         <wsnt:TopicExpressionDialect>{dialect}</wsnt:TopicExpressionDialect>\
         <tev:MessageContentFilterDialect>http://www.onvif.org/ver10/tev/messageContentFilter/ItemFilter</tev:MessageContentFilterDialect>\
         <tev:MessageContentSchemaLocation>http://www.onvif.org/onvif/ver10/schema/onvif.xsd</tev:MessageContentSchemaLocation>\
         </tev:GetEventPropertiesResponse>"
    )
}
