//! What is known of a caller, as a token, a certificate or a service claims it.

use serde_json::{Map, Value};
use std::sync::Arc;
use weir_message::Caller;

/// Which claims make which part of a caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    pub user: Option<Given>,
    pub team: Option<Given>,
    pub project: Option<Given>,
    pub tags: Vec<(Arc<str>, Given)>,
    pub models: Option<Given>,
}

/// A part of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// The same for all.
    Text(Arc<str>),
    /// A claim.
    Claim(Vec<Step>),
}

/// One step into a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The field of this name.
    Field(String),
    /// The item at this place.
    Item(usize),
}

/// A text that begins as a claim does and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPath;

impl Given {
    /// `claims.a.b["c d"][0]`; what does not begin with `claims.` or `claims[` is a text.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPath> {
        let Some(mut rest) =
            text.strip_prefix("claims").filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        else {
            return Ok(Self::Text(Arc::from(text)));
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, next) = after.split_at(end);
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Err(BadPath);
                }
                steps.push(Step::Field(name.to_owned()));
                rest = next;
            } else {
                let (inner, next) = bracket(rest).ok_or(BadPath)?;
                steps.push(inner);
                rest = next;
            }
        }
        if steps.is_empty() { Err(BadPath) } else { Ok(Self::Claim(steps)) }
    }

    fn value<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Self::Claim(steps) = self else { return None };
        let (Step::Field(first), rest) = steps.split_first()? else { return None };
        let found = rest.iter().try_fold(claims.get(first)?, |at, step| match step {
            Step::Field(name) => at.get(name),
            Step::Item(n) => at.get(n),
        })?;
        (!found.is_null()).then_some(found)
    }

    /// As a name: text, or a number as it is written. An empty one names nobody.
    fn name(&self, claims: &Map<String, Value>) -> Option<Arc<str>> {
        let name: Arc<str> = match (self, self.value(claims)) {
            (Self::Text(text), _) => Arc::clone(text),
            (_, Some(Value::String(text))) => Arc::from(text.as_str()),
            (_, Some(Value::Number(number))) => Arc::from(number.to_string()),
            _ => return None,
        };
        (!name.is_empty()).then_some(name)
    }
}

/// `["name"]` or `[3]`, and what follows.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let inner = text.strip_prefix('[')?;
    for quote in ['"', '\''] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, next) = quoted.split_once(quote)?;
            return Some((Step::Field(name.to_owned()), next.strip_prefix(']')?));
        }
    }
    let (number, next) = inner.split_once(']')?;
    Some((Step::Item(number.parse().ok()?), next))
}

impl Mapping {
    /// The caller that these claims make.
    pub(crate) fn caller(&self, by: &'static str, claims: Map<String, Value>) -> Caller {
        let name = |given: &Option<Given>| given.as_ref().and_then(|given| given.name(&claims));
        let tag = |(name, given): &(Arc<str>, Given)| {
            let value = match given {
                Given::Text(text) => Some(Value::from(&**text)),
                claim => claim.value(&claims).cloned(),
            };
            Some((Arc::clone(name), value?))
        };
        Caller {
            by: Arc::from(by),
            key: None,
            user: name(&self.user),
            team: name(&self.team),
            project: name(&self.project),
            tags: self.tags.iter().filter_map(tag).collect(),
            models: self.models.as_ref().map(|given| models(given, &claims)).unwrap_or_default(),
            operations: Vec::new(),
            claims,
        }
    }
}

/// The models that a claim lists: none of them is one that nobody can ask for, since an empty list would allow all.
fn models(given: &Given, claims: &Map<String, Value>) -> Vec<Arc<str>> {
    let listed: Vec<Arc<str>> = match (given, given.value(claims)) {
        (Given::Text(text), _) => vec![Arc::clone(text)],
        (_, Some(Value::String(one))) => vec![Arc::from(one.as_str())],
        (_, Some(Value::Array(all))) => all.iter().filter_map(Value::as_str).map(Arc::from).collect(),
        _ => Vec::new(),
    };
    if listed.is_empty() { vec![Arc::from("")] } else { listed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims() -> Map<String, Value> {
        let Value::Object(claims) = json!({
            "sub": "u-1", "n": 7, "dept": { "name": "web" }, "groups": ["a", "b"], "https://x.example/id": "x",
            "none": null, "empty": "", "models": ["gpt-*", 3, "fast"], "no_models": [],
        }) else {
            panic!()
        };
        claims
    }

    #[test]
    fn a_name_is_read_along_its_path_and_where_there_is_none_there_is_nobody() {
        for (path, want) in [
            ("claims.sub", Some("u-1")),
            ("claims.n", Some("7")),
            ("claims.dept.name", Some("web")),
            ("claims.groups[1]", Some("b")),
            ("claims[\"https://x.example/id\"]", Some("x")),
            ("claims['dept'].name", Some("web")),
            ("claims.groups[2]", None),
            ("claims.groups", None),
            ("claims.none", None),
            ("claims.empty", None),
            ("claims.sub.more", None),
            ("claimsman", Some("claimsman")),
            ("web", Some("web")),
        ] {
            let name = Given::parse(path).unwrap().name(&claims());
            assert_eq!(name.as_deref(), want, "{path}");
        }
    }

    #[test]
    fn what_begins_as_a_claim_and_is_none_is_refused() {
        for path in [
            "claims",
            "claims.",
            "claims.a.",
            "claims[",
            "claims[x]",
            "claims[\"a]",
            "claims.a b",
            "claims.a[0]b",
            "claims[-1]",
        ] {
            assert_eq!(Given::parse(path), Err(BadPath), "{path}");
        }
    }

    #[test]
    fn tags_keep_their_types_and_a_list_of_models_that_is_missing_allows_none() {
        let given = |text: &str| Given::parse(text).unwrap();
        let mapping = |models: &str| Mapping {
            tags: vec![
                ("all".into(), given("claims.groups")),
                ("no".into(), given("claims.gone")),
                ("is".into(), given("x")),
            ],
            models: Some(given(models)),
            ..Mapping::default()
        };
        let caller = mapping("claims.models").caller("jwt", claims());
        assert_eq!(json!(caller.tags), json!({ "all": ["a", "b"], "is": "x" }));
        assert_eq!(caller.models, vec![Arc::from("gpt-*"), Arc::from("fast")]);
        for path in ["claims.no_models", "claims.gone", "claims.n"] {
            assert_eq!(mapping(path).caller("jwt", claims()).models, vec![Arc::from("")], "{path}");
        }
    }
}
