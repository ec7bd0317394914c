//! What cameras answer, as types: pure and total. What an answer leaves out is empty, not an error, unless nothing works
//! without it.

use super::soap::OnvifError;
use super::xml::Element;
use jiff::Timestamp;
use jiff::civil::{date, time};
use serde::Serialize;
use url::Url;

/// Profiles, presets and messages taken from one answer.
const LIST_MAX: usize = 512;
/// Letters taken of a name.
const NAME_MAX: usize = 128;

/// Who the camera says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Maker.
    pub maker: String,
    /// Model.
    pub model: String,
    /// Firmware.
    pub firmware: String,
    /// Serial number.
    pub serial: String,
}

/// Addresses of services, as the camera names them; empty for what it has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Media of version 10 (Profile S).
    pub media: String,
    /// Media of version 20 (Profile T): the one that knows H.265.
    pub media2: String,
    /// PTZ.
    pub ptz: String,
    /// Events.
    pub events: String,
}

/// How pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// JPEG, MPEG-4, or what nobody knows.
    Other,
}

impl Codec {
    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Codec::H264 => "H.264",
            Codec::H265 => "H.265",
            Codec::Other => "other",
        }
    }
}

/// A media profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// The camera's word for it.
    pub token: String,
    /// Its name.
    pub name: String,
    /// How its pictures are coded.
    pub codec: Codec,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second, at most.
    pub fps: f32,
    /// The video source it shows.
    #[serde(skip)]
    pub source: String,
    /// The PTZ node that moves it, empty for none.
    #[serde(skip)]
    pub node: String,
}

impl Profile {
    fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// What a head can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Pans and tilts.
    pub pan_tilt: bool,
    /// Zooms.
    pub zoom: bool,
    /// Goes to a named position, and not only in a direction.
    pub absolute: bool,
    /// Presets it can store, 0 when it does not say.
    pub presets_max: u32,
}

/// A stored position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preset {
    /// The camera's word for it.
    pub token: String,
    /// The name people gave it.
    pub name: String,
}

/// Where a head looks, in generic spaces: pan and tilt −1 to 1, zoom 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Position {
    /// Left to right.
    pub pan: f32,
    /// Down to up.
    pub tilt: f32,
    /// Wide to long.
    pub zoom: f32,
}

/// How a head does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Status {
    /// Where it looks, where it says.
    pub position: Option<Position>,
    /// Whether it moves, where it says.
    pub moving: Option<bool>,
}

/// A pull point.
#[derive(Clone, Debug, PartialEq)]
pub struct PullPoint {
    /// Its address, as the camera names it.
    pub address: String,
    /// What must be sent back with every request (WS-Addressing 1.0 §3.3).
    pub parameters: Vec<Element>,
    /// How long it lives, ms, where it says.
    pub life_ms: Option<i64>,
}

/// How a notification relates to the property it tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// As it stands: told at the begin of a subscription.
    Initialized,
    /// News; also of what is no property.
    Changed,
    /// There is no such property any more.
    Deleted,
}

/// One notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Topic, its parts without prefixes: `RuleEngine/CellMotionDetector/Motion`.
    pub topic: String,
    /// How it relates to its property.
    pub operation: Operation,
    /// Names and values of the source.
    pub source: Vec<(String, String)>,
    /// Names and values of the data.
    pub data: Vec<(String, String)>,
    /// When, by the camera's clock.
    pub at: Option<Timestamp>,
}

fn name(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
}

/// `GetSystemDateAndTimeResponse`: the camera's UTC clock.
pub fn date_and_time(answer: &Element) -> Result<Timestamp, OnvifError> {
    let wrong = |why: &str| OnvifError::undecodable("GetSystemDateAndTime", why);
    // A camera without UTCDateTime gives its local one; without its zone that is the best guess.
    let at = answer.find("UTCDateTime").or_else(|| answer.find("LocalDateTime"));
    let at = at.ok_or_else(|| wrong("there is no time in it"))?;
    let number =
        |path: [&str; 2]| at.text_at(&path).parse::<i16>().map_err(|_| wrong("a part of the time is no number"));
    let small = |path| number(path).map(|n| i8::try_from(n).unwrap_or(-1));
    let (year, month, day) = (number(["Date", "Year"])?, small(["Date", "Month"])?, small(["Date", "Day"])?);
    let (hour, minute, second) = (small(["Time", "Hour"])?, small(["Time", "Minute"])?, small(["Time", "Second"])?);
    let valid = (1970..=9000).contains(&year)
        && (1..=12).contains(&month)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !valid {
        return Err(wrong("it is no moment"));
    }
    let first = date(year, month, 1);
    if !(1..=first.days_in_month()).contains(&day) {
        return Err(wrong("it is no moment"));
    }
    let civil = date(year, month, day).to_datetime(time(hour, minute, second.min(59), 0));
    jiff::tz::TimeZone::UTC.to_timestamp(civil).map_err(|_| wrong("it is no moment"))
}

