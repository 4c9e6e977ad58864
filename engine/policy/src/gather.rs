//! What all files of a set hold of one section, put together.

use crate::bind::bind_sound;
use crate::expand::LibraryEntry;
use crate::load::{File, Loader, twice};
use crate::read::read;
use crate::set::Named;
use crate::stage::LibraryItem;
use crate::{Key, Node, NodeKind, Spanned};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span};

/// A list of pipelines or frames, and what its file says about its place among others.
pub(crate) struct Listed<'f> {
    order: Option<i64>,
    key: Key,
    pub(crate) items: &'f [Node],
}

/// What a section defines; `names` has those too whose definition is wrong.
pub(crate) struct Definitions<T> {
    pub(crate) defined: BTreeMap<Arc<str>, Named<T>>,
    pub(crate) names: Vec<Arc<str>>,
}

impl<T> Definitions<T> {
    /// The names of which nothing else is known.
    pub(crate) fn wrong(&self) -> Vec<Arc<str>> {
        self.names.iter().filter(|name| !self.defined.contains_key(*name)).cloned().collect()
    }
}

impl Loader<'_> {
    /// The entries of a section in all files; a name that stands twice is reported and counts once.
    pub(crate) fn unique<'f>(&mut self, files: &'f [File], section: &str) -> Vec<&'f (Key, Node)> {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        let mut found = Vec::new();
        for entry in files.iter().filter_map(|file| file.root.get(section)).flat_map(Node::entries) {
            match seen.get(&*entry.0.name) {
                Some(first) => self.diagnostics.push(twice(section, &entry.0.name, entry.0.span, *first)),
                None => {
                    seen.insert(&entry.0.name, entry.0.span);
                    found.push(entry);
                }
            }
        }
        found
    }

    pub(crate) fn named<T>(&mut self, files: &[File], section: &str, what: &str) -> Definitions<T>
    where
        T: serde::de::DeserializeOwned + schemars::JsonSchema,
    {
        let mut definitions = Definitions { defined: BTreeMap::new(), names: Vec::new() };
        for (key, node) in self.unique(files, section) {
            definitions.names.push(key.name.clone());
            let what = format!("{what} `{}`", key.name);
            let sound = bind_sound::<T>(node, &what, key.span, &mut self.diagnostics);
            if let Some(value) = sound.value {
                let name = Spanned { value: key.name.clone(), span: key.span };
                definitions.defined.insert(key.name.clone(), Named { name, value, lost: sound.lost });
            }
        }
        definitions
    }

    /// A section that stands in one file only.
    pub(crate) fn single<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
        &mut self,
        files: &[File],
        section: &str,
    ) -> Option<T> {
        self.single_at(files, section).map(|found| found.value)
    }

    /// The same, and where it stands.
    pub(crate) fn single_at<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
        &mut self,
        files: &[File],
        section: &str,
    ) -> Option<Spanned<T>> {
        let mut first: Option<&Key> = None;
        let mut found = None;
        for (key, node) in files
            .iter()
            .filter_map(|file| file.root.entry(section))
            .filter(|(_, node)| matches!(node.kind, NodeKind::Map(_)))
        {
            if let Some(first) = first {
                let message = format!("the section `{section}` stands in two files");
                self.diagnostics.push(
                    Diagnostic::new(Code::DuplicateName, message).at(key.span).also(first.span, "first here"),
                );
                continue;
            }
            first = Some(key);
            let bound = crate::bind_as(node, &format!("`{section}`"), key.span, &mut self.diagnostics);
            found = bound.map(|value| Spanned { value, span: key.span });
        }
        found
    }

    /// The library entries of the set, and of the library shipped with Weir if one of it is used.
    pub(crate) fn library(&mut self, files: &[File]) -> BTreeMap<Arc<str>, LibraryEntry> {
        let mut entries = BTreeMap::new();
        for (key, node) in self.unique(files, "stages") {
            self.library_entry(key.name.clone(), key.span, node, false, &mut entries);
        }
        let uses_shipped =
            self.snapshot.files.iter().any(|f| f.content.as_ref().is_ok_and(|t| t.contains("weir/")));
        for (name, text) in self.environment.library.iter().filter(|_| uses_shipped) {
            let source = self.sources.add(format!("weir/{name}.yaml"), *text);
            let Some(root) = read(source, text, &mut self.diagnostics) else { continue };
            for (key, node) in root.get("stages").map(Node::entries).unwrap_or(&[]) {
                self.library_entry(
                    Arc::from(format!("weir/{}", key.name)),
                    key.span,
                    node,
                    true,
                    &mut entries,
                );
            }
        }
        entries
    }

    fn library_entry(
        &mut self,
        name: Arc<str>,
        span: Span,
        node: &Node,
        shipped: bool,
        entries: &mut BTreeMap<Arc<str>, LibraryEntry>,
    ) {
        let what = format!("the policy `{name}`");
        let sound = bind_sound::<LibraryItem>(node, &what, span, &mut self.diagnostics);
        let params: BTreeSet<Arc<str>> = node
            .get("params")
            .map(Node::entries)
            .unwrap_or(&[])
            .iter()
            .map(|(key, _)| key.name.clone())
            .filter(|name| sound.value.as_ref().is_none_or(|item| !item.params.contains_key(&**name)))
            .collect();
        let lost = sound.lost;
        entries.insert(name, LibraryEntry { span, item: sound.value, wrong_params: params, lost, shipped });
    }

    /// The lists of a section in the order that their files state.
    pub(crate) fn ordered<'f>(&mut self, files: &'f [File], section: &str) -> Vec<Listed<'f>> {
        let mut lists: Vec<Listed<'f>> = Vec::new();
        for file in files {
            let Some((key, node)) = file.root.entry(section) else { continue };
            if node.items().is_empty() {
                continue;
            }
            let order = match file.root.get("order").map(|n| &n.kind) {
                Some(NodeKind::Int(n)) => Some(*n),
                _ => None,
            };
            lists.push(Listed { order, key: key.clone(), items: node.items() });
        }
        if lists.len() > 1 {
            for (n, list) in lists.iter().enumerate() {
                let clash =
                    lists.iter().take(n).find(|other| other.order == list.order && list.order.is_some());
                let found = match (list.order, clash) {
                    (None, _) => {
                        format!("two files hold {section}, and this one does not say which comes first")
                    }
                    (Some(order), Some(_)) => format!("two files hold {section} with `order: {order}`"),
                    (Some(_), None) => continue,
                };
                let other = clash.or_else(|| lists.iter().enumerate().find(|(m, _)| *m != n).map(|(_, l)| l));
                let mut found = Diagnostic::new(Code::UnclearOrder, found)
                    .at(list.key.span)
                    .cause("nothing depends on the names of files")
                    .help("write `order: 10` beside it, with another number in each file");
                self.gaps.order = true;
                if let Some(other) = other {
                    found = found.also(other.key.span, format!("other {section}"));
                }
                self.diagnostics.push(found);
            }
        }
        lists.sort_by_key(|list| list.order);
        lists
    }
}
