//! How a listener tells callers apart. The doc comments are the reference.

use crate::node::Node;
use crate::{Expr, Secret, Spanned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;
use std::collections::BTreeMap;
use weir_diagnostic::units::Duration;

/// A way to tell callers apart: a word, or a mapping of one.
#[derive(Clone, Debug)]
pub enum Identify {
    /// See [`IdentifyWord::Key`].
    Key,
    /// See [`IdentifyWord::Basic`].
    Basic,
    /// See [`IdentifyBy::Mtls`].
    Mtls(Box<Mtls>),
    /// See [`IdentifyBy::Jwt`].
    Jwt(Box<Jwt>),
    /// See [`IdentifyBy::Allow`].
    Allow(Box<Allow>),
    /// See [`IdentifyBy::External`].
    External(Box<External>),
    /// See [`IdentifyBy::Any`].
    Any(Vec<Spanned<Identify>>),
    /// See [`IdentifyBy::All`].
    All(Vec<Spanned<Identify>>),
}

impl Identify {
    /// The secrets that prove who calls.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Jwt(settings) => settings.secret.iter().collect(),
            Self::Any(ways) | Self::All(ways) => ways.iter().flat_map(|way| way.value.secrets()).collect(),
            Self::Key | Self::Basic | Self::Mtls(_) | Self::Allow(_) | Self::External(_) => Vec::new(),
        }
    }
}

/// A way to tell callers apart that needs no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IdentifyWord {
    /// An API key declared under `keys`: in `authorization: Bearer`, `x-api-key`, `api-key` or `x-goog-api-key`.
    Key,
    /// A key declared under `keys` as the password of `authorization: Basic`, with the key's name or its user as the user name.
    Basic,
    /// The client's certificate, which `tls: { clients: … }` of the listener has checked.
    Mtls,
}

/// A way to tell callers apart, with its settings.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum IdentifyBy {
    /// A token that an issuer signed (JWT), in `authorization: Bearer`.
    Jwt(Box<Jwt>),
    /// The client's certificate, which `tls: { clients: … }` of the listener has checked.
    Mtls(Box<Mtls>),
    /// Whoever an expression holds for.
    Allow(Box<Allow>),
    /// Whoever a service of yours says, asked over HTTP.
    External(Box<External>),
    /// The first of these that knows the caller.
    Any(#[schemars(length(min = 1))] Vec<Spanned<Identify>>),
    /// All of these together: what the caller shows must satisfy each. What one says of the caller, a later one does not change.
    All(#[schemars(length(min = 1))] Vec<Spanned<Identify>>),
}

impl<'de> Deserialize<'de> for Identify {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        if node.as_str().is_some() {
            return Ok(match node.read_as().map_err(de::Error::custom)? {
                IdentifyWord::Key => Self::Key,
                IdentifyWord::Basic => Self::Basic,
                IdentifyWord::Mtls => Self::Mtls(Box::default()),
            });
        }
        Ok(match node.read_as().map_err(de::Error::custom)? {
            IdentifyBy::Jwt(settings) => Self::Jwt(settings),
            IdentifyBy::Mtls(settings) => Self::Mtls(settings),
            IdentifyBy::Allow(settings) => Self::Allow(settings),
            IdentifyBy::External(settings) => Self::External(settings),
            IdentifyBy::Any(ways) => Self::Any(ways),
            IdentifyBy::All(ways) => Self::All(ways),
        })
    }
}

impl JsonSchema for Identify {
    fn schema_name() -> Cow<'static, str> {
        "Identify".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (word, by) = (generator.subschema_for::<IdentifyWord>(), generator.subschema_for::<IdentifyBy>());
        // The types say which of them is meant, so that a slip is told of the one.
        json_schema!({
            "description": "A way to tell callers apart.",
            "anyOf": [{ "type": "string", "allOf": [word] }, { "type": "object", "allOf": [by] }],
        })
    }
}

