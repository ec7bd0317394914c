//! One camera's services, spoken to: opened, asked where its streams are, turned, listened to.

use super::auth::Account;
use super::codec::{self, Identity, Notification, Position, Preset, Profile, PullPoint, Reach, Services, Status};
use super::soap::{ANSWER_MAX, OnvifError, Soap, tag};
use std::time::Duration;
use url::Url;

const DEVICE: &str = "http://www.onvif.org/ver10/device/wsdl";
const MEDIA: &str = "http://www.onvif.org/ver10/media/wsdl";
const MEDIA2: &str = "http://www.onvif.org/ver20/media/wsdl";
const PTZ: &str = "http://www.onvif.org/ver20/ptz/wsdl";
const EVENTS: &str = "http://www.onvif.org/ver10/events/wsdl";
const NOTIFICATION: &str = "http://docs.oasis-open.org/wsn/b-2";
const SCHEMA: &str = "http://www.onvif.org/ver10/schema";

/// Messages asked for in one pull.
const MESSAGES: u32 = 100;

/// Where a camera's pictures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    /// The largest.
    pub main: Url,
    /// The smallest in H.264, where it has a smaller one.
    pub sub: Option<Url>,
}

/// A camera that answered.
#[derive(Debug)]
pub struct Camera {
    soap: Soap,
    /// Who it says it is.
    pub identity: Identity,
    /// Its profiles with video.
    pub profiles: Vec<Profile>,
    /// What its head can do; none for a camera without one.
    pub reach: Option<Reach>,
    services: Services,
    /// Whether profiles are of the second media service.
    second: bool,
    /// The profile that the head moves.
    moved: String,
}

impl Camera {
    /// Opens a camera: its clock, whether it takes the account, its profiles, its head.
    pub async fn open(base: Url, account: Account) -> Result<Self, OnvifError> {
        let soap = Soap::new(base, account)?;
        let device = soap.base().clone();
        let operation = |name: &str| format!("<{name} xmlns=\"{DEVICE}\"/>");
        let clock = soap.call(&device, "GetSystemDateAndTime", &operation("GetSystemDateAndTime")).await?;
        soap.set_clock(codec::date_and_time(&clock)?);
        let answer = soap.call(&device, "GetDeviceInformation", &operation("GetDeviceInformation")).await?;
        let identity = codec::identity(&answer);
        let ask = format!("<GetServices xmlns=\"{DEVICE}\"><IncludeCapability>false</IncludeCapability></GetServices>");
        let services = match soap.call(&device, "GetServices", &ask).await {
            Ok(answer) => codec::services(&answer),
            // Cameras of the first years know capabilities only.
            Err(OnvifError::Unsupported(_) | OnvifError::Fault { .. }) => {
                let ask = format!("<GetCapabilities xmlns=\"{DEVICE}\"><Category>All</Category></GetCapabilities>");
                codec::services(&soap.call(&device, "GetCapabilities", &ask).await?)
            }
            Err(error) => return Err(error),
        };
        let (second, moved) = (false, String::new());
        let mut camera = Self { soap, identity, profiles: Vec::new(), reach: None, services, second, moved };
        camera.look_at_profiles().await?;
        camera.look_at_head().await?;
        Ok(camera)
    }

    async fn look_at_profiles(&mut self) -> Result<(), OnvifError> {
        if !self.services.media2.is_empty() {
            let ask = format!("<GetProfiles xmlns=\"{MEDIA2}\"><Type>All</Type></GetProfiles>");
            let to = self.soap.here(&self.services.media2);
            match self.soap.call(&to, "GetProfiles", &ask).await {
                Ok(answer) => self.profiles = codec::profiles(&answer),
                Err(OnvifError::Unsupported(_) | OnvifError::Fault { .. } | OnvifError::Undecodable { .. }) => {}
                Err(error) => return Err(error),
            }
            self.second = codec::choose(&self.profiles).is_some();
        }
        if !self.second {
            let to = self.service(&self.services.media, "media")?;
            let answer = self.soap.call(&to, "GetProfiles", &format!("<GetProfiles xmlns=\"{MEDIA}\"/>")).await?;
            self.profiles = codec::profiles(&answer);
        }
        Ok(())
    }

