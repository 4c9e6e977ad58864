//! The keys that callers show.

use super::{Compiler, Secrets};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::Caller;
use weir_policy::CallerKey;
use weir_state::{KeyRing, KeyRow, digest, parse_digest};

impl Compiler<'_> {
    pub(super) fn keys(&mut self) -> Option<KeyRing> {
        let mut rows: Vec<KeyRow> = Vec::new();
        for (name, key) in &self.set.keys {
            let decl = &key.value;
            let hashed = match (&decl.hash, &decl.secret) {
                (Some(hash), _) => match parse_digest(hash) {
                    Ok(digest) => Some(digest),
                    Err(error) => {
                        let help = "write `blake3:` and 64 hex digits; `weir key new` makes a key and prints its hash";
                        let found =
                            Diagnostic::new(Code::BadValue, error.to_string()).at(hash.span).help(help);
                        self.diagnostics.push(found);
                        None
                    }
                },
                (None, Some(secret)) => self.secret(secret).map(|value| digest(value.expose())),
                (None, None) => None,
            };
            let Some(digest) = hashed else { continue };
            let same = rows.iter().find(|row| row.digest == digest);
            if let Some(first) = same.and_then(|row| self.set.keys.get(&row.name)) {
                let message = format!("`{name}` and `{}` are the same key", first.name.value);
                self.diagnostics.push(
                    Diagnostic::new(Code::DuplicateName, message)
                        .at(key.name.span)
                        .also(first.name.span, "the same key")
                        .cause("a key says who calls; one key cannot be two callers")
                        .help("give each caller a key of its own (`weir key new`)"),
                );
                continue;
            }
            rows.push(row(name, decl, digest));
        }
        if matches!(self.secrets, Secrets::Ignored) {
            self.know_by_name(&mut rows);
        }
        match KeyRing::new(rows) {
            Ok(ring) => Some(ring),
            Err(error) => {
                self.diagnostics.push(Diagnostic::new(Code::DuplicateName, error.to_string()));
                None
            }
        }
    }
    /// Where secrets are not needed, a key is known by its name too: who writes a case knows no other.
    fn know_by_name(&self, rows: &mut Vec<KeyRow>) {
        for (name, key) in &self.set.keys {
            let digest = digest(name);
            if rows.iter().all(|row| row.digest != digest) {
                rows.push(row(name, &key.value, digest));
            }
        }
    }
}

fn row(name: &Arc<str>, decl: &CallerKey, digest: [u8; 32]) -> KeyRow {
    let tags = decl.tags.iter().map(|(name, value)| (Arc::from(name.as_str()), value.clone()));
    let caller = Caller {
        by: Arc::from("key"),
        key: Some(Arc::clone(name)),
        user: decl.user.as_deref().map(Arc::from),
        team: decl.team.as_deref().map(Arc::from),
        project: decl.project.as_deref().map(Arc::from),
        tags: tags.collect(),
        claims: serde_json::Map::new(),
        models: decl.models.iter().map(|model| Arc::from(model.as_str())).collect(),
    };
    KeyRow { name: Arc::clone(name), digest, caller: Arc::new(caller), disabled: decl.disabled }
}
