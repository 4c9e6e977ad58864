//! An account at a model API, as a plan uses it.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::path::PathBuf;
use std::sync::Arc;
use weir_dialect::{Hosting, WireFormat};
use weir_message::{Dialect, Operation};

use crate::{Credential, Timeouts};

/// How a provider is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// In this process: the deterministic provider `echo`.
    Echo,
    /// Over HTTP.
    Http(Endpoint),
}

/// Where a provider listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Whether to speak TLS.
    pub tls: bool,
    /// Host name or address, without port or brackets; also the name that its certificate must bear.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path in front of the API's own paths, without a trailing `/`.
    pub base_path: String,
    /// Certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Which HTTP versions to offer.
    pub http2: Http2,
}

impl Endpoint {
    /// The endpoint with this URL of http or https, without a query; `None` if it is none.
    pub fn at(url: &str) -> Option<Self> {
        let uri = http::Uri::try_from(url).ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        if uri.query().is_some() || host.is_empty() {
            return None;
        }
        Some(Self {
            tls,
            host,
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            base_path: uri.path().trim_end_matches('/').to_owned(),
            ca: None,
            http2: Http2::Auto,
        })
    }
}

/// Whether HTTP/2 is spoken to a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Http2 {
    /// Over TLS if the provider agrees (ALPN), never without TLS.
    #[default]
    Auto,
    /// Always, without TLS by prior knowledge.
    Always,
    /// Never.
    Never,
}

/// How a credential is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// Not at all.
    None,
    /// `authorization: Bearer …`, or another word.
    Bearer,
    /// The bare credential in this header.
    Header(HeaderName),
    /// By signing each request.
    SigV4(SigV4),
}

/// What is signed for (AWS Signature Version 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4 {
    /// The region (`us-east-1`).
    pub region: Arc<str>,
    /// The service's name in signatures (`bedrock`).
    pub service: Arc<str>,
}

/// An account at a model API.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the set.
    pub name: Arc<str>,
    /// The catalogue row it comes from, if any.
    pub row: Option<Arc<str>>,
    /// Its wire format.
    pub dialect: Dialect,
    /// Whether it has OpenAI's Responses API; otherwise it is asked a chat where a client asks for a response.
    pub has_responses: bool,
    /// How it is reached.
    pub access: Access,
    /// How the credential is shown.
    pub auth: AuthScheme,
    /// The credential.
    pub credential: Arc<Credential>,
    /// Whether it may be asked: an optional account whose key is missing may not.
    pub is_available: bool,
    /// Headers sent with each attempt.
    pub headers: HeaderMap,
    /// Whose paths it has.
    pub hosting: Hosting,
    /// Its region, if stated.
    pub region: Option<Arc<str>>,
    /// Whether what its dialect has no place for is left out even where the answer may mean something else without it.
    pub drops_unsupported: bool,
    /// Limits in time.
    pub timeouts: Timeouts,
}

impl Provider {
    /// What is called and is no model API, such as a token endpoint: nothing of its own is shown to it.
    pub fn plain(name: &str, endpoint: Endpoint, timeouts: Timeouts) -> Self {
        Self {
            name: name.into(),
            row: None,
            dialect: Dialect::Native,
            has_responses: false,
            access: Access::Http(endpoint),
            auth: AuthScheme::None,
            credential: Arc::new(Credential::default()),
            is_available: true,
            headers: HeaderMap::new(),
            hosting: Hosting::default(),
            region: None,
            drops_unsupported: false,
            timeouts,
        }
    }

    /// What it is asked where a client asks for this operation.
    pub fn format(&self, operation: Operation) -> WireFormat {
        let operation = match operation {
            Operation::Response if !self.has_responses => Operation::Chat,
            other => other,
        };
        WireFormat { dialect: self.dialect, operation }
    }
}

/// A header that a set sends with what goes out. Its value may be a secret, so it never prints. The error says what is wrong.
pub fn configured_header(name: &str, value: String) -> Result<(HeaderName, HeaderValue), String> {
    let (Ok(known), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
        return Err(format!("`{name}` and its value cannot stand in a header"));
    };
    value.set_sensitive(true);
    Ok((known, value))
}
