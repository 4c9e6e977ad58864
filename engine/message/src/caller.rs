//! Who sends a request.

use crate::Operation;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who sends a request, settled before a pipeline is picked. One per key or token, shared by its requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caller {
    /// How they were identified: `key`, `jwt`, `mtls`, `allow`, `external`.
    pub by: Arc<str>,
    /// The key's name, never its value.
    pub key: Option<Arc<str>>,
    /// The user, if known.
    pub user: Option<Arc<str>>,
    /// The team, if any.
    pub team: Option<Arc<str>>,
    /// The project, if any.
    pub project: Option<Arc<str>>,
    /// Free-form attributes given with the key.
    pub tags: BTreeMap<Arc<str>, serde_json::Value>,
    /// Claims of a token.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Models this caller may ask for, as names or patterns ending in `*`; empty: all.
    pub models: Vec<Arc<str>>,
    /// Operations this caller may ask for; empty: all.
    pub operations: Vec<Operation>,
}

impl Caller {
    /// This caller with what another credential of theirs says besides; what this one says stays. They may ask for what both allow;
    /// `None` if that is nothing.
    pub fn with(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        both.key = both.key.or_else(|| other.key.clone());
        both.user = both.user.or_else(|| other.user.clone());
        both.team = both.team.or_else(|| other.team.clone());
        both.project = both.project.or_else(|| other.project.clone());
        for (name, value) in &other.tags {
            both.tags.entry(Arc::clone(name)).or_insert_with(|| value.clone());
        }
        for (name, value) in &other.claims {
            both.claims.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        both.models = narrowed(&self.models, &other.models, |a, b| match (covers(a, b), covers(b, a)) {
            (true, _) => Some(Arc::clone(b)),
            (_, true) => Some(Arc::clone(a)),
            _ => None,
        })?;
        both.operations = narrowed(&self.operations, &other.operations, |a, b| (a == b).then_some(*a))?;
        Some(both)
    }
}

/// What two lists allow together, an empty one allowing all; `None`: nothing.
fn narrowed<T: Clone>(one: &[T], other: &[T], both: impl Fn(&T, &T) -> Option<T>) -> Option<Vec<T>> {
    if one.is_empty() || other.is_empty() {
        return Some([one, other].concat());
    }
    let all: Vec<T> = one.iter().flat_map(|a| other.iter().filter_map(|b| both(a, b))).collect();
    (!all.is_empty()).then_some(all)
}

/// Whether all that the name or pattern `inner` stands for is what `outer` stands for.
fn covers(outer: &str, inner: &str) -> bool {
    match outer.strip_suffix('*') {
        Some(prefix) => inner.strip_suffix('*').unwrap_or(inner).starts_with(prefix),
        None => outer == inner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(team: Option<&str>, models: &[&str], operations: &[Operation]) -> Caller {
        Caller {
            team: team.map(Arc::from),
            models: models.iter().map(|&model| Arc::from(model)).collect(),
            operations: operations.to_vec(),
            ..Caller::default()
        }
    }

    #[test]
    fn two_credentials_allow_what_both_do() {
        for (one, other, want) in [
            (&[][..], &[][..], Some(&[][..])),
            (&["a"], &[], Some(&["a"])),
            (&[], &["a"], Some(&["a"])),
            (&["gpt-*", "fast"], &["gpt-5*", "gpt-4"], Some(&["gpt-5*", "gpt-4"])),
            (&["gpt-5"], &["gpt-*"], Some(&["gpt-5"])),
            (&["gpt-5"], &["gpt-5-mini"], None),
            (&["*"], &["gpt-5"], Some(&["gpt-5"])),
            (&["a"], &[""], None),
        ] {
            let both = caller(None, one, &[]).with(&caller(None, other, &[]));
            let want = want.map(|want| caller(None, want, &[]));
            assert_eq!(both, want, "{one:?} {other:?}");
        }
        let (chat, image) = (Operation::Chat, Operation::Image);
        assert_eq!(caller(None, &[], &[chat]).with(&caller(None, &[], &[image])), None);
        let both = caller(None, &[], &[chat, image]).with(&caller(None, &[], &[image]));
        assert_eq!(both.map(|both| both.operations), Some(vec![image]));
    }

    #[test]
    fn what_the_first_says_stays() {
        let both = caller(Some("web"), &[], &[]).with(&caller(Some("data"), &[], &[])).unwrap();
        assert_eq!(both.team.as_deref(), Some("web"));
        let both = caller(None, &[], &[]).with(&caller(Some("data"), &[], &[])).unwrap();
        assert_eq!(both.team.as_deref(), Some("data"));
    }
}
