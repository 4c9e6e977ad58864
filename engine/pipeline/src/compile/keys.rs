//! The keys that callers show.

use super::Compiler;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::Caller;
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
            let caller = Caller {
                by: Arc::from("key"),
                key: Some(Arc::clone(name)),
                user: decl.user.as_deref().map(Arc::from),
                team: decl.team.as_deref().map(Arc::from),
                tags: decl
                    .tags
                    .iter()
                    .map(|(name, value)| (Arc::from(name.as_str()), value.clone()))
                    .collect(),
                claims: serde_json::Map::new(),
                models: decl.models.iter().map(|model| Arc::from(model.as_str())).collect(),
            };
            rows.push(KeyRow {
                name: Arc::clone(name),
                digest,
                caller: Arc::new(caller),
                disabled: decl.disabled,
            });
        }
        match KeyRing::new(rows) {
            Ok(ring) => Some(ring),
            Err(error) => {
                self.diagnostics.push(Diagnostic::new(Code::DuplicateName, error.to_string()));
                None
            }
        }
    }
}
