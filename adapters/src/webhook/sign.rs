//! Signatures: HMAC-SHA256 over `id.timestamp.body` with a secret that both sides hold (Standard Webhooks 1.0).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use ring::hmac;
use std::fmt;

/// How a secret begins in its file.
const PREFIX: &str = "whsec_";
/// Bytes of a new secret; the scheme asks for 24 to 64.
const NEW: usize = 32;

/// The secret of a target.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A text that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not whsec_ followed by base64 of 24 to 64 bytes: put the receiver's secret there, or remove the file and one is made"
)]
pub struct SecretError;

impl Secret {
    /// Reads a secret as both sides write it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SecretError);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// A new random secret, as text.
pub fn new_secret() -> String {
    let mut bytes = [0; NEW];
    rand::rng().fill_bytes(&mut bytes);
    format!("{PREFIX}{}", STANDARD.encode(bytes))
}

/// The `webhook-signature` of a message; `timestamp` is in seconds.
pub fn signature(secret: &Secret, id: &str, timestamp: i64, body: &str) -> String {
    let mut context = hmac::Context::with_key(&secret.0);
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_published_example() {
        // The example of the Standard Webhooks libraries' tests.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_new_secret_reads_back_and_a_weak_one_is_refused() {
        assert!(Secret::parse(&new_secret()).is_ok());
        assert_ne!(new_secret(), new_secret());
        for bad in ["", "password", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(Secret::parse(bad).unwrap_err(), SecretError, "{bad}");
        }
        assert_eq!(format!("{:?}", Secret::parse(&new_secret()).unwrap()), "Secret(…)");
    }
}
