//! What an account keeps of its pages: its own, whoever else is signed in; bounded; never lost between two windows.

use gatehouse_tests::product::{Client, Product};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PASSWORD: &str = "a password for tests";
const PATH: &str = "/api/me/preferences";

async fn put(client: &Client, version: i64, preferences: Value) -> anyhow::Result<(StatusCode, Value)> {
    client.request(Method::PUT, PATH, Some(json!({ "version": version, "preferences": preferences }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_kept_per_account_and_by_version() -> anyhow::Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    admin.post("/api/users", json!({ "name": "zhao", "password": PASSWORD, "role": "guard" })).await?;
    let guard = Client::sign_in(product.running.address, "zhao", PASSWORD).await?;
    assert_eq!(admin.get(PATH).await?, json!({ "version": 0, "preferences": {} }));

    let (status, answer) =
        put(&admin, 0, json!({ "wall": { "saved": [{ "name": "夜间 \u{0000}", "layout": 9 }] } })).await?;
    assert_eq!((status, &answer["version"]), (StatusCode::OK, &json!(1)), "{answer}");
    assert_eq!(admin.get(PATH).await?["preferences"]["wall"]["saved"][0]["name"], "夜间 \u{0000}");
    assert_eq!(guard.get(PATH).await?["version"], 0, "another account's are its own");

    // A window that has not seen the newest version changes nothing.
    for seen in [0, 2, -1] {
        let (status, answer) = put(&admin, seen, json!({})).await?;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::CONFLICT, &json!("preferences_changed")), "{seen}");
    }
    let (status, _) = put(&guard, 1, json!({})).await?;
    assert_eq!(status, StatusCode::CONFLICT, "nothing was kept, so nothing has version 1");
    assert_eq!(put(&admin, 1, json!({ "wall": null })).await?.1["version"], 2);
    assert_eq!(admin.get(PATH).await?["preferences"], json!({ "wall": null }));
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_bounded_and_an_object() -> anyhow::Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    let (status, answer) = put(&admin, 0, json!({ "wall": "x".repeat(64 * 1024) })).await?;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("preferences_large")));
    assert_eq!(answer["error"]["field"], "preferences");
    for wrong in [json!([]), json!("x"), json!(null)] {
        let (status, answer) = put(&admin, 0, wrong).await?;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_body")));
    }
    let (status, _) = put(&admin, 0, json!({ "wall": "x".repeat(60 * 1024) })).await?;
    assert_eq!(status, StatusCode::OK);
    product.stop().await;
    Ok(())
}
