//! A target as configured.

use super::Secret;
use url::Url;

/// A target.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Its name.
    pub name: String,
    /// Where notices are posted to.
    pub url: Url,
    /// What they are signed with.
    pub secret: Secret,
    /// Whether it may be at a loopback, private or link-local address.
    pub allow_private: bool,
}

/// A URL that cannot be a target's. None repeats the URL: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No URL.
    #[error("is no address: write it like https://integrator.example/alarms")]
    NoUrl,
    /// Another scheme.
    #[error("must begin with https:// (or http:// inside your own network)")]
    Scheme,
    /// A user or password in it.
    #[error("must not hold a user or password: notices are signed, the receiver checks the signature")]
    Credentials,
    /// A fragment.
    #[error("must not have a part after #: it is never sent")]
    Fragment,
}

impl WebhookConfig {
    /// Reads and checks a URL.
    pub fn url(text: &str) -> Result<Url, ConfigError> {
        let url = Url::parse(text).map_err(|_| ConfigError::NoUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(ConfigError::Scheme);
        }
        if !url.has_host() {
            return Err(ConfigError::NoUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(ConfigError::Fragment);
        }
        Ok(url)
    }

    /// Its host.
    pub fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    /// As it is shown: scheme, host and port. The path may be a secret.
    pub fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_or_carries_a_password_is_refused() {
        let check = |text: &str| WebhookConfig::url(text).err();
        assert_eq!(check("https://integrator.example:8443/alarms?site=1"), None);
        assert_eq!(check("http://10.0.0.5/alarms"), None);
        assert_eq!(check("integrator.example"), Some(ConfigError::NoUrl));
        assert_eq!(check("ftp://integrator.example"), Some(ConfigError::Scheme));
        assert_eq!(check("https://user:secret@integrator.example"), Some(ConfigError::Credentials));
        assert_eq!(check("https://integrator.example/#x"), Some(ConfigError::Fragment));
    }

    #[test]
    fn what_is_shown_holds_no_path() {
        let url = WebhookConfig::url("https://integrator.example:8443/hook/s3cret?token=x").unwrap();
        let secret = Secret::parse(&super::super::new_secret()).unwrap();
        let config = WebhookConfig { name: "a".into(), url, secret, allow_private: false };
        assert_eq!(config.shown(), "https://integrator.example:8443");
        assert!(!format!("{:?}", config.secret).contains("whsec"));
    }
}
