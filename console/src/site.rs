//! The site's definition: read, checked, and turned into what the adapters need.

use crate::demo::Demo;
use crate::onvif::{Known, Spoken};
use crate::secrets::{self, Secrets};
use anyhow::{Context, bail};
use gatehouse_adapters::onvif::{Account, LinkConfig};
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::id::{DeviceId, DeviceKey};
use gatehouse_core::site::{DeviceDef, LookFor, Site, StreamDef};
use gatehouse_vision::CameraConfig;
use gatehouse_vision::pipeline::Role;
use gatehouse_vision::rtsp::Transport;
use std::collections::BTreeSet;
use std::path::Path;

/// The simulated compound, with at least so many cameras: beyond its own, more of those that nothing depends on.
pub fn demo(cameras: usize) -> anyhow::Result<Site> {
    let mut site = checked(gatehouse_adapters::sim::demo_site(), "the demo's site")?;
    let own = site.devices.iter().filter(|device| device.kind == DeviceKind::Camera);
    let missing = cameras.saturating_sub(own.clone().count());
    let only_motion = |device: &&DeviceDef| {
        device.stream.as_ref().is_some_and(|stream| stream.look_for.iter().all(|what| *what == LookFor::Motion))
    };
    let models: Vec<_> = own.filter(only_motion).cloned().collect();
    for (n, model) in models.iter().cycle().take(missing).enumerate() {
        site.devices.push(another(model, n / models.len() + 2)?);
    }
    Ok(site)
}

/// The `n`-th camera like this one: its pictures are not searched, and it has no head to turn.
fn another(model: &DeviceDef, n: usize) -> anyhow::Result<DeviceDef> {
    let mut camera = model.clone();
    camera.key = format!("{}-{n}", model.key).parse().context("the key of another camera")?;
    camera.name = format!("{} {n}", model.name);
    camera.name_zh = format!("{} {n}", model.name_zh);
    camera.presets.clear();
    if let Some(stream) = &mut camera.stream {
        stream.look_for.clear();
        if stream.onvif.take().is_some() {
            stream.url = format!("rtsp://127.0.0.1:8554/{}", camera.key);
        }
    }
    Ok(camera)
}

/// Reads and checks a definition; paths of secrets in it are relative to its folder.
pub fn read(path: Option<&Path>) -> anyhow::Result<Site> {
    let path = path.context("site: name the file that describes the site, e.g. site = \"site.toml\"")?;
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the site's definition {}", path.display()))?;
    let mut site = checked(&text, &path.display().to_string())?;
    let base = path.parent().unwrap_or(Path::new("."));
    for device in &mut site.devices {
        let files =
            [device.password_file.as_mut(), device.stream.as_mut().and_then(|stream| stream.password_file.as_mut())];
        for file in files.into_iter().flatten() {
            *file = base.join(&*file).to_string_lossy().into_owned();
        }
    }
    Ok(site)
}

fn checked(text: &str, name: &str) -> anyhow::Result<Site> {
    let site: Site = toml::from_str(text).with_context(|| name.to_owned())?;
    if let Err(errors) = site.check() {
        let sentences: Vec<_> = errors.iter().map(|error| format!("\n  - {error}")).collect();
        bail!("{name} does not fit together:{}", sentences.concat());
    }
    Ok(site)
}

/// Whether a device speaks the native MQTT topics: every kind but cameras does.
pub fn speaks_mqtt(device: &DeviceDef) -> bool {
    device.kind != DeviceKind::Camera
}

/// The broker account of a device: its own, else its key with a password made for it.
pub fn account(device: &DeviceDef, secrets: &Secrets) -> anyhow::Result<(String, String)> {
    let name = device.account.clone().unwrap_or_else(|| device.key.to_string());
    let password = match (&device.password, &device.password_file) {
        (Some(password), _) => password.clone(),
        (None, Some(file)) => secrets::password_file(Path::new(file))?,
        (None, None) => secrets.password(&format!("mqtt-{name}"))?,
    };
    Ok((name, password))
}

/// The streams to pull that are known: a camera of the demo comes from the program's own RTSP server, one by ONVIF from where
/// it said last.
pub fn cameras(site: &Site, demo: Option<&Demo>, known: &Known) -> anyhow::Result<Vec<CameraConfig>> {
    let mut cameras = Vec::new();
    for (device, stream) in streams(site) {
        let mut config = config(device, stream, demo)?;
        config.challenge = challenged(site, device);
        match &stream.onvif {
            Some(onvif) if stream.url.is_empty() => {
                let streams = known.streams(&device.key, onvif);
                cameras.extend(streams.map(|at| CameraConfig { url: at.main, sub: at.sub, ..config }));
            }
            Some(_) | None => cameras.push(config),
        }
    }
    Ok(cameras)
}

