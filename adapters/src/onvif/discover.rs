//! Cameras are looked for by unicast: a WS-Discovery probe to each address, and an HTTP request where that is not answered.
//! Nothing is sent to anyone who was not named.

use super::auth::Account;
use super::camera::Camera;
use super::codec::{self, Identity, Profile};
use super::soap::{OnvifError, Soap, body_of};
use super::xml::Element;
use rand::Rng;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use url::Url;

/// The standard's port for probes.
pub const PROBE_PORT: u16 = 3702;
/// Ports on which cameras serve ONVIF when nobody says otherwise.
pub const PORTS: [u16; 5] = [80, 8000, 8080, 8899, 2020];
/// Most addresses in one search.
pub const ADDRESSES_MAX: usize = 1024;
/// Addresses asked at the same time.
const AT_ONCE: usize = 48;
/// A probe is answered within so long.
const PROBE_MAX: Duration = Duration::from_millis(600);
/// A port that is open answers its first request within so long.
const KNOCK_MAX: Duration = Duration::from_millis(1_500);
/// Everything about one camera is asked within so long.
const LOOK_MAX: Duration = Duration::from_secs(15);

/// Why a text names no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is none.
    #[error("{0:?} is no address: write 192.168.1.64, 192.168.1.0/24 or 192.168.1.10-192.168.1.40")]
    Unreadable(String),
    /// It names too many.
    #[error("{0:?} is more than {ADDRESSES_MAX} addresses: search a smaller part at a time")]
    TooMany(String),
}

/// Reads an address, a network (`192.168.1.0/24`) or a range (`192.168.1.10-192.168.1.40`): every address to be asked.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, RangeError> {
    let unreadable = || RangeError::Unreadable(text.chars().take(64).collect());
    let (first, last) = if let Some((network, prefix)) = text.split_once('/') {
        let network: Ipv4Addr = network.trim().parse().map_err(|_| unreadable())?;
        let prefix: u32 = prefix.trim().parse().map_err(|_| unreadable())?;
        let mask = 32_u32.checked_sub(prefix).ok_or_else(unreadable)?;
        let size = 1_u64 << mask;
        let first = u64::from(u32::from(network)) & !(size - 1);
        // Network and broadcast address are nobody's.
        if size > 2 { (first + 1, first + size - 2) } else { (first, first + size - 1) }
    } else if let Some((first, last)) = text.split_once('-') {
        let parse = |text: &str| text.trim().parse::<Ipv4Addr>().map(|at| u64::from(u32::from(at)));
        (parse(first).map_err(|_| unreadable())?, parse(last).map_err(|_| unreadable())?)
    } else {
        return Ok(vec![text.trim().parse().map_err(|_| unreadable())?]);
    };
    let count = last.checked_sub(first).ok_or_else(unreadable)?.saturating_add(1);
    if count > ADDRESSES_MAX as u64 {
        return Err(RangeError::TooMany(text.chars().take(64).collect()));
    }
    Ok((first..=last).filter_map(|n| u32::try_from(n).ok()).map(|n| IpAddr::V4(Ipv4Addr::from(n))).collect())
}

/// Whether an address is of a local network: what pages may search.
pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// What is searched.
#[derive(Clone, Debug)]
pub struct Search {
    /// Who is asked.
    pub addresses: Vec<IpAddr>,
    /// On which ports by HTTP.
    pub ports: Vec<u16>,
    /// On which port by probe.
    pub probe_port: u16,
    /// With which account streams are asked for; none: only what is open to all.
    pub account: Account,
}

impl Search {
    /// These addresses, on the usual ports, without an account.
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ports: PORTS.to_vec(), probe_port: PROBE_PORT, account: Account::default() }
    }
}

/// A profile of a found camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundProfile {
    /// What it is.
    #[serde(flatten)]
    pub profile: Profile,
    /// Where it is, without credentials; empty when the camera does not say.
    pub uri: String,
    /// `main` or `sub` when it would be used as that, else empty.
    pub role: &'static str,
}

