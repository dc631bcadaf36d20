//! Signatures of JSON and of requests (Matrix specification, Appendices, Signing JSON; Server-Server API, Request
//! Authentication).

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ed25519_dalek::{Signature, VerifyingKey};
use tollgate_sdk::serde_json::{Map, Value};

use crate::canonical;

/// A server's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(VerifyingKey);

/// What servers write has no padding; some do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The only algorithm there is.
pub(crate) const ALGORITHM: &str = "ed25519:";

impl Key {
    /// From unpadded base64.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = BASE64.decode(text).ok()?.try_into().ok()?;
        VerifyingKey::from_bytes(&bytes).ok().map(Self)
    }

    /// Whether it made this signature, in unpadded base64, of this JSON.
    pub(crate) fn has_signed(&self, value: &Value, signature: &str) -> bool {
        let signature: Option<[u8; 64]> = BASE64.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
        let (Some(signature), Some(message)) = (signature, canonical::write(value)) else { return false };
        self.0.verify_strict(&message, &Signature::from_bytes(&signature)).is_ok()
    }

    /// Whether it signed an object for this server, under this ID of a key.
    pub(crate) fn has_signed_object(&self, object: &Map<String, Value>, server: &str, id: &str) -> bool {
        let signature = object.get("signatures").and_then(|all| all.get(server)).and_then(|of_server| of_server.get(id));
        let Some(signature) = signature.and_then(Value::as_str) else { return false };
        let mut signed = object.clone();
        signed.shift_remove("signatures");
        signed.shift_remove("unsigned");
        self.has_signed(&Value::Object(signed), signature)
    }
}

/// What the signature of a request is of.
pub(crate) fn of_request(method: &str, uri: &str, origin: &str, destination: &str, content: Option<Value>) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let mut signed = Map::new();
    signed.insert("method".to_owned(), text(method));
    signed.insert("uri".to_owned(), text(uri));
    signed.insert("origin".to_owned(), text(origin));
    signed.insert("destination".to_owned(), text(destination));
    if let Some(content) = content {
        signed.insert("content".to_owned(), content);
    }
    Value::Object(signed)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use tollgate_sdk::serde_json::json;

    use super::*;

    /// That of the specification's test vectors.
    const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";
    const EMPTY: &str = "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ";
    const SMALL: &str = "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw";

    fn key() -> Key {
        // The last digit has bits that are not part of the seed.
        let lax = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        let seed: [u8; 32] =
            GeneralPurpose::new(&alphabet::STANDARD, lax).decode(SEED).expect("base64").try_into().expect("a seed");
        Key(SigningKey::from_bytes(&seed).verifying_key())
    }

    #[test]
    fn vectors_of_the_specification_are_good() {
        let key = key();
        assert!(key.has_signed(&json!({}), EMPTY));
        assert!(key.has_signed(&json!({"two": "Two", "one": 1}), SMALL));
        for (value, signature) in [(json!({}), SMALL), (json!({"one": 1, "two": "two"}), SMALL), (json!({"a": 1}), EMPTY)] {
            assert!(!key.has_signed(&value, signature), "{value}");
        }
        for signature in ["", "AA", "!", &EMPTY[..85], &format!("{EMPTY}AA")] {
            assert!(!key.has_signed(&json!({}), signature), "{signature}");
        }
    }

    #[test]
    fn objects_are_signed_without_what_is_added_later() {
        let signed = json!({
            "one": 1, "two": "Two", "unsigned": {"age": 7},
            "signatures": {"domain": {"ed25519:1": SMALL}, "other": {"ed25519:1": EMPTY}},
        });
        let object = signed.as_object().expect("an object");
        assert!(key().has_signed_object(object, "domain", "ed25519:1"));
        for (server, id) in [("other", "ed25519:1"), ("domain", "ed25519:2"), ("none", "ed25519:1")] {
            assert!(!key().has_signed_object(object, server, id), "{server} {id}");
        }
    }

    #[test]
    fn keys_have_32_bytes() {
        assert!(Key::read(&BASE64.encode(key().0.as_bytes())).is_some());
        for text in ["", "AA", "????"] {
            assert_eq!(Key::read(text), None, "{text}");
        }
    }
}
