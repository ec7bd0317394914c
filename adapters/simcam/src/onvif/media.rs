//! The media services: one of ver10 (Profile S), one of ver20 (Profile T).

use super::device::profile;
use super::soap::{Answer, Fault};
use super::xml::{Node, escape};
use super::{Profile, Shared};

pub(crate) fn answer(shared: &Shared, request: &Node) -> Answer {
    Ok(match request.name.as_str() {
        "GetProfiles" => {
            let profiles: String =
                shared.config.profiles.iter().map(|profile| profile1(shared, profile, "trt:Profiles")).collect();
            format!("<trt:GetProfilesResponse>{profiles}</trt:GetProfilesResponse>")
        }
        "GetProfile" => {
            let profile = profile1(shared, profile(shared, request)?, "trt:Profile");
            format!("<trt:GetProfileResponse>{profile}</trt:GetProfileResponse>")
        }
        "GetStreamUri" => {
            let uri = escape(&profile(shared, request)?.uri);
            format!(
                "<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{uri}</tt:Uri>\
                 <tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>\
                 <tt:Timeout>PT0S</tt:Timeout></trt:MediaUri></trt:GetStreamUriResponse>"
            )
        }
        "GetVideoSources" => {
            let (width, height, fps) = shared.config.profiles.first().map_or((0, 0, 0), |p| (p.width, p.height, p.fps));
            format!(
                "<trt:GetVideoSourcesResponse><trt:VideoSources token=\"source\"><tt:Framerate>{fps}</tt:Framerate>\
                 <tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>\
                 </trt:VideoSources></trt:GetVideoSourcesResponse>"
            )
        }
        other => return Err(Fault::unsupported(other)),
    })
}

pub(crate) fn answer2(shared: &Shared, request: &Node) -> Answer {
    Ok(match request.name.as_str() {
        "GetProfiles" => {
            let profiles: String = shared.config.profiles.iter().map(|profile| profile2(shared, profile)).collect();
            format!("<tr2:GetProfilesResponse>{profiles}</tr2:GetProfilesResponse>")
        }
        "GetStreamUri" => {
            let uri = escape(&profile(shared, request)?.uri);
            format!("<tr2:GetStreamUriResponse><tr2:Uri>{uri}</tr2:Uri></tr2:GetStreamUriResponse>")
        }
        other => return Err(Fault::unsupported(other)),
    })
}

fn source(profile: &Profile) -> String {
    format!(
        "<tt:Name>source</tt:Name><tt:UseCount>1</tt:UseCount><tt:SourceToken>source</tt:SourceToken>\
         <tt:Bounds x=\"0\" y=\"0\" width=\"{}\" height=\"{}\"/>",
        profile.width, profile.height
    )
}

fn ptz(shared: &Shared, tag: &str) -> String {
    match shared.config.head {
        Some(_) => format!("<{tag} token=\"head\">{}</{tag}>", super::ptz::CONFIGURATION),
        None => String::new(),
    }
}

fn profile1(shared: &Shared, profile: &Profile, tag: &str) -> String {
    let Profile { codec, width, height, fps, .. } = profile;
    let name = escape(&profile.name);
    // Version 10 has no word for H.265.
    let encoding = if codec == "H264" { "H264" } else { "JPEG" };
    format!(
        "<{tag} token=\"{name}\" fixed=\"true\"><tt:Name>{name}</tt:Name>\
         <tt:VideoSourceConfiguration token=\"source\">{}</tt:VideoSourceConfiguration>\
         <tt:VideoEncoderConfiguration token=\"encoder-{name}\"><tt:Name>{name}</tt:Name><tt:UseCount>1</tt:UseCount>\
         <tt:Encoding>{encoding}</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height>\
         </tt:Resolution><tt:Quality>5</tt:Quality><tt:RateControl><tt:FrameRateLimit>{fps}</tt:FrameRateLimit>\
         <tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>2000</tt:BitrateLimit></tt:RateControl>\
         <tt:SessionTimeout>PT60S</tt:SessionTimeout></tt:VideoEncoderConfiguration>{}</{tag}>",
        source(profile),
        ptz(shared, "tt:PTZConfiguration")
    )
}

fn profile2(shared: &Shared, profile: &Profile) -> String {
    let Profile { codec, width, height, fps, .. } = profile;
    let name = escape(&profile.name);
    format!(
        "<tr2:Profiles token=\"{name}\" fixed=\"true\"><tr2:Name>{name}</tr2:Name><tr2:Configurations>\
         <tr2:VideoSource token=\"source\">{}</tr2:VideoSource>\
         <tr2:VideoEncoder token=\"encoder-{name}\" GovLength=\"{fps}\"><tt:Name>{name}</tt:Name><tt:UseCount>1</tt:UseCount>\
         <tt:Encoding>{codec}</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height>\
         </tt:Resolution><tt:RateControl><tt:FrameRateLimit>{fps}</tt:FrameRateLimit><tt:BitrateLimit>2000</tt:BitrateLimit>\
         </tt:RateControl><tt:Quality>5</tt:Quality></tr2:VideoEncoder>{}</tr2:Configurations></tr2:Profiles>",
        source(profile),
        ptz(shared, "tr2:PTZ")
    )
}
