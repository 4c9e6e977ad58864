//! Keys of issuers, fetched. Bounded in time and size.

use crate::Gateway;
use crate::place::{LARGEST, Place};
use serde::Deserialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use weir_state::TokenKeys;

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
    let place = Place::at(&said.jwks_uri, configuration.ca(), configuration.patience())
        .ok_or("its configuration has no `jwks_uri` that is a URL")?;
    if configuration.is_encrypted() && !place.is_encrypted() {
        return Err("its configuration leads from https to http".to_owned());
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
}
