//! What is fetched to know who calls: keys of issuers, answers of a service. Bounded in time and size.

use crate::{Call, Endpoint, Gateway, Provider, Timeouts};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method};
use serde::Deserialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_state::TokenKeys;

/// The longest document that is read, in bytes. Key sets have a few thousand.
const LARGEST: u64 = 256 << 10;

/// Where something is fetched.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    provider: Arc<Provider>,
    /// The query, with its `?`.
    query: String,
    timeouts: Timeouts,
}

impl Place {
    /// At a URL of http or https; `None` if it is none.
    pub(crate) fn at(url: &str, ca: Option<PathBuf>, patience: Duration) -> Option<Self> {
        let (base, query) = match url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (url, String::new()),
        };
        let endpoint = Endpoint { ca, ..Endpoint::at(base)? };
        let timeouts =
            Timeouts { connect: patience, first_byte: patience, between: patience, total: patience };
        Some(Self { provider: Arc::new(Provider::plain("identity", endpoint, timeouts)), query, timeouts })
    }

    fn is_encrypted(&self) -> bool {
        matches!(&self.provider.access, crate::Access::Http(endpoint) if endpoint.tls)
    }

    fn ca(&self) -> Option<PathBuf> {
        match &self.provider.access {
            crate::Access::Http(endpoint) => endpoint.ca.clone(),
            crate::Access::Echo => None,
        }
    }

    /// `GET`: the status and the whole body. Redirects are not followed.
    pub(super) async fn get(&self, gateway: &Gateway, headers: HeaderMap) -> Result<(u16, Vec<u8>), String> {
        let call = Call {
            provider: Arc::clone(&self.provider),
            model: "".into(),
            attempt: 1,
            method: Method::GET,
            path: self.query.clone(),
            headers,
            body: Bytes::new(),
            timeouts: self.timeouts,
            decode: true,
            body_limit: LARGEST,
        };
        let answer = gateway.upstream.send(call).await.map_err(|error| error.to_string())?;
        let mut body = Vec::new();
        let mut pieces = answer.body;
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|error| error.to_string())?);
            if body.len() as u64 > LARGEST {
                return Err(format!("it is larger than {LARGEST} bytes"));
            }
        }
        Ok((answer.status, body))
    }

    async fn document(&self, gateway: &Gateway) -> Result<Vec<u8>, String> {
        match self.get(gateway, HeaderMap::new()).await? {
            (200, body) => Ok(body),
            (status, _) => Err(format!("the status is {status}")),
        }
    }
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    At(Place),
    /// Where the issuer's configuration says (OpenID Connect Discovery 1.0, 4).
    Discovered { configuration: Place, issuer: String },
}

impl Origin {
    pub(super) async fn fetch(&self, gateway: &Gateway) -> Result<TokenKeys, String> {
        let json = match self {
            Self::File(path) => read_bounded(path)?,
            Self::At(place) => place.document(gateway).await?,
            Self::Discovered { configuration, issuer } => {
                let json = configuration
                    .document(gateway)
                    .await
                    .map_err(|why| format!("its configuration: {why}"))?;
                keys_place(configuration, issuer, &json)?.document(gateway).await?
            }
        };
        TokenKeys::parse(&json).map_err(|error| error.to_string())
    }
}

/// A file with the keys of an issuer.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    Ok(bytes)
}

/// Where an issuer's configuration says that its keys are. It must be that issuer's own, and lead to no place that is less safe.
fn keys_place(configuration: &Place, issuer: &str, json: &[u8]) -> Result<Place, String> {
    #[derive(Deserialize)]
    struct Configuration {
        issuer: String,
        jwks_uri: String,
    }
    let said: Configuration = serde_json::from_slice(json)
        .map_err(|_| "its configuration is no JSON object with `issuer` and `jwks_uri`".to_owned())?;
    if said.issuer != issuer {
        return Err("its configuration is of another issuer".to_owned());
    }
    let place = Place::at(&said.jwks_uri, configuration.ca(), configuration.timeouts.total)
        .ok_or("its configuration has no `jwks_uri` that is a URL")?;
    if configuration.is_encrypted() && !place.is_encrypted() {
        return Err("its configuration leads from https to http".to_owned());
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_leads_to_keys_only_if_it_is_the_issuers_own_and_no_less_safe() {
        let place = |url: &str| Place::at(url, None, Duration::from_secs(1)).unwrap();
        let json = |issuer: &str, keys: &str| format!("{{\"issuer\":\"{issuer}\",\"jwks_uri\":\"{keys}\"}}");
        let (safe, plain) = ("https://idp.example/c", "http://127.0.0.1:1/c");
        for (configuration, issuer, keys, is_good) in [
            (safe, "https://idp.example", "https://keys.example/k?p=1", true),
            (plain, "https://idp.example", "http://127.0.0.1:1/k", true),
            (safe, "https://other.example", "https://keys.example/k", false),
            (safe, "https://idp.example", "http://keys.example/k", false),
            (safe, "https://idp.example", "keys", false),
        ] {
            let found =
                keys_place(&place(configuration), "https://idp.example", json(issuer, keys).as_bytes());
            assert_eq!(found.is_ok(), is_good, "{configuration} {issuer} {keys}: {found:?}");
        }
        assert!(keys_place(&place(safe), "x", b"{}").is_err());
    }

    #[test]
    fn a_query_is_kept() {
        let place = Place::at("https://idp.example/keys?p=a", None, Duration::from_secs(1)).unwrap();
        assert_eq!(place.query, "?p=a");
        assert!(Place::at("ftp://idp.example", None, Duration::ZERO).is_none());
    }
}
