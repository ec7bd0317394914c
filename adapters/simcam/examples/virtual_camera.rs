//! Serves the six virtual cameras of the demo over RTSP, and plays them when asked.
//!
//! ```text
//! cargo run -p gatehouse-simcam --example virtual_camera -- [port] [faces folder] [clip.mp4]
//! ```
//! User `viewer`, password `viewer`. Lines on standard input are cues: `car 粤B12345`, `green 粤BD12345`, `leave`, `open`,
//! `close`, `depart 粤B12345`,
//! `person collins_1`, `left`, `right`, `shut`, `straight`, `gone`, `smoke`, `clear`, `intruder`, `lift`, `freeze`, `thaw`, `dark`, `light`.

use gatehouse_simcam::rtsp::{RtspServer, Users, clip};
use gatehouse_simcam::scene::{BodyColour, CameraConfig, Cue, PlateColour, Pose, SceneKind, Studio, StudioConfig};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const CAMERAS: [(&str, &str, SceneKind); 6] = [
    ("gate-east", "CAM-01 东门 East gate", SceneKind::Gate),
    ("gate-west", "CAM-02 西门 West gate", SceneKind::Gate),
    ("door-lobby", "CAM-03 大堂 Lobby", SceneKind::Lobby),
    ("corridor", "CAM-04 三层走廊 Corridor 3F", SceneKind::Corridor),
    ("lift-lobby", "CAM-05 电梯厅 Lift lobby", SceneKind::LiftLobby),
    ("perimeter", "CAM-06 北侧围墙 North wall", SceneKind::Perimeter),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = args.first().map_or(Ok(8554), |p| p.parse())?;
    let faces = args.get(1).filter(|f| !f.is_empty()).map(PathBuf::from);
    let server = RtspServer::bind(([127, 0, 0, 1], port).into(), Users::one("viewer", "viewer")).await?;
    let cameras = CAMERAS
        .iter()
        .enumerate()
        .map(|(n, (_, name, kind))| CameraConfig::new(*name, *kind).variant(n as u32))
        .collect();
    let studio = Studio::start(StudioConfig { faces, ..StudioConfig::default() }, cameras)?;
    for ((path, ..), scene) in CAMERAS.iter().zip(studio.scenes()) {
        server.mount(path, scene.source());
        println!("rtsp://viewer:viewer@{}/{path}", server.local_addr());
    }
    let _clip = match args.get(2) {
        Some(file) => {
            let clip = clip::play("Clip", Path::new(file))?;
            server.mount("clip", clip.source());
            println!("rtsp://viewer:viewer@{}/clip", server.local_addr());
            Some(clip)
        }
        None => None,
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let (scene, cue) = match word {
            "car" => (0, arrival(rest, PlateColour::Blue, BodyColour::Silver)),
            "green" => (0, arrival(rest, PlateColour::Green, BodyColour::White)),
            "yellow" => (0, arrival(rest, PlateColour::Yellow, BodyColour::Navy)),
            "depart" => {
                let (plate, body) = (rest.to_owned(), BodyColour::Graphite);
                (0, Cue::CarDeparts { plate, colour: PlateColour::Blue, body })
            }
            "leave" => (0, Cue::CarLeaves),
            "open" => (0, Cue::Barrier { open: true }),
            "close" => (0, Cue::Barrier { open: false }),
            "person" => (2, Cue::PersonAtDoor { photo: rest.to_owned(), stay: Duration::from_secs(20) }),
            "straight" => (2, Cue::Pose(Pose::Straight)),
            "left" => (2, Cue::Pose(Pose::TurnLeft)),
            "right" => (2, Cue::Pose(Pose::TurnRight)),
            "shut" => (2, Cue::Pose(Pose::CloseEyes)),
            "gone" => (2, Cue::PersonGone),
            "smoke" => (3, Cue::Smoke(true)),
            "clear" => (3, Cue::Smoke(false)),
            "lift" => (4, Cue::LiftArrives),
            "intruder" => (5, Cue::Intruder),
            "freeze" => (0, Cue::Freeze(true)),
            "thaw" => (0, Cue::Freeze(false)),
            "dark" => (0, Cue::Blackout(true)),
            "light" => (0, Cue::Blackout(false)),
            "stats" => {
                println!("{:?}", server.stats());
                studio.scenes().iter().for_each(|s| println!("{}: {:?}", s.name(), s.stats()));
                continue;
            }
            _ => continue,
        };
        studio.scenes()[scene].cue(cue);
    }
    // Standard input closed (started in the background): serve until killed.
    std::future::pending::<()>().await;
    Ok(())
}

fn arrival(plate: &str, colour: PlateColour, body: BodyColour) -> Cue {
    Cue::CarArrives { plate: plate.to_owned(), colour, body }
}
