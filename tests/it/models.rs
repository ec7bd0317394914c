//! A site's own models: they load, are held to what they must be, judge by their own thresholds, and templates of another model
//! match nobody.

use crate::video::{PASSWORD, USER};
use anyhow::{Context, Result};
use gatehouse_actors::FaceInput;
use gatehouse_adapters::sim::rtsp::{RtspServer, Users};
use gatehouse_adapters::sim::scene::{BodyColour, CameraConfig, Cue, PlateColour, SceneKind, Studio, StudioConfig};
use gatehouse_console::config::Recognition;
use gatehouse_console::provision::{Provision, Silent, testkit};
use gatehouse_core::id::PersonId;
use gatehouse_tests::compound::consented;
use gatehouse_tests::onnx::Graph;
use gatehouse_tests::product::{Client, PATIENCE, Product, fresh_data_dir};
use gatehouse_vision::face::Embedding;
use gatehouse_vision::models::{
    Channels, FaceEmbedderConfig, PLATE_ALPHABET, PLATE_READ, PerChannel, PlateReaderConfig, SECOND_READ,
};
use gatehouse_vision::onnx::Model;
use gatehouse_vision::recognizer::Recognizer;
use gatehouse_vision::{RuntimePaths, enrol};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A face as the mean colours of 8 × 8 patches: 192 numbers. Enough to know one picture again.
fn pooled() -> Graph {
    Graph::of_picture(112, 112).pool("x", "patches", 14, 14).flatten("patches", "face").output("face", &[1, 192])
}

fn embedder(dir: &Path, graph: &Graph) -> Result<FaceEmbedderConfig> {
    let (file, sha256) = graph.write(dir, "own.onnx")?;
    Ok(FaceEmbedderConfig {
        file: Some(file),
        sha256: Some(sha256),
        id: Some("pooled/1".into()),
        licence: Some("MIT".into()),
        output: None,
        channels: Some(Channels::Rgb),
        mean: Some(PerChannel::One(127.5)),
        scale: Some(PerChannel::One(127.5)),
        door: Some(0.8),
        candidate: Some(0.75),
        one_person: Some(0.5),
        one_picture: Some(0.9999),
    })
}

/// The reader that set-up brings, as a site would name it: by its own pre-processing and thresholds.
fn reader(models: &Path, accept: f32) -> PlateReaderConfig {
    PlateReaderConfig {
        file: Some(models.join(&*PLATE_READ.file)),
        sha256: Some(PLATE_READ.sha256.to_string()),
        id: Some("own-reader/1".into()),
        licence: Some("Apache-2.0".into()),
        output: None,
        channels: Some(Channels::Bgr),
        mean: Some(PerChannel::Each([127.5; 3])),
        scale: Some(PerChannel::One(127.5)),
        height: Some(32),
        width: Some(100),
        padded_width: Some(320),
        alphabet: Some(models.join(&*PLATE_ALPHABET.file)),
        alphabet_sha256: Some(PLATE_ALPHABET.sha256.to_string()),
        wide_width: Some(200),
        favours: Some('皖'),
        accept: Some(accept),
        agree: Some(0.3),
    }
}

fn door(camera: &str) -> String {
    format!(
        r#"
name = "Yard"
zone = "Asia/Shanghai"
face_consent = {{ controller = "Yard Property Ltd", contact = "the desk" }}
places = [{{ key = "yard", kind = "site", name = "Yard" }}]
face_doors = [{{ camera = "door-1.camera", door = "door-1" }}]
levels = [{{ key = "all", name = "All", doors = ["*"] }}]
people = [{{ key = "eileen", name = "Eileen", kind = "resident", levels = ["all"] }}]

[[devices]]
key = "door-1.camera"
kind = "camera"
name = "Camera at the door"
place = "yard"
stream = {{ url = "{camera}", user = "{USER}", password = "{PASSWORD}", record = false, look_for = ["faces"] }}

[[devices]]
key = "door-1"
kind = "door"
name = "Door"
place = "yard"
methods = ["card", "intercom"]
"#
    )
}

