//! `/metrics`: the program's figures for Prometheus.

use crate::app::App;
use crate::metrics::{self, text::CONTENT_TYPE};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;

/// Who may read the figures without a session.
#[derive(Clone, Debug)]
pub struct Access {
    /// The token a scraper shows.
    pub token: String,
    /// Whether this machine itself needs none.
    pub loopback: bool,
}

/// The figures, in Prometheus' text format 0.0.4.
pub async fn show(State(app): State<Arc<App>>) -> Response {
    let mut response = metrics::page(&app).await.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

/// Whether a request shows the token, or comes from this machine where that is enough.
pub fn scraper(app: &App, request: &Request) -> bool {
    let access = app.metrics_access();
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let here = || {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
    };
    same(token, &access.token) || (access.loopback && here())
}

/// Compares in the time of the right one, whatever is shown.
fn same(shown: &str, right: &str) -> bool {
    let (a, b) = (shown.as_bytes(), right.as_bytes());
    !b.is_empty() && a.len() == b.len() && a.iter().zip(b).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_the_token() {
        assert!(same("abc", "abc"));
        for wrong in ["", "ab", "abd", "abcd"] {
            assert!(!same(wrong, "abc"), "{wrong}");
        }
        assert!(!same("", ""), "no token is no key");
    }
}