/// Whether the faces a camera sees open doors only after the active challenge.
fn challenged(site: &Site, camera: &DeviceDef) -> bool {
    site.face_doors.iter().any(|pair| pair.camera == camera.key && pair.challenge)
}

/// The cameras to speak ONVIF with.
pub fn spoken(site: &Site, demo: Option<&Demo>) -> anyhow::Result<Vec<Spoken>> {
    let mut spoken = Vec::new();
    for (device, stream) in streams(site) {
        let Some(onvif) = &stream.onvif else { continue };
        let mut camera = config(device, stream, demo)?;
        camera.challenge = challenged(site, device);
        let served = demo.and_then(|demo| demo.onvif_of(&device.key));
        let base = served.unwrap_or_else(|| onvif.clone());
        let base = base.parse().with_context(|| {
            let wanted = "is not an address like http://host/onvif/device_service";
            format!("device {}: stream.onvif {base:?} {wanted}", device.key)
        })?;
        let link = LinkConfig {
            key: device.key.clone(),
            base,
            account: Account { user: camera.user.clone(), password: camera.password.clone() },
            // What is looked for in the pictures here is not taken from the camera as well.
            motion: !stream.look_for.contains(&LookFor::Motion),
            streams: stream.url.is_empty(),
        };
        spoken.push(Spoken { link, camera });
    }
    Ok(spoken)
}

/// A camera's device service as the site names it, empty for none.
pub fn onvif_of(site: &Site, key: &DeviceKey) -> String {
    let stream = streams(site).find(|(device, _)| device.key == *key).map(|(_, stream)| stream);
    stream.and_then(|stream| stream.onvif.clone()).unwrap_or_default()
}

/// The ids of the cameras by ONVIF.
pub fn onvif_devices(site: &Site) -> BTreeSet<DeviceId> {
    streams(site).filter(|(_, stream)| stream.onvif.is_some()).map(|(device, _)| device.key.id()).collect()
}

fn streams(site: &Site) -> impl Iterator<Item = (&DeviceDef, &StreamDef)> {
    let cameras = site.devices.iter().filter(|device| device.kind == DeviceKind::Camera);
    cameras.filter_map(|device| Some((device, device.stream.as_ref()?)))
}

/// How a camera's streams are pulled. Of one whose ONVIF service says where they are, that service's address stands for them.
fn config(device: &DeviceDef, stream: &StreamDef, demo: Option<&Demo>) -> anyhow::Result<CameraConfig> {
    let (url, user, password) = match demo.and_then(|demo| demo.stream_of(&device.key)) {
        Some(served) => served,
        None => {
            let password = match &stream.password_file {
                Some(file) => secrets::password_file(Path::new(file))?,
                None => stream.password.clone(),
            };
            (stream.url.clone(), stream.user.clone(), password)
        }
    };
    let url = match &stream.onvif {
        Some(onvif) if stream.url.is_empty() => onvif.clone(),
        Some(_) | None => url,
    };
    let url = url.parse().with_context(|| {
        format!("device {}: stream.url {url:?} is not an address like rtsp://host:554/path", device.key)
    })?;
    let sub = match &stream.sub {
        Some(sub) => Some(sub.parse().with_context(|| {
            format!("device {}: stream.sub {sub:?} is not an address like rtsp://host:554/path", device.key)
        })?),
        None => None,
    };
    let roles = stream.look_for.iter().map(|look_for| match look_for {
        LookFor::Plates => Role::Plates,
        LookFor::Faces => Role::Faces,
        LookFor::Motion => Role::Motion,
    });
    Ok(CameraConfig {
        user,
        password,
        sub,
        keep_days: stream.keep_days,
        transport: if stream.udp { Transport::Udp } else { Transport::Tcp },
        record: stream.record,
        audio: stream.audio,
        watch_view: stream.watch_view,
        look_in: stream.look_in.clone(),
        min_width_px: stream.min_width_px,
        moves: stream.moves,
        roles: roles.collect(),
        ..CameraConfig::new(device.key.clone(), url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cameras(site: &Site) -> usize {
        site.devices.iter().filter(|device| device.kind == DeviceKind::Camera).count()
    }

    #[test]
    fn the_demo_has_as_many_cameras_as_asked_for_and_still_fits_together() {
        let own = cameras(&demo(0).unwrap());
        assert_eq!(cameras(&demo(own - 1).unwrap()), own);
        for wanted in [own + 1, 16, 64] {
            let site = demo(wanted).unwrap();
            assert_eq!(cameras(&site), wanted);
            site.check().unwrap();
        }
    }
}
