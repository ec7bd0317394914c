//! Signing in: Argon2id passwords, server-side sessions in a `__Host-` cookie, and a brake on guessing.

use crate::app::App;
use crate::error::ApiError;
use crate::rbac::Role;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::staff::{self, SessionRow};
use gatehouse_core::id::UserId;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Name of the session cookie: `__Host-` binds it to this host, the whole path and a secure context.
pub const COOKIE: &str = "__Host-gatehouse";

/// A session ends after this long.
const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(12);

/// Wrong passwords for one name or from one address before the brake bites.
const TRIES: u32 = 5;

/// How long the brake bites.
const BRAKE: SignedDuration = SignedDuration::from_secs(60);

/// Names and addresses remembered by the brake; the oldest go first.
const BRAKE_ENTRIES: usize = 4096;

/// Sessions remembered in memory; beyond it those that end first are looked up in the store again.
const LIVE_SESSIONS: usize = 4096;

/// Passwords hashed at once: each takes 19 MiB, and anyone may ask.
static HASHING: Semaphore = Semaphore::const_new(4);

/// Shortest password accepted when one is set.
pub const PASSWORD_MIN: usize = 10;

/// Who makes a request.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Account.
    pub id: UserId,
    /// Name as shown and audited.
    pub name: String,
    /// Role of the account.
    pub role: Role,
    /// When the session ends by itself.
    pub expires_at: Timestamp,
    /// Cancelled when the session ends earlier.
    pub ended: CancellationToken,
    /// SHA-256 of the cookie's token: the store never sees the token.
    pub token_hash: Vec<u8>,
}

/// Sessions of this run, and the brake.
#[derive(Default)]
pub struct Sessions {
    live: Mutex<HashMap<Vec<u8>, SignedIn>>,
    failures: Mutex<BTreeMap<String, (u32, Timestamp)>>,
}

impl Sessions {
    fn live(&self) -> MutexGuard<'_, HashMap<Vec<u8>, SignedIn>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<String, (u32, Timestamp)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a session, and forgets those that are over or too many.
    fn remember(&self, session: &SignedIn, now: Timestamp) {
        let mut live = self.live();
        live.retain(|_, known| now < known.expires_at);
        while live.len() >= LIVE_SESSIONS {
            let first = live.iter().min_by_key(|(_, known)| known.expires_at).map(|(hash, _)| hash.clone());
            // Its pages connect again and are looked up in the store.
            let Some(gone) = first.and_then(|hash| live.remove(&hash)) else { break };
            gone.ended.cancel();
        }
        live.insert(session.token_hash.clone(), session.clone());
    }

    /// Ends every session of a user in this process: its pages are closed.
    pub fn end_user(&self, user: UserId) {
        self.live().retain(|_, signed_in| {
            if signed_in.id == user {
                signed_in.ended.cancel();
            }
            signed_in.id != user
        });
    }

    fn braked(&self, keys: &[String], now: Timestamp) -> bool {
        let failures = self.failures();
        keys.iter().any(|key| failures.get(key).is_some_and(|(count, last)| *count >= TRIES && now < *last + BRAKE))
    }

    fn failed(&self, keys: &[String], now: Timestamp) {
        let mut failures = self.failures();
        for key in keys {
            let entry = failures.entry(key.clone()).or_insert((0, now));
            // A failure after the brake let go counts from the start again.
            *entry = (if now >= entry.1 + BRAKE { 1 } else { entry.0 + 1 }, now);
        }
        while failures.len() > BRAKE_ENTRIES {
            let oldest = failures.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| key.clone());
            oldest.map(|key| failures.remove(&key));
        }
    }

    fn succeeded(&self, keys: &[String]) {
        let mut failures = self.failures();
        keys.iter().for_each(|key| {
            failures.remove(key);
        });
    }
}