/// `GetDeviceInformationResponse`.
pub fn identity(answer: &Element) -> Identity {
    let text = |field| name(answer.text_at(&[field]));
    Identity {
        maker: text("Manufacturer"),
        model: text("Model"),
        firmware: text("FirmwareVersion"),
        serial: text("SerialNumber"),
    }
}

/// `GetServicesResponse`, or `GetCapabilitiesResponse` of older cameras.
pub fn services(answer: &Element) -> Services {
    let mut services = Services::default();
    for service in answer.all("Service").take(LIST_MAX) {
        let address = service.text_at(&["XAddr"]).to_owned();
        match service.text_at(&["Namespace"]).trim_end_matches('/') {
            "http://www.onvif.org/ver10/media/wsdl" => services.media = address,
            "http://www.onvif.org/ver20/media/wsdl" => services.media2 = address,
            "http://www.onvif.org/ver20/ptz/wsdl" => services.ptz = address,
            "http://www.onvif.org/ver10/events/wsdl" => services.events = address,
            _ => {}
        }
    }
    if let Some(capabilities) = answer.child("Capabilities") {
        let address = |service| capabilities.text_at(&[service, "XAddr"]).to_owned();
        services.media = address("Media");
        services.ptz = address("PTZ");
        services.events = address("Events");
    }
    services
}

/// `GetProfilesResponse` of either media service: the profiles with a video encoder.
pub fn profiles(answer: &Element) -> Vec<Profile> {
    answer.all("Profiles").take(LIST_MAX).filter_map(profile).collect()
}

fn profile(element: &Element) -> Option<Profile> {
    // Version 20 has the configurations in an element of their own, under shorter names.
    let parts = element.child("Configurations").unwrap_or(element);
    let part = |long, short| parts.child(long).or_else(|| parts.child(short));
    let encoder = part("VideoEncoderConfiguration", "VideoEncoder")?;
    let number = |path: &[&str]| encoder.text_at(path).parse().unwrap_or(0_u32);
    let fps: f32 = encoder.text_at(&["RateControl", "FrameRateLimit"]).parse().unwrap_or(0.0);
    let codec = match encoder.text_at(&["Encoding"]).to_ascii_uppercase().as_str() {
        "H264" => Codec::H264,
        "H265" | "HEVC" => Codec::H265,
        _ => Codec::Other,
    };
    let token = element.attribute("token");
    (!token.is_empty()).then(|| Profile {
        token: token.to_owned(),
        name: name(element.text_at(&["Name"])),
        codec,
        width: number(&["Resolution", "Width"]),
        height: number(&["Resolution", "Height"]),
        fps: if fps.is_finite() { fps.clamp(0.0, 1_000.0) } else { 0.0 },
        source: part("VideoSourceConfiguration", "VideoSource").map_or("", |s| s.text_at(&["SourceToken"])).to_owned(),
        node: part("PTZConfiguration", "PTZ").map_or("", |ptz| ptz.text_at(&["NodeToken"])).to_owned(),
    })
}

/// The profiles to use, of the camera's first picture: the largest in H.264 or H.265, and the smallest in H.264 where that is
/// smaller. Of equals H.264 comes first: every browser shows it.
pub fn choose(profiles: &[Profile]) -> Option<(&Profile, Option<&Profile>)> {
    let usable = |profile: &&Profile| profile.codec != Codec::Other;
    let source = &profiles.iter().find(usable)?.source;
    let of_source = || profiles.iter().filter(usable).filter(|profile| profile.source == *source);
    let main =
        of_source().max_by(|a, b| a.area().cmp(&b.area()).then(b.codec.cmp(&a.codec)).then(a.fps.total_cmp(&b.fps)))?;
    let small = of_source().filter(|profile| profile.codec == Codec::H264 && profile.area() < main.area());
    Some((main, small.min_by_key(|profile| profile.area())))
}

/// `GetStreamUriResponse` of either media service, on the host that the camera was reached at and without credentials: cameras
/// name the address of another of their networks, some with a password in it.
pub fn stream(answer: &Element, host: &str) -> Result<Url, OnvifError> {
    let wrong = |why: &str| OnvifError::undecodable("GetStreamUri", why);
    let uri = answer.find("Uri").map_or("", |uri| uri.text.as_str());
    let mut url = Url::parse(uri).map_err(|_| wrong("there is no address in it"))?;
    if url.scheme() != "rtsp" {
        return Err(wrong(&format!("the stream is offered by {}, not by rtsp", url.scheme())));
    }
    url.set_host(Some(host)).map_err(|_| wrong("its host cannot be replaced by ours"))?;
    let cleaned = url.set_username("").and_then(|()| url.set_password(None));
    cleaned.map_err(|()| wrong("its credentials cannot be removed"))?;
    Ok(url)
}

/// `GetNodesResponse` or `GetNodeResponse`: what the node of this token can do; of cameras with one node, that one.
pub fn reach(answer: &Element, token: &str) -> Option<Reach> {
    let nodes: Vec<_> = answer.all("PTZNode").take(LIST_MAX).collect();
    let node = nodes.iter().find(|node| node.attribute("token") == token).or_else(|| nodes.first())?;
    let has = |space| node.at(&["SupportedPTZSpaces", space]).is_some();
    Some(Reach {
        pan_tilt: has("ContinuousPanTiltVelocitySpace"),
        zoom: has("ContinuousZoomVelocitySpace"),
        absolute: has("AbsolutePanTiltPositionSpace"),
        presets_max: node.text_at(&["MaximumNumberOfPresets"]).parse().unwrap_or(0),
    })
}

