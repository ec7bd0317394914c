//! Answers as cameras write them.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Element {
    Element::read(text.as_bytes()).unwrap()
}

fn profile(token: &str, codec: Codec, width: u32, height: u32) -> Profile {
    let (name, source, node) = (token.to_owned(), "source".to_owned(), String::new());
    Profile { token: token.into(), name, codec, width, height, fps: 25.0, source, node }
}

#[test]
fn the_clock_is_read_and_nonsense_is_said() {
    let text = |month, day| {
        format!(
            "<R><SystemDateAndTime><UTCDateTime><Time><Hour>9</Hour><Minute>5</Minute><Second>60</Second></Time>\
             <Date><Year>2026</Year><Month>{month}</Month><Day>{day}</Day></Date></UTCDateTime></SystemDateAndTime></R>"
        )
    };
    assert_eq!(date_and_time(&read(&text(2, 28))).unwrap().to_string(), "2026-02-28T09:05:59Z");
    for (month, day) in [(2, 30), (13, 1), (0, 1), (300, 1), (1, 0)] {
        assert!(date_and_time(&read(&text(month, day))).is_err(), "{month} {day}");
    }
    assert!(date_and_time(&read("<R/>")).is_err());
}

#[test]
fn profiles_of_both_media_services_read_alike() {
    let old = "<R><Profiles token='p1'><Name>main</Name><VideoSourceConfiguration><SourceToken>s</SourceToken>\
               </VideoSourceConfiguration><VideoEncoderConfiguration><Encoding>H264</Encoding><Resolution><Width>1920</Width>\
               <Height>1080</Height></Resolution><RateControl><FrameRateLimit>25</FrameRateLimit></RateControl>\
               </VideoEncoderConfiguration><PTZConfiguration><NodeToken>n</NodeToken></PTZConfiguration></Profiles>\
               <Profiles token='audio'><Name>no video</Name></Profiles></R>";
    let new = "<R><Profiles token='p1'><Name>main</Name><Configurations><VideoSource><SourceToken>s</SourceToken></VideoSource>\
               <VideoEncoder><Encoding>H264</Encoding><Resolution><Width>1920</Width><Height>1080</Height></Resolution>\
               <RateControl><FrameRateLimit>25.0</FrameRateLimit></RateControl></VideoEncoder><PTZ><NodeToken>n</NodeToken>\
               </PTZ></Configurations></Profiles></R>";
    let read_old = profiles(&read(old));
    assert_eq!(read_old, profiles(&read(new)));
    assert_eq!((read_old.len(), read_old[0].node.as_str(), read_old[0].source.as_str()), (1, "n", "s"));
}

#[test]
fn main_is_the_largest_and_sub_the_smallest_in_h264() {
    use Codec::{H264, H265, Other};
    let choice = |profiles: &[Profile]| {
        choose(profiles).map(|(main, sub)| (main.token.clone(), sub.map(|sub| sub.token.clone())))
    };
    let (big, hevc) = (profile("big", H264, 1920, 1080), profile("hevc", H265, 3840, 2160));
    let (mid, low) = (profile("mid", H264, 1280, 720), profile("low", H264, 640, 360));
    let tiny = profile("tiny", H265, 320, 180);
    let some = |main: &str, sub: &str| Some((main.to_owned(), Some(sub.to_owned())));
    assert_eq!(choice(&[mid.clone(), big.clone(), low.clone(), tiny.clone()]), some("big", "low"));
    assert_eq!(choice(&[big.clone(), hevc, low.clone()]), some("hevc", "low"));
    assert_eq!(choice(&[profile("same", H265, 1920, 1080), big.clone()]), Some(("big".to_owned(), None)));
    assert_eq!(choice(&[profile("jpeg", Other, 9_000, 9_000), low.clone(), tiny]), Some(("low".to_owned(), None)));
    // A second lens is another camera.
    let other = Profile { source: "lens-2".into(), ..profile("lens-2", H264, 4_000, 3_000) };
    assert_eq!(choice(&[mid, other, low]), some("mid", "low"));
    assert_eq!(choice(&[profile("jpeg", Other, 640, 360)]), None);
}