fn argon() -> Argon2<'static> {
    // OWASP's second choice: 19 MiB, two passes, one lane; about 20 ms of one core.
    let params = Params::new(19 * 1024, 2, 1, None).expect("constant parameters are within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password with a fresh salt, in PHC text form. Takes some 20 ms: call it off the async threads.
pub fn hash_password(password: &str) -> Result<String, ApiError> {
    argon()
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .map(|hash| hash.to_string())
        .map_err(ApiError::internal)
}

/// Checks a password in the time of one hash, whether or not there is a stored one.
async fn password_is_right(password: String, stored: Option<String>) -> bool {
    let check = move || {
        let known = stored.is_some();
        let stored = stored.or_else(|| hash_password("an account that does not exist").ok()).unwrap_or_default();
        let right =
            PasswordHash::new(&stored).is_ok_and(|hash| argon().verify_password(password.as_bytes(), &hash).is_ok());
        right && known
    };
    // The semaphore is never closed.
    let _place = HASHING.acquire().await;
    tokio::task::spawn_blocking(check).await.unwrap_or(false)
}

/// Signs in: gives the session and the cookie to set.
pub async fn sign_in(
    app: &App,
    name: &str,
    password: &str,
    address: &str,
    agent: &str,
) -> Result<(SignedIn, String), ApiError> {
    let now = app.system().now();
    let keys = [format!("name:{name}"), format!("address:{address}")];
    if app.sessions().braked(&keys, now) {
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", "too many wrong passwords")
            .remedy("wait a minute and try again"));
    }
    let user = staff::user_by_name(app.pool(), name).await.map_err(ApiError::internal)?;
    let right = password_is_right(password.to_owned(), user.as_ref().map(|user| user.password_hash.clone())).await;
    let Some((user, role)) = user
        .filter(|user| right && user.enabled)
        .and_then(|user| Some((Role::parse(&user.role)?, user)))
        .map(|(role, user)| (user, role))
    else {
        app.sessions().failed(&keys, now);
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "bad_credentials", "name or password is wrong"));
    };
    app.sessions().succeeded(&keys);
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let signed_in = SignedIn {
        id: user.id,
        name: user.name.clone(),
        role,
        expires_at: now + SESSION_LIFE,
        ended: CancellationToken::new(),
        token_hash: hash_token(&token),
    };
    let row = SessionRow {
        token_hash: signed_in.token_hash.clone(),
        user: user.id,
        created_at: now,
        expires_at: signed_in.expires_at,
        address: address.to_owned(),
        agent: agent.chars().take(200).collect(),
    };
    staff::session_create(app.pool(), row).await.map_err(ApiError::internal)?;
    app.sessions().remember(&signed_in, now);
    let cookie =
        format!("{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}", SESSION_LIFE.as_secs());
    Ok((signed_in, cookie))
}