/// The first event of one code that `wanted` picks.
async fn event(admin: &Client, code: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let path = format!("/api/events?code={code}&limit=50");
    let seen = async {
        loop {
            let events = admin.get(&path).await?;
            let mut events = events["events"].as_array().into_iter().flatten();
            if let Some(event) = events.find(|event| wanted(event)) {
                return anyhow::Ok(event.clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.with_context(|| format!("an event {code}"))?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_face_enrolled_by_another_embedder_opens_nothing_until_it_is_enrolled_by_the_one_in_use() -> Result<()> {
    let faces = fresh_data_dir()?;
    let portraits = faces.path().join("demo/faces");
    let photo = std::fs::read(portraits.join("collins_1.png"))?;
    let config = StudioConfig { threads: 1, faces: Some(portraits), ..StudioConfig::default() };
    let camera =
        CameraConfig { width: 640, height: 360, bitrate_kbps: 600, ..CameraConfig::new("Door", SceneKind::Lobby) };
    let studio = Studio::start(config, vec![camera])?;
    let server = RtspServer::bind("127.0.0.1:0".parse()?, Users::one(USER, PASSWORD)).await?;
    server.mount("cam", studio.scenes()[0].source());
    let own = embedder(faces.path(), &pooled())?;
    let site = door(&format!("rtsp://{}/cam", server.local_addr()));
    let product = Product::site(&site, |config| config.recognition.face_embedder = Some(own)).await?;
    let (app, admin) = (&product.running.app, product.admin().await?);
    let recognizer = app.recognizer().context("recognition runs")?;
    assert_eq!((recognizer.face_model(), recognizer.face_dimension()), ("pooled/1", 192));

    // The template that the program's own embedder would have made, and one of the right name and another dimension.
    let eileen = PersonId::from_key("eileen");
    consented(app.system(), eileen).await;
    for (model, dimension) in [("fr_feature/0.0.1", 512), ("pooled/1", 128)] {
        let face = FaceInput { templates: vec![vec![0.1; dimension]], model: model.to_owned() };
        app.system().face_set(eileen, face, "wang").await?;
        let person = admin.get(&format!("/api/people/{eileen}")).await?;
        assert_eq!((&person["face"]["enrolled"], &person["face"]["enrol_again"]), (&json!(true), &json!(true)));
        let overview = admin.get("/api/faces").await?;
        assert_eq!((&overview["model"], &overview["enrol_again"][0]["model"]), (&json!("pooled/1"), &json!(model)));
        let stored = app.system().gallery().await?.faces;
        let stored = stored.into_iter().map(|face| (face.person, face.template, face.model));
        assert!(enrol::gallery(("pooled/1", 192), stored).is_empty(), "{model}");
    }
    studio.scenes()[0].cue(Cue::PersonAtDoor { photo: "collins_1".into(), stay: Duration::from_secs(120) });
    let stranger = event(&admin, "face.seen", |_| true).await?;
    // Of a face that is like nobody, not even as a candidate, no picture is kept.
    assert_eq!((&stranger["params"]["accepted"], &stranger["params"]["picture"]), (&json!(false), &Value::Null));

    // Enrolled by the embedder in use, the person who stands there is let in.
    let template = enrol::template(recognizer, &photo)?;
    assert_eq!(template.len(), 192);
    let face = FaceInput { templates: vec![template], model: recognizer.face_model().to_owned() };
    app.system().face_set(eileen, face, "wang").await?;
    assert_eq!(admin.get(&format!("/api/people/{eileen}")).await?["face"]["enrol_again"], false);
    assert_eq!(admin.get("/api/faces").await?["enrol_again"], json!([]));
    let known = event(&admin, "face.seen", |event| event["params"]["accepted"] == true).await?;
    assert_ne!(known["params"]["picture"], Value::Null, "{known}");
    let granted = event(&admin, "access.granted", |_| true).await?;
    assert_eq!(granted["params"]["name"], "Eileen", "{granted}");
    product.stop().await;
    Ok(())
}

/// The models with the second reader among them.
fn with_second_reader() -> Result<PathBuf> {
    let provided = testkit::provided();
    let models = Provision::new(testkit::data_dir()).with_second_reader(true).ensure_models(&mut Silent)?;
    anyhow::ensure!(models == provided.models, "{models:?}");
    Ok(models)
}

#[test]
fn the_second_reader_gives_the_measured_numbers() -> Result<()> {
    // By vision/reference/outputs.py: input i is ((7919 · i) mod 255) / 128 − 1; values at 0, 1/7, 1/3, 1/2, 4/5 and the end.
    let measured = [0.3540437_f32, 1.889486e-07, 2.657841e-07, 0.8988839, 0.8479503, 0.0009737469];
    let models = with_second_reader()?;
    let recognition = Recognition { second_reader: true, ..Recognition::default() };
    let model = Model::open(&SECOND_READ, &recognition.paths(&testkit::provided().onnxruntime, &models)?)?;
    let shape = [1, 3, 48, 320];
    let input: Vec<f32> = (0..3 * 48 * 320_u64).map(|i| (i * 7919 % 255) as f32 / 128.0 - 1.0).collect();
    let values = model.run(&shape, &input, |out| Ok(out.tensor(0)?.to_vec()))?;
    let m = values.len();
    for (at, want) in [0, m / 7, m / 3, m / 2, m * 4 / 5, m - 1].into_iter().zip(measured) {
        assert!((values[at] - want).abs() <= 1e-5, "at {at}: {} against {want}", values[at]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_sure_by_the_threshold_of_its_reader_or_because_a_second_one_confirms_it() -> Result<()> {
    let studio = Studio::start(
        StudioConfig { threads: 1, ..StudioConfig::default() },
        vec![CameraConfig::new("Gate", SceneKind::Gate)],
    )?;
    let server = RtspServer::bind("127.0.0.1:0".parse()?, Users::one(USER, PASSWORD)).await?;
    server.mount("cam", studio.scenes()[0].source());
    let models = tokio::task::block_in_place(with_second_reader)?;
    let told = async |accept, second| -> Result<Value> {
        let site = format!(
            "name = \"Yard\"\nplaces = [{{ key = \"yard\", kind = \"site\", name = \"Yard\" }}]\n[[devices]]\nkey = \"gate\"\n\
             kind = \"camera\"\nname = \"gate\"\nplace = \"yard\"\nstream = {{ url = \"rtsp://{}/cam\", user = \"{USER}\", \
             password = \"{PASSWORD}\", record = false, look_for = [\"plates\"] }}\n",
            server.local_addr()
        );
        let own = reader(&models, accept);
        let recognition = Recognition { plate_reader: Some(own), second_reader: second, ..Recognition::default() };
        let product = Product::site(&site, |config| config.recognition = recognition).await?;
        let admin = product.admin().await?;
        let car = Cue::CarArrives { plate: "粤B12345".into(), colour: PlateColour::Blue, body: BodyColour::White };
        assert!(studio.scenes()[0].cue(car));
        let read = event(&admin, "plate.read", |event| event["params"]["text"] == "粤B12345").await?;
        product.stop().await;
        Ok(read["params"]["sure"].clone())
    };
    assert_eq!(told(0.3, false).await?, json!(true), "above the threshold of its reader");
    assert_eq!(told(1.0, false).await?, json!(false), "nobody confirms it");
    // Where few pictures of a car are looked at, the second reader may have only a poor one: then it says nothing.
    for _ in 0..4 {
        if told(1.0, true).await? == json!(true) {
            return Ok(());
        }
    }
    anyhow::bail!("of four cars the second reader confirmed none")
}

#[test]
fn a_model_that_is_not_what_its_stage_needs_is_refused_by_the_name_of_the_field() -> Result<()> {
    let provided = testkit::provided();
    let dir = tempfile::tempdir()?;
    let refused = |recognition: Recognition, field: &str, remedy: &str| -> Result<()> {
        let paths: RuntimePaths = recognition.paths(&provided.onnxruntime, &provided.models)?;
        let error = Recognizer::open(&paths).err().with_context(|| format!("{field} is wrong"))?.to_string();
        assert!(error.starts_with(&format!("recognition.{field}: ")) && error.contains(remedy), "{field}: {error}");
        Ok(())
    };
    let faces = |config: FaceEmbedderConfig| Recognition { face_embedder: Some(config), ..Recognition::default() };
    let plates = |config: PlateReaderConfig| Recognition { plate_reader: Some(config), ..Recognition::default() };

    let good = embedder(dir.path(), &pooled())?;
    let other = FaceEmbedderConfig { sha256: Some("0".repeat(64)), ..good.clone() };
    refused(faces(other), "face_embedder.sha256", "measure its thresholds anew")?;
    let other = FaceEmbedderConfig { file: Some(dir.path().join("nowhere.onnx")), ..good.clone() };
    refused(faces(other), "face_embedder.file", "name a file")?;
    let other = FaceEmbedderConfig { output: Some("features".into()), ..good };
    refused(faces(other), "face_embedder.output", "no output \"features\", but face")?;
    let small = Graph::of_picture(96, 96).pool("x", "p", 12, 12).flatten("p", "face").output("face", &[1, 192]);
    refused(faces(embedder(dir.path(), &small)?), "face_embedder.file", "1×3×96×96, 1×3×112×112 is given")?;
    let two = pooled().output("patches", &[1, 3, 8, 8]);
    refused(faces(embedder(dir.path(), &two)?), "face_embedder.output", "face, patches: name the one")?;
    let picture = FaceEmbedderConfig { output: Some("patches".into()), ..embedder(dir.path(), &two)? };
    refused(faces(picture), "face_embedder.output", "a description of one face is wanted")?;

    let good = reader(&provided.models, 0.9);
    assert!(Recognizer::open(&plates(good.clone()).paths(&provided.onnxruntime, &provided.models)?).is_ok());
    let other = PlateReaderConfig { alphabet_sha256: Some("0".repeat(64)), ..good.clone() };
    refused(plates(other), "plate_reader.alphabet_sha256", "has sha256")?;
    let other = PlateReaderConfig { height: Some(48), ..good.clone() };
    refused(plates(other), "plate_reader.file", "48×320 is given")?;
    let without = PlateReaderConfig { alphabet: None, alphabet_sha256: None, ..good.clone() };
    refused(plates(without), "plate_reader.alphabet", "one a line")?;
    let strips = |width: u64, classes: u64| {
        let graph = Graph::of_picture(32, width).pool("x", "p", 32, 4).squeeze("p", "s", 2);
        graph.clone().output("s", &[1, 3, classes]).write(dir.path(), "reader.onnx").map(|written| (graph, written))
    };
    let named = |(file, sha256): (PathBuf, String), padded: u32| PlateReaderConfig {
        file: Some(file),
        sha256: Some(sha256),
        padded_width: Some(padded),
        wide_width: None,
        ..good.clone()
    };
    let (_, written) = strips(320, 80)?;
    refused(plates(named(written, 320)), "plate_reader.alphabet", "lists 72 characters, the reader has 80 classes")?;
    let (graph, written) = strips(292, 73)?;
    refused(plates(named(written, 292)), "plate_reader.output", "export it with its softmax")?;
    let whole = graph.softmax("s", "shares").output("shares", &[1, 3, 73]).write(dir.path(), "reader.onnx")?;
    let paths = plates(named(whole, 292)).paths(&provided.onnxruntime, &provided.models)?;
    let reader = Recognizer::open(&paths).context("a reader of another width, one strip at a time")?;
    assert_eq!(reader.plate_reader().options().sure, 0.9);
    Ok(())
}

#[test]
fn an_embedder_of_another_dimension_tells_pictures_apart_by_its_own_cosines() -> Result<()> {
    let provided = testkit::provided();
    let dir = tempfile::tempdir()?;
    let own = embedder(dir.path(), &pooled())?;
    let recognition = Recognition { face_embedder: Some(own), ..Recognition::default() };
    let recognizer = Recognizer::open(&recognition.paths(&provided.onnxruntime, &provided.models)?)?;
    let described = |file: &str| -> Result<Embedding> {
        let template = enrol::template(&recognizer, &std::fs::read(provided.demo.join("faces").join(file))?)?;
        Embedding::normalised(&template).context("a length")
    };
    let (collins, hopper) = (described("collins_1.png")?, described("hopper_1.jpg")?);
    let person = PersonId::from_key("collins");
    let stored = [(person, collins.values().to_vec(), "pooled/1".to_owned())];
    let gallery = enrol::gallery((recognizer.face_model(), recognizer.face_dimension()), stored);
    let best = |face: &Embedding| gallery.best(face).map(|best| (best.person, best.cosine)).unwrap_or((person, -1.0));
    assert_eq!(best(&collins).0, person);
    assert!(best(&collins).1 > 0.999 && best(&hopper).1 < 0.8, "{:?} {:?}", best(&collins), best(&hopper));
    // Three times one picture are one picture by this model's own measure.
    let photo = std::fs::read(provided.demo.join("faces/collins_1.png"))?;
    let twice = enrol::templates(&recognizer, &[&photo, &photo, &photo]).map_err(|error| error.code());
    assert_eq!(twice.err(), Some("same_photo"));
    Ok(())
}
