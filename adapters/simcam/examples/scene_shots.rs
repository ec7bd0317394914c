//! Pictures of the virtual cameras' scenes, as a viewer sees them: drawn, encoded, decoded, written as PNG.
//!
//! ```text
//! cargo run -p gatehouse-adapters --example scene_shots -- <out folder> [faces folder] [only]
//! ```

use gatehouse_simcam::rtsp::LiveSource;
use gatehouse_simcam::scene::encode::Encoder;
use gatehouse_simcam::scene::{BodyColour, Camera, CameraConfig, Cue, PlateColour, SceneKind};
use openh264::formats::YUVSource as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Plates the demo uses and others like them: none with M or J, which this typeface makes look like W and 1.
const PLATES: [(&str, PlateColour, BodyColour); 12] = [
    ("粤B12345", PlateColour::Blue, BodyColour::Silver),
    ("粤A8K268", PlateColour::Blue, BodyColour::White),
    ("京N50172", PlateColour::Blue, BodyColour::Graphite),
    ("沪C7E963", PlateColour::Blue, BodyColour::Navy),
    ("苏E3R581", PlateColour::Blue, BodyColour::Burgundy),
    ("浙A6F927", PlateColour::Blue, BodyColour::Forest),
    ("川A90T36", PlateColour::Blue, BodyColour::Silver),
    ("鲁B25H08", PlateColour::Blue, BodyColour::White),
    ("粤BD12345", PlateColour::Green, BodyColour::White),
    ("粤BF60289", PlateColour::Green, BodyColour::Navy),
    ("粤B3Z719", PlateColour::Yellow, BodyColour::White),
    ("皖A7S230", PlateColour::Blue, BodyColour::Graphite),
];

struct Shooter {
    camera: Camera,
    encoder: Encoder,
    source: std::sync::Arc<LiveSource>,
    listener: Box<dyn FnMut() -> Vec<u8>>,
    decoder: openh264::decoder::Decoder,
    t: f32,
    last: Option<image::RgbImage>,
    draw: Duration,
    encode: Duration,
    bytes: usize,
    count: u32,
}

impl Shooter {
    fn new(name: &str, kind: SceneKind, faces: &Path) -> Self {
        let config = CameraConfig::new(name, kind).variant(u32::from(name.contains("West")));
        let encoder = Encoder::new(config.fps as f32, config.bitrate_kbps, config.fps).expect("an encoder");
        let source = LiveSource::new(name, config.fps as f32);
        let mut listener = source.listen().expect("room");
        let sets = source.clone();
        let annex_b = move || {
            let Some(Some(unit)) = futures_util::FutureExt::now_or_never(listener.next()) else { return Vec::new() };
            let sets = sets.parameter_sets().expect("sets");
            let mut out = Vec::new();
            for nal in [&sets.sps, &sets.pps].into_iter().filter(|_| unit.key).chain(&unit.nals) {
                out.extend_from_slice(&[0, 0, 0, 1]);
                out.extend_from_slice(nal);
            }
            out
        };
        Self {
            camera: Camera::new(config, Some(faces.to_owned())),
            encoder,
            source,
            listener: Box::new(annex_b),
            decoder: openh264::decoder::Decoder::new().expect("a decoder"),
            t: 0.0,
            last: None,
            draw: Duration::ZERO,
            encode: Duration::ZERO,
            bytes: 0,
            count: 0,
        }
    }

    fn cue(&mut self, cue: Cue) {
        assert!(self.camera.cue(&cue, self.t), "{cue:?} means nothing here");
        // Cars and people are painted on a thread of their own.
        std::thread::sleep(Duration::from_millis(900));
    }

    fn run(&mut self, seconds: f32) -> &mut Self {
        for _ in 0..(seconds * 12.0).round() as u32 {
            self.t += 1.0 / 12.0;
            let ms = 1_795_000_000_000 + (self.t * 1_000.0) as u64;
            let start = Instant::now();
            let picture = self.camera.picture(self.t, "2026-11-18 14:26:40.000", ms);
            self.draw += start.elapsed();
            let start = Instant::now();
            self.bytes += self.encoder.publish(picture, 0, SystemTime::now(), &self.source).expect("encoded");
            self.encode += start.elapsed();
            self.count += 1;
            let stream = (self.listener)();
            if let Ok(Some(yuv)) = self.decoder.decode(&stream) {
                let (w, h) = yuv.dimensions();
                let mut rgb = vec![0; w * h * 3];
                yuv.write_rgb8(&mut rgb);
                self.last = image::RgbImage::from_raw(w as u32, h as u32, rgb);
            }
        }
        self
    }

