//! A collector as configured.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// Where spans go.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// What spans are posted to, as [`OtlpConfig::url`] gives it.
    pub url: Url,
    /// What the collector wants to be shown, as [`OtlpConfig::headers`] reads it.
    pub headers: HeaderMap,
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
}

/// What cannot be used. None repeats what was written: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No URL, or of another scheme.
    #[error(
        "must be an address with http:// or https://, of a collector that takes OTLP over HTTP, e.g. http://127.0.0.1:4318"
    )]
    NoUrl,
    /// A user or password in it.
    #[error("must not hold a user or password: put an `authorization` line into the file that headers_file names")]
    Credentials,
    /// More than an address.
    #[error(
        "must not have a part after ? or #: put what the collector wants to be shown into the file that headers_file names"
    )]
    Query,
    /// A line of the headers' file.
    #[error("line {0} is no header: write lines like `authorization: Bearer …`")]
    Header(usize),
}

impl OtlpConfig {
    /// What spans are posted to, from the address that every OTLP exporter is given: without the path of the signal, or with it.
    pub fn url(endpoint: &str) -> Result<Url, ConfigError> {
        let mut url = Url::parse(endpoint).map_err(|_| ConfigError::NoUrl)?;
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            return Err(ConfigError::NoUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConfigError::Query);
        }
        let path = url.path().trim_end_matches('/');
        if !path.ends_with("/v1/traces") {
            let path = format!("{path}/v1/traces");
            url.set_path(&path);
        }
        Ok(url)
    }

    /// Headers from lines of `name: value`; empty lines and those that begin with # are passed over.
    pub fn headers(text: &str) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        for (nth, line) in text.lines().enumerate().map(|(nth, line)| (nth, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = ConfigError::Header(nth + 1);
            let (name, value) = line.split_once(':').ok_or(wrong)?;
            let name: HeaderName = name.trim().parse().map_err(|_| wrong)?;
            let mut value: HeaderValue = value.trim().parse().map_err(|_| wrong)?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
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
    fn the_path_of_traces_is_added_where_it_is_not_there() {
        let check = |endpoint: &str, expect: Result<&str, ConfigError>| {
            assert_eq!(OtlpConfig::url(endpoint).map(String::from).as_deref(), expect.as_deref(), "{endpoint}");
        };
        check("http://127.0.0.1:4318", Ok("http://127.0.0.1:4318/v1/traces"));
        check("http://127.0.0.1:4318/", Ok("http://127.0.0.1:4318/v1/traces"));
        check("https://tempo.example/otlp/", Ok("https://tempo.example/otlp/v1/traces"));
        check("https://tempo.example/v1/traces", Ok("https://tempo.example/v1/traces"));
        check("127.0.0.1:4318", Err(ConfigError::NoUrl));
        check("grpc://127.0.0.1:4317", Err(ConfigError::NoUrl));
        check("https://user:hunter2@tempo.example", Err(ConfigError::Credentials));
        check("https://tempo.example/?token=hunter2", Err(ConfigError::Query));
    }

    #[test]
    fn headers_are_read_line_by_line_and_never_shown() {
        let headers =
            OtlpConfig::headers("# of the collector\nAuthorization: Bearer hunter2\n\nx-scope: yard:7\n").unwrap();
        assert_eq!(
            (headers["authorization"].as_bytes(), headers["x-scope"].as_bytes()),
            (&b"Bearer hunter2"[..], &b"yard:7"[..])
        );
        assert!(!format!("{headers:?}").contains("hunter2"));
        let error = OtlpConfig::headers("a: b\nhunter2").unwrap_err();
        assert_eq!(error, ConfigError::Header(2));
        assert!(!error.to_string().contains("hunter2"));
    }
}