#[test]
fn a_stream_is_looked_for_where_the_camera_is_and_loses_its_password() {
    let check = |uri: &str| {
        let answer = read(&format!("<R><MediaUri><Uri>{uri}</Uri></MediaUri></R>"));
        stream(&answer, "10.0.0.5").map(|url| url.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(check("rtsp://admin:secret@192.168.1.64:8554/a?b=1&amp;c").unwrap(), "rtsp://10.0.0.5:8554/a?b=1&c");
    let refused = check("rtsps://192.168.1.64/a").unwrap_err();
    assert!(refused.contains("offered by rtsps"), "{refused}");
    assert!(check("").is_err());
    assert_eq!(stream(&read("<R><Uri>rtsp://h/x</Uri></R>"), "::1").map_err(|e| e.to_string()).ok(), None);
    assert_eq!(stream(&read("<R><Uri>rtsp://h/x</Uri></R>"), "[::1]").unwrap().as_str(), "rtsp://[::1]/x");
}

#[test]
fn services_come_of_either_answer() {
    let new = read(
        "<R><Service><Namespace>http://www.onvif.org/ver20/ptz/wsdl</Namespace><XAddr>http://c/p</XAddr></Service></R>",
    );
    assert_eq!(services(&new), Services { ptz: "http://c/p".into(), ..Services::default() });
    let old = read(
        "<R><Capabilities><Media><XAddr>http://c/m</XAddr></Media><Events><XAddr>http://c/e</XAddr></Events></Capabilities></R>",
    );
    let expected = Services { media: "http://c/m".into(), events: "http://c/e".into(), ..Services::default() };
    assert_eq!(services(&old), expected);
}

#[test]
fn presets_nobody_named_are_left_out_where_others_are_named() {
    let tokens = |text: &str| presets(&read(text)).into_iter().map(|p| (p.token, p.name)).collect::<Vec<_>>();
    let pair = |token: &str, name: &str| (token.to_owned(), name.to_owned());
    let some = "<R><Preset token='1'><Name>Gate</Name></Preset><Preset token='2'/><Preset/></R>";
    assert_eq!(tokens(some), [pair("1", "Gate")]);
    assert_eq!(tokens("<R><Preset token='1'/><Preset token='2'/></R>"), [pair("1", "1"), pair("2", "2")]);
}

#[test]
fn a_status_says_what_the_camera_says() {
    let text = "<R><PTZStatus><Position><PanTilt x='0.5' y='-1'/><Zoom x='0.25'/></Position>\
                <MoveStatus><PanTilt>IDLE</PanTilt><Zoom>MOVING</Zoom></MoveStatus></PTZStatus></R>";
    let position = Some(Position { pan: 0.5, tilt: -1.0, zoom: 0.25 });
    assert_eq!(status(&read(text)), Status { position, moving: Some(true) });
    assert_eq!(
        status(&read("<R><PTZStatus><MoveStatus><PanTilt>UNKNOWN</PanTilt></MoveStatus></PTZStatus></R>")),
        Status::default()
    );
}

#[test]
fn a_pull_point_keeps_its_reference_parameters_with_their_namespaces() {
    let text = "<R xmlns:a='http://www.w3.org/2005/08/addressing'><SubscriptionReference><a:Address>http://c/s</a:Address>\
                <a:ReferenceParameters><dom0:SubscriptionId xmlns:dom0='http://www.axis.com/2009/event'>7</dom0:SubscriptionId>\
                </a:ReferenceParameters></SubscriptionReference><CurrentTime>2026-01-01T00:00:00Z</CurrentTime>\
                <TerminationTime>2026-01-01T00:01:00Z</TerminationTime></R>";
    let point = pull_point(&read(text)).unwrap();
    assert_eq!((point.address.as_str(), point.life_ms), ("http://c/s", Some(60_000)));
    let mut header = String::new();
    point.parameters[0].write(" wsa:IsReferenceParameter=\"true\"", &mut header);
    let expected = "<n:SubscriptionId xmlns:n=\"http://www.axis.com/2009/event\" wsa:IsReferenceParameter=\"true\">7</n:SubscriptionId>";
    assert_eq!(header, expected);
    assert!(pull_point(&read("<R/>")).is_err());
}

#[test]
fn a_notification_is_read_with_its_topic_freed_of_prefixes() {
    let text = "<R><NotificationMessage><Topic>tns1:RuleEngine/tnsaxis:CellMotionDetector/Motion</Topic><Message>\
                <Message UtcTime='2026-01-01T00:00:00Z' PropertyOperation='Initialized'><Source><SimpleItem Name='Rule' Value='1'/>\
                </Source><Data><SimpleItem Name='IsMotion' Value='true'/></Data></Message></Message></NotificationMessage>\
                <NotificationMessage><Topic/></NotificationMessage></R>";
    let read = notifications(&read(text));
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].topic, "RuleEngine/CellMotionDetector/Motion");
    assert_eq!((read[0].operation, read[0].at.is_some()), (Operation::Initialized, true));
    assert_eq!(read[0].data, [("IsMotion".to_owned(), "true".to_owned())]);
}

