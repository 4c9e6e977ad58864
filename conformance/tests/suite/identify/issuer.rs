//! An issuer of tokens of the tests' own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use weir_pipeline::{Clock, SystemClock};

/// A key of an issuer, by name.
pub(super) struct Issuer {
    kid: String,
    key: EcdsaKeyPair,
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn now() -> u64 {
    u64::try_from(SystemClock::default().unix_nanos() / 1_000_000_000).unwrap()
}

impl Issuer {
    pub(super) fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        Self { kid: kid.to_owned(), key: EcdsaKeyPair::from_pkcs8(scheme, key.as_ref(), &random).unwrap() }
    }

    /// The key as key sets show it.
    pub(super) fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({
            "kty": "EC", "kid": self.kid, "alg": "ES256", "use": "sig", "crv": "P-256",
            "x": encoded(&point[1..33]), "y": encoded(&point[33..]),
        })
    }

    /// A token that is good for an hour, with these claims besides or instead.
    pub(super) fn token(&self, claims: Value) -> String {
        let mut all = json!({ "iss": "https://idp.test", "aud": "weir", "sub": "ann", "exp": now() + 3600 });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let said = format!(
            "{}.{}",
            encoded(json!({ "alg": "ES256", "kid": self.kid }).to_string()),
            encoded(all.to_string())
        );
        let signature = self.key.sign(&SystemRandom::new(), said.as_bytes()).unwrap();
        format!("{said}.{}", encoded(signature))
    }

    /// The same with another header, and nothing or a hash in place of the signature.
    pub(super) fn forged(&self, algorithm: &str) -> String {
        let good = self.token(json!({}));
        let claims = good.split('.').nth(1).unwrap();
        let said = format!("{}.{claims}", encoded(json!({ "alg": algorithm, "kid": self.kid }).to_string()));
        let mac = match algorithm {
            "none" => Vec::new(),
            _ => {
                let public = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.key.public_key().as_ref());
                ring::hmac::sign(&public, said.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{said}.{}", encoded(mac))
    }
}
