//! Secrets by reference: `${env:NAME}` and `${file:path}`.

use crate::node::Node;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span};

/// A secret file may hold at most this many bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// A text with references to secrets in it, such as `${env:OPENAI_API_KEY}` or `Bearer ${file:token}`. It prints `…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    parts: Arc<[Part]>,
    /// Where it stands.
    pub span: Span,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Env(String),
    File(String),
}

/// The value of a secret. It prints `…`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Arc<str>);

impl SecretValue {
    /// The value itself, for the one place that sends or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Whether a text holds a reference to a secret.
pub(crate) fn is_reference(text: &str) -> bool {
    text.contains("${env:") || text.contains("${file:")
}

/// Why a text is no secret by reference, or its parts.
fn parse(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let (inner, next) = after.split_once('}').ok_or("the reference has no `}`")?;
        parts.push(match inner.split_once(':') {
            Some(("env", name)) if is_variable(name) => Part::Env(name.to_owned()),
            Some(("env", _)) => return Err("the name of a variable is letters, digits and `_`"),
            Some(("file", path)) if !path.is_empty() => Part::File(path.to_owned()),
            Some(("vault", _)) => return Err("secrets from Vault are not served by this version"),
            _ => return Err("a secret is `${env:NAME}` or `${file:path}`"),
        });
        rest = next;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    match parts.iter().any(|part| !matches!(part, Part::Text(_))) {
        true => Ok(parts),
        false => Err("a secret stands here by reference, never as text"),
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Why a text cannot stand in a field that takes a secret.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    parse(text).map(|_| ())
}

/// The files that the secrets in a node stand in, as written. Where no secret may stand there are none: the loader saw to it.
pub(crate) fn files_in(node: &Node, out: &mut BTreeSet<String>) {
    node.entries().iter().for_each(|(_, value)| files_in(value, out));
    node.items().iter().for_each(|item| files_in(item, out));
    let parts = node.as_str().filter(|text| is_reference(text)).and_then(|text| parse(text).ok());
    out.extend(parts.into_iter().flatten().filter_map(|part| match part {
        Part::File(path) => Some(path),
        Part::Text(_) | Part::Env(_) => None,
    }));
}

impl Secret {
    /// Whether another says the same, wherever it stands.
    pub(crate) fn says(&self, other: &Self) -> bool {
        self.parts == other.parts
    }

    /// The files that it stands in, as written.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::File(path) => Some(path.as_str()),
            Part::Text(_) | Part::Env(_) => None,
        })
    }

    /// The environment variables and files that it refers to, as written: `env:NAME`, `file:path`.
    pub fn references(&self) -> impl Iterator<Item = String> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Env(name) => Some(format!("env:{name}")),
            Part::File(path) => Some(format!("file:{path}")),
        })
    }

    /// Its value: variables by `env`, relative files below `root`; one line break at a file's end is not part of it.
    ///
    /// # Errors
    /// `missing-secret` where a variable or file is absent, empty, too large, or not text.
    #[allow(clippy::result_large_err, reason = "asked once per load, never on the way of a request")]
    pub fn resolve(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        root: &Path,
    ) -> Result<SecretValue, Diagnostic> {
        let mut value = String::new();
        for part in self.parts.iter() {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Env(name) => match env(name).filter(|v| !v.is_empty()) {
                    Some(found) => value.push_str(&found),
                    None => return Err(self.missing(format!("the environment has no `{name}`"), name)),
                },
                Part::File(path) => {
                    let found = read_secret(&root.join(path))
                        .map_err(|why| self.missing(format!("the secret file `{path}` {why}"), path))?;
                    value.push_str(&found);
                }
            }
        }
        Ok(SecretValue(Arc::from(value)))
    }

    fn missing(&self, message: String, name: &str) -> Diagnostic {
        Diagnostic::new(Code::MissingSecret, message)
            .at(self.span)
            .help(format!("set `{name}` where `weir serve` runs; `check` and `test` do not need it"))
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut text = String::new();
    file.take(MAX_SECRET + 1).read_to_string(&mut text).map_err(|e| format!("cannot be read: {e}"))?;
    if text.len() as u64 > MAX_SECRET {
        return Err("is larger than 64 KiB".to_owned());
    }
    let value = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if value.is_empty() { Err("is empty".to_owned()) } else { Ok(value.to_owned()) }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let text = node.as_str().ok_or_else(|| de::Error::custom("a secret is text"))?;
        let parts = parse(text).map_err(de::Error::custom)?;
        Ok(Self { parts: parts.into(), span: node.span })
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "secret", "pattern": "\\$\\{(env|file):[^}]+\\}",
            "description": "A secret by reference: `${env:NAME}` or `${file:path}`.",
        })
    }
}

/// A text that may, but need not, refer to a secret: the value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOrSecret {
    /// A text as it is.
    Text(String),
    /// A secret by reference.
    Secret(Secret),
}

impl TextOrSecret {
    /// Whether another says the same, wherever it stands.
    pub(crate) fn says(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(text), Self::Text(other)) => text == other,
            (Self::Secret(secret), Self::Secret(other)) => secret.says(other),
            (Self::Text(_), Self::Secret(_)) | (Self::Secret(_), Self::Text(_)) => false,
        }
    }

    /// The secret, if it is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Text(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }

    /// Its value; see [`Secret::resolve`].
    ///
    /// # Errors
    /// `missing-secret`, as for a secret.
    #[allow(clippy::result_large_err, reason = "asked once per load, never on the way of a request")]
    pub fn resolve(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        root: &Path,
    ) -> Result<SecretValue, Diagnostic> {
        match self {
            Self::Text(text) => Ok(SecretValue(Arc::from(text.as_str()))),
            Self::Secret(secret) => secret.resolve(env, root),
        }
    }
}

impl<'de> Deserialize<'de> for TextOrSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let text = node.text().ok_or_else(|| de::Error::custom("a text or a secret by reference"))?;
        if !is_reference(&text.text) {
            return Ok(Self::Text(text.text.to_string()));
        }
        let parts = parse(&text.text).map_err(de::Error::custom)?;
        Ok(Self::Secret(Secret { parts: parts.into(), span: node.span }))
    }
}

impl JsonSchema for TextOrSecret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TextOrSecret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "text-or-secret",
            "description": "A text, or a secret by reference: `${env:NAME}` or `${file:path}`.",
        })
    }
}
