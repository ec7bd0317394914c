//! Who may connect to the embedded broker, and which topics each may use.
//!
//! ```text
//! device   publish gh/<key>/{status,state,event,result}   subscribe gh/<key>/set
//! gateway  the same topics of every device behind it
//! server   everything
//! integrator (Home Assistant, zigbee2mqtt, a smoke sensor): the filters written beside its name
//! ```
//! Passwords are kept as salted SHA-256, not as a slow hash: 10 000 devices reconnect at once after a power cut, and at
//! 20 ms each a slow hash would hold two cores for 100 s. The price is that a password must be long, so a short one is refused.

use gatehouse_core::id::DeviceKey;
use mqtt5::broker::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use rand::RngCore;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Shortest password taken. 12 characters of the generator's alphabet are more than 70 bits.
pub const MIN_PASSWORD: usize = 12;

/// How long a refused login waits for its answer, so that guessing costs the guesser.
const REFUSAL_DELAY: Duration = Duration::from_millis(500);

/// Client identifiers that begin so belong to the server.
pub const SERVER_CLIENT_PREFIX: &str = "gatehouse";

/// A user that the broker must refuse to have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The password can be guessed.
    #[error("the MQTT password of {0} is shorter than {MIN_PASSWORD} characters: give it a longer one")]
    ShortPassword(String),
    /// The name cannot be a user.
    #[error("{0:?} cannot be an MQTT user name: 1 to 64 printable characters without '/', '+' and '#'")]
    BadName(String),
    /// A pattern is not a topic filter.
    #[error("{filter:?}, written for MQTT user {user}, is not a topic filter")]
    BadFilter {
        /// Whose.
        user: String,
        /// Which.
        filter: String,
    },
}

/// What a user is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Gatehouse itself: everything.
    Server,
    /// A device of the native convention: its own topics.
    Device(DeviceKey),
    /// A gateway: the topics of the devices behind it, however many there are.
    Gateway(HashSet<String>),
    /// Anything else, by topic filters.
    Integrator {
        /// Filters of topics it may publish to.
        publish: Vec<String>,
        /// Filters it may subscribe to, or narrower ones.
        subscribe: Vec<String>,
    },
}

/// Someone who may connect.
#[derive(Clone)]
pub struct User {
    name: String,
    salt: [u8; 16],
    digest: [u8; 32],
    role: Role,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl User {
    /// Makes a user; the password is hashed at once and not kept.
    pub fn new(name: impl Into<String>, password: &str, role: Role) -> Result<Self, UserError> {
        let name = name.into();
        if name.is_empty() || name.len() > 64 || name.chars().any(|c| c.is_control() || matches!(c, '/' | '+' | '#')) {
            return Err(UserError::BadName(name));
        }
        if password.chars().count() < MIN_PASSWORD {
            return Err(UserError::ShortPassword(name));
        }
        if let Role::Integrator { publish, subscribe } = &role
            && let Some(bad) = publish.iter().chain(subscribe).find(|f| mqtt5::validate_topic_filter(f).is_err())
        {
            return Err(UserError::BadFilter { user: name, filter: bad.clone() });
        }
        let mut salt = [0u8; 16];
        rand::rng().fill_bytes(&mut salt);
        Ok(Self { digest: digest(&salt, password.as_bytes()), name, salt, role })
    }

    /// Gatehouse's own user.
    pub fn server(name: &str, password: &str) -> Result<Self, UserError> {
        Self::new(name, password, Role::Server)
    }

    /// A device of the native convention; its user name is its key.
    pub fn device(key: &DeviceKey, password: &str) -> Result<Self, UserError> {
        Self::new(key.as_str(), password, Role::Device(key.clone()))
    }

    /// A gateway that speaks for these devices of the native convention.
    pub fn gateway(name: &str, password: &str, behind: impl IntoIterator<Item = DeviceKey>) -> Result<Self, UserError> {
        let behind = behind.into_iter().map(|key| key.as_str().to_owned()).collect();
        Self::new(name, password, Role::Gateway(behind))
    }

    /// Another program or device, with the topic filters it may use.
    pub fn integrator(
        name: &str,
        password: &str,
        publish: Vec<String>,
        subscribe: Vec<String>,
    ) -> Result<Self, UserError> {
        Self::new(name, password, Role::Integrator { publish, subscribe })
    }

    /// The name it connects with.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn knows(&self, password: &[u8]) -> bool {
        let given = digest(&self.salt, password);
        // Every byte is looked at: the time does not tell how many agreed.
        self.digest.iter().zip(given).fold(0u8, |diff, (a, b)| diff | (a ^ b)) == 0
    }

