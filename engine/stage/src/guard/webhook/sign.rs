//! Signatures of webhooks, as Standard Webhooks say (standardwebhooks.com, version 1.0.0).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

/// What signs.
pub(super) struct Signer(hmac::Key);

impl Signer {
    /// With a secret: the base64 behind `whsec_`, or the bytes of another.
    pub(super) fn new(secret: &str) -> Option<Self> {
        let bytes = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => secret.as_bytes().to_vec(),
        };
        (!bytes.is_empty()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    fn signature(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// The headers of a question: its id, the time, and the signature if there is something that signs.
pub(super) fn headers(signer: Option<&Signer>, id: &str, seconds: i64, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("webhook-id", id.to_owned());
    put("webhook-timestamp", seconds.to_string());
    if let Some(signer) = signer {
        put("webhook-signature", signer.signature(id, seconds, body));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_published_example_does() {
        // The example of the specification's reference implementations.
        let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            signer.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(Signer::new("whsec_%").is_none() && Signer::new("").is_none());
        assert!(Signer::new("any other text").is_some());
    }

    #[test]
    fn id_and_time_stand_in_headers_with_and_without_a_secret() {
        let bare = headers(None, "msg_1", 7, b"{}");
        assert!(bare["webhook-id"] == "msg_1" && bare["webhook-timestamp"] == "7");
        assert!(!bare.contains_key("webhook-signature"));
        let signer = Signer::new("s3");
        let one = headers(signer.as_ref(), "msg_1", 7, b"{}");
        assert_ne!(
            one["webhook-signature"],
            headers(signer.as_ref(), "msg_1", 8, b"{}")["webhook-signature"]
        );
        assert_ne!(
            one["webhook-signature"],
            headers(signer.as_ref(), "msg_1", 7, b"[]")["webhook-signature"]
        );
    }
}
