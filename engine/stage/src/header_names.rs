//! Names of headers that policies may not touch or show.

/// Whether a header carries a credential, so that its value is never shown or sent on.
pub(crate) fn is_credential(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "proxy-authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "ocp-apim-subscription-key"
            | "x-amz-security-token"
            | "cookie"
            | "set-cookie"
    )
}

/// Whether a header belongs to the connection and not to the message (RFC 9110, section 7.6.1), or frames the body.
pub(crate) fn is_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "expect"
            | "content-length"
            | "content-encoding"
    )
}
