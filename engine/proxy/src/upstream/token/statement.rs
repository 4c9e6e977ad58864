//! The statement that a service account signs to get a token (RFC 7523; a JWT, RFC 7519, signed with RS256).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

/// How long a statement holds, in seconds: the longest that Google takes.
const HOLDS: u64 = 3600;

/// The statement of `issuer` to `audience`, made so many seconds after 1970 UTC; `None` if the key cannot sign.
pub(super) fn signed(
    issuer: &str,
    key_id: Option<&str>,
    private_key: &str,
    audience: &str,
    scope: &str,
    now: u64,
) -> Option<String> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(private_key.as_bytes()).ok()?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()?;
    let head = json!({ "alg": "RS256", "typ": "JWT", "kid": key_id });
    let claims = json!({ "iss": issuer, "scope": scope, "aud": audience, "iat": now, "exp": now + HOLDS });
    let encoded = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let mut out = format!("{}.{}", encoded(&head), encoded(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), out.as_bytes(), &mut signature).ok()?;
    out.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    /// Made for these tests; it opens nothing.
    const KEY: &str = include_str!("testdata/signs.pem");

    #[test]
    fn a_statement_says_who_to_whom_and_until_when_and_its_signature_holds() {
        let statement =
            signed("me@p.example", Some("k1"), KEY, "https://t.example/token", "all", 1_000).unwrap();
        let (said, signature) = statement.rsplit_once('.').unwrap();
        let (head, claims) = said.split_once('.').unwrap();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(read(head), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        let want = json!({ "iss": "me@p.example", "scope": "all", "aud": "https://t.example/token", "iat": 1_000, "exp": 4_600 });
        assert_eq!(read(claims), want);
        let der = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        let public: Vec<u8> = pair.public().as_ref().to_vec();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let proven = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public);
        assert!(proven.verify(said.as_bytes(), &signature).is_ok());
        assert!(proven.verify(b"else", &signature).is_err());
    }

    #[test]
    fn what_is_no_key_signs_nothing() {
        let broken = KEY.replacen('M', "!", 1);
        for key in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &broken] {
            assert_eq!(signed("i", None, key, "a", "s", 0), None);
        }
    }
}