#[test]
fn a_probe_is_matched_by_addresses_and_a_name() {
    let text = "<E><Body><ProbeMatches><ProbeMatch><Scopes>onvif://www.onvif.org/type/ptz onvif://www.onvif.org/name/East%20gate</Scopes>\
                <XAddrs>http://192.168.1.64/onvif/device_service http://[fe80::1]/x</XAddrs></ProbeMatch></ProbeMatches></Body></E>";
    let (addresses, name) = probe_match(&read(text));
    assert_eq!((addresses.len(), name.as_str()), (2, "East gate"));
}

/// Any tree out of the words that answers are made of.
fn tree() -> impl Strategy<Value = Element> {
    let word = prop::sample::select(vec![
        "Profiles",
        "Configurations",
        "VideoEncoder",
        "VideoEncoderConfiguration",
        "Encoding",
        "Resolution",
        "Width",
        "Height",
        "RateControl",
        "FrameRateLimit",
        "PTZ",
        "PTZNode",
        "PTZStatus",
        "Position",
        "PanTilt",
        "Zoom",
        "MoveStatus",
        "Preset",
        "Name",
        "Uri",
        "UTCDateTime",
        "Date",
        "Time",
        "Year",
        "Month",
        "Day",
        "Hour",
        "Minute",
        "Second",
        "Service",
        "Namespace",
        "XAddr",
        "SubscriptionReference",
        "Address",
        "ReferenceParameters",
        "NotificationMessage",
        "Topic",
        "Message",
        "Source",
        "Data",
        "SimpleItem",
        "TerminationTime",
        "CurrentTime",
        "Scopes",
        "XAddrs",
    ]);
    let text = prop_oneof!["[0-9]{0,6}", "\\PC{0,12}", Just("2026-01-01T00:00:00Z".to_owned()), Just("NaN".to_owned())];
    let attribute =
        (prop::sample::select(vec!["token", "x", "y", "Name", "Value", "UtcTime", "PropertyOperation"]), text.clone());
    let leaf =
        (word.clone(), text, prop::collection::vec(attribute, 0..3)).prop_map(|(name, text, attributes)| Element {
            name: name.to_owned(),
            text,
            attributes: attributes.into_iter().map(|(key, value)| (String::new(), key.to_owned(), value)).collect(),
            ..Element::default()
        });
    leaf.prop_recursive(5, 64, 6, move |inner| {
        (word.clone(), prop::collection::vec(inner, 0..6)).prop_map(|(name, children)| Element {
            name: name.to_owned(),
            children,
            ..Element::default()
        })
    })
}

proptest! {
    #[test]
    fn any_answer_gives_types_or_an_error(answer in tree()) {
        let _ = date_and_time(&answer);
        let _ = (identity(&answer), services(&answer), reach(&answer, "n"), status(&answer), presets(&answer));
        let _ = (stream(&answer, "h"), pull_point(&answer), probe_match(&answer), preset_token(&answer));
        let _ = choose(&profiles(&answer));
        for notification in notifications(&answer) {
            let _ = crate::onvif::senses::Senses::new(true).take(&notification);
        }
    }
}
