//! The site's definition: read, checked, and turned into what the adapters need.

use crate::demo::Demo;
use crate::secrets::{self, Secrets};
use anyhow::{Context, bail};
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::site::{DeviceDef, LookFor, Site};
use gatehouse_vision::CameraConfig;
use gatehouse_vision::pipeline::Role;
use gatehouse_vision::rtsp::Transport;
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

/// The `n`-th camera like this one: its pictures are not searched.
fn another(model: &DeviceDef, n: usize) -> anyhow::Result<DeviceDef> {
    let mut camera = model.clone();
    camera.key = format!("{}-{n}", model.key).parse().context("the key of another camera")?;
    camera.name = format!("{} {n}", model.name);
    camera.name_zh = format!("{} {n}", model.name_zh);
    if let Some(stream) = &mut camera.stream {
        stream.look_for.clear();
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

/// The streams to pull: a camera of the demo comes from the program's own RTSP server.
pub fn cameras(site: &Site, demo: Option<&Demo>) -> anyhow::Result<Vec<CameraConfig>> {
    let mut cameras = Vec::new();
    for device in site.devices.iter().filter(|device| device.kind == DeviceKind::Camera) {
        let Some(stream) = &device.stream else { continue };
        let served = demo.and_then(|demo| demo.stream_of(&device.key));
        let (url, user, password) = match served {
            Some(served) => served,
            None => {
                let password = match &stream.password_file {
                    Some(file) => secrets::password_file(Path::new(file))?,
                    None => stream.password.clone(),
                };
                (stream.url.clone(), stream.user.clone(), password)
            }
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
        cameras.push(CameraConfig {
            user,
            password,
            sub,
            keep_days: stream.keep_days,
            transport: if stream.udp { Transport::Udp } else { Transport::Tcp },
            record: stream.record,
            roles: roles.collect(),
            ..CameraConfig::new(device.key.clone(), url)
        });
    }
    Ok(cameras)
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
