//! The PTZ service: one node, one configuration, the head of the scene.

use super::Shared;
use super::device::profile;
use super::soap::{Answer, Fault};
use super::xml::{Node, escape};
use crate::scene::Head;
use crate::scene::head::{Position, Preset};
use std::time::{Duration, Instant};

const PAN_TILT_POSITION: &str = "http://www.onvif.org/ver10/tptz/PanTiltSpaces/PositionGenericSpace";
const PAN_TILT_VELOCITY: &str = "http://www.onvif.org/ver10/tptz/PanTiltSpaces/VelocityGenericSpace";
const ZOOM_POSITION: &str = "http://www.onvif.org/ver10/tptz/ZoomSpaces/PositionGenericSpace";
const ZOOM_VELOCITY: &str = "http://www.onvif.org/ver10/tptz/ZoomSpaces/VelocityGenericSpace";

/// The one configuration, without the element around it.
pub(crate) const CONFIGURATION: &str = "<tt:Name>head</tt:Name><tt:UseCount>1</tt:UseCount><tt:NodeToken>node</tt:NodeToken>\
     <tt:DefaultAbsolutePantTiltPositionSpace>http://www.onvif.org/ver10/tptz/PanTiltSpaces/PositionGenericSpace</tt:DefaultAbsolutePantTiltPositionSpace>\
     <tt:DefaultAbsoluteZoomPositionSpace>http://www.onvif.org/ver10/tptz/ZoomSpaces/PositionGenericSpace</tt:DefaultAbsoluteZoomPositionSpace>\
     <tt:DefaultContinuousPanTiltVelocitySpace>http://www.onvif.org/ver10/tptz/PanTiltSpaces/VelocityGenericSpace</tt:DefaultContinuousPanTiltVelocitySpace>\
     <tt:DefaultContinuousZoomVelocitySpace>http://www.onvif.org/ver10/tptz/ZoomSpaces/VelocityGenericSpace</tt:DefaultContinuousZoomVelocitySpace>\
     <tt:DefaultPTZTimeout>PT5S</tt:DefaultPTZTimeout>";

/// A move without a timeout of its own lasts so long.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn answer(shared: &Shared, request: &Node) -> Answer {
    let operation = request.name.as_str();
    let Some(head) = &shared.config.head else { return Err(Fault::unsupported(operation)) };
    let now = Instant::now();
    let done = || Ok(format!("<tptz:{operation}Response/>"));
    match operation {
        "GetNodes" => Ok(format!("<tptz:GetNodesResponse>{}</tptz:GetNodesResponse>", node("tptz:PTZNode"))),
        "GetNode" => Ok(format!("<tptz:GetNodeResponse>{}</tptz:GetNodeResponse>", node("tptz:PTZNode"))),
        "GetConfigurations" => Ok(format!(
            "<tptz:GetConfigurationsResponse><tptz:PTZConfiguration token=\"head\">{CONFIGURATION}</tptz:PTZConfiguration>\
             </tptz:GetConfigurationsResponse>"
        )),
        "GetServiceCapabilities" => Ok("<tptz:GetServiceCapabilitiesResponse>\
             <tptz:Capabilities MoveStatus=\"true\" StatusPosition=\"true\"/></tptz:GetServiceCapabilitiesResponse>"
            .to_owned()),
        "GetStatus" => Ok(status(shared, head, now)),
        "GetPresets" => {
            let presets: String = head.presets().iter().map(preset).collect();
            Ok(format!("<tptz:GetPresetsResponse>{presets}</tptz:GetPresetsResponse>"))
        }
        "ContinuousMove" => {
            profile(shared, request)?;
            let velocity = request.child("Velocity").map(position).unwrap_or_default();
            let lasts = request.text_of("Timeout").map_or(Some(TIMEOUT), seconds);
            let lasts = lasts.ok_or_else(|| Fault::sender("ter:TimeoutNotSupported", "The timeout is no duration"))?;
            head.drive(velocity, lasts, now);
            done()
        }
        "Stop" => {
            head.stop(now);
            done()
        }
        "AbsoluteMove" => {
            profile(shared, request)?;
            let to = request.child("Position").ok_or_else(|| Fault::sender("ter:InvalidPosition", "No position"))?;
            let at = head.position(now);
            let has = |name| to.child(name).is_some();
            let wanted = position(to);
            let (pan, tilt) = if has("PanTilt") { (wanted.pan, wanted.tilt) } else { (at.pan, at.tilt) };
            let zoom = if has("Zoom") { wanted.zoom } else { at.zoom };
            head.turn(Position { pan, tilt, zoom }, now);
            done()
        }
        "SetPreset" => {
            let name = request.text_of("PresetName").unwrap_or_default();
            let token = head.store(request.text_of("PresetToken"), name, now);
            let token =
                token.ok_or_else(|| Fault::sender("ter:TooManyPresets", "No such preset, or no room for one"))?;
            Ok(format!("<tptz:SetPresetResponse><tptz:PresetToken>{token}</tptz:PresetToken></tptz:SetPresetResponse>"))
        }
        "GotoPreset" if request.text_of("PresetToken").is_some_and(|token| head.recall(token, now)) => done(),
        "RemovePreset" if request.text_of("PresetToken").is_some_and(|token| head.remove(token)) => done(),
        "GotoPreset" | "RemovePreset" => Err(Fault::sender("ter:NoToken", "The requested preset token does not exist")),
        "GotoHomePosition" => {
            head.turn(Position::default(), now);
            done()
        }
        other => Err(Fault::unsupported(other)),
    }
}

