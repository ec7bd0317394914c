//! Every route of the authorisation table × every role, against the running product.

use gatehouse_console::rbac::{Permission, Role};
use gatehouse_tests::product::{Client, Product};
use reqwest::{Method, StatusCode};
use serde_json::json;

const PASSWORD: &str = "a password for tests";

fn concrete(path: &str) -> String {
    let nil = "00000000-0000-0000-0000-000000000000";
    path.replace("{id}", nil)
        .replace("{step}", "1")
        .replace("{name}", "nowhere")
        .replace("{file}", "x.jpg")
        .replace("{token}", "1")
        .replace("{*path}", "sign-in")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_the_roles_of_its_table_and_no_others() -> anyhow::Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    for role in Role::ALL {
        admin
            .post(
                "/api/users",
                json!({ "name": role.word().to_uppercase(), "password": PASSWORD, "role": role.word() }),
            )
            .await?;
    }
    let mut table = product.running.table.clone();
    // Signing out ends the session that the other lines need.
    table.sort_by_key(|route| (route.method == Method::DELETE && route.path == "/api/session") as u8);
    let address = product.running.address;
    let http = reqwest::Client::new();
    let base = format!("http://{address}");
    for route in table.iter().filter(|route| route.permission != Permission::Public) {
        let request =
            http.request(route.method.clone(), format!("{base}{}", concrete(route.path))).header("origin", &base);
        let status = request.json(&json!({})).send().await?.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {} without a session", route.method, route.path);
    }
    for role in Role::ALL {
        let client = Client::sign_in(address, &role.word().to_uppercase(), PASSWORD).await?;
        for route in table.iter().filter(|route| route.permission != Permission::Public) {
            let body = (route.method != Method::GET).then(|| json!({}));
            let (status, answer) = client.request(route.method.clone(), &concrete(route.path), body).await?;
            let refused = status == StatusCode::FORBIDDEN;
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{role:?} {} {}", route.method, route.path);
            assert_eq!(
                refused,
                !role.may(route.permission),
                "{role:?} {} {}: {status} {answer}",
                route.method,
                route.path
            );
            assert!(
                !status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE,
                "{} {}: {answer}",
                route.method,
                route.path
            );
        }
    }
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_can_neither_change_nor_listen() -> anyhow::Result<()> {
    let product = Product::demo().await?;
    let base = format!("http://{}", product.running.address);
    let http = reqwest::Client::new();
    let credentials = json!({ "name": "admin", "password": product.password() });
    let sign_in = |origin: Option<&str>, host: Option<&str>| {
        let mut request = http.post(format!("{base}/api/session")).json(&credentials);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.send()
    };
    assert_eq!(sign_in(Some("https://evil.example"), None).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(sign_in(None, None).await?.status(), StatusCode::FORBIDDEN, "no origin and no key");
    let rebound = Some("http://evil.example:80");
    assert_eq!(sign_in(rebound, Some("evil.example:80")).await?.status(), StatusCode::FORBIDDEN, "DNS rebinding");
    let answer = sign_in(Some(&base), None).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()["set-cookie"].to_str()?.to_owned();
    assert!(
        cookie.starts_with("__Host-") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_braked_and_audited() -> anyhow::Result<()> {
    let product = Product::demo().await?;
    let address = product.running.address;
    let admin = product.admin().await?;
    for _ in 0..5 {
        assert!(Client::sign_in(address, "nobody", "wrong password").await.is_err());
    }
    let refused = Client::sign_in(address, "nobody", "wrong password").await.err().map(|error| error.to_string());
    assert!(refused.is_some_and(|sentence| sentence.contains("too_many_attempts")));
    let audit = admin.get("/api/audit").await?;
    let failures = audit["rows"].as_array().map_or(0, |rows| rows.iter().filter(|row| row["by"] == "nobody").count());
    assert!(failures >= 6, "{failures} rows");
    assert_eq!(audit["intact"], true);
    product.stop().await;
    Ok(())
}
