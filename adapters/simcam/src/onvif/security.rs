//! WS-UsernameToken with password digest (OASIS WSS UsernameToken Profile 1.1 §3.1).

use super::xml::Node;
use crate::rtsp::auth::{Users, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use sha1::{Digest as _, Sha1};

/// A token older or younger than this, by the camera's clock, is refused: the profile's recommendation.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// Judges the token of an envelope at `now` by the camera's clock.
pub(crate) fn judge(users: &Users, envelope: &Node, now: Timestamp) -> Verdict {
    if users.is_empty() {
        return Verdict::Granted;
    }
    let Some(token) = envelope.child("Header").and_then(|header| header.find("UsernameToken")) else {
        return Verdict::Missing;
    };
    if right(users, token, now).unwrap_or(false) { Verdict::Granted } else { Verdict::Wrong }
}

fn right(users: &Users, token: &Node, now: Timestamp) -> Option<bool> {
    let (user, digest) = (token.text_of("Username")?, token.text_of("Password")?);
    let (nonce, created) = (STANDARD.decode(token.text_of("Nonce")?).ok()?, token.text_of("Created")?);
    let fresh = created.parse::<Timestamp>().ok()?.duration_since(now).abs() <= FRESH;
    let password = users.password(user)?;
    let expected = Sha1::new().chain_update(nonce).chain_update(created).chain_update(password).finalize();
    Some(fresh && STANDARD.decode(digest).ok()?.as_slice() == expected.as_slice())
}
