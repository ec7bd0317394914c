//! TLS towards other people's servers: webhooks, collectors of traces.

use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tracing::warn;

/// TLS 1.2 and 1.3 with the machine's certificate authorities (`SSL_CERT_FILE` names others).
pub(crate) fn client() -> Result<ClientConfig, rustls::Error> {
    let mut authorities = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_, unusable) = authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        warn!(unusable, "No certificate authorities on this machine: https targets will not be reached");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(authorities).with_no_client_auth())
}