    fn may_publish(&self, topic: &str) -> bool {
        match &self.role {
            Role::Server => true,
            Role::Device(key) => device_leaf(key, topic).is_some_and(is_said),
            Role::Gateway(behind) => leaf_of(behind, topic).is_some_and(is_said),
            Role::Integrator { publish, .. } => publish.iter().any(|filter| mqtt5::topic_matches_filter(topic, filter)),
        }
    }

    fn may_subscribe(&self, filter: &str) -> bool {
        match &self.role {
            Role::Server => true,
            Role::Device(key) => device_leaf(key, filter) == Some("set"),
            Role::Gateway(behind) => leaf_of(behind, filter) == Some("set"),
            Role::Integrator { subscribe, .. } => subscribe.iter().any(|allowed| covers(allowed, filter)),
        }
    }
}

fn digest(salt: &[u8; 16], password: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(password).finalize().into()
}

fn device_leaf<'a>(key: &DeviceKey, topic: &'a str) -> Option<&'a str> {
    topic.strip_prefix("gh/")?.strip_prefix(key.as_str())?.strip_prefix('/')
}

/// The leaf of a topic of one of these devices.
fn leaf_of<'a>(behind: &HashSet<String>, topic: &'a str) -> Option<&'a str> {
    let (key, leaf) = topic.strip_prefix("gh/")?.split_once('/')?;
    behind.contains(key).then_some(leaf)
}

/// Whether devices publish there.
fn is_said(leaf: &str) -> bool {
    matches!(leaf, "status" | "state" | "event" | "result")
}

/// Whether every topic that `filter` matches is matched by `allowed` too.
fn covers(allowed: &str, filter: &str) -> bool {
    let mut have = filter.split('/');
    for want in allowed.split('/') {
        match (want, have.next()) {
            ("#", Some(level)) => return !level.starts_with('$'),
            // `a/#` also matches `a` itself.
            ("#", None) => return true,
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (word, Some(level)) if word == level => {}
            (_, Some(_)) => return false,
        }
    }
    have.next().is_none()
}

/// The users of a running broker; they can change while it runs.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_name: RwLock<HashMap<String, User>>,
    /// Logins refused for a wrong name or password.
    pub(super) refused_logins: AtomicU64,
    /// Publications and subscriptions refused.
    pub(super) refused_topics: AtomicU64,
}

impl Users {
    pub(super) fn set(&self, user: User) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(user.name.clone(), user);
    }

    pub(super) fn remove(&self, name: &str) -> bool {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    fn with<T>(&self, name: &str, ask: impl FnOnce(&User) -> T) -> Option<T> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).map(ask)
    }

    /// The reason for which a connection is refused, or its user's name.
    fn admit(&self, name: Option<&str>, password: Option<&[u8]>, client_id: &str) -> Result<String, ReasonCode> {
        let (Some(name), Some(password)) = (name, password) else { return Err(ReasonCode::BadUsernameOrPassword) };
        let Some((known, server)) = self.with(name, |user| (user.knows(password), user.role == Role::Server)) else {
            // As long as a known name takes.
            let _ = digest(&[0; 16], password);
            return Err(ReasonCode::BadUsernameOrPassword);
        };
        if !known {
            return Err(ReasonCode::BadUsernameOrPassword);
        }
        // An identifier is a session: taking another's would throw it out and read its queue.
        let anothers = client_id != name && self.with(client_id, |_| ()).is_some();
        if !server && (anothers || client_id.starts_with(SERVER_CLIENT_PREFIX)) {
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        Ok(name.to_owned())
    }

    fn allowed(&self, user: Option<&str>, ask: impl FnOnce(&User) -> bool) -> bool {
        let yes = user.and_then(|name| self.with(name, ask)).unwrap_or(false);
        if !yes {
            self.refused_topics.fetch_add(1, Ordering::Relaxed);
        }
        yes
    }
}

/// The broker's questions, answered by [`Users`].
pub(super) struct Doorkeeper(pub(super) std::sync::Arc<Users>);

