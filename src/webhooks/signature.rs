//! Signatures as Standard Webhooks has them: `v1,` and the Base64 of an HMAC-SHA256 of `id.timestamp.body`.

use crate::domain::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

const PREFIX: &str = "whsec_";
/// As long as what SHA-256 gives: more would add nothing (RFC 2104).
const KEY_BYTES: usize = 32;

/// A new key.
///
/// # Panics
///
/// If the system has no randomness.
pub fn new_secret() -> Secret {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).expect("the system's random source works");
    Secret(format!("{PREFIX}{}", BASE64.encode(key)))
}

/// The header `webhook-signature`. `None` if the secret is not one of ours.
pub fn sign(secret: &Secret, id: Uuid, timestamp_s: i64, body: &str) -> Option<String> {
    let key = BASE64.decode(secret.0.strip_prefix(PREFIX)?).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp_s}.{body}").as_bytes());
    Some(format!("v1,{}", BASE64.encode(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Python's `hmac.new(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), text, "sha256")` over
    /// `00000000-0000-0000-0000-000000000007.1614265330.{"test": 2432232314}`.
    #[test]
    fn a_signature_is_what_another_program_makes_of_the_same() {
        let secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let signature = sign(&secret, Uuid::from_u128(7), 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,DpjDiUQtqY4KpU+ttsaMN4ufTzLZ/I1uCUwqulcoqnM="));
        assert_eq!(sign(&Secret("MfKQ".into()), Uuid::nil(), 0, ""), None);
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, two) = (new_secret(), new_secret());
        assert_eq!(BASE64.decode(one.0.strip_prefix(PREFIX).unwrap()).unwrap().len(), 32);
        assert_ne!(one, two);
        assert_eq!(format!("{one:?}"), "whsec_…");
    }
}
