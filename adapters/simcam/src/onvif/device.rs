//! The device service, and answers to WS-Discovery probes.

use super::soap::{Answer, Fault, text};
use super::xml::{Node, escape};
use super::{Profile, Shared};
use std::fmt::Write as _;
use tokio::net::UdpSocket;
use tracing::debug;

/// Operations that need no account (ONVIF Core §5.9.4.3, access class PRE_AUTH).
pub(crate) fn open_to_all(operation: &str) -> bool {
    matches!(operation, "GetSystemDateAndTime" | "GetServices" | "GetServiceCapabilities" | "GetCapabilities")
}

pub(crate) fn answer(shared: &Shared, request: &Node) -> Answer {
    let config = &shared.config;
    Ok(match request.name.as_str() {
        "GetSystemDateAndTime" => date_and_time(shared),
        "GetDeviceInformation" => format!(
            "<tds:GetDeviceInformationResponse><tds:Manufacturer>Gatehouse</tds:Manufacturer>\
             <tds:Model>Virtual camera</tds:Model><tds:FirmwareVersion>{}</tds:FirmwareVersion>\
             <tds:SerialNumber>{}</tds:SerialNumber><tds:HardwareId>1</tds:HardwareId></tds:GetDeviceInformationResponse>",
            env!("CARGO_PKG_VERSION"),
            escape(&config.serial)
        ),
        "GetServices" => services(shared),
        "GetCapabilities" => capabilities(shared),
        "GetServiceCapabilities" => "<tds:GetServiceCapabilitiesResponse><tds:Capabilities><tds:Network/>\
             <tds:Security UsernameToken=\"true\" HttpDigest=\"true\"/><tds:System/></tds:Capabilities>\
             </tds:GetServiceCapabilitiesResponse>"
            .to_owned(),
        "GetScopes" => {
            let scopes: String = scopes(shared)
                .iter()
                .map(|scope| {
                    format!(
                        "<tds:Scopes><tt:ScopeDef>Fixed</tt:ScopeDef><tt:ScopeItem>{scope}</tt:ScopeItem></tds:Scopes>"
                    )
                })
                .collect();
            format!("<tds:GetScopesResponse>{scopes}</tds:GetScopesResponse>")
        }
        other => return Err(Fault::unsupported(other)),
    })
}

fn date_and_time(shared: &Shared) -> String {
    let at = jiff::tz::TimeZone::UTC.to_datetime(shared.now());
    format!(
        "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>\
         <tt:DaylightSavings>false</tt:DaylightSavings><tt:TimeZone><tt:TZ>CST-8</tt:TZ></tt:TimeZone>\
         <tt:UTCDateTime><tt:Time><tt:Hour>{}</tt:Hour><tt:Minute>{}</tt:Minute><tt:Second>{}</tt:Second></tt:Time>\
         <tt:Date><tt:Year>{}</tt:Year><tt:Month>{}</tt:Month><tt:Day>{}</tt:Day></tt:Date></tt:UTCDateTime>\
         </tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>",
        at.hour(),
        at.minute(),
        at.second(),
        at.year(),
        at.month(),
        at.day()
    )
}

/// Namespace and path of each service.
fn list(shared: &Shared) -> Vec<(&'static str, &'static str)> {
    let mut services = vec![
        ("http://www.onvif.org/ver10/device/wsdl", "device_service"),
        ("http://www.onvif.org/ver10/media/wsdl", "media_service"),
        ("http://www.onvif.org/ver10/events/wsdl", "event_service"),
    ];
    if shared.config.media2 {
        services.push(("http://www.onvif.org/ver20/media/wsdl", "media2_service"));
    }
    if shared.config.head.is_some() {
        services.push(("http://www.onvif.org/ver20/ptz/wsdl", "ptz_service"));
    }
    services
}

fn services(shared: &Shared) -> String {
    let services = list(shared).into_iter().fold(String::new(), |mut out, (namespace, path)| {
        let _ = write!(
            out,
            "<tds:Service><tds:Namespace>{namespace}</tds:Namespace><tds:XAddr>{}/{path}</tds:XAddr>\
             <tds:Version><tt:Major>2</tt:Major><tt:Minor>60</tt:Minor></tds:Version></tds:Service>",
            shared.base
        );
        out
    });
    format!("<tds:GetServicesResponse>{services}</tds:GetServicesResponse>")
}

fn capabilities(shared: &Shared) -> String {
    let base = &shared.base;
    let ptz = match shared.config.head {
        Some(_) => format!("<tt:PTZ><tt:XAddr>{base}/ptz_service</tt:XAddr></tt:PTZ>"),
        None => String::new(),
    };
    format!(
        "<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Device><tt:XAddr>{base}/device_service</tt:XAddr></tt:Device>\
         <tt:Events><tt:XAddr>{base}/event_service</tt:XAddr>\
         <tt:WSSubscriptionPolicySupport>false</tt:WSSubscriptionPolicySupport><tt:WSPullPointSupport>true</tt:WSPullPointSupport>\
         <tt:WSPausableSubscriptionManagerInterfaceSupport>false</tt:WSPausableSubscriptionManagerInterfaceSupport></tt:Events>\
         <tt:Media><tt:XAddr>{base}/media_service</tt:XAddr><tt:StreamingCapabilities><tt:RTP_TCP>true</tt:RTP_TCP>\
         <tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP></tt:StreamingCapabilities></tt:Media>{ptz}</tds:Capabilities>\
         </tds:GetCapabilitiesResponse>"
    )
}

fn scopes(shared: &Shared) -> Vec<String> {
    let word = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.', "_");
    vec![
        "onvif://www.onvif.org/Profile/Streaming".to_owned(),
        "onvif://www.onvif.org/Profile/T".to_owned(),
        format!("onvif://www.onvif.org/name/{}", word(&shared.config.name)),
        "onvif://www.onvif.org/hardware/Virtual_camera".to_owned(),
    ]
}

/// Answers probes for as long as the socket works.
pub(crate) async fn answer_probes(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { return };
        let Some(envelope) = buffer.get(..length).and_then(Node::read) else { continue };
        if envelope.find("Probe").is_none() {
            continue;
        }
        let relates = escape(envelope.text_of("MessageID").unwrap_or_default());
        if let Err(error) = socket.send_to(matches(shared, &relates).as_bytes(), peer).await {
            debug!(%peer, %error, "A probe was not answered");
        }
    }
}

fn matches(shared: &Shared, relates: &str) -> String {
    let serial = &shared.config.serial;
    let number =
        serial.bytes().fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(b))) & 0xffff_ffff_ffff;
    text(&format!(
        "<d:ProbeMatches xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\">\
         <a:RelatesTo>{relates}</a:RelatesTo><d:ProbeMatch><a:EndpointReference>\
         <a:Address>urn:uuid:00000000-0000-4000-8000-{number:012x}</a:Address></a:EndpointReference>\
         <d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>{}</d:Scopes><d:XAddrs>{}/device_service</d:XAddrs>\
         <d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>",
        scopes(shared).join(" "),
        shared.base
    ))
}

/// The profile of a request; the first one where the request names none.
pub(crate) fn profile<'a>(shared: &'a Shared, request: &Node) -> Result<&'a Profile, Fault> {
    let profiles = &shared.config.profiles;
    let found = match request.text_of("ProfileToken") {
        Some(token) => profiles.iter().find(|profile| profile.name == token),
        None => profiles.first(),
    };
    found.ok_or_else(|| Fault::sender("ter:NoProfile", "The requested profile token does not exist"))
}
