//! Faces with consent: what is asked before, what the pictures must be, what is kept, and that it is gone when it is withdrawn.

use anyhow::{Context, Result};
use gatehouse_actors::{ConsentInput, FaceInput, System, SystemConfig, staff};
use gatehouse_core::id::PersonId;
use gatehouse_core::people::consent::{AskAgain, Guardian};
use gatehouse_core::people::filing::Filing;
use gatehouse_tests::compound::{Compound, consented, definition};
use gatehouse_tests::product::{Client, Product};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

fn consent(system: &System) -> ConsentInput {
    ConsentInput {
        version: system.face_notice().unwrap().version,
        lang: "zh".into(),
        channel: "agreed on the screen at the desk".into(),
        under_14: false,
        born: None,
        guardian: None,
    }
}

fn face(model: &str, numbers: &[[f32; 3]]) -> FaceInput {
    FaceInput { templates: numbers.iter().map(|numbers| numbers.to_vec()).collect(), model: model.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_face_rests_on_a_consent_to_the_text_in_force_and_is_gone_when_it_is_withdrawn() {
    let site = Compound::start().await;
    let (system, li) = (&site.system, PersonId::from_key("li"));
    let input = face("fr_feature", &[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]);
    assert_eq!(system.face_set(li, input.clone(), "wang").await.unwrap_err().code(), "consent_missing");
    assert_eq!(system.face_consented(li).await.unwrap_err().code(), "consent_missing");

    let other = ConsentInput { version: "1.00000000".into(), ..consent(system) };
    assert_eq!(system.consent_give(li, other, "wang").await.unwrap_err().code(), "consent_version");
    let nowhere = ConsentInput { channel: " ".into(), ..consent(system) };
    assert_eq!(system.consent_give(li, nowhere, "wang").await.unwrap_err().field(), Some("channel"));
    let person = system.consent_give(li, consent(system), "wang").await.unwrap();
    assert!(person.face.consent_at.is_some() && !person.face.enrolled && person.face.ask_again.is_none());
    let kept = "select count(*) from consent where text like '%Yard Property Ltd%' and lang = 'zh' and version <> ''";
    assert_eq!(site.count(kept).await, 1, "the text as it was shown");

    let changed = system.gallery_changed();
    assert_eq!(system.face_set(li, input.clone(), "wang").await.unwrap(), 2);
    assert!(changed.has_changed().unwrap());
    assert_eq!(system.gallery().await.unwrap().faces[1].template, input.templates[1]);
    let plain = 0.2_f32.to_le_bytes();
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("select sealed from face_template").fetch_all(&site.pool).await.unwrap();
    assert!(sealed.iter().all(|bytes| !bytes.windows(4).any(|window| window == plain)));

    // Enrolled anew: the old templates and their key are gone.
    let key: Vec<u8> = sqlx::query_scalar("select wrapped from face_key").fetch_one(&site.pool).await.unwrap();
    assert_eq!(system.face_set(li, face("fr_feature", &[[0.7, 0.8, 0.9]]), "wang").await.unwrap(), 1);
    let next: Vec<u8> = sqlx::query_scalar("select wrapped from face_key").fetch_one(&site.pool).await.unwrap();
    assert_ne!(key, next);
    assert_eq!(system.gallery().await.unwrap().faces.len(), 1);

    system.face_delete(li, "wang").await.unwrap();
    assert!(system.gallery().await.unwrap().faces.is_empty());
    assert_eq!(site.count("select count(*) from face_template").await, 0);
    assert_eq!(site.count("select count(*) from consent where withdrawn_at is not null").await, 1);
    assert_eq!(
        system.face_set(li, input, "wang").await.unwrap_err().code(),
        "consent_missing",
        "withdrawn is withdrawn"
    );
    system.person_delete(li, "wang").await.unwrap();
    assert!(system.people("", 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_child_the_guardian_consents_and_the_child_is_asked_at_14() {
    let site = Compound::start().await;
    let (system, li) = (&site.system, PersonId::from_key("li"));
    let guardian = Guardian { name: "Li Ming".into(), relation: "father".into() };
    let born = Some("2012-05-06".parse().unwrap());
    let child = ConsentInput { under_14: true, born, guardian: Some(guardian.clone()), ..consent(system) };
    let refused = async |input: ConsentInput| system.consent_give(li, input, "wang").await.unwrap_err().code();
    assert_eq!(refused(ConsentInput { guardian: None, ..child.clone() }).await, "guardian_missing");
    assert_eq!(refused(ConsentInput { born: None, ..child.clone() }).await, "consent_born");
    assert_eq!(refused(ConsentInput { born: "2012-05-04".parse().ok(), ..child.clone() }).await, "consent_born");
    assert_eq!(refused(ConsentInput { under_14: false, ..child.clone() }).await, "consent_minimal");
    let person = system.consent_give(li, child, "wang").await.unwrap();
    assert_eq!((person.face.guardian, person.face.ask_again), (Some(guardian), None));
    system.face_set(li, face("m", &[[1.0, 0.0, 0.0]]), "wang").await.unwrap();
    assert!(system.faces(Some(("m", 3))).await.unwrap().consent_again.is_empty());
    // It is 4 May in Shanghai; two nights later is the birthday.
    site.advance(2 * 24 * 3600);
    assert_eq!(system.person(li).await.unwrap().face.ask_again, Some(AskAgain::OfAge));
    let faces = system.faces(Some(("m", 3))).await.unwrap();
    assert_eq!(faces.consent_again.iter().map(|case| case.ask_again).collect::<Vec<_>>(), [Some(AskAgain::OfAge)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_text_asks_again_and_pictures_wait_for_the_answer() {
    let mut site = Compound::start().await;
    let li = PersonId::from_key("li");
    consented(&site.system, li).await;
    site.system.face_set(li, face("m", &[[1.0, 0.0, 0.0]]), "wang").await.unwrap();
    let before = site.system.face_notice().unwrap();
    let other_contact = |config: &mut SystemConfig| {
        let mut site = definition();
        site.face_consent.as_mut().unwrap().contact = "the office, telephone 777".into();
        config.site = Some(site);
    };
    site.restart_changed(Arc::new(other_contact)).await;
    let system = &site.system;
    assert_ne!(system.face_notice().unwrap().version, before.version);
    assert_eq!(system.person(li).await.unwrap().face.ask_again, Some(AskAgain::NewText));
    assert_eq!(system.gallery().await.unwrap().faces.len(), 1, "what was consented to stands until it is withdrawn");
    assert_eq!(system.face_consented(li).await.unwrap_err().code(), "consent_missing");
    assert_eq!(system.faces(Some(("m", 3))).await.unwrap().consent_again[0].person, li);
    consented(system, li).await;
    assert_eq!(system.person(li).await.unwrap().face.ask_again, None);
    assert!(system.faces(Some(("m", 3))).await.unwrap().consent_again.is_empty());
    site.advance(365 * 24 * 3600);
    assert_eq!(site.system.faces(Some(("m", 3))).await.unwrap().consent_again[0].ask_again, Some(AskAgain::LongAgo));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_of_templates_is_in_the_audit_and_another_models_are_listed_to_enrol_again() {
    let site = Compound::start().await;
    let (system, li) = (&site.system, PersonId::from_key("li"));
    consented(system, li).await;
    system.face_set(li, face("fr_feature/0.0.1", &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "wang").await.unwrap();
    let reads = async || {
        let rows = staff::audit_list(&site.pool, None, 100).await.unwrap();
        rows.into_iter().filter(|row| row.action == "face.read").map(|row| row.target).collect::<Vec<_>>()
    };
    assert!(reads().await.is_empty());
    system.gallery().await.unwrap();
    assert_eq!(reads().await, ["2 templates"]);
    // Without the row there is no read.
    sqlx::raw_sql("alter table audit rename to audit_away").execute(&site.pool).await.unwrap();
    assert_eq!(system.gallery().await.unwrap_err().code(), "store_away");
    sqlx::raw_sql("alter table audit_away rename to audit").execute(&site.pool).await.unwrap();
    assert!(staff::audit_verify(&site.pool).await.unwrap().intact());

    let faces = system.faces(Some(("fr_feature/0.0.1", 3))).await.unwrap();
    assert_eq!((faces.people, faces.templates, faces.filing), (1, 2, Filing::Below));
    assert!(faces.enrol_again.is_empty(), "{faces:?}");
    for (model, dimension) in [("fr_feature/0.0.2", 3), ("fr_feature/0.0.1", 512)] {
        let again = system.faces(Some((model, dimension))).await.unwrap().enrol_again;
        assert_eq!(again.iter().map(|case| (case.person, case.dimension)).collect::<Vec<_>>(), [(li, 3)], "{model}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eighty_thousand_people_warn_the_managers_and_a_hundred_thousand_are_due() {
    let site = Compound::start().await;
    let fill = "with made as (
            insert into person (id, name, kind, created_at)
            select gen_random_uuid(), 'x', 'resident', now() from generate_series(1, 79999) returning id),
        keyed as (insert into face_key (person, wrapped) select id, '' from made returning person)
        insert into face_template (person, model, dimension, sealed, created_at)
        select person, 'm', 3, '', now() from keyed";
    sqlx::raw_sql(fill).execute(&site.pool).await.unwrap();
    assert_eq!(site.system.faces(Some(("m", 3))).await.unwrap().filing, Filing::Below);
    let li = PersonId::from_key("li");
    consented(&site.system, li).await;
    site.system.face_set(li, face("m", &[[1.0, 0.0, 0.0]; 3]), "wang").await.unwrap();
    let faces = site.system.faces(Some(("m", 3))).await.unwrap();
    assert_eq!((faces.people, faces.filing), (80_000, Filing::Near), "people count, not templates");
}

/// The demo's portrait, its nose moved sideways by a share of the face's width: a turned head as far as landmarks can say.
fn turned(photo: &[u8], face: &Value, by: f32) -> Vec<u8> {
    let from = image::load_from_memory(photo).unwrap().to_rgb8();
    let (w, h) = (from.width() as f32, from.height() as f32);
    let at = |i: usize| face[i].as_f64().unwrap_or_default() as f32;
    let (fw, fh) = (at(2) * w, at(3) * h);
    let (nose_x, nose_y) = ((at(0) + at(2) / 2.0) * w, (at(1) + 0.62 * at(3)) * h);
    let bump = |d: f32| (1.0 - d * d).max(0.0).powi(2);
    let to = image::RgbImage::from_fn(from.width(), from.height(), |x, y| {
        let weight = bump((x as f32 - nose_x) / (0.55 * fw)) * bump((y as f32 - nose_y) / (0.42 * fh));
        let source = (x as f32 - by * fw * weight).clamp(0.0, w - 1.0);
        let (left, part) = (source.floor(), source - source.floor());
        let pixel = |x: f32| from.get_pixel(x.min(w - 1.0) as u32, y).0.map(f32::from);
        let (a, b) = (pixel(left), pixel(left + 1.0));
        image::Rgb(std::array::from_fn(|i| (a[i] * (1.0 - part) + b[i] * part).round() as u8))
    });
    let mut out = Cursor::new(Vec::new());
    image::DynamicImage::from(to).write_to(&mut out, image::ImageFormat::Jpeg).unwrap();
    out.into_inner()
}

async fn resident(admin: &Client) -> Result<Value> {
    let people = admin.get("/api/people?limit=500").await?;
    let people = people["people"].as_array().context("people")?;
    people.iter().find(|person| person["face"]["enrolled"] == true).cloned().context("the demo's resident is enrolled")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_good_pictures_open_the_door_and_a_withdrawal_closes_it_within_seconds() -> Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    let person = resident(&admin).await?;
    let id = person["id"].as_str().context("an id")?.to_owned();
    let path = format!("/api/people/{id}");
    let photo = std::fs::read(product.data.join("demo/faces/collins_1.png"))?;
    admin.request(reqwest::Method::DELETE, &format!("{path}/face"), None).await?;

    // Nothing is looked at before the consent.
    let (status, refused) = admin.judge(&id, photo.clone()).await?;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::CONFLICT, &json!("consent_missing")));
    let (status, refused) = admin.enrol(&id, &[photo.clone(), photo.clone(), photo.clone()]).await?;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::CONFLICT, &json!("consent_missing")));
    let notice = admin.get("/api/face-notice").await?;
    let given = json!({ "version": notice["version"], "lang": "en", "channel": "screen" });
    let child = json!({ "version": notice["version"], "lang": "en", "channel": "screen", "under_14": true, "born": "2020-01-01" });
    let refused = admin.post(&format!("{path}/consent"), child).await.unwrap_err().to_string();
    assert!(refused.contains("guardian_missing"), "{refused}");
    admin.post(&format!("{path}/consent"), given).await?;

    let (status, straight) = admin.judge(&id, photo.clone()).await?;
    assert_eq!((status, &straight["accepted"]), (StatusCode::OK, &json!(true)), "{straight}");
    let (left, right) = (turned(&photo, &straight["face"], 0.1), turned(&photo, &straight["face"], -0.1));
    let mut poses = vec![straight["pose"].clone()];
    for photo in [&left, &right] {
        let (_, judged) = admin.judge(&id, photo.clone()).await?;
        poses.push(judged["pose"].clone());
    }
    assert_eq!(poses, ["straight", "left", "right"]);
    let (status, nothing) = admin.judge(&id, b"not a picture".to_vec()).await?;
    assert_eq!((status, &nothing["error"]["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("photo_unreadable")));
    let (_, twice) = admin.enrol(&id, &[left.clone(), left.clone(), right.clone()]).await?;
    assert_eq!(twice["error"]["code"], "same_photo");
    let (_, few) = admin.enrol(&id, &[photo.clone(), left.clone()]).await?;
    assert_eq!(few["error"]["code"], "too_few_photos");
    let stranger = std::fs::read(product.data.join("demo/faces/hopper_1.jpg"))?;
    let (_, two) = admin.enrol(&id, &[photo.clone(), left.clone(), stranger]).await?;
    assert_eq!(two["error"]["code"], "two_people");
    let (status, enrolled) = admin.enrol(&id, &[photo, left, right]).await?;
    assert_eq!((status, &enrolled["templates"]), (StatusCode::CREATED, &json!(3)), "{enrolled}");
    let faces = admin.get("/api/faces").await?;
    assert_eq!((&faces["people"], &faces["templates"], &faces["filing"]), (&json!(1), &json!(3), &json!("below")));

    let mut live = admin.live(&["access", "events"]).await?;
    admin.post("/api/demo/play", json!({ "story": "resident_face" })).await?;
    let opened = |m: &Value| m["id"] == 0 && m["data"]["via"] == "face" && m["data"]["granted"] == true;
    live.until(|m| opened(m).then_some(())).await.context("the face opens the door")?;

    let withdrawn = Instant::now();
    admin.request(reqwest::Method::DELETE, &format!("{path}/face"), None).await?;
    let since = jiff::Timestamp::now();
    // Who stands there is a stranger now: the next faces told are nobody's.
    let unknown =
        |m: &Value| m["id"] == 1 && m["data"]["code"] == "face.seen" && m["data"]["params"]["accepted"] == false;
    while let Err(error) = admin.post("/api/demo/play", json!({ "story": "resident_face" })).await {
        assert!(error.to_string().contains("story_busy"), "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    live.until(|m| unknown(m).then_some(())).await.context("a stranger is told")?;
    println!("told as a stranger {:.1} s after the withdrawal", withdrawn.elapsed().as_secs_f64());
    let records = admin.get("/api/access?limit=500").await?;
    let later = |record: &&Value| {
        record["at"].as_str().and_then(|at| at.parse().ok()).is_some_and(|at: jiff::Timestamp| at > since)
    };
    let opened: Vec<_> = records["records"].as_array().context("records")?.iter().filter(later).collect();
    assert!(opened.iter().all(|record| record["via"] != "face"), "{opened:?}");
    let confirmed = async {
        loop {
            let person = admin.get(&path).await?;
            let removals = person["face"]["removals"].as_array().cloned().unwrap_or_default();
            if removals.len() == 2 && removals.iter().all(|removal| removal["state"] == "executed") {
                return anyhow::Ok(person);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let person =
        tokio::time::timeout(gatehouse_tests::product::PATIENCE, confirmed).await.context("both confirm")??;
    assert!(person["face"]["enrolled"] == false && person["face"]["consent_at"].is_null(), "{person}");
    let audit = admin.get("/api/audit?limit=1000").await?;
    let rows = audit["rows"].as_array().cloned().unwrap_or_default();
    let count = |action: &str| rows.iter().filter(|row| row["action"] == action).count();
    assert!(count("POST /api/people/{id}/consent") == 2 && count("DELETE /api/people/{id}/face") == 2);
    // The matcher had its gallery without the face soon enough: its read is the one of no template.
    let emptied = rows.iter().filter(|row| row["action"] == "face.read" && row["target"] == "0 templates");
    let moments = emptied.filter_map(|row| row["at"].as_str()?.parse::<jiff::Timestamp>().ok());
    let after =
        moments.filter(|at| *at > since - jiff::SignedDuration::from_secs(1)).map(|at| at.duration_since(since));
    let soonest = after.min().context("the matcher read its gallery again")?;
    assert!(soonest <= jiff::SignedDuration::from_secs(5), "{soonest:#}");
    assert_eq!(count("POST /api/people/{id}/face/check"), 2, "only what was refused: checks change nothing");
    product.stop().await;
    Ok(())
}