/// `PanTilt` and `Zoom` of a vector; what is not given is 0.
fn position(vector: &Node) -> Position {
    let number = |part: &str, axis| vector.child(part).and_then(|part| part.number(axis)).unwrap_or(0.0);
    Position { pan: number("PanTilt", "x"), tilt: number("PanTilt", "y"), zoom: number("Zoom", "x") }
}

/// A duration like `PT1.5S` or `PT2M`.
fn seconds(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}

fn vector(at: Position) -> String {
    format!(
        "<tt:PanTilt x=\"{}\" y=\"{}\" space=\"{PAN_TILT_POSITION}\"/><tt:Zoom x=\"{}\" space=\"{ZOOM_POSITION}\"/>",
        at.pan, at.tilt, at.zoom
    )
}

fn preset(preset: &Preset) -> String {
    format!(
        "<tptz:Preset token=\"{}\"><tt:Name>{}</tt:Name><tt:PTZPosition>{}</tt:PTZPosition></tptz:Preset>",
        escape(&preset.token),
        escape(&preset.name),
        vector(preset.position)
    )
}

fn status(shared: &Shared, head: &Head, now: Instant) -> String {
    let moves = if head.moving(now) { "MOVING" } else { "IDLE" };
    format!(
        "<tptz:GetStatusResponse><tptz:PTZStatus><tt:Position>{}</tt:Position><tt:MoveStatus><tt:PanTilt>{moves}</tt:PanTilt>\
         <tt:Zoom>{moves}</tt:Zoom></tt:MoveStatus><tt:UtcTime>{}</tt:UtcTime></tptz:PTZStatus></tptz:GetStatusResponse>",
        vector(head.position(now)),
        shared.now()
    )
}

fn node(tag: &str) -> String {
    let range = |name: &str, low: i32| format!("<tt:{name}><tt:Min>{low}</tt:Min><tt:Max>1</tt:Max></tt:{name}>");
    let both = format!("{}{}", range("XRange", -1), range("YRange", -1));
    format!(
        "<{tag} token=\"node\" FixedHomePosition=\"true\"><tt:Name>node</tt:Name><tt:SupportedPTZSpaces>\
         <tt:AbsolutePanTiltPositionSpace><tt:URI>{PAN_TILT_POSITION}</tt:URI>{both}</tt:AbsolutePanTiltPositionSpace>\
         <tt:AbsoluteZoomPositionSpace><tt:URI>{ZOOM_POSITION}</tt:URI>{}</tt:AbsoluteZoomPositionSpace>\
         <tt:ContinuousPanTiltVelocitySpace><tt:URI>{PAN_TILT_VELOCITY}</tt:URI>{both}</tt:ContinuousPanTiltVelocitySpace>\
         <tt:ContinuousZoomVelocitySpace><tt:URI>{ZOOM_VELOCITY}</tt:URI>{}</tt:ContinuousZoomVelocitySpace>\
         </tt:SupportedPTZSpaces><tt:MaximumNumberOfPresets>64</tt:MaximumNumberOfPresets>\
         <tt:HomeSupported>true</tt:HomeSupported></{tag}>",
        range("XRange", 0),
        range("XRange", -1)
    )
}
