//! What an operator and a gate can rely on: passages found by what was read or nearly read, reads corrected, plates watched for.

use gatehouse_actors::passage::Found;
use gatehouse_actors::staff;
use gatehouse_actors::{PassageQuery, WatchEntryInput, WatchListInput};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Outcome, Verb};
use gatehouse_core::id::{DeviceId, EventId, PictureId};
use gatehouse_core::passage::Decision;
use gatehouse_core::recognition::travel::Travel;
use gatehouse_core::recognition::watchlist::Listing;
use gatehouse_core::recognition::{Observation, Seen};
use gatehouse_tests::compound::Compound;
use gatehouse_tests::product::{Client, Product};
use serde_json::json;

async fn read(site: &Compound, text: &str, confidence: f32) {
    let seen = Seen::Plate {
        text: text.into(),
        confidence,
        colour: "green".into(),
        votes: 4,
        travel: None,
        sure: confidence >= 0.9,
    };
    site.seen("cam-gate", seen).await;
}

async fn found(site: &Compound, query: PassageQuery) -> Vec<Found> {
    site.system.passages(PassageQuery { limit: 50, ..query }).await.unwrap()
}

async fn list(site: &Compound, name: &str, listing: Listing, alarm: Option<u8>, opens: bool, plates: &[&str]) {
    let input = WatchListInput { name: name.into(), listing, alarm, opens, version: 0 };
    let list = site.system.watch_list_create(input, "zhou").await.unwrap();
    for plate in plates {
        let entry = WatchEntryInput { plate: (*plate).into(), note: format!("note on {plate}"), valid_until: None };
        site.system.watch_entry_add(list.id, entry, "zhou").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_one_car_are_one_passage_with_a_count_and_the_surest_read() {
    let mut site = Compound::start().await;
    read(&site, "粤B12345", 0.75).await;
    let told = site.told("gate-in").await;
    assert_eq!(told.verb, Verb::Open);
    site.answer(&told, Outcome::Executed).await;
    site.word("gate-in", "position", "up").await;
    site.state("gate-in", "up").await;
    site.advance(20);
    read(&site, "粤B12345", 0.98).await;
    site.advance(20);
    read(&site, "粤B12345", 0.80).await;
    site.settle().await;
    let passages = found(&site, PassageQuery::default()).await;
    let [one] = &passages[..] else { panic!("{passages:?}") };
    assert_eq!((one.passage.reads, one.passage.votes, one.passage.confidence), (3, 4, 0.98));
    assert_eq!(one.passage.last_at, Some(site.now()));
    assert!(site.all_told().is_empty(), "the barrier opens once");
    site.advance(31);
    read(&site, "粤B12345", 0.97).await;
    assert_eq!(site.told("gate-in").await.verb, Verb::Open);
    site.settle().await;
    assert_eq!(found(&site, PassageQuery::default()).await.len(), 2, "after half a minute it is another visit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_plate_finds_what_the_reader_made_of_it_and_says_which_is_near() {
    let site = Compound::start().await;
    for (plate, confidence) in [("京A8D0B1", 0.97), ("京ABD081", 0.6), ("沪C55555", 0.95)] {
        read(&site, plate, confidence).await;
        site.advance(60);
    }
    site.settle().await;
    let hits = |found: Vec<Found>| found.into_iter().map(|f| (f.passage.plate, f.hit)).collect::<Vec<_>>();
    let query = |q: &str| PassageQuery { q: q.into(), ..PassageQuery::default() };
    let both = [("京ABD081".to_owned(), Some("near")), ("京A8D0B1".to_owned(), Some("exact"))];
    assert_eq!(hits(found(&site, query("8D0B")).await), both);
    assert_eq!(hits(found(&site, query("8 d·ob1")).await).len(), 2, "as people type it, O for 0");
    let exact = PassageQuery { exact: true, ..query("8D0B") };
    assert_eq!(hits(found(&site, exact).await), both[1..]);
    assert_eq!(hits(found(&site, query("55")).await).len(), 1);
    assert_eq!(hits(found(&site, query("S5")).await), [("沪C55555".to_owned(), Some("near"))]);
    assert_eq!(hits(found(&site, query(".*[")).await), []);
    let unsure = PassageQuery { unsure: true, ..PassageQuery::default() };
    assert_eq!(hits(found(&site, unsure).await), [("京ABD081".to_owned(), None)]);
    let green = PassageQuery { colour: "green".into(), decision: Some(Decision::Asked), ..query("沪") };
    assert_eq!(hits(found(&site, green).await).len(), 1);
    let elsewhere = PassageQuery { lane: "out".into(), ..PassageQuery::default() };
    assert_eq!(hits(found(&site, elsewhere).await), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_read_keeps_the_original_and_changes_no_decision() {
    let mut site = Compound::start().await;
    read(&site, "粤B12365", 0.95).await;
    site.alarm("cam-gate", AlarmKind::UnknownPlate, |alarm| alarm.active).await;
    let id = found(&site, PassageQuery::default()).await[0].passage.id;
    for (text, reason, code) in [("", "x", "plate"), ("粤B/2345", "x", "plate"), ("粤B12345", " ", "correction_reason")]
    {
        assert_eq!(site.system.passage_correct(id, text, reason, "zhou").await.unwrap_err().code(), code);
    }
    let corrected = site.system.passage_correct(id, "粤b·12345", "mud on the 4", "zhou").await.unwrap();
    assert_eq!((corrected.stands, corrected.known.as_str(), corrected.allowed), (Decision::Asked, "Li", true));
    let passage = corrected.passage;
    assert_eq!((passage.plate.as_str(), passage.text(), passage.person), ("粤B12365", "粤B12345", None));
    site.settle().await;
    assert!(site.all_told().is_empty(), "a correction opens nothing");
    for q in ["12365", "12345"] {
        let hits = found(&site, PassageQuery { q: q.into(), ..PassageQuery::default() }).await;
        assert_eq!(hits.len(), 1, "found by {q}");
        assert_eq!(hits[0].hit, Some("exact"));
    }
    // The guard's answer, and a restart, keep the correction.
    site.system.passage_decision(id, true, String::new(), "sun").await.unwrap();
    site.cut_and_restart().await;
    let passage = site.system.passage(id).await.unwrap();
    assert_eq!((passage.decision, passage.text()), (Decision::OpenedByGuard, "粤B12345"));
    assert_eq!(passage.correction.as_ref().map(|c| (c.by.as_str(), c.reason.as_str())), Some(("zhou", "mud on the 4")));
    let undone = site.system.passage_uncorrect(id, "zhou").await.unwrap();
    assert!(undone.correction.is_none(), "{undone:?}");
    assert_eq!((undone.text(), undone.decision), ("粤B12365", Decision::OpenedByGuard));
    assert_eq!(site.system.passage_uncorrect(id, "zhou").await.unwrap_err().code(), "not_corrected");
    site.settle().await;
    assert_eq!(site.count("select count(*) from event_log where code = 'passage.corrected'").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_plate_is_never_opened_to_and_a_near_one_is_told_as_near() {
    let mut site = Compound::start().await;
    list(&site, "Blocked", Listing::Blocked, Some(3), false, &["粤B12345"]).await;
    read(&site, "粤B12345", 0.98).await;
    let alarm = site.alarm("cam-gate", AlarmKind::WatchedPlate, |alarm| alarm.title["plate"] == "粤B12345").await;
    assert!(alarm.priority == 3 && alarm.title["hit"] == "exact" && alarm.title["list"] == "Blocked", "{alarm:?}");
    site.settle().await;
    assert!(site.all_told().is_empty(), "Li may come in, but not while the plate is blocked");
    let passages = found(&site, PassageQuery::default()).await;
    assert_eq!((passages[0].passage.decision, passages[0].passage.note.as_str()), (Decision::Asked, "blocked"));
    assert_eq!((passages[0].passage.hits.len(), passages[0].passage.hits[0].near), (1, false));

    // Another car that readers confuse with it, known by itself: let in, and told as near.
    let entry = gatehouse_actors::CredentialInput {
        kind: gatehouse_core::access::CredentialKind::Plate,
        value: "粤B1Z345".into(),
        valid_from: None,
        valid_until: None,
    };
    let li = gatehouse_core::id::PersonId::from_key("li");
    site.system.credential_add(li, entry, "zhou").await.unwrap();
    site.advance(60);
    read(&site, "粤B1Z345", 0.98).await;
    assert_eq!(site.told("gate-in").await.verb, Verb::Open);
    let near = site.alarm("cam-gate", AlarmKind::WatchedPlate, |alarm| alarm.title["plate"] == "粤B1Z345").await;
    assert!(near.title["hit"] == "near" && near.title["listed"] == "粤B12345", "{near:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcome_list_opens_only_where_it_says_so_and_only_for_a_sure_exact_read() {
    let mut site = Compound::start().await;
    list(&site, "VIP", Listing::Welcome, None, true, &["京A88888"]).await;
    list(&site, "Suppliers", Listing::Welcome, None, false, &["沪C1*"]).await;
    for (plate, confidence) in [("京A88888", 0.85), ("京AB8888", 0.99), ("沪C12345", 0.99)] {
        read(&site, plate, confidence).await;
        site.advance(60);
    }
    site.settle().await;
    assert!(site.all_told().is_empty(), "unsure, near, and a list that does not open");
    let passages = found(&site, PassageQuery::default()).await;
    // Each was the guard's question, until the next car came.
    assert!(passages.iter().all(|found| found.passage.decision != Decision::Opened && found.passage.hits.len() == 1));
    read(&site, "京A88888", 0.95).await;
    assert_eq!(site.told("gate-in").await.verb, Verb::Open);
    site.settle().await;
    let passage = &found(&site, PassageQuery::default()).await[0].passage;
    assert_eq!((passage.decision, passage.by.as_str()), (Decision::Opened, "watch_list"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_survive_a_restart_undo_and_imports_all_or_nothing() {
    let mut site = Compound::start().await;
    list(&site, "Wanted", Listing::Wanted, Some(1), false, &["京A11111"]).await;
    let list = site.system.watch_lists().await.unwrap()[0].clone();
    let wrong = site.system.watch_import(list.id, "plate,note\n京A22222,ok\n京/,x\n", "zhou").await.unwrap();
    assert_eq!(wrong.errors.iter().map(|e| (e.line, e.column)).collect::<Vec<_>>(), [(3, 1)]);
    assert_eq!(site.system.watch_entries(list.id, "", 10).await.unwrap().len(), 1, "nothing was taken");
    let file = "车牌,备注,有效期\n京A11111,new note,\n京a·22222,second,2026-05-04\n";
    let done = site.system.watch_import(list.id, file, "zhou").await.unwrap();
    assert_eq!((done.added, done.changed, done.unchanged), (1, 1, 0));
    let again = site.system.watch_import(list.id, file, "zhou").await.unwrap();
    assert_eq!((again.added, again.changed, again.unchanged), (0, 0, 2));

    let entries = site.system.watch_entries(list.id, "second", 10).await.unwrap();
    site.system.watch_entry_remove(entries[0].id, "zhou").await.unwrap();
    assert_eq!(site.system.watch_entries(list.id, "", 10).await.unwrap().len(), 1);
    site.system.watch_entry_restore(entries[0].id, "zhou").await.unwrap();
    site.system.watch_list_delete(list.id, "zhou").await.unwrap();
    assert!(site.system.watch_lists().await.unwrap().is_empty());
    site.system.watch_list_undelete(list.id, "zhou").await.unwrap();
    let seen =
        WatchListInput { name: "Wanted".into(), listing: Listing::Wanted, alarm: Some(2), opens: false, version: 1 };
    assert_eq!(site.system.watch_list_update(list.id, seen.clone(), "sun").await.unwrap_err().code(), "watch_changed");
    let opens = WatchListInput { opens: true, version: 3, ..seen };
    assert_eq!(site.system.watch_list_update(list.id, opens, "sun").await.unwrap_err().field(), Some("opens"));

    site.cut_and_restart().await;
    read(&site, "京A22222", 0.97).await;
    let alarm = site.alarm("cam-gate", AlarmKind::WatchedPlate, |alarm| alarm.title["plate"] == "京A22222").await;
    assert_eq!(alarm.priority, 1);
    // It was in force to the end of that day, in the site's zone.
    site.advance(24 * 3600);
    read(&site, "京A22222", 0.97).await;
    site.settle().await;
    assert!(found(&site, PassageQuery::default()).await[0].passage.hits.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_unusable_is_an_alarm_until_it_is_well() {
    let mut site = Compound::start().await;
    let view = |problem: &str| Seen::View { problem: problem.into() };
    site.seen("cam-gate", view("")).await;
    site.seen("cam-gate", view("covered")).await;
    let alarm = site.alarm("cam-gate", AlarmKind::CameraView, |alarm| alarm.active).await;
    assert_eq!(alarm.title["problem"], "covered");
    site.seen("cam-gate", view("moved")).await;
    site.alarm("cam-gate", AlarmKind::CameraView, |alarm| alarm.active && alarm.title["problem"] == "moved").await;
    site.cut_and_restart().await;
    site.seen("cam-gate", view("")).await;
    site.until("both returned", |system| {
        let mut open = system.open_alarms().into_iter().filter(|alarm| alarm.kind == AlarmKind::CameraView);
        open.all(|alarm| !alarm.active).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_corrections_are_for_those_who_may_and_leave_their_words_in_the_audit() -> anyhow::Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    let password = "a password for tests";
    admin.post("/api/users", json!({ "name": "g", "password": password, "role": "guard" })).await?;
    let guard = Client::sign_in(product.running.address, "g", password).await?;
    assert!(guard.post("/api/watch-lists", json!({ "name": "x", "listing": "wanted" })).await.is_err());
    let list = admin.post("/api/watch-lists", json!({ "name": "VIP", "listing": "welcome", "opens": true })).await?;
    let path = format!("/api/watch-lists/{}", list["id"].as_str().unwrap_or_default());
    admin.post(&format!("{path}/entries"), json!({ "plate": "粤b·88888", "note": "the owner" })).await?;
    assert_eq!(guard.get(&format!("{path}/entries")).await?["entries"][0]["plate"], "粤B88888");
    let twice = admin.post(&format!("{path}/entries"), json!({ "plate": "粤B88888" })).await.unwrap_err().to_string();
    assert!(twice.contains("watch_listed"), "{twice}");
    let audit = admin.get("/api/audit").await?;
    assert_eq!(audit["intact"], true);
    let rows = audit["rows"].as_array().cloned().unwrap_or_default();
    let told = |action: &str, text: &str| {
        rows.iter().any(|row| row["action"] == action && row["target"].as_str().is_some_and(|t| t.contains(text)))
    };
    assert!(told("watch_list.create", "VIP (welcome, opens)") && told("watch_entry.add", "粤B88888"));
    assert!(staff::audit_verify(product.running.app.pool()).await?.intact());
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_a_gate_sees_the_read_over_the_picture_and_its_crop_afterwards() -> anyhow::Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    let cameras: Vec<String> =
        product.running.app.system().compound().lanes.iter().map(|lane| format!("overlay/{}", lane.camera)).collect();
    let nobody = "overlay/00000000-0000-0000-0000-000000000000";
    let topics: Vec<&str> = cameras.iter().map(String::as_str).chain(["passages", nobody]).collect();
    let mut live = admin.live(&topics).await?;
    live.until(|m| (m["t"] == "err" && m["id"] == topics.len() - 1 && m["code"] == "unknown_topic").then_some(()))
        .await?;
    admin.post("/api/demo/play", json!({ "story": "car_known" })).await?;
    let (mut last, mut plates, mut passed) = (vec![0; cameras.len()], Vec::new(), None);
    let (passage, found, at_us) = live
        .until(|m| {
            let id = m["id"].as_u64().filter(|_| m["t"] == "ev")? as usize;
            if let Some(last) = last.get_mut(id) {
                assert_eq!(m["seq"].as_u64(), Some(*last + 1), "what was left out leaves no gap");
                *last += 1;
                let boxes = m["data"]["boxes"].as_array()?;
                assert!(boxes.len() <= 16);
                plates.extend(boxes.iter().map(|found| (found.clone(), m["data"]["at_us"].as_i64())));
            } else if m["data"]["decision"] == "opened" {
                passed = Some(m["data"].clone());
            }
            let passage = passed.as_ref()?;
            let read =
                plates.iter().find(|(found, _)| found["kind"] == "plate" && found["text"] == passage["plate"])?;
            Some((passage.clone(), read.0.clone(), read.1))
        })
        .await?;
    assert!(passage["votes"].as_u64().is_some_and(|votes| votes >= 1), "{passage}");
    let picture = passage["picture"].as_str().unwrap_or_default().to_owned();
    let (status, kind, crop) = admin.bytes(&format!("/api/pictures/{picture}-plate.jpg")).await?;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "image/jpeg"));
    let crop = image::load_from_memory(&crop)?;
    assert!(crop.width() <= 320 && crop.height() <= 160, "{}×{}", crop.width(), crop.height());
    let edge = |name: &str| found[name].as_f64().unwrap_or(-1.0);
    assert!(edge("x") >= 0.0 && edge("x") + edge("w") <= 1.0 && edge("y") >= 0.0 && edge("h") > 0.0, "{found}");
    let age_us = jiff::Timestamp::now().as_microsecond() - at_us.unwrap_or(0);
    assert!((0..30_000_000).contains(&age_us), "the time of the picture: {age_us} µs ago");

    let password = "a password for tests";
    admin.post("/api/users", json!({ "name": "e", "password": password, "role": "engineer" })).await?;
    let engineer = Client::sign_in(product.running.address, "e", password).await?;
    let mut refused = engineer.live(&[&cameras[0]]).await?;
    refused.until(|m| (m["t"] == "err" && m["code"] == "forbidden").then_some(())).await?;
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_of_passages_leave_who_what_and_how_many_in_the_audit() -> anyhow::Result<()> {
    let site = r#"
name = "Yard"
places = [{ key = "yard", kind = "site", name = "Yard" }]
lanes = [{ key = "in", camera = "gate", barrier = "boom", direction = "in" }]
devices = [
  { key = "gate", kind = "camera", name = "Gate", place = "yard" },
  { key = "boom", kind = "barrier", name = "Boom", place = "yard" },
]
"#;
    let product = Product::site(site, |config| config.recognition.picture_days = 45).await?;
    let (admin, system) = (product.admin().await?, product.running.app.system());
    assert_eq!(admin.get("/api/session").await?["site"]["picture_days"], 45, "what the pages say of the keeping");
    for (text, picture) in [("京A11111", Some(PictureId::of_event(EventId::from_key("p"), 0))), ("京B22222", None)] {
        let (colour, travel) = ("blue".into(), Some(Travel::Towards));
        let seen = Seen::Plate { text: text.into(), confidence: 0.97, colour, votes: 5, travel, sure: true };
        let camera = DeviceId::from_key("gate");
        system.observe(Observation { camera, observed_at: system.now(), latency_ms: 120, picture, seen }).await?;
    }
    let find = |plate: &'static str| {
        let admin = &admin;
        async move {
            let path = format!("/api/passages?q={plate}");
            loop {
                if let Some(one) = admin.get(&path).await?["passages"].as_array().and_then(|all| all.first()).cloned() {
                    return anyhow::Ok(one["id"].as_str().unwrap_or_default().to_owned());
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    };
    let (first, second) = (find("11111").await?, find("22222").await?);

    let password = "a password for tests";
    admin.post("/api/users", json!({ "name": "g", "password": password, "role": "guard" })).await?;
    let guard = Client::sign_in(product.running.address, "g", password).await?;
    let (status, _, csv) = guard.bytes("/api/passages.csv?lane=in&q=%E4%BA%ACA").await?;
    let csv = String::from_utf8(csv)?;
    assert!(status.is_success() && csv.contains("京A11111") && csv.contains(",towards,") && !csv.contains("京B22222"));
    guard.bytes("/api/passages.csv").await?;
    let given =
        guard.post(&format!("/api/passages/{first}/export"), json!({ "form": "file", "pictures": true })).await?;
    assert_eq!((&given["plate"], &given["travel"]), (&json!("京A11111"), &json!("towards")));
    guard.post(&format!("/api/passages/{second}/export"), json!({ "form": "print", "pictures": true })).await?;
    let wrong = guard.post(&format!("/api/passages/{second}/export"), json!({ "form": "fax", "pictures": true })).await;
    assert!(wrong.unwrap_err().to_string().contains("fax"), "the error names what was wrong");
    let nothing = "/api/passages/00000000-0000-0000-0000-000000000000/export";
    assert!(guard.post(nothing, json!({ "form": "file", "pictures": false })).await.is_err());

    let audit = admin.get("/api/audit").await?;
    assert_eq!(audit["intact"], true);
    let rows = audit["rows"].as_array().cloned().unwrap_or_default();
    let exports: Vec<_> = rows
        .iter()
        .filter(|row| row["action"] == "passage.export" && row["by"] == "g")
        .filter_map(|row| row["target"].as_str())
        .collect();
    let told = [
        format!("print, passages: 1, {second} 京B22222, without pictures"),
        format!("file, passages: 1, {first} 京A11111, with pictures"),
        "csv, passages: 2, no filter, without pictures".to_owned(),
        "csv, passages: 1, lane=in q=京A, without pictures".to_owned(),
    ];
    assert_eq!(exports, told, "newest first");
    product.stop().await;
    Ok(())
}
