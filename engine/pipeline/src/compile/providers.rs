//! Providers: where they are, how they are asked, what proves who asks.

use super::{Compiler, Secrets, known};
use crate::{Access, AuthScheme, Credential, Endpoint, Http2, Provider, SigV4, Timeouts, configured_header};
use http::{HeaderMap, HeaderName};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_catalog::{Auth, Kind};
use weir_diagnostic::{Code, Diagnostic};
use weir_dialect::Hosting;
use weir_message::Dialect;
use weir_policy::{Named, TextOrSecret};

impl Compiler<'_> {
    pub(super) fn providers(&mut self) -> BTreeMap<Arc<str>, Arc<Provider>> {
        let set = self.set;
        set.providers
            .iter()
            .filter_map(|(name, decl)| Some((Arc::clone(name), Arc::new(self.provider(name, decl)?))))
            .collect()
    }

    fn provider(&mut self, name: &Arc<str>, decl: &Named<weir_policy::Provider>) -> Option<Provider> {
        let (place, lost) = (decl.name.span, &decl.lost);
        let decl = &decl.value;
        let row = decl.from.as_ref().and_then(|from| self.workshop.catalogue.provider(from));
        self.own.insert(Arc::clone(name), known::own(&decl.models, row).into());
        for model in &decl.models {
            self.check_tokenizer(model.tokenizer.as_ref());
        }
        let dialect = match (&decl.dialect, row) {
            (Some(dialect), _) => Dialect::from(dialect.value),
            (None, Some(row)) => row.dialect,
            (None, None) => Dialect::OpenAi,
        };
        if !weir_dialect::speaks(dialect) {
            let span = decl.dialect.as_ref().map_or(place, |dialect| dialect.span);
            let message = format!("the dialect `{dialect}` is not spoken by this version");
            self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help("use `openai`"));
            return None;
        }
        let project = decl.google.as_ref().and_then(|google| google.project.as_deref());
        // What stands in a field that is wrong may be just what is missing here.
        let is_known = !lost.any(&["from", "dialect", "base_url", "region", "google", "azure"]);
        let access = match (&decl.base_url, row) {
            _ if !is_known => None,
            (Some(url), _) => self.endpoint(url, url.span, decl),
            (None, Some(row)) if row.kind == Kind::Echo => Some(Access::Echo),
            (None, Some(row)) => match row.address(decl.region.as_deref(), project) {
                Ok(address) => self.endpoint(&address, place, decl),
                Err(blank) => {
                    let message = format!("the address of `{name}` has a blank: `{}`", row.base_url);
                    let help = match blank {
                        "region" => "say `region:`".to_owned(),
                        "project" => "say `google: { project: … }`".to_owned(),
                        _ => format!("say `base_url:`, with your own in the place of `{{{blank}}}`"),
                    };
                    self.diagnostics.push(Diagnostic::new(Code::MissingField, message).at(place).help(help));
                    None
                }
            },
            (None, None) => {
                let message = format!("the provider `{name}` has no address");
                let help = "say `from:` with a name of the catalogue (`weir models`), or `base_url:`";
                self.diagnostics.push(Diagnostic::new(Code::MissingField, message).at(place).help(help));
                None
            }
        };
        let credential = Arc::new(match row.map(|row| &row.auth) {
            Some(Auth::Scheme(word)) => Credential::worded(word),
            _ => Credential::default(),
        });
        let mut is_missing = false;
        if let Secrets::From { env, root } = self.secrets {
            match credential.resolve(decl, env, root) {
                Ok(()) => {}
                // An optional account without its key is left alone: its targets are never chosen.
                Err(_) if decl.optional => is_missing = true,
                Err(found) => self.diagnostics.push(found),
            }
        }
        let auth = match row.map(|row| &row.auth) {
            _ if decl.aws.is_some() => self.signing(decl),
            _ if decl.gets_tokens() => AuthScheme::Bearer,
            _ if decl.key.is_none() => AuthScheme::None,
            Some(Auth::Header(header)) => match HeaderName::try_from(header) {
                Ok(header) => AuthScheme::Header(header),
                Err(_) => AuthScheme::Bearer,
            },
            Some(Auth::None | Auth::Bearer | Auth::Scheme(_)) => AuthScheme::Bearer,
            None => usual(dialect),
        };
        Some(Provider {
            name: Arc::clone(name),
            row: row.map(|row| Arc::from(row.name.as_str())),
            dialect,
            has_responses: dialect == Dialect::OpenAi
                && decl.responses.unwrap_or_else(|| row.is_some_and(|row| row.has_responses)),
            access: access?,
            auth,
            credential,
            is_available: !is_missing,
            headers: self.headers(&decl.headers, place),
            hosting: hosting(decl),
            region: decl.region.as_deref().map(Arc::from),
            drops_unsupported: decl.unsupported == weir_policy::Unsupported::Drop,
            timeouts: Timeouts {
                connect: decl.timeouts.connect.0,
                first_byte: decl.timeouts.first_byte.0,
                between: decl.timeouts.between.0,
                total: decl.timeouts.total.0,
            },
        })
    }

    /// How requests are signed; that the region is said was checked when the set was loaded.
    fn signing(&self, decl: &weir_policy::Provider) -> AuthScheme {
        let service = decl.aws.as_ref().map_or("bedrock", |aws| &aws.service);
        AuthScheme::SigV4(SigV4 {
            region: decl.region.as_deref().unwrap_or_default().into(),
            service: service.into(),
        })
    }

    fn headers(&mut self, decl: &BTreeMap<String, TextOrSecret>, place: weir_diagnostic::Span) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in decl {
            let text = match (value, self.secrets) {
                (TextOrSecret::Text(text), _) => text.clone(),
                (TextOrSecret::Secret(_), Secrets::Ignored) => continue,
                (TextOrSecret::Secret(secret), Secrets::From { .. }) => match self.secret(secret) {
                    Some(value) => value.expose().to_owned(),
                    None => continue,
                },
            };
            match configured_header(name, text) {
                Ok((name, value)) => {
                    headers.insert(name, value);
                }
                Err(message) => {
                    self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(place));
                }
            }
        }
        headers
    }

    fn endpoint(
        &mut self,
        url: &str,
        span: weir_diagnostic::Span,
        decl: &weir_policy::Provider,
    ) -> Option<Access> {
        let Some(endpoint) = Endpoint::at(url) else {
            let message = format!("`{url}` is no base URL");
            let help = "write `https://host/path` or `http://host:port/path`, without a query";
            self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help(help));
            return None;
        };
        let http2 = match decl.http2 {
            weir_policy::Http2::Auto => Http2::Auto,
            weir_policy::Http2::Always => Http2::Always,
            weir_policy::Http2::Never => Http2::Never,
        };
        let ca = decl.ca.as_ref().map(|path| match self.secrets {
            Secrets::From { root, .. } => root.join(&path.value),
            Secrets::Ignored => path.value.clone().into(),
        });
        Some(Access::Http(Endpoint { ca, http2, ..endpoint }))
    }
}

/// Whose paths an account has.
fn hosting(decl: &weir_policy::Provider) -> Hosting {
    let version = decl.azure.as_ref().and_then(|azure| azure.api_version.as_deref());
    match version {
        Some(version) => Hosting::Deployments { api_version: version.into() },
        None if decl.google.is_some() => Hosting::Vertex,
        None => Hosting::Maker,
    }
}

/// How a credential is shown to a provider of which only the dialect is known.
fn usual(dialect: Dialect) -> AuthScheme {
    match dialect {
        Dialect::Anthropic => AuthScheme::Header(HeaderName::from_static("x-api-key")),
        Dialect::Gemini => AuthScheme::Header(HeaderName::from_static("x-goog-api-key")),
        Dialect::OpenAi | Dialect::Bedrock | Dialect::Cohere | Dialect::Native => AuthScheme::Bearer,
    }
}
