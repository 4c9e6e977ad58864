//! The keys that callers show.

use super::{Compiler, SERVED, Secrets};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_message::{Caller, Operation};
use weir_policy::{CallerKey, PreviousKey, Secret, Spanned};
use weir_state::{KeyRing, KeyRow, digest, parse_digest};

impl Compiler<'_> {
    pub(super) fn keys(&mut self) -> Option<KeyRing> {
        let (mut rows, mut templates): (Vec<KeyRow>, Vec<KeyRow>) = (Vec::new(), Vec::new());
        let set = self.set;
        for (name, key) in &set.keys {
            let decl = &key.value;
            // What is wrong with a hash has been said.
            let digest = match key.lost.has("hash") {
                true => None,
                false => self.digest(&decl.hash, &decl.secret),
            };
            let Some(template) = self.row(name, decl) else { continue };
            templates.push(template.clone());
            let previous = match &decl.previous {
                Some(previous) if !key.lost.has("previous") => self.previous(previous, &template),
                _ => None,
            };
            let own = digest.map(|digest| KeyRow { digest, ..template });
            for row in own.into_iter().chain(previous) {
                self.add(&mut rows, row, key.name.span);
            }
        }
        if matches!(self.secrets, Secrets::Ignored) {
            know_by_name(templates, &mut rows);
        }
        match KeyRing::new(rows) {
            Ok(ring) => Some(ring),
            Err(error) => {
                self.diagnostics.push(Diagnostic::new(Code::DuplicateName, error.to_string()));
                None
            }
        }
    }

    fn add(&mut self, rows: &mut Vec<KeyRow>, row: KeyRow, place: Span) {
        let same = rows.iter().find(|known| known.digest == row.digest);
        let Some(first) = same.and_then(|known| self.set.keys.get(&known.name)) else {
            return rows.push(row);
        };
        let message = match first.name.value == row.name {
            true => format!("`{}` and the key that it takes the place of are the same key", row.name),
            false => format!("`{}` and `{}` are the same key", row.name, first.name.value),
        };
        self.diagnostics.push(
            Diagnostic::new(Code::DuplicateName, message)
                .at(place)
                .also(first.name.span, "the same key")
                .cause("a key says who calls; one key cannot be two callers")
                .help("give each caller a key of its own (`weir keys new`)"),
        );
    }

    /// The digest that proves a key; `None` where it is not known, or wrong, which was said.
    fn digest(&mut self, hash: &Option<Spanned<String>>, secret: &Option<Secret>) -> Option<[u8; 32]> {
        let Some(hash) = hash else {
            return self.secret(secret.as_ref()?).map(|value| digest(value.expose()));
        };
        match parse_digest(hash) {
            Ok(digest) => Some(digest),
            Err(error) => {
                let help =
                    "write `blake3:` and 64 hex digits; `weir keys new` makes a key and prints its hash";
                self.diagnostics
                    .push(Diagnostic::new(Code::BadValue, error.to_string()).at(hash.span).help(help));
                None
            }
        }
    }

    /// The key that another takes the place of: the same caller, until it ends.
    fn previous(&mut self, decl: &PreviousKey, new: &KeyRow) -> Option<KeyRow> {
        let until = self.moment(&decl.until)?;
        let digest = self.digest(&decl.hash, &decl.secret)?;
        let expires = Some(new.expires.map_or(until, |expires| expires.min(until)));
        Some(KeyRow { digest, expires, ..new.clone() })
    }

    /// A key without its digest.
    fn row(&mut self, name: &Arc<str>, decl: &CallerKey) -> Option<KeyRow> {
        let expires = decl.expires.as_ref().map(|text| self.moment(text));
        let operations: Vec<Option<Operation>> =
            decl.operations.iter().map(|operation| self.operation(operation)).collect();
        let operations = operations.into_iter().collect::<Option<Vec<Operation>>>()?;
        let expires = match expires {
            Some(moment) => Some(moment?),
            None => None,
        };
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
            operations,
        };
        Some(KeyRow {
            name: Arc::clone(name),
            digest: [0; 32],
            caller: Arc::new(caller),
            disabled: decl.disabled,
            expires,
            networks: decl.networks.clone(),
        })
    }

    fn moment(&mut self, text: &Spanned<String>) -> Option<i64> {
        let moment = weir_state::unix_time(&text.value);
        if moment.is_none() {
            let message = format!("`{}` is no day and no moment", text.value);
            let help = "write a day (2027-01-01) or a moment (2027-01-01T08:00:00Z)";
            self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(text.span).help(help));
        }
        moment
    }

    fn operation(&mut self, name: &Spanned<String>) -> Option<Operation> {
        let known = SERVED.iter().copied().find(|operation| operation.name() == name.value);
        if known.is_none() {
            let names: Vec<&str> = SERVED.iter().map(|operation| operation.name()).collect();
            let help = match weir_diagnostic::nearest(&name.value, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", names.join(", ")),
            };
            let message = format!("there is no operation `{}`", name.value);
            self.diagnostics.push(Diagnostic::new(Code::UnknownName, message).at(name.span).help(help));
        }
        known
    }
}

/// Where secrets are not needed, a key is known by its name too: who writes a case knows no other.
fn know_by_name(templates: Vec<KeyRow>, rows: &mut Vec<KeyRow>) {
    for template in templates {
        let digest = digest(&template.name);
        if rows.iter().all(|row| row.digest != digest) {
            rows.push(KeyRow { digest, ..template });
        }
    }
}
