//! What is exchanged for a token that proves who asks (OAuth 2.0, RFC 6749).

use crate::Endpoint;
use serde::Deserialize;
use std::fmt;

/// What a token of Google Cloud is for.
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where a provider's tokens come from. Prints no secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenSource {
    /// The token endpoint; its base path is the whole path.
    pub endpoint: Endpoint,
    /// What is shown there.
    pub grant: Grant,
}

/// What is shown to get a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Grant {
    /// A client's own secret (RFC 6749, 4.4).
    Client {
        /// Its id.
        id: String,
        /// Its secret.
        secret: String,
        /// What the token is for.
        scope: String,
    },
    /// A statement that a service account's key signs (RFC 7523, 2.1), as Google takes it.
    Signed {
        /// The account.
        issuer: String,
        /// The name of the key.
        key_id: Option<String>,
        /// The RSA key, PKCS #8 in PEM.
        private_key: String,
        /// Whom the statement is for: the token endpoint's URL.
        audience: String,
        /// What the token is for.
        scope: &'static str,
    },
    /// That the request comes from this machine: Google's metadata server knows its account.
    Machine,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// Of an application of Entra ID.
    ///
    /// # Errors
    /// Its authority is no URL.
    pub(crate) fn entra(entra: &weir_policy::Entra, secret: &str) -> Result<Self, String> {
        let url = format!("{}/{}/oauth2/v2.0/token", entra.authority.trim_end_matches('/'), entra.tenant);
        let grant = Grant::Client {
            id: entra.client_id.clone(),
            secret: secret.to_owned(),
            scope: entra.scope.clone(),
        };
        Self::at(&url, grant)
    }

    /// Of a service account of Google Cloud with this key file.
    ///
    /// # Errors
    /// It is no such file. What it holds is not quoted.
    pub fn service_account(key_file: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct KeyFile {
            client_email: String,
            private_key: String,
            private_key_id: Option<String>,
            token_uri: String,
        }
        let no_key_file = || {
            "the service account's key file is JSON with `client_email`, `private_key` and `token_uri`"
                .to_owned()
        };
        let file: KeyFile = serde_json::from_str(key_file).map_err(|_| no_key_file())?;
        if !file.private_key.contains("BEGIN PRIVATE KEY") {
            return Err(no_key_file());
        }
        let grant = Grant::Signed {
            issuer: file.client_email,
            key_id: file.private_key_id,
            private_key: file.private_key,
            audience: file.token_uri.clone(),
            scope: CLOUD_PLATFORM,
        };
        Self::at(&file.token_uri, grant)
    }

    /// Of the account that this machine runs as at Google Cloud (cloud.google.com/compute/docs/access/authenticate-workloads).
    ///
    /// # Errors
    /// The metadata server's address is no URL.
    pub fn machine(metadata: &str) -> Result<Self, String> {
        let path = "/computeMetadata/v1/instance/service-accounts/default/token";
        Self::at(&format!("{}{path}", metadata.trim_end_matches('/')), Grant::Machine)
    }

    fn at(url: &str, grant: Grant) -> Result<Self, String> {
        let endpoint = Endpoint::at(url).ok_or_else(|| format!("`{url}` is no URL to get tokens at"))?;
        Ok(Self { endpoint, grant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_says_where_and_as_whom_and_is_never_quoted() {
        let file = r#"{"type":"service_account","client_email":"me@p.example","private_key_id":"k1",
            "private_key":"-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n","token_uri":"https://oauth2.example/token"}"#;
        let source = TokenSource::service_account(file).unwrap();
        assert_eq!(
            (source.endpoint.host.as_str(), source.endpoint.base_path.as_str()),
            ("oauth2.example", "/token")
        );
        let Grant::Signed { issuer, key_id, audience, .. } = &source.grant else { panic!() };
        assert_eq!(
            (issuer.as_str(), key_id.as_deref(), audience.as_str()),
            ("me@p.example", Some("k1"), "https://oauth2.example/token")
        );
        assert!(!format!("{source:?}").contains("SECRET"));
        for wrong in ["SECRET", "{}", &file.replace("PRIVATE KEY", "SECRET"), &file.replace("https://", "")] {
            let told = TokenSource::service_account(wrong).unwrap_err();
            assert!(!told.contains("SECRET"), "{told}");
        }
    }
}