/// A camera that was found. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Its address.
    pub address: IpAddr,
    /// Its device service.
    pub onvif: String,
    /// The name it gives itself, where it does.
    pub name: String,
    /// Who it says it is.
    pub identity: Identity,
    /// Its profiles.
    pub profiles: Vec<FoundProfile>,
    /// Whether it has a head that moves.
    pub ptz: bool,
    /// Why more is not known: the account, mostly. Empty when all is.
    pub problem: String,
}

impl Found {
    /// The lines of a site's definition for this camera, to be completed by place and password file.
    pub fn toml(&self, user: &str) -> String {
        let key: String =
            format!("cam-{}", self.address).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let called = if self.name.is_empty() { &self.identity.model } else { &self.name };
        let name = if called.is_empty() { &key } else { called };
        let model = format!("{} {}", self.identity.maker, self.identity.model);
        let text = |text: &str| serde_json::Value::String(text.trim().to_owned()).to_string();
        let account = match user {
            "" => String::new(),
            user => format!(", user = {}, password_file = \"secrets/{key}\"", text(user)),
        };
        format!(
            "[[devices]]\nkey = {}\nkind = \"camera\"\nname = {}\nplace = \"\" # the key of one of your places\nmodel = {}\n\
             stream = {{ onvif = {}{account} }}\n",
            text(&key),
            text(name),
            text(&model),
            text(&self.onvif)
        )
    }
}

/// What a search tells, as it goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// So many of so many addresses were asked.
    Asked(usize, usize),
    /// A camera.
    Found(Box<Found>),
}

/// Searches; steps come as they happen. Ends early when nobody listens any more.
pub async fn search(search: Search, steps: mpsc::Sender<Step>) {
    let total = search.addresses.len();
    let (search, room) = (Arc::new(search), Arc::new(Semaphore::new(AT_ONCE)));
    let mut tasks = tokio::task::JoinSet::new();
    for address in search.addresses.clone() {
        let (search, room) = (search.clone(), room.clone());
        tasks.spawn(async move {
            // The semaphore is never closed.
            let _seat = room.acquire_owned().await.ok()?;
            look(&search, address).await
        });
    }
    let mut asked = 0;
    while let Some(found) = tasks.join_next().await {
        asked += 1;
        let found = found.ok().flatten().map(|found| Step::Found(Box::new(found)));
        for step in found.into_iter().chain([Step::Asked(asked, total)]) {
            if steps.send(step).await.is_err() {
                return;
            }
        }
    }
}

async fn look(search: &Search, address: IpAddr) -> Option<Found> {
    let (probed, name) = probe(SocketAddr::new(address, search.probe_port)).await.unwrap_or_default();
    let named = probed.iter().filter_map(|text| Url::parse(text).ok()).find(|url| url.scheme() == "http");
    let service = match named {
        // Of the addresses that a camera names, the path and port count: it was reached at this one.
        Some(mut url) => url.set_ip_host(address).map(|()| url).ok(),
        None => None,
    };
    let service = match service {
        Some(service) => service,
        None => knock(search, address).await?,
    };
    let mut found = Found {
        address,
        onvif: service.to_string(),
        name,
        identity: Identity::default(),
        profiles: Vec::new(),
        ptz: false,
        problem: String::new(),
    };
    match tokio::time::timeout(LOOK_MAX, describe(&mut found, service, search)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => found.problem = error.to_string(),
        Err(_) => found.problem = OnvifError::Silent(address.to_string()).to_string(),
    }
    Some(found)
}

async fn describe(found: &mut Found, service: Url, search: &Search) -> Result<(), OnvifError> {
    let camera = Camera::open(service, search.account.clone()).await?;
    found.identity = camera.identity.clone();
    found.ptz = camera.reach.is_some();
    let chosen = codec::choose(&camera.profiles);
    let chosen = chosen.map(|(main, sub)| (main.token.clone(), sub.map(|sub| sub.token.clone())));
    for profile in &camera.profiles {
        let role = match &chosen {
            Some((main, _)) if *main == profile.token => "main",
            Some((_, Some(sub))) if *sub == profile.token => "sub",
            Some(_) | None => "",
        };
        let uri = camera.stream(profile).await.map(|uri| uri.to_string()).unwrap_or_default();
        found.profiles.push(FoundProfile { profile: profile.clone(), uri, role });
    }
    Ok(())
}

