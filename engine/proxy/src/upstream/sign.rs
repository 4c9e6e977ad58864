//! Requests signed for AWS (Signature Version 4, docs.aws.amazon.com/IAM: "AWS API request signing").

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, request::Parts};
use std::time::{Duration, SystemTime};
use weir_message::Cause;
use weir_pipeline::{AwsKeys, CallError, SigV4};

/// Adds the headers that sign a request with this body, sent `since` so long after 1970 UTC. Its other headers are final.
pub(crate) fn signed(
    parts: &mut Parts,
    body: &[u8],
    keys: &AwsKeys,
    scope: &SigV4,
    since: Duration,
) -> Result<(), CallError> {
    let invalid =
        |error: &dyn std::error::Error| CallError::new(Cause::Invalid, format!("the signature: {error}"));
    let identity =
        Credentials::new(&keys.access_key_id, &keys.secret_access_key, keys.session_token.clone(), None, "")
            .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(&scope.service)
        .time(SystemTime::UNIX_EPOCH + since)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| invalid(&error))?
        .into();
    let added = {
        // What a hop in between may change is not signed.
        let counts =
            |name: &HeaderName| *name == HOST || *name == CONTENT_TYPE || name.as_str().starts_with("x-amz");
        let headers = parts.headers.iter().filter(|(name, _)| counts(name));
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        // The scheme and the host are not part of it.
        let uri = format!("https://host{}", parts.uri);
        let request = SignableRequest::new(parts.method.as_str(), uri, headers, SignableBody::Bytes(body))
            .map_err(|error| invalid(&error))?;
        sign(request, &params).map_err(|error| invalid(&error))?.into_parts().0.into_parts().0
    };
    for header in &added {
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| invalid(&error))?;
        value.set_sensitive(true);
        parts.headers.insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    /// 2015-08-30 12:36:00 UTC, the time of AWS's test vectors.
    const THEN: Duration = Duration::from_secs(1_440_938_160);

    const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

    fn keys(session_token: Option<&str>) -> AwsKeys {
        AwsKeys {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(str::to_owned),
        }
    }

    /// The signed head of a request.
    fn head(method: &str, host: &str, uri: &str, content: Option<&str>, body: &str, keys: &AwsKeys) -> Parts {
        let mut request = Request::builder().method(method).uri(uri).header(HOST, host);
        if let Some(content) = content {
            request = request.header(CONTENT_TYPE, content);
        }
        let (mut parts, ()) = request.header("user-agent", "any").body(()).unwrap().into_parts();
        let scope = SigV4 { region: "us-east-1".into(), service: "service".into() };
        signed(&mut parts, body.as_bytes(), keys, &scope, THEN).unwrap();
        parts
    }

    #[test]
    fn signatures_are_those_of_the_published_test_vectors() {
        // Of AWS's suite for Signature Version 4; the path, which is encoded once more, of that of its SDK for Rust.
        let form = Some("application/x-www-form-urlencoded");
        let example = "example.amazonaws.com";
        let (usual, temporary) = (keys(None), keys(Some(TOKEN)));
        let other = AwsKeys {
            access_key_id: "ANOTREAL".into(),
            secret_access_key: "notrealrnrELgWzOk3IfjzDKtFBhDby".into(),
            session_token: None,
        };
        let socket = "tj9n5r0m12.execute-api.us-east-1.amazonaws.com";
        let path = "/test/@connections/JBDvjfGEIAMCERw%3D";
        let letters = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let query = format!("/?{letters}={letters}");
        let cases = [
            (
                head("GET", example, "/", None, "", &usual),
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                head("GET", example, &query, None, "", &usual),
                "host;x-amz-date",
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                head("POST", example, "/", None, "", &usual),
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                head("POST", example, "/", form, "Param1=value1", &usual),
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                head("GET", example, "/", None, "", &temporary),
                "host;x-amz-date;x-amz-security-token",
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                head("POST", socket, path, None, "", &other),
                "host;x-amz-date",
                "57d157672191bac40bae387e48bbe14b15303c001fdbb01f4abf295dccb09705",
            ),
        ];
        for (parts, names, signature) in cases {
            let authorization = parts.headers["authorization"].to_str().unwrap();
            let want = format!("SignedHeaders={names}, Signature={signature}");
            assert!(authorization.ends_with(&want), "{authorization}");
            assert_eq!(parts.headers["x-amz-date"], "20150830T123600Z");
            assert!(parts.headers["authorization"].is_sensitive());
        }
    }

    #[test]
    fn temporary_keys_show_their_token_and_a_second_signature_takes_the_place_of_the_first() {
        let mut parts = head("GET", "h", "/", None, "", &keys(Some(TOKEN)));
        assert_eq!(parts.headers["x-amz-security-token"], TOKEN);
        let once = parts.headers.clone();
        let scope = SigV4 { region: "us-east-1".into(), service: "service".into() };
        signed(&mut parts, b"", &keys(Some(TOKEN)), &scope, THEN).unwrap();
        assert_eq!(parts.headers, once);
    }
}
