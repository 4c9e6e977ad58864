//! What proves to a provider who asks.

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};

use crate::{AuthScheme, TokenSource};

/// A secret that may be swapped while plans that use it run. Prints `…`.
pub struct Credential {
    /// What stands in front of it in `authorization`.
    word: Box<str>,
    shown: ArcSwapOption<Shown>,
}

/// A credential as requests show it.
enum Shown {
    /// In a header, marked sensitive; `None` if it cannot stand in one.
    Header { bare: Option<HeaderValue>, worded: Option<HeaderValue> },
    /// By a signature.
    Keys(Arc<AwsKeys>),
    /// By tokens from there.
    Tokens(Arc<TokenSource>),
}

/// Keys of AWS, long-lived or temporary. They print `…`.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// The name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// What goes with temporary keys.
    pub session_token: Option<String>,
}

impl Credential {
    /// A credential that is known.
    pub fn new(secret: &str) -> Self {
        let credential = Self::default();
        credential.set(secret);
        credential
    }

    /// None yet; [`AuthScheme::Bearer`] will show it behind this word.
    pub fn worded(word: &str) -> Self {
        Self { word: word.into(), shown: ArcSwapOption::empty() }
    }

    /// Puts another secret in its place.
    pub fn set(&self, secret: &str) {
        let value = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        let worded = value(&format!("{} {secret}", self.word));
        self.shown.store(Some(Arc::new(Shown::Header { bare: value(secret), worded })));
    }

    /// Puts keys that sign in its place.
    pub fn set_keys(&self, keys: AwsKeys) {
        self.shown.store(Some(Arc::new(Shown::Keys(Arc::new(keys)))));
    }

    /// Puts a source of tokens in its place.
    pub fn set_source(&self, source: TokenSource) {
        self.shown.store(Some(Arc::new(Shown::Tokens(Arc::new(source)))));
    }

    /// Takes the account's own secrets, as they are now.
    ///
    /// # Errors
    /// `missing-secret` for one that is not there, `bad-value` for one that cannot be what it is for; what was held before
    /// stays.
    #[allow(clippy::result_large_err, reason = "asked when secrets are read, never on the way of a request")]
    pub fn resolve(
        &self,
        account: &weir_policy::Provider,
        env: &dyn Fn(&str) -> Option<String>,
        root: &Path,
    ) -> Result<(), Diagnostic> {
        if let Some(aws) = &account.aws {
            let token = aws.session_token.as_ref().map(|secret| secret.resolve(env, root)).transpose()?;
            self.set_keys(AwsKeys {
                access_key_id: aws.access_key_id.resolve(env, root)?.expose().to_owned(),
                secret_access_key: aws.secret_access_key.resolve(env, root)?.expose().to_owned(),
                session_token: token.map(|value| value.expose().to_owned()),
            });
        } else if let Some(entra) = account.azure.as_ref().and_then(|azure| azure.entra.as_ref()) {
            let secret = entra.client_secret.resolve(env, root)?;
            let source = TokenSource::entra(entra, secret.expose());
            self.set_source(source.map_err(|why| bad(why).at(entra.client_secret.span))?);
        } else if let Some(google) = &account.google {
            match &google.service_account {
                Some(file) => {
                    let source = TokenSource::service_account(file.resolve(env, root)?.expose());
                    self.set_source(source.map_err(|why| bad(why).at(file.span))?);
                }
                None => self.set_source(TokenSource::machine(&google.metadata).map_err(bad)?),
            }
        } else if let Some(key) = &account.key {
            self.set(key.resolve(env, root)?.expose());
        }
        Ok(())
    }

    /// The header value for it as this scheme shows it, marked sensitive; `None` if there is none, it is not set or it cannot
    /// stand in a header.
    pub fn header(&self, scheme: &AuthScheme) -> Option<HeaderValue> {
        match (&**self.shown.load().as_ref()?, scheme) {
            (Shown::Header { worded, .. }, AuthScheme::Bearer) => worded.clone(),
            (Shown::Header { bare, .. }, AuthScheme::Header(_)) => bare.clone(),
            (_, AuthScheme::None | AuthScheme::SigV4(_)) | (Shown::Keys(_) | Shown::Tokens(_), _) => None,
        }
    }

    /// The keys that sign, if it is such and set.
    pub fn keys(&self) -> Option<Arc<AwsKeys>> {
        match &**self.shown.load().as_ref()? {
            Shown::Keys(keys) => Some(Arc::clone(keys)),
            Shown::Header { .. } | Shown::Tokens(_) => None,
        }
    }

    /// Where tokens come from, if it is such and set.
    pub fn source(&self) -> Option<Arc<TokenSource>> {
        match &**self.shown.load().as_ref()? {
            Shown::Tokens(source) => Some(Arc::clone(source)),
            Shown::Header { .. } | Shown::Keys(_) => None,
        }
    }
}

fn bad(why: String) -> Diagnostic {
    Diagnostic::new(Code::BadValue, why)
}

impl Default for Credential {
    fn default() -> Self {
        Self::worded("Bearer")
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_shows_a_secret_its_own_way_and_print_shows_none() {
        let text = |credential: &Credential, scheme: &AuthScheme| {
            credential.header(scheme).map(|value| (value.to_str().unwrap().to_owned(), value.is_sensitive()))
        };
        let header = AuthScheme::Header(http::header::HeaderName::from_static("x-api-key"));
        let key = Credential::worded("Key");
        assert_eq!(text(&key, &AuthScheme::Bearer), None);
        key.set("s3");
        assert_eq!(text(&key, &AuthScheme::Bearer), Some(("Key s3".into(), true)));
        assert_eq!(text(&key, &header), Some(("s3".into(), true)));
        assert_eq!((text(&key, &AuthScheme::None), key.keys()), (None, None));
        let keys = AwsKeys {
            access_key_id: "AKID".into(),
            secret_access_key: "s3".into(),
            session_token: Some("t0".into()),
        };
        key.set_keys(keys.clone());
        assert_eq!((text(&key, &AuthScheme::Bearer), text(&key, &header)), (None, None));
        assert_eq!(key.keys().as_deref(), Some(&keys));
        assert_eq!(format!("{key:?} {keys:?}"), "… …");
    }
}