    async fn look_at_head(&mut self) -> Result<(), OnvifError> {
        let on_head = self.profiles.iter().find(|profile| !profile.node.is_empty());
        let Some(profile) = on_head.filter(|_| !self.services.ptz.is_empty()) else { return Ok(()) };
        let (token, node) = (profile.token.clone(), profile.node.clone());
        let to = self.soap.here(&self.services.ptz);
        match self.soap.call(&to, "GetNodes", &format!("<GetNodes xmlns=\"{PTZ}\"/>")).await {
            Ok(answer) => {
                self.reach = codec::reach(&answer, &node);
                self.moved = token;
                Ok(())
            }
            // A service without a node behind it: fixed cameras of some makers.
            Err(OnvifError::Unsupported(_) | OnvifError::Fault { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn service(&self, address: &str, name: &str) -> Result<Url, OnvifError> {
        if address.is_empty() {
            return Err(OnvifError::Unsupported(format!("a service for {name}")));
        }
        Ok(self.soap.here(address))
    }

    /// The camera's clock minus ours, ms.
    pub fn clock_off_ms(&self) -> i64 {
        self.soap.clock_off_ms()
    }

    /// Reads the camera's clock again: a sign of life for cameras without events.
    pub async fn look_at_clock(&self) -> Result<(), OnvifError> {
        let ask = format!("<GetSystemDateAndTime xmlns=\"{DEVICE}\"/>");
        let answer = self.soap.call(self.soap.base(), "GetSystemDateAndTime", &ask).await?;
        self.soap.set_clock(codec::date_and_time(&answer)?);
        Ok(())
    }

    /// Where the chosen profiles are.
    pub async fn streams(&self) -> Result<Streams, OnvifError> {
        let none = || OnvifError::Unsupported("a profile in H.264 or H.265".to_owned());
        let (main, sub) = codec::choose(&self.profiles).ok_or_else(none)?;
        let sub = match sub {
            Some(sub) => Some(self.stream(sub).await?),
            None => None,
        };
        Ok(Streams { main: self.stream(main).await?, sub })
    }

    /// Where the pictures of a profile are.
    pub async fn stream(&self, profile: &Profile) -> Result<Url, OnvifError> {
        let token = tag("ProfileToken", &profile.token);
        let (to, ask) = match self.second {
            true => (
                self.service(&self.services.media2, "media")?,
                format!("<GetStreamUri xmlns=\"{MEDIA2}\"><Protocol>RTSP</Protocol>{token}</GetStreamUri>"),
            ),
            false => (
                self.service(&self.services.media, "media")?,
                format!(
                    "<GetStreamUri xmlns=\"{MEDIA}\"><StreamSetup><Stream xmlns=\"{SCHEMA}\">RTP-Unicast</Stream>\
                     <Transport xmlns=\"{SCHEMA}\"><Protocol>RTSP</Protocol></Transport></StreamSetup>{token}</GetStreamUri>"
                ),
            ),
        };
        let answer = self.soap.call(&to, "GetStreamUri", &ask).await?;
        codec::stream(&answer, self.soap.base().host_str().unwrap_or_default())
    }

    async fn head(&self, operation: &str, arguments: &str) -> Result<super::xml::Element, OnvifError> {
        if self.reach.is_none() {
            return Err(OnvifError::Unsupported("a head that moves".to_owned()));
        }
        let to = self.service(&self.services.ptz, "PTZ")?;
        let token = tag("ProfileToken", &self.moved);
        let ask = format!("<{operation} xmlns=\"{PTZ}\">{token}{arguments}</{operation}>");
        self.soap.call(&to, operation, &ask).await
    }

    /// Moves at a velocity, −1 to 1 on each axis, until stopped or for so long.
    pub async fn drive(&self, velocity: Position, for_at_most: Duration) -> Result<(), OnvifError> {
        let timeout = tag("Timeout", &format!("PT{}S", for_at_most.as_secs().max(1)));
        let arguments = format!("<Velocity>{}</Velocity>{timeout}", self.vector(velocity));
        self.head("ContinuousMove", &arguments).await.map(drop)
    }

    /// Stands still.
    pub async fn stop(&self) -> Result<(), OnvifError> {
        self.head("Stop", "<PanTilt>true</PanTilt><Zoom>true</Zoom>").await.map(drop)
    }

    /// Turns to a position.
    pub async fn turn(&self, to: Position) -> Result<(), OnvifError> {
        self.head("AbsoluteMove", &format!("<Position>{}</Position>", self.vector(to))).await.map(drop)
    }

    /// The axes that this head has.
    fn vector(&self, at: Position) -> String {
        let reach = self.reach.unwrap_or_default();
        let pan_tilt = format!("<PanTilt xmlns=\"{SCHEMA}\" x=\"{}\" y=\"{}\"/>", at.pan, at.tilt);
        let zoom = format!("<Zoom xmlns=\"{SCHEMA}\" x=\"{}\"/>", at.zoom);
        let only = |has: bool, text: String| if has { text } else { String::new() };
        format!("{}{}", only(reach.pan_tilt, pan_tilt), only(reach.zoom, zoom))
    }

    /// How the head does.
    pub async fn status(&self) -> Result<Status, OnvifError> {
        Ok(codec::status(&self.head("GetStatus", "").await?))
    }

    /// The stored positions.
    pub async fn presets(&self) -> Result<Vec<Preset>, OnvifError> {
        Ok(codec::presets(&self.head("GetPresets", "").await?))
    }

    /// A stored position by its name or, where nothing is called so, its token.
    pub async fn preset(&self, name: &str) -> Result<Preset, OnvifError> {
        let presets = self.presets().await?;
        let found = presets.iter().find(|preset| preset.name == name);
        let found = found.or_else(|| presets.iter().find(|preset| preset.token == name)).cloned();
        found.ok_or_else(|| {
            let known: Vec<_> = presets.iter().take(20).map(|preset| preset.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            OnvifError::Invalid(format!("the camera has no preset {name:?}: it has {known}"))
        })
    }

    /// Turns to a stored position.
    pub async fn recall(&self, token: &str) -> Result<(), OnvifError> {
        self.head("GotoPreset", &tag("PresetToken", token)).await.map(drop)
    }

    /// Stores where the head looks under a name, in place of the preset of this token where one is given; its token.
    pub async fn store(&self, name: &str, token: Option<&str>) -> Result<String, OnvifError> {
        let token = token.map(|token| tag("PresetToken", token)).unwrap_or_default();
        let answer = self.head("SetPreset", &format!("{}{token}", tag("PresetName", name))).await?;
        Ok(codec::preset_token(&answer))
    }

    /// Removes a stored position.
    pub async fn forget(&self, token: &str) -> Result<(), OnvifError> {
        self.head("RemovePreset", &tag("PresetToken", token)).await.map(drop)
    }

    /// Opens a pull point that lives so long unless it is renewed.
    pub async fn subscribe(&self, life: Duration) -> Result<PullPoint, OnvifError> {
        let to = self.service(&self.services.events, "events")?;
        let ask = format!(
            "<CreatePullPointSubscription xmlns=\"{EVENTS}\">{}</CreatePullPointSubscription>",
            tag("InitialTerminationTime", &format!("PT{}S", life.as_secs()))
        );
        let action = "http://www.onvif.org/ver10/events/wsdl/EventPortType/CreatePullPointSubscriptionRequest";
        let headers = addressed(action, &to, &[]);
        let answer = self.soap.call_with(&to, "CreatePullPointSubscription", &ask, &headers, ANSWER_MAX).await?;
        codec::pull_point(&answer)
    }

    /// What there is to tell, waited for that long; and how long the pull point still lives, ms, where the camera says.
    pub async fn pull(
        &self,
        point: &PullPoint,
        wait: Duration,
    ) -> Result<(Vec<Notification>, Option<i64>), OnvifError> {
        let ask = format!(
            "<PullMessages xmlns=\"{EVENTS}\"><Timeout>PT{}S</Timeout><MessageLimit>{MESSAGES}</MessageLimit></PullMessages>",
            wait.as_secs()
        );
        let action = "http://www.onvif.org/ver10/events/wsdl/PullPointSubscription/PullMessagesRequest";
        let answer = self.at(point, "PullMessages", action, &ask, wait + ANSWER_MAX).await?;
        Ok((codec::notifications(&answer), codec::life_ms(&answer)))
    }

    /// Lets a pull point live on; for how long, ms, where the camera says.
    pub async fn renew(&self, point: &PullPoint, life: Duration) -> Result<Option<i64>, OnvifError> {
        let life = tag("TerminationTime", &format!("PT{}S", life.as_secs()));
        let ask = format!("<Renew xmlns=\"{NOTIFICATION}\">{life}</Renew>");
        let action = "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/RenewRequest";
        Ok(codec::life_ms(&self.at(point, "Renew", action, &ask, ANSWER_MAX).await?))
    }

    /// Closes a pull point.
    pub async fn unsubscribe(&self, point: &PullPoint) -> Result<(), OnvifError> {
        let ask = format!("<Unsubscribe xmlns=\"{NOTIFICATION}\"/>");
        let action = "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/UnsubscribeRequest";
        self.at(point, "Unsubscribe", action, &ask, Duration::from_secs(1)).await.map(drop)
    }

    async fn at(
        &self,
        point: &PullPoint,
        operation: &str,
        action: &str,
        ask: &str,
        patience: Duration,
    ) -> Result<super::xml::Element, OnvifError> {
        let to = self.soap.here(&point.address);
        let headers = addressed(action, &to, &point.parameters);
        self.soap.call_with(&to, operation, ask, &headers, patience).await
    }
}

/// The addressing headers of a request: action, destination, and the reference parameters as they came, each marked as such
/// (WS-Addressing 1.0 SOAP Binding §3.4).
fn addressed(action: &str, to: &Url, parameters: &[super::xml::Element]) -> String {
    let mut headers = format!("<wsa:Action s:mustUnderstand=\"1\">{action}</wsa:Action>{}", tag("wsa:To", to.as_str()));
    for parameter in parameters {
        parameter.write(" wsa:IsReferenceParameter=\"true\"", &mut headers);
    }
    headers
}
