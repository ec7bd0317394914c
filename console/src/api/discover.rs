//! Cameras on the network, looked for by unicast.

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Body;
use axum::body::Body as Stream;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gatehouse_adapters::onvif::Account;
use gatehouse_adapters::onvif::discover::{self, Found, PORTS, PROBE_PORT, Search, Step};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use utoipa::ToSchema;

/// Ports asked at each address, at most.
const PORTS_MAX: usize = 16;

/// What to search.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchInput {
    /// An address, a network or a range of a local network: `192.168.1.64`, `192.168.1.0/24`, `192.168.1.10-192.168.1.40`.
    pub addresses: String,
    /// Ports asked by HTTP where a probe is not answered; the usual ones when it is left out.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// The port that probes go to; 3702 when it is left out.
    #[serde(default)]
    pub probe_port: Option<u16>,
    /// Account to ask with.
    #[serde(default)]
    pub user: String,
    /// Its password.
    #[serde(default)]
    pub password: String,
}

/// One line of the answer.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// So many of so many addresses were asked.
    Asked { asked: usize, of: usize },
    /// A camera.
    Found { camera: Box<Found>, toml: String },
}

/// Looks for cameras. Answers with lines of JSON: `asked` as it goes, `found` for each camera with the lines for the site's
/// definition. The answer ends with the last address, and the search with the page that reads it.
#[utoipa::path(post, path = "/api/cameras/discover", request_body = SearchInput,
    responses((status = 200, body = serde_json::Value, content_type = "application/x-ndjson"),
              (status = 409, body = crate::error::ErrorEnvelope), (status = 422, body = crate::error::ErrorEnvelope)))]
pub async fn search(State(app): State<Arc<App>>, Body(input): Body<SearchInput>) -> Result<Response, ApiError> {
    let addresses = discover::addresses(&input.addresses)
        .map_err(|error| ApiError::invalid("addresses", "bad_addresses", error.to_string()))?;
    if let Some(foreign) = addresses.iter().find(|address| !discover::is_local(**address)) {
        let sentence = format!("{foreign} is not of a local network: cameras are looked for there only");
        return Err(ApiError::invalid("addresses", "foreign_address", sentence));
    }
    if input.ports.len() > PORTS_MAX {
        return Err(ApiError::invalid("ports", "too_many", format!("more than {PORTS_MAX} ports")));
    }
    let room = app.onvif().searches().clone().try_acquire_owned();
    let room = room.map_err(|_| ApiError::conflict("search_busy", "others search now: try again in a minute"))?;
    let search = Search {
        addresses,
        ports: if input.ports.is_empty() { PORTS.to_vec() } else { input.ports },
        probe_port: input.probe_port.unwrap_or(PROBE_PORT),
        account: Account { user: input.user.clone(), password: input.password },
    };
    let (steps, said) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        discover::search(search, steps).await;
        drop(room);
    });
    let stream = futures_util::stream::unfold((said, input.user), |(mut said, user)| async move {
        let line = match said.recv().await? {
            Step::Asked(asked, of) => Line::Asked { asked, of },
            Step::Found(camera) => Line::Found { toml: camera.toml(&user), camera },
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(bytes)), (said, user)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Stream::from_stream(stream)).into_response())
}