impl AuthProvider for Doorkeeper {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        from: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = mqtt5::Result<AuthResult>> + Send + 'a>> {
        Box::pin(async move {
            match self.0.admit(connect.username.as_deref(), connect.password.as_deref(), &connect.client_id) {
                Ok(name) => Ok(AuthResult::success_with_user(name)),
                Err(reason) => {
                    let n = self.0.refused_logins.fetch_add(1, Ordering::Relaxed) + 1;
                    // Powers of two only: a guesser must not fill the log.
                    if n.is_power_of_two() {
                        tracing::warn!(address = %from, refused = n, "MQTT login from {from} refused ({reason:?}); {n} so far");
                    }
                    tokio::time::sleep(REFUSAL_DELAY).await;
                    Ok(AuthResult::fail(reason))
                }
            }
        })
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let yes = self.0.allowed(user_id, |user| user.may_publish(topic));
        Box::pin(std::future::ready(yes))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic_filter: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let yes = self.0.allowed(user_id, |user| user.may_subscribe(topic_filter));
        Box::pin(std::future::ready(yes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse battery";

    fn users() -> Users {
        let users = Users::default();
        let key: DeviceKey = "door-1".parse().expect("key");
        users.set(User::device(&key, PASSWORD).expect("user"));
        users.set(User::device(&"door-2".parse().expect("key"), PASSWORD).expect("user"));
        users.set(User::server("gatehouse", PASSWORD).expect("user"));
        let publish = vec!["homeassistant/+/smoke/config".to_owned(), "smoke/#".to_owned()];
        users.set(User::integrator("smoke", PASSWORD, publish, vec!["smoke/cmd/+".to_owned()]).expect("user"));
        users
    }

    #[test]
    fn a_wrong_password_an_unknown_name_and_no_password_are_refused_alike() {
        let users = users();
        for (name, password) in [
            (Some("door-1"), Some("wrong" as &str)),
            (Some("nobody"), Some(PASSWORD)),
            (Some("door-1"), None),
            (None, None),
        ] {
            let answer = users.admit(name, password.map(str::as_bytes), "x");
            assert_eq!(answer, Err(ReasonCode::BadUsernameOrPassword), "{name:?}");
        }
        assert_eq!(users.admit(Some("door-1"), Some(PASSWORD.as_bytes()), "anything"), Ok("door-1".to_owned()));
    }

    #[test]
    fn nobody_takes_the_session_of_another() {
        let users = users();
        for stolen in ["door-2", "gatehouse", "gatehouse-7"] {
            let answer = users.admit(Some("door-1"), Some(PASSWORD.as_bytes()), stolen);
            assert_eq!(answer, Err(ReasonCode::ClientIdentifierNotValid), "{stolen}");
        }
        assert!(users.admit(Some("gatehouse"), Some(PASSWORD.as_bytes()), "gatehouse-7").is_ok());
    }

    #[test]
    fn a_device_has_its_own_topics_only() {
        let users = users();
        let may = |topic: &str| users.allowed(Some("door-1"), |u| u.may_publish(topic));
        assert!(may("gh/door-1/state") && may("gh/door-1/event") && may("gh/door-1/status") && may("gh/door-1/result"));
        for topic in [
            "gh/door-1/set",
            "gh/door-2/state",
            "gh/door-10/state",
            "gh/door-1/state/x",
            "homeassistant/lock/x/config",
            "gh/door-1",
        ] {
            assert!(!may(topic), "{topic}");
        }
        let sub = |filter: &str| users.allowed(Some("door-1"), |u| u.may_subscribe(filter));
        assert!(sub("gh/door-1/set"));
        for filter in
            ["#", "gh/#", "gh/+/set", "gh/door-1/#", "gh/door-1/+", "gh/door-2/set", "$share/g/gh/door-1/set", "$SYS/#"]
        {
            assert!(!sub(filter), "{filter}");
        }
        assert_eq!(users.refused_topics.load(Ordering::Relaxed), 14);
    }

    #[test]
    fn an_integrators_filters_are_not_widened_by_a_wider_question() {
        for (allowed, filter, yes) in [
            ("smoke/#", "smoke/#", true),
            ("smoke/#", "smoke", true),
            ("smoke/#", "smoke/+/x", true),
            ("smoke/#", "#", false),
            ("smoke/+", "smoke/#", false),
            ("smoke/+", "smoke/a", true),
            ("smoke/+", "smoke/+", true),
            ("smoke/a", "smoke/+", false),
            ("smoke/+", "smoke/a/b", false),
            ("#", "$SYS/#", false),
            ("#", "gh/#", true),
        ] {
            assert_eq!(covers(allowed, filter), yes, "{allowed} covers {filter}");
        }
    }

    #[test]
    fn a_short_password_is_refused_with_its_remedy() {
        let error = User::server("gatehouse", "short").expect_err("refused");
        assert!(error.to_string().contains("longer"), "{error}");
        assert!(User::integrator("x", PASSWORD, vec!["a/#/b".to_owned()], vec![]).is_err());
        assert!(!format!("{:?}", User::server("s", PASSWORD)).contains("horse"));
    }
}
