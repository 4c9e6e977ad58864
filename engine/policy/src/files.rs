//! Files of a set that stages name in their settings: lists (`.txt`), JSON Schemas (`.schema.json`).

use crate::Spanned;
use crate::declare::beside;
use crate::snapshot::{FileKind, Snapshot, kind};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Sources, nearest};

/// The files of a set that stages name in their settings.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The names of the sources, by their ids: a path is relative to the file that names it.
    sources: Vec<Arc<str>>,
    /// The texts by path, or why one cannot be read.
    texts: BTreeMap<String, Result<Arc<str>, String>>,
}

impl Files {
    pub(crate) fn of(snapshot: &Snapshot, sources: &Sources) -> Self {
        let texts = snapshot.files.iter().filter(|file| matches!(kind(&file.path), Some(FileKind::Text)));
        Self {
            sources: sources.iter().map(|(_, source)| Arc::clone(&source.name)).collect(),
            texts: texts.map(|file| (file.path.clone(), file.content.clone())).collect(),
        }
    }

    /// The text of the file that a setting names, relative to the file in which it does.
    ///
    /// # Errors
    /// What is wrong with the name or the file.
    pub fn text(&self, path: &Spanned<String>) -> Result<Arc<str>, Box<Diagnostic>> {
        let wrong = |code, message: String| Diagnostic::new(code, message).at(path.span);
        let here = self.sources.get(path.span.source.0 as usize).map_or("", |name| name);
        let Some(target) = beside(here, path).filter(|path| matches!(kind(path), Some(FileKind::Text)))
        else {
            let message = format!("`{}` is not a file that a set holds", path.value);
            let help = "a list ends in .txt, a JSON Schema in .schema.json; both stand inside the set's folder and are named relative to this file";
            return Err(Box::new(wrong(Code::BadValue, message).help(help)));
        };
        match self.texts.get(&target) {
            Some(Ok(text)) => Ok(Arc::clone(text)),
            Some(Err(why)) => Err(Box::new(wrong(Code::UnreadableFile, format!("{target}: {why}")))),
            None => {
                let found = wrong(Code::UnknownName, format!("there is no file `{target}`"));
                Err(Box::new(match nearest(&target, self.texts.keys().map(String::as_str)) {
                    Some(near) => found.help(format!("did you mean `{near}`?")),
                    None => found.help("the path is relative to this file"),
                }))
            }
        }
    }
}
