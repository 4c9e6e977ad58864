//! How listeners tell callers apart.

use super::steps::params_of;
use super::{Compiler, Secrets};
use crate::Place;
use crate::identity::{
    AllowWay, ExternalWay, Given, Identity, JwtWay, Keys, Mapping, Origin, Way, read_bounded,
};
use ahash::AHashMap;
use http::HeaderName;
use std::path::PathBuf;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_policy::{Allow, CallerSays, External, Identify, Jwt, Mtls, Spanned, TokenAlgorithm};
use weir_script::{HookKind, Reads};
use weir_state::{GuessLimit, Proven, SignatureAlgorithm, TokenKeys, TokenRules};

impl Compiler<'_> {
    pub(super) fn identities(&mut self) -> AHashMap<Arc<str>, Identity> {
        let set = self.set;
        let mut identities = AHashMap::new();
        for (name, listener) in &set.listeners {
            let asks_certificates = listener.value.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
            let ways = self.ways(&listener.value.identify, asks_certificates);
            let guesses = listener.value.guesses.as_ref().map(|guesses| GuessLimit {
                wrong: guesses.wrong,
                within: guesses.within.0,
                pause: guesses.pause.0,
            });
            identities.insert(Arc::clone(name), Identity { ways, guesses });
        }
        identities
    }

    fn ways(&mut self, ways: &[Spanned<Identify>], asks_certificates: bool) -> Vec<Way> {
        ways.iter().filter_map(|way| self.way(way, asks_certificates)).collect()
    }

    fn way(&mut self, way: &Spanned<Identify>, asks_certificates: bool) -> Option<Way> {
        Some(match &way.value {
            Identify::Key => Way::Key,
            Identify::Basic => Way::Basic,
            Identify::Mtls(settings) => {
                if !asks_certificates {
                    let message = "no client of this listener is asked for a certificate";
                    let help = "add `clients: { ca: clients.pem }` to the listener's `tls`";
                    self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(way.span).help(help));
                }
                Way::Mtls(self.mtls(settings)?)
            }
            Identify::Jwt(settings) => Way::Jwt(Arc::new(self.jwt(settings)?)),
            Identify::Allow(allow) => Way::Allow(Box::new(self.allow(allow)?)),
            Identify::External(settings) => Way::External(Box::new(self.external(settings)?)),
            Identify::Any(ways) => Way::Any(self.ways(ways, asks_certificates)),
            Identify::All(ways) => Way::All(self.ways(ways, asks_certificates)),
        })
    }

    fn mtls(&mut self, settings: &Mtls) -> Option<Mapping> {
        let mut mapping = self.mapping(settings.says())?;
        mapping.user = mapping.user.or_else(|| Given::parse("claims.name").ok());
        Some(mapping)
    }

    fn jwt(&mut self, settings: &Jwt) -> Option<JwtWay> {
        let algorithms = self.algorithms(settings)?;
        let mut mapping = self.mapping(settings.says())?;
        mapping.user = mapping.user.or_else(|| Given::parse("claims.sub").ok());
        let rules = TokenRules {
            issuer: settings.issuer.value.clone(),
            audience: settings.audience.all().to_vec(),
            algorithms,
            skew: i64::try_from(settings.skew.0.as_secs()).unwrap_or(i64::MAX),
        };
        let keys = self.token_keys(settings)?;
        Some(JwtWay { rules, keys, mapping, proven: Proven::default() })
    }

    /// The algorithms that tokens may be signed by: of public keys or of a shared secret, never of both.
    fn algorithms(&mut self, settings: &Jwt) -> Option<Vec<SignatureAlgorithm>> {
        let shares = settings.secret.is_some();
        let of = |wanted: TokenAlgorithm| TokenAlgorithm::ALL.iter().find(|(one, ..)| *one == wanted);
        for algorithm in &settings.algorithms {
            let Some((_, name, is_public)) = of(algorithm.value) else { continue };
            if *is_public == shares {
                let help = match shares {
                    true => {
                        "with `secret` there are HS256, HS384 and HS512; leave `secret` out for public keys"
                    }
                    false => "an algorithm of a shared secret goes with `secret`, and with no other",
                };
                let message = format!("`{name}` is not signed by what proves these tokens");
                self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(algorithm.span).help(help));
                return None;
            }
        }
        let names: Vec<&str> = match settings.algorithms.is_empty() {
            true if shares => vec!["HS256"],
            true => {
                TokenAlgorithm::ALL.iter().filter(|(.., public)| *public).map(|(_, name, _)| *name).collect()
            }
            false => settings.algorithms.iter().filter_map(|one| Some(of(one.value)?.1)).collect(),
        };
        Some(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn token_keys(&mut self, settings: &Jwt) -> Option<Keys> {
        let place = settings.jwks.as_ref().map_or(settings.issuer.span, |jwks| jwks.span);
        if let (Some(_), Some(jwks)) = (&settings.secret, &settings.jwks) {
            let message = "tokens are proven by `secret` or by the keys of `jwks`, not by either";
            let help = "leave one of them out";
            self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(jwks.span).help(help));
            return None;
        }
        let at = |url: &str, ca: Option<PathBuf>| Place::at(url, ca, settings.timeout.0);
        let ca = self.path(settings.ca.as_ref());
        let origin = match &settings.jwks {
            None if settings.secret.is_some() => None,
            None => {
                let url = format!(
                    "{}/.well-known/openid-configuration",
                    settings.issuer.value.trim_end_matches('/')
                );
                match at(&url, ca) {
                    Some(configuration) => {
                        let issuer = settings.issuer.value.clone();
                        Some((url, Origin::Discovered { configuration, issuer }))
                    }
                    None => {
                        let message = format!(
                            "`{}` is no URL, so nobody can say where its keys are",
                            settings.issuer.value
                        );
                        let help = "say where they are: `jwks: https://…` or `jwks: keys.json`";
                        self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(place).help(help));
                        return None;
                    }
                }
            }
            Some(jwks) if jwks.value.contains("://") => match at(&jwks.value, ca) {
                Some(place) => Some((jwks.value.clone(), Origin::At(place))),
                None => {
                    self.diagnostics.push(no_url(jwks));
                    return None;
                }
            },
            Some(jwks) => {
                let path = self.path(Some(jwks)).unwrap_or_default();
                if matches!(self.secrets, Secrets::From { .. })
                    && let Err(why) = read_bounded(&path)
                        .and_then(|json| TokenKeys::parse(&json).map_err(|error| error.to_string()))
                {
                    let message = format!("the issuer's keys cannot be read from `{}`: {why}", jwks.value);
                    self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(place));
                    return None;
                }
                Some((path.display().to_string(), Origin::File(path)))
            }
        };
        if matches!(self.secrets, Secrets::Ignored) {
            return Some(Keys::Believed);
        }
        match (&settings.secret, origin) {
            (Some(secret), _) => {
                let value = self.secret(secret)?;
                Some(Keys::Shared(Arc::new(TokenKeys::shared(value.expose()))))
            }
            (None, Some((name, origin))) => {
                // Another authority to trust may lead to other keys.
                let name = match &settings.ca {
                    Some(ca) => format!("{name} {}", ca.value),
                    None => name,
                };
                let kept = self.workshop.state.issuers.of(&name);
                Some(Keys::Published { kept, origin, keep: settings.keep.0 })
            }
            (None, None) => None,
        }
    }

    fn allow(&mut self, allow: &Allow) -> Option<AllowWay> {
        let when = self.condition(&allow.0.when, HookKind::Match, &params_of(&self.set.params))?;
        let head = Reads::HEADERS.and(Reads::CALLER).and(Reads::NOW);
        let text = &allow.0.when.text;
        let reads_on = !head.contains(when.reads())
            || ["request.model", "request.stream"].iter().any(|field| text.contains(field));
        if reads_on {
            let message = "who calls is settled before the request is read";
            let help = "here stand `source`, `listener`, `now`, `caller`, and the request's path, operation and headers";
            let span = allow.0.when.span;
            self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help(help));
            return None;
        }
        let mapping = self.mapping(allow.0.says())?;
        Some(AllowWay::new(when, &mapping))
    }

    fn external(&mut self, settings: &External) -> Option<ExternalWay> {
        let ca = self.path(settings.ca.as_ref());
        let Some(place) = Place::at(&settings.url.value, ca, settings.timeout.0) else {
            self.diagnostics.push(no_url(&settings.url));
            return None;
        };
        let mut headers = Vec::new();
        for name in &settings.headers {
            match HeaderName::try_from(name.as_str()) {
                Ok(name) => headers.push(name),
                Err(_) => {
                    let message = format!("`{name}` is no name of a header");
                    self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(settings.url.span));
                }
            }
        }
        let mut mapping = self.mapping(settings.says())?;
        let by_name = |given: Option<Given>, path: &str| given.or_else(|| Given::parse(path).ok());
        mapping.user = by_name(mapping.user, "claims.user");
        mapping.team = by_name(mapping.team, "claims.team");
        mapping.project = by_name(mapping.project, "claims.project");
        let keep = settings.keep.map(|keep| (keep.0, Proven::default()));
        Some(ExternalWay { place, headers, mapping, keep })
    }

    fn mapping(&mut self, says: CallerSays<'_>) -> Option<Mapping> {
        let mut tags = Vec::new();
        for (name, given) in says.tags {
            tags.push((Arc::from(name.as_str()), self.given(given)?));
        }
        let mut given = |text: Option<&Spanned<String>>| match text {
            None => Some(None),
            Some(text) => self.given(text).map(Some),
        };
        Some(Mapping {
            user: given(says.user)?,
            team: given(says.team)?,
            project: given(says.project)?,
            models: given(says.models)?,
            tags,
        })
    }

    fn given(&mut self, text: &Spanned<String>) -> Option<Given> {
        match Given::parse(&text.value) {
            Ok(given) => Some(given),
            Err(_) => {
                let message = format!("`{}` leads to no claim", text.value);
                let help = "write `claims.name`, `claims[\"a name with dots\"]`, `claims.groups[0]`, or a text that stands for all";
                self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(text.span).help(help));
                None
            }
        }
    }

    /// A file of the set.
    fn path(&self, path: Option<&Spanned<String>>) -> Option<PathBuf> {
        path.map(|path| match self.secrets {
            Secrets::From { root, .. } => root.join(&path.value),
            Secrets::Ignored => path.value.clone().into(),
        })
    }
}

fn no_url(url: &Spanned<String>) -> Diagnostic {
    let span: Span = url.span;
    Diagnostic::new(Code::BadValue, format!("`{}` is no URL", url.value))
        .at(span)
        .help("write `https://host/path` or `http://host:port/path`")
}