/// A struct of settings that say who the caller is then.
macro_rules! says_who {
    ($(#[$meta:meta])* $name:ident { $($(#[$own:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$own])* pub $field: $type,)*
            /// `caller.user`: a claim (`claims.email`, `claims["https://example.com/id"]`), or a text that stands for all.
            #[serde(default)]
            pub user: Option<Spanned<String>>,
            /// `caller.team`: a claim (`claims.groups[0]`), or a text.
            #[serde(default)]
            pub team: Option<Spanned<String>>,
            /// `caller.project`: a claim, or a text.
            #[serde(default)]
            pub project: Option<Spanned<String>>,
            /// `caller.tags`: each a claim, which keeps its type, or a text.
            #[serde(default)]
            pub tags: BTreeMap<String, Spanned<String>>,
            /// Models that the caller may ask for: a claim that is a list of names and patterns ending in `*`. Who has no such claim
            /// may ask for none. Unset: all.
            #[serde(default)]
            pub models: Option<Spanned<String>>,
        }

        impl $name {
            /// What is said of the caller.
            pub fn says(&self) -> CallerSays<'_> {
                CallerSays {
                    user: self.user.as_ref(),
                    team: self.team.as_ref(),
                    project: self.project.as_ref(),
                    tags: &self.tags,
                    models: self.models.as_ref(),
                }
            }
        }
    };
}

/// What a way to tell callers apart says of them: claims, or texts.
#[derive(Clone, Copy, Debug)]
pub struct CallerSays<'a> {
    /// `caller.user`.
    pub user: Option<&'a Spanned<String>>,
    /// `caller.team`.
    pub team: Option<&'a Spanned<String>>,
    /// `caller.project`.
    pub project: Option<&'a Spanned<String>>,
    /// `caller.tags`.
    pub tags: &'a BTreeMap<String, Spanned<String>>,
    /// The models that the caller may ask for.
    pub models: Option<&'a Spanned<String>>,
}

says_who! {
    /// Tokens of one issuer (JWT, RFC 7519). `user` is `claims.sub` by default. A token that was proven is not proven again before
    /// it ends or the issuer's keys are fetched again.
    Jwt {
        /// Who makes the tokens: their `iss`, to the letter.
        issuer: Spanned<String>,
        /// Whom the tokens are for: a name, or several; `aud` holds one of them.
        audience: Names,
        /// Where the issuer's keys are (JWKS): a URL, or a file relative to the set's folder. Unset: where the issuer's
        /// `/.well-known/openid-configuration` says.
        #[serde(default)]
        jwks: Option<Spanned<String>>,
        /// A secret that is shared with the issuer, for HS256 and its kind, instead of `jwks`.
        #[serde(default)]
        secret: Option<Secret>,
        /// The algorithms that tokens may be signed by. Unset: every one with public keys, or HS256 with `secret`.
        #[serde(default)]
        algorithms: Vec<Spanned<TokenAlgorithm>>,
        /// By how much the clocks of issuer and gateway may differ.
        #[serde(default = "a_minute")]
        skew: Duration,
        /// How long the issuer's keys are good before they are fetched again. A token that names an unknown key has them fetched at
        /// once, every 10 s at most. While they cannot be fetched, the last ones serve on for a day.
        #[serde(default = "ten_minutes")]
        keep: Duration,
        /// How long a fetch may take.
        #[serde(default = "five_seconds")]
        timeout: Duration,
        /// A PEM file with the authorities to trust instead of the system's, relative to the set's folder.
        #[serde(default)]
        ca: Option<Spanned<String>>,
    }
}

says_who! {
    /// The client's certificate, as claims: `claims.subject.cn`, `.o`, `.ou` (lists), `claims.san.dns`, `.uri`, `.email` (lists),
    /// `claims.serial`, `claims.fingerprint` (SHA-256), and `claims.name`: the first URI, e-mail address, DNS name or common name
    /// that there is, which is `user` by default.
    #[derive(Default)]
    Mtls {}
}

says_who! {
    /// Whoever an expression holds for.
    AllowSettings {
        /// Must hold. It sees `source`, `listener`, `now`, the request's path, operation and headers, and in `all:` the `caller` that
        /// those above have found; the body is not read yet.
        when: Expr,
    }
}

