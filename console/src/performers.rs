//! The demo's portraits as performers: what attacks on a face door are made of.

use anyhow::Context as _;
use gatehouse_adapters::sim::scene::pose::posed;
use gatehouse_adapters::sim::scene::{self, Pose};
use gatehouse_vision::eval::Performer;
use gatehouse_vision::frame::Rgb;
use std::path::{Path, PathBuf};

/// The demo's portraits of a folder, with what the virtual camera makes of them: the head turned, the eyes closed. An error when
/// there is none; other pictures are left alone.
pub fn performers(folder: &Path) -> anyhow::Result<Vec<Performer>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    let mut performers = Vec::new();
    for file in files {
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let Some(photo) = image::open(&file).ok().map(|photo| photo.to_rgb8()) else { continue };
        let Some(face) = scene::features(&name, &photo) else { continue };
        let pose = |pose| {
            let (width, height) = photo.dimensions();
            Rgb::from_bytes(width, height, posed(&photo, &face, pose).into_raw())
        };
        performers.push(Performer {
            straight: pose(Pose::Straight)?,
            turn_left: pose(Pose::TurnLeft)?,
            turn_right: pose(Pose::TurnRight)?,
            close_eyes: pose(Pose::CloseEyes)?,
            name,
        });
    }
    anyhow::ensure!(
        !performers.is_empty(),
        "{} holds none of the demo's portraits: run gatehouse setup",
        folder.display()
    );
    Ok(performers)
}