    fn shot(&mut self, out: &Path, name: &str) {
        let picture = self.last.as_ref().expect("a picture");
        picture.save(out.join(format!("{name}.png"))).expect("written");
        let n = self.count.max(1);
        println!(
            "{name}: draw {:.2} ms, encode {:.2} ms, {:.0} kbit/s",
            self.draw.as_secs_f64() * 1e3 / f64::from(n),
            self.encode.as_secs_f64() * 1e3 / f64::from(n),
            self.bytes as f64 * 8.0 * 12.0 / f64::from(n) / 1e3
        );
        (self.draw, self.encode, self.bytes, self.count) = (Duration::ZERO, Duration::ZERO, 0, 0);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let out = PathBuf::from(args.first().map_or("scenes", String::as_str));
    let faces = PathBuf::from(args.get(1).map_or("faces", String::as_str));
    let only = args.get(2).cloned().unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|o| name.starts_with(o));
    std::fs::create_dir_all(&out).expect("a folder");
    if wanted("gate") {
        let mut s = Shooter::new("CAM-01 东门 East gate", SceneKind::Gate, &faces);
        s.run(2.0).shot(&out, "gate_empty");
        s.cue(Cue::CarArrives { plate: PLATES[0].0.into(), colour: PLATES[0].1, body: PLATES[0].2 });
        s.run(2.5).shot(&out, "gate_coming");
        s.run(3.5).shot(&out, "gate_stopped");
        s.cue(Cue::Barrier { open: true });
        s.run(2.0).shot(&out, "gate_open");
        s.cue(Cue::CarLeaves);
        s.run(1.6).shot(&out, "gate_leaving");
    }
    if wanted("west") {
        let mut s = Shooter::new("CAM-02 西门 West gate", SceneKind::Gate, &faces);
        s.run(1.0).shot(&out, "west_empty");
        s.cue(Cue::CarArrives { plate: PLATES[8].0.into(), colour: PLATES[8].1, body: PLATES[8].2 });
        s.run(6.0).shot(&out, "west_stopped");
        s.cue(Cue::Barrier { open: true });
        s.run(0.8).shot(&out, "west_opening");
    }
    if wanted("plates") {
        for (n, (plate, colour, body)) in PLATES.into_iter().enumerate() {
            let mut s = Shooter::new("CAM-01 东门 East gate", SceneKind::Gate, &faces);
            s.cue(Cue::CarArrives { plate: plate.into(), colour, body });
            s.run(4.2).shot(&out, &format!("plate_{n:02}_{plate}_a"));
            s.run(0.6).shot(&out, &format!("plate_{n:02}_{plate}_b"));
            s.run(1.4).shot(&out, &format!("plate_{n:02}_{plate}_c"));
        }
    }
    if wanted("lobby") {
        let mut s = Shooter::new("CAM-03 大堂 Lobby", SceneKind::Lobby, &faces);
        s.run(2.0).shot(&out, "lobby_empty");
        for photo in ["collins_1", "hopper_1", "nobody"] {
            s.cue(Cue::PersonAtDoor { photo: photo.into(), stay: Duration::from_secs(6) });
            for i in 0..4 {
                s.run(if i == 0 { 2.0 } else { 0.9 }).shot(&out, &format!("lobby_{photo}_{i}"));
            }
            s.run(4.0);
        }
        s.cue(Cue::Door { open: true });
        s.run(2.0).shot(&out, "lobby_open");
    }
    if wanted("corridor") {
        let mut s = Shooter::new("CAM-04 三层走廊 Corridor 3F", SceneKind::Corridor, &faces);
        s.run(2.0).shot(&out, "corridor");
        s.cue(Cue::Smoke(true));
        s.run(4.0).shot(&out, "corridor_smoke_4s");
        s.run(12.0).shot(&out, "corridor_smoke_16s");
    }
    if wanted("lift") {
        let mut s = Shooter::new("CAM-05 电梯厅 Lift lobby", SceneKind::LiftLobby, &faces);
        s.run(2.0).shot(&out, "lift");
        s.cue(Cue::LiftArrives);
        s.run(3.0).shot(&out, "lift_open");
    }
    if wanted("perimeter") {
        let mut s = Shooter::new("CAM-06 北侧围墙 North wall", SceneKind::Perimeter, &faces);
        s.run(2.0).shot(&out, "perimeter");
        s.cue(Cue::Intruder);
        s.run(2.0).shot(&out, "perimeter_intruder_2s");
        s.run(3.5).shot(&out, "perimeter_intruder_5s");
    }
}