/// Ends a session and its pages; gives the cookie that clears the browser's.
pub async fn sign_out(app: &App, who: &SignedIn) -> Result<String, ApiError> {
    staff::session_delete(app.pool(), &who.token_hash).await.map_err(ApiError::internal)?;
    if let Some(session) = app.sessions().live().remove(&who.token_hash) {
        session.ended.cancel();
    }
    Ok(format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"))
}

/// The session that a request's cookie names, if it lives. One that this run does not know is looked up in the store.
pub async fn signed_in(app: &App, headers: &HeaderMap) -> Result<Option<SignedIn>, ApiError> {
    let Some(token) = cookie(headers) else { return Ok(None) };
    let token_hash = hash_token(token);
    let now = app.system().now();
    if let Some(known) = app.sessions().live().get(&token_hash).cloned() {
        return Ok(Some(known).filter(|session| now < session.expires_at));
    }
    let found = staff::session(app.pool(), &token_hash, now).await.map_err(ApiError::internal)?;
    let Some((row, user)) = found else { return Ok(None) };
    let Some(role) = Role::parse(&user.role).filter(|_| user.enabled) else { return Ok(None) };
    let fresh = SignedIn {
        id: user.id,
        name: user.name,
        role,
        expires_at: row.expires_at,
        ended: CancellationToken::new(),
        token_hash: token_hash.clone(),
    };
    // Two requests may look the same session up at once: both must hold the token that sign-out cancels.
    let mut live = app.sessions().live();
    live.retain(|_, session| now < session.expires_at);
    Ok(Some(live.entry(token_hash).or_insert(fresh).clone()))
}

/// Changes a password and ends the account's other sessions.
pub async fn change_password(app: &App, who: &SignedIn, old: &str, new: &str) -> Result<(), ApiError> {
    check_new_password("new", new)?;
    let user =
        staff::user(app.pool(), who.id).await.map_err(ApiError::internal)?.ok_or_else(ApiError::unauthenticated)?;
    if !password_is_right(old.to_owned(), Some(user.password_hash)).await {
        return Err(ApiError::invalid("old", "bad_credentials", "the old password is wrong"));
    }
    let hash = hash_in_background(new.to_owned()).await?;
    staff::user_update(app.pool(), who.id, &user.role, user.enabled, Some(hash)).await.map_err(ApiError::internal)?;
    staff::sessions_delete_of(app.pool(), who.id).await.map_err(ApiError::internal)?;
    app.sessions().end_user(who.id);
    Ok(())
}

/// Refuses a password that is too short to be one.
pub fn check_new_password(field: &str, password: &str) -> Result<(), ApiError> {
    if password.chars().count() < PASSWORD_MIN {
        let message = format!("a password needs at least {PASSWORD_MIN} characters");
        return Err(ApiError::invalid(field, "password_too_short", message));
    }
    Ok(())
}

/// [`hash_password`] off the async threads.
pub async fn hash_in_background(password: String) -> Result<String, ApiError> {
    let _place = HASHING.acquire().await;
    tokio::task::spawn_blocking(move || hash_password(&password)).await.map_err(ApiError::internal)?
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn hash_token(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_bites_after_five_and_lets_go() {
        let sessions = Sessions::default();
        let keys = ["name:admin".to_owned()];
        let start = Timestamp::UNIX_EPOCH;
        for _ in 0..TRIES {
            assert!(!sessions.braked(&keys, start));
            sessions.failed(&keys, start);
        }
        assert!(sessions.braked(&keys, start));
        assert!(!sessions.braked(&keys, start + BRAKE));
        sessions.failed(&keys, start + BRAKE);
        assert!(!sessions.braked(&keys, start + BRAKE), "one more try does not bring the old count back");
    }

    #[test]
    fn sessions_in_memory_are_bounded_and_those_that_end_first_go() {
        let sessions = Sessions::default();
        let start = Timestamp::UNIX_EPOCH;
        let session = |n: usize| SignedIn {
            id: UserId(uuid::Uuid::nil()),
            name: "wang".into(),
            role: Role::Guard,
            expires_at: start + SESSION_LIFE + SignedDuration::from_millis(i64::try_from(n).unwrap()),
            ended: CancellationToken::new(),
            token_hash: n.to_be_bytes().to_vec(),
        };
        let first = session(0);
        sessions.remember(&first, start);
        (1..=LIVE_SESSIONS).for_each(|n| sessions.remember(&session(n), start));
        assert_eq!(sessions.live().len(), LIVE_SESSIONS);
        assert!(first.ended.is_cancelled() && !sessions.live().contains_key(&first.token_hash));
        sessions.remember(&session(LIVE_SESSIONS + 1), start + SESSION_LIFE + SignedDuration::from_hours(1));
        assert_eq!(sessions.live().len(), 1, "those that are over are forgotten");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {COOKIE}=token; c=d").parse().unwrap());
        assert_eq!(cookie(&headers), Some("token"));
        headers.insert(header::COOKIE, format!("{COOKIE}x=token").parse().unwrap());
        assert_eq!(cookie(&headers), None);
    }

    #[test]
    fn a_hash_verifies_its_own_password_only() {
        let hash = hash_password("correct horse").unwrap();
        let hash = PasswordHash::new(&hash).unwrap();
        assert!(argon().verify_password(b"correct horse", &hash).is_ok());
        assert!(argon().verify_password(b"battery staple", &hash).is_err());
    }
}
