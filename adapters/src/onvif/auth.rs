//! Proof of the password: WS-UsernameToken with digest, and the answer to an HTTP digest challenge.

use super::xml::escaped;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use digest_auth::{AuthContext, HttpMethod};
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

const SECURITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
const UTILITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
const DIGEST: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest";
const BASE64: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary";

/// A camera's account.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// User name; empty for a camera without accounts.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The `Security` header of a request made at `created`, by the camera's clock.
///
/// The digest is Base64(SHA-1(nonce ‖ created ‖ password)) (OASIS WSS UsernameToken Profile 1.1 §3.1).
pub fn security(account: &Account, nonce: &[u8], created: Timestamp) -> String {
    // Milliseconds: some cameras do not read more digits.
    let created = DateTimePrinter::new().precision(Some(3)).timestamp_to_string(&created);
    let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in [nonce, created.as_bytes(), account.password.as_bytes()] {
        sha1.update(part);
    }
    format!(
        "<wsse:Security s:mustUnderstand=\"1\" xmlns:wsse=\"{SECURITY}\" xmlns:wsu=\"{UTILITY}\"><wsse:UsernameToken>\
         <wsse:Username>{}</wsse:Username><wsse:Password Type=\"{DIGEST}\">{}</wsse:Password>\
         <wsse:Nonce EncodingType=\"{BASE64}\">{}</wsse:Nonce><wsu:Created>{created}</wsu:Created>\
         </wsse:UsernameToken></wsse:Security>",
        escaped(&account.user),
        STANDARD.encode(sha1.finish()),
        STANDARD.encode(nonce)
    )
}

/// The `Authorization` header for a POST to `path`, as a `WWW-Authenticate` header asks for it; `None` when that is no
/// digest challenge that can be answered.
pub fn authorization(account: &Account, challenge: &str, path: &str, body: &[u8]) -> Option<String> {
    // A basic challenge would have the password go in the clear.
    let scheme = challenge.get(..7)?;
    if !scheme.eq_ignore_ascii_case("digest ") || !challenge.is_ascii() {
        return None;
    }
    let mut prompt = digest_auth::parse(challenge).ok()?;
    let context = AuthContext::new_with_method(
        account.user.as_str(),
        account.password.as_str(),
        path,
        Some(body),
        HttpMethod::POST,
    );
    Some(prompt.respond(&context).ok()?.to_header_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account() -> Account {
        Account { user: "admin".into(), password: "userpassword".into() }
    }

    #[test]
    fn the_token_of_the_standards_example_comes_out() {
        // ONVIF Core specification, annex "Example for WS-Usernametoken".
        let nonce = STANDARD.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        [nonce.as_slice(), b"2010-09-16T07:50:45Z", b"userpassword"].into_iter().for_each(|part| sha1.update(part));
        assert_eq!(STANDARD.encode(sha1.finish()), "tuOSpGlFlIXsozq4HFNeeGeFLEI=");
        let header = security(&account(), &nonce, "2010-09-16T07:50:45Z".parse().unwrap());
        assert!(header.contains("<wsu:Created>2010-09-16T07:50:45.000Z</wsu:Created>"), "{header}");
        assert!(header.contains("<wsse:Nonce EncodingType") && header.contains("LKqI6G/AikKCQrN0zqZFlg=="));
        assert!(!header.contains("userpassword"));
    }

    #[test]
    fn a_digest_challenge_is_answered_and_a_basic_one_is_not() {
        let challenge = "Digest realm=\"camera\", qop=\"auth\", nonce=\"abc\", algorithm=MD5";
        let header = authorization(&account(), challenge, "/onvif/device_service", b"").unwrap();
        assert!(header.starts_with("Digest username=\"admin\"") && header.contains("qop=auth"), "{header}");
        assert_eq!(authorization(&account(), "Basic realm=\"camera\"", "/", b""), None);
        assert!(!format!("{:?}", account()).contains("userpassword"));
    }

    proptest! {
        #[test]
        fn arbitrary_challenges_are_no_panic(text in "\\PC{0,120}", fields in "([a-z]{1,9}=(\"[ -~]{0,9}\"?|[a-zA-Z0-9]{0,5}),? ?){0,6}") {
            let _ = authorization(&account(), &text, "/x", b"");
            let _ = authorization(&account(), &format!("Digest {text}"), "/x", b"");
            let _ = authorization(&account(), &format!("Digest {fields}"), "/x", b"");
        }
    }
}
