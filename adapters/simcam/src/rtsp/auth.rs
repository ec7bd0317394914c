//! Digest access authentication for RTSP and HTTP (RFC 2617 without qop, MD5, as cameras speak it).
//!
//! A nonce is its birth time and a keyed hash of it, so nothing is remembered per client; it is good for [`NONCE_LIFE`].

use super::message::path_of;
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a nonce may be used before the client is asked again (`stale=true`).
pub const NONCE_LIFE: Duration = Duration::from_secs(600);

/// Who may watch: names and passwords.
#[derive(Clone, Default)]
pub struct Users(BTreeMap<String, String>);

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Users").field(&self.0.len()).finish()
    }
}

impl Users {
    /// One user.
    pub fn one(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self::default().and(name, password)
    }

    /// One user more.
    pub fn and(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.0.insert(name.into(), password.into());
        self
    }

    /// The password of a user.
    pub(crate) fn password(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// True when nobody is listed: then everybody may watch.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What became of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Name and password are right.
    Granted,
    /// Nothing was sent: the ordinary first answer.
    Missing,
    /// The hash was right, the nonce too old.
    Stale,
    /// Wrong name, password, nonce, URI or form.
    Wrong,
}

/// Checks digests and makes challenges.
#[derive(Debug)]
pub struct Gate {
    users: Users,
    secret: [u8; 16],
    start: Instant,
}

/// The realm shown to users.
const REALM: &str = "Gatehouse camera";

impl Gate {
    /// A gate for these users, with a random secret.
    pub fn new(users: Users) -> Self {
        Self { users, secret: rand::random(), start: Instant::now() }
    }

    /// The value of `WWW-Authenticate`.
    pub fn challenge(&self, stale: bool) -> String {
        let nonce = self.nonce(self.start.elapsed().as_secs());
        let stale = if stale { ", stale=true" } else { "" };
        format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm=MD5{stale}")
    }

    /// Judges the `Authorization` header of a request.
    pub fn judge(&self, method: &str, uri: &str, header: Option<&str>) -> Verdict {
        if self.users.is_empty() {
            return Verdict::Granted;
        }
        let Some(header) = header else { return Verdict::Missing };
        self.judge_digest(method, uri, header).unwrap_or(Verdict::Wrong)
    }

    fn judge_digest(&self, method: &str, uri: &str, header: &str) -> Option<Verdict> {
        let fields = parameters(header.strip_prefix("Digest ")?);
        let get = |name: &str| fields.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let (user, nonce, digest_uri, response) = (get("username")?, get("nonce")?, get("uri")?, get("response")?);
        // The hash covers the client's own uri; without this line it would open any other mount.
        if path_of(digest_uri) != path_of(uri) {
            return None;
        }
        let born = u64::from_str_radix(nonce.split('-').next()?, 16).ok()?;
        if !same(&self.nonce(born), nonce) {
            return None;
        }
        let password = self.users.0.get(user)?;
        if !same(&response_of(user, password, REALM, nonce, method, digest_uri), response) {
            return None;
        }
        let age = self.start.elapsed().as_secs().checked_sub(born)?;
        Some(if age > NONCE_LIFE.as_secs() { Verdict::Stale } else { Verdict::Granted })
    }

    fn nonce(&self, born: u64) -> String {
        let mut md5 = Md5::new();
        md5.update(self.secret);
        md5.update(born.to_be_bytes());
        format!("{born:x}-{}", hex(&md5.finalize()))
    }
}

/// The digest response of RFC 2069: MD5(MD5(user:realm:password):nonce:MD5(method:uri)).
pub fn response_of(user: &str, password: &str, realm: &str, nonce: &str, method: &str, uri: &str) -> String {
    let md5 = |text: String| hex(&Md5::digest(text.as_bytes()));
    let who = md5(format!("{user}:{realm}:{password}"));
    let what = md5(format!("{method}:{uri}"));
    md5(format!("{who}:{nonce}:{what}"))
}

/// Splits `a="b", c=d` into pairs; quotes may hold commas.
pub fn parameters(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.find(',').map_or((after.trim_end(), ""), |at| (after[..at].trim_end(), &after[at..])),
        };
        out.push((name.trim_matches([' ', ',', '\t']).to_owned(), value.to_owned()));
        rest = next.trim_start_matches([' ', ',', '\t']);
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// Compares without leaving early, so that timing says nothing about where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(gate: &Gate, user: &str, password: &str, method: &str, uri: &str) -> String {
        let challenge = gate.challenge(false);
        let fields = parameters(challenge.trim_start_matches("Digest "));
        let nonce = &fields.iter().find(|(k, _)| k == "nonce").expect("nonce").1;
        let response = response_of(user, password, REALM, nonce, method, uri);
        format!(
            "Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
        )
    }

    #[test]
    fn the_digest_of_rfc_2069_comes_out() {
        // RFC 2617 §3.5's user, realm and nonce; the response without qop is the well-known value of that input.
        let got = response_of(
            "Mufasa",
            "Circle Of Life",
            "testrealm@host.com",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "GET",
            "/dir/index.html",
        );
        assert_eq!(got, "670fd8c2df070c60b045671b8b24ff02");
    }

    #[test]
    fn only_the_right_password_for_the_right_place_is_granted() {
        let gate = Gate::new(Users::one("viewer", "right"));
        let uri = "rtsp://127.0.0.1/gate";
        assert_eq!(gate.judge("PLAY", uri, None), Verdict::Missing);
        assert_eq!(gate.judge("PLAY", uri, Some(&answer(&gate, "viewer", "right", "PLAY", uri))), Verdict::Granted);
        assert_eq!(gate.judge("PLAY", uri, Some(&answer(&gate, "viewer", "wrong", "PLAY", uri))), Verdict::Wrong);
        assert_eq!(gate.judge("PLAY", uri, Some(&answer(&gate, "nobody", "right", "PLAY", uri))), Verdict::Wrong);
        assert_eq!(
            gate.judge("PLAY", "rtsp://h/other", Some(&answer(&gate, "viewer", "right", "PLAY", uri))),
            Verdict::Wrong
        );
        let other = Gate::new(Users::one("viewer", "right"));
        assert_eq!(gate.judge("PLAY", uri, Some(&answer(&other, "viewer", "right", "PLAY", uri))), Verdict::Wrong);
    }

    #[test]
    fn passwords_do_not_show_in_debug_output() {
        assert!(!format!("{:?}", Gate::new(Users::one("viewer", "topsecret"))).contains("topsecret"));
    }

    proptest! {
        #[test]
        fn arbitrary_headers_are_wrong_and_never_panic(text in "\\PC{0,200}") {
            let gate = Gate::new(Users::one("a", "b"));
            prop_assert_eq!(gate.judge("PLAY", "/x", Some(&text)), Verdict::Wrong);
            prop_assert_eq!(gate.judge("PLAY", "/x", Some(&format!("Digest {text}"))), Verdict::Wrong);
        }
    }
}