/// `GetPresetsResponse`. Cameras list places that were never set; those without a name are left out where others have one.
pub fn presets(answer: &Element) -> Vec<Preset> {
    let all = answer.all("Preset").take(LIST_MAX).filter(|preset| !preset.attribute("token").is_empty());
    let all: Vec<_> = all
        .map(|preset| Preset { token: preset.attribute("token").to_owned(), name: name(preset.text_at(&["Name"])) })
        .collect();
    let named = all.iter().any(|preset| !preset.name.is_empty());
    let keep = |preset: &Preset| !named || !preset.name.is_empty();
    all.into_iter()
        .filter(keep)
        .map(|preset| if preset.name.is_empty() { Preset { name: preset.token.clone(), ..preset } } else { preset })
        .collect()
}

/// `GetStatusResponse`.
pub fn status(answer: &Element) -> Status {
    let Some(status) = answer.child("PTZStatus") else { return Status::default() };
    let number = |part: &str, axis: &str| {
        let value: f32 = status.at(&["Position", part])?.attribute(axis).parse().ok()?;
        value.is_finite().then_some(value)
    };
    let position = number("PanTilt", "x").map(|pan| Position {
        pan,
        tilt: number("PanTilt", "y").unwrap_or_default(),
        zoom: number("Zoom", "x").unwrap_or_default(),
    });
    let words: Vec<_> = ["PanTilt", "Zoom"]
        .iter()
        .map(|part| status.text_at(&["MoveStatus", part]))
        .filter(|word| matches!(*word, "IDLE" | "MOVING"))
        .collect();
    let moving = (!words.is_empty()).then(|| words.contains(&"MOVING"));
    Status { position, moving }
}

/// `SetPresetResponse`: the token.
pub fn preset_token(answer: &Element) -> String {
    answer.text_at(&["PresetToken"]).to_owned()
}

/// `CreatePullPointSubscriptionResponse`.
pub fn pull_point(answer: &Element) -> Result<PullPoint, OnvifError> {
    let reference = answer.child("SubscriptionReference");
    let reference = reference
        .ok_or_else(|| OnvifError::undecodable("CreatePullPointSubscription", "there is no reference in it"))?;
    let address = reference.text_at(&["Address"]).to_owned();
    let parameters = reference.child("ReferenceParameters").map(|p| p.children.clone()).unwrap_or_default();
    Ok(PullPoint { address, parameters, life_ms: life_ms(answer) })
}

/// How long a pull point lives from now on, ms: the difference of two moments by the camera's clock.
pub fn life_ms(answer: &Element) -> Option<i64> {
    let until: Timestamp = answer.text_at(&["TerminationTime"]).parse().ok()?;
    let now: Timestamp = answer.text_at(&["CurrentTime"]).parse().ok()?;
    i64::try_from(until.duration_since(now).as_millis()).ok().filter(|ms| *ms > 0)
}

/// `PullMessagesResponse`.
pub fn notifications(answer: &Element) -> Vec<Notification> {
    answer.all("NotificationMessage").take(LIST_MAX).filter_map(notification).collect()
}

fn notification(element: &Element) -> Option<Notification> {
    let topic: Vec<_> = element
        .text_at(&["Topic"])
        .split('/')
        .map(|part| part.rsplit(':').next().unwrap_or_default().trim())
        .filter(|part| !part.is_empty())
        .take(16)
        .collect();
    let message = element.at(&["Message", "Message"])?;
    let items = |part: &str| -> Vec<(String, String)> {
        let Some(part) = message.child(part) else { return Vec::new() };
        let items = part.all("SimpleItem").take(32);
        items.map(|item| (name(item.attribute("Name")), name(item.attribute("Value")))).collect()
    };
    let operation = match message.attribute("PropertyOperation") {
        "Initialized" => Operation::Initialized,
        "Deleted" => Operation::Deleted,
        _ => Operation::Changed,
    };
    (!topic.is_empty()).then(|| Notification {
        topic: topic.join("/"),
        operation,
        source: items("Source"),
        data: items("Data"),
        at: message.attribute("UtcTime").parse().ok(),
    })
}

/// `ProbeMatches` of WS-Discovery: the addresses of device services, and the name among the scopes.
pub fn probe_match(answer: &Element) -> (Vec<String>, String) {
    let text = |field| answer.find(field).map_or("", |element| element.text.as_str());
    let addresses = text("XAddrs").split_whitespace().take(16).map(str::to_owned).collect();
    let scope = text("Scopes").split_whitespace().find_map(|scope| scope.split_once("/name/").map(|(_, name)| name));
    let called = scope.map(|scope| scope.replace("%20", " ").replace('_', " ")).unwrap_or_default();
    (addresses, name(&called))
}

#[cfg(test)]
mod tests;