/// Probes one address: the service addresses and the name that it answers with.
async fn probe(to: SocketAddr) -> Option<(Vec<String>, String)> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    // Only answers of this address are heard.
    socket.connect(to).await.ok()?;
    let id = uuid::Builder::from_random_bytes(rand::rng().random()).into_uuid();
    let envelope = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:w=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" \
         xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\"><e:Header><w:MessageID>urn:uuid:{id}</w:MessageID>\
         <w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>\
         <w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>\
         <e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"
    );
    socket.send(envelope.as_bytes()).await.ok()?;
    let mut buffer = vec![0; 16 * 1024];
    let length = tokio::time::timeout(PROBE_MAX, socket.recv(&mut buffer)).await.ok()?.ok()?;
    let answer: Element = body_of(buffer.get(..length)?).ok()?;
    Some(codec::probe_match(&answer))
}

/// Asks the usual place on each port for the time, which every camera tells everybody.
async fn knock(search: &Search, address: IpAddr) -> Option<Url> {
    for port in &search.ports {
        let at = SocketAddr::new(address, *port);
        let Ok(url) = Url::parse(&format!("http://{at}/onvif/device_service")) else { continue };
        let Ok(soap) = Soap::new(url.clone(), Account::default()) else { continue };
        let ask = "<GetSystemDateAndTime xmlns=\"http://www.onvif.org/ver10/device/wsdl\"/>";
        let asking = soap.call(&url, "GetSystemDateAndTime", ask);
        match tokio::time::timeout(KNOCK_MAX, asking).await {
            Ok(Ok(answer)) if codec::date_and_time(&answer).is_ok() => return Some(url),
            // Some tell not even the time without an account.
            Ok(Err(OnvifError::Fault { .. } | OnvifError::Unauthorised(_))) => return Some(url),
            Ok(_) | Err(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_networks_and_ranges_are_read_and_too_many_are_refused() {
        let check = |text: &str, expect: &[&str]| {
            let read: Vec<_> = addresses(text).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(read, expect, "{text}");
        };
        check("192.168.1.64", &["192.168.1.64"]);
        check("::1", &["::1"]);
        check("10.0.0.9/30", &["10.0.0.9", "10.0.0.10"]);
        check("10.0.0.9/32", &["10.0.0.9"]);
        check("10.0.0.254 - 10.0.1.1", &["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]);
        assert_eq!(addresses("10.0.0.0/22").unwrap().len(), 1022);
        for text in ["10.0.0.0/21", "0.0.0.0/0", "1.0.0.0-2.0.0.0"] {
            assert_eq!(addresses(text), Err(RangeError::TooMany(text.into())));
        }
        for text in ["", "camera", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "::1/64", "10.0.0/24"] {
            assert_eq!(addresses(text), Err(RangeError::Unreadable(text.into())));
        }
    }

    #[test]
    fn the_lines_for_a_site_read_as_a_camera() {
        let found = Found {
            address: "192.168.1.64".parse().unwrap(),
            onvif: "http://192.168.1.64/onvif/device_service".into(),
            name: "East \"gate\"".into(),
            identity: Identity { maker: "Maker".into(), model: "M-1".into(), ..Identity::default() },
            profiles: Vec::new(),
            ptz: true,
            problem: String::new(),
        };
        let text = format!("name = \"Site\"\n{}", found.toml("admin"));
        let site: gatehouse_core::site::Site = toml::from_str(&text).unwrap();
        let stream = site.devices[0].stream.clone().unwrap();
        assert_eq!(
            (site.devices[0].name.as_str(), site.devices[0].key.as_str()),
            ("East \"gate\"", "cam-192-168-1-64")
        );
        assert_eq!(stream.onvif.as_deref(), Some("http://192.168.1.64/onvif/device_service"));
        assert_eq!(stream.password_file.as_deref(), Some("secrets/cam-192-168-1-64"));
    }

    proptest! {
        #[test]
        fn any_text_names_a_bounded_list_or_is_an_error(text in "[0-9./: -]{0,40}|\\PC{0,20}") {
            if let Ok(list) = addresses(&text) {
                prop_assert!(!list.is_empty() && list.len() <= ADDRESSES_MAX);
            }
        }
    }
}
