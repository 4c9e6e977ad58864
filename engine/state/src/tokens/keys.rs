//! The keys of an issuer.

use crate::StateError;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// A key set holds at most this many keys that can be used; issuers have two or three.
const MOST_KEYS: usize = 64;

/// The keys of an issuer. Prints none of them.
#[derive(Clone)]
pub struct TokenKeys {
    keys: Vec<TokenKey>,
}

#[derive(Clone)]
struct TokenKey {
    id: Option<String>,
    /// The one algorithm that it is for, where the set says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl TokenKeys {
    /// A key set as issuers publish it (RFC 7517, 5). Keys that are of no use here are left out: for encryption, of a kind that
    /// is not known, shared secrets.
    ///
    /// # Errors
    /// [`StateError::NotAKeySet`]: it is no key set, has no key that can be used, or has too many.
    pub fn parse(json: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json)
            .map_err(|_| StateError::NotAKeySet("it is no JSON object with `keys`"))?;
        let keys: Vec<TokenKey> = set.keys.into_iter().filter_map(usable).collect();
        match keys.len() {
            0 => Err(StateError::NotAKeySet("it has no key that checks signatures")),
            1..=MOST_KEYS => Ok(Self { keys }),
            _ => Err(StateError::NotAKeySet("it has more than 64 keys")),
        }
    }

    /// A secret that is shared with the issuer (HS256 and its kind).
    pub fn shared(secret: &str) -> Self {
        let key = DecodingKey::from_secret(secret.as_bytes());
        Self { keys: vec![TokenKey { id: None, algorithm: None, key }] }
    }

    /// The keys that may have signed a token which names this key, or none, and this algorithm.
    pub(super) fn fitting<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a DecodingKey> {
        let fits = move |key: &&TokenKey| {
            let named = match (id, &key.id) {
                (Some(wanted), Some(id)) => wanted == id,
                // A set of one key need not name it; a secret has no name.
                (Some(_), None) => self.keys.len() == 1,
                (None, _) => true,
            };
            named
                && key.key.family() == algorithm.family()
                && key.algorithm.is_none_or(|own| own == algorithm)
        };
        self.keys.iter().filter(fits).map(|key| &key.key)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

fn usable(json: Value) -> Option<TokenKey> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    if matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
        return None;
    }
    if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_)) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let algorithm = match &jwk.common.key_algorithm {
        None => None,
        // One that is not known, or not this key's, checks nothing.
        Some(named) => {
            let algorithm: Algorithm = named.to_string().parse().ok()?;
            (algorithm.family() == key.family()).then_some(algorithm)?;
            Some(algorithm)
        }
    };
    debug_assert!(key.family() != AlgorithmFamily::Hmac);
    Some(TokenKey { id: jwk.common.key_id, algorithm, key })
}