says_who! {
    /// A service of yours that is asked over HTTP: `GET`, with the client's credentials. 200 is a yes, with what is known of the caller
    /// as claims in a JSON object, if any; 401 and 403 are a no; all else means that it cannot be said now. `user`, `team` and
    /// `project` are the claims of these names by default.
    External {
        /// Where it is.
        url: Spanned<String>,
        /// The headers of the request that it is shown; if there is none of them, it is not asked.
        #[serde(default = "authorization")]
        headers: Vec<String>,
        /// How long it may take.
        #[serde(default = "two_seconds")]
        timeout: Duration,
        /// How long a yes holds for the same headers. Unset: it is asked each time.
        #[serde(default)]
        keep: Option<Duration>,
        /// A PEM file with the authorities to trust instead of the system's, relative to the set's folder.
        #[serde(default)]
        ca: Option<Spanned<String>>,
    }
}

/// Whoever an expression holds for: the expression, or `when` with more.
#[derive(Clone, Debug)]
pub struct Allow(pub AllowSettings);

impl<'de> Deserialize<'de> for Allow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        if node.text().is_some() {
            let when = node.read_as().map_err(de::Error::custom)?;
            let (user, team, project, models) = (None, None, None, None);
            return Ok(Self(AllowSettings { when, user, team, project, models, tags: BTreeMap::new() }));
        }
        node.read_as().map(Self).map_err(de::Error::custom)
    }
}

impl JsonSchema for Allow {
    fn schema_name() -> Cow<'static, str> {
        "Allow".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (short, long) = (generator.subschema_for::<Expr>(), generator.subschema_for::<AllowSettings>());
        json_schema!({ "anyOf": [short, long] })
    }
}

/// A name, or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(#[schemars(length(min = 1))] String),
    /// Several.
    Many(#[schemars(length(min = 1))] Vec<String>),
}

impl Names {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// How tokens are signed (RFC 7518, 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TokenAlgorithm {
    /// RSA (PKCS #1 v1.5) with SHA-256.
    RS256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    RS384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    RS512,
    /// RSA (PSS) with SHA-256.
    PS256,
    /// RSA (PSS) with SHA-384.
    PS384,
    /// RSA (PSS) with SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
    /// A shared secret with SHA-256.
    HS256,
    /// A shared secret with SHA-384.
    HS384,
    /// A shared secret with SHA-512.
    HS512,
}

impl TokenAlgorithm {
    /// Every one, with whether it is of public keys.
    pub const ALL: &[(Self, &str, bool)] = &[
        (Self::RS256, "RS256", true),
        (Self::RS384, "RS384", true),
        (Self::RS512, "RS512", true),
        (Self::PS256, "PS256", true),
        (Self::PS384, "PS384", true),
        (Self::PS512, "PS512", true),
        (Self::ES256, "ES256", true),
        (Self::ES384, "ES384", true),
        (Self::EdDSA, "EdDSA", true),
        (Self::HS256, "HS256", false),
        (Self::HS384, "HS384", false),
        (Self::HS512, "HS512", false),
    ];
}

/// Wrong credentials from one address.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuessSettings {
    /// So many …
    #[schemars(range(min = 1))]
    pub wrong: u32,
    /// … within this time …
    pub within: Duration,
    /// … and all credentials from there are refused (429) for this long.
    pub pause: Duration,
}

impl Default for GuessSettings {
    fn default() -> Self {
        Self { wrong: 20, within: a_minute(), pause: seconds(300) }
    }
}

fn authorization() -> Vec<String> {
    vec!["authorization".to_owned()]
}

fn seconds(n: u64) -> Duration {
    Duration(std::time::Duration::from_secs(n))
}

fn two_seconds() -> Duration {
    seconds(2)
}

fn five_seconds() -> Duration {
    seconds(5)
}

fn a_minute() -> Duration {
    seconds(60)
}

fn ten_minutes() -> Duration {
    seconds(600)
}
