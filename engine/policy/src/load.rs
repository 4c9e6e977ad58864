//! A snapshot to a set: reads each file, binds each section, and checks what names mean.

use crate::expand::{Expander, LibraryEntry};
use crate::read::read;
use crate::sections::{CallerKey, Listener, Model, Provider};
use crate::set::{Named, PolicySet};
use crate::snapshot::{FileKind, Snapshot, kind};
use crate::stage::{FrameDecl, FrameItem, LibraryItem, PipelineDecl, PipelineItem};
use crate::{Builtins, Catalogue, Files, Key, Node, NodeKind, Spanned, bind, bind_as, meaning};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, SourceId, Sources, Span, nearest};

/// What the rooms above tell the loader.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// The built-in stages.
    pub builtins: &'a dyn Builtins,
    /// The catalogue of providers.
    pub catalogue: &'a dyn Catalogue,
    /// The library shipped with Weir: pairs of a name and a policy file whose `stages` are used as `weir/NAME`.
    pub library: &'a [(&'a str, &'a str)],
}

/// What came of a load.
#[derive(Debug)]
pub struct Loaded {
    /// The texts that diagnostics point into.
    pub sources: Sources,
    /// The set; `None` where there are errors.
    pub set: Option<PolicySet>,
    /// What could be made of a set that has errors: to look for more of them, never to be served.
    pub partial: Option<PolicySet>,
    /// All findings, by file and place.
    pub diagnostics: Diagnostics,
}

/// The sections of a file, and two keys that are none.
const SECTIONS: [&str; 13] = [
    "weir",
    "order",
    "listeners",
    "keys",
    "providers",
    "models",
    "stages",
    "pipelines",
    "frames",
    "params",
    "admin",
    "observe",
    "state",
];
/// Sections of the language that this version refuses.
const NOT_SERVED: [(&str, &str); 4] = [
    ("secrets", "refer to secrets where they are needed: \"${env:NAME}\" or \"${file:path}\""),
    ("servers", "MCP servers are not reached by this version"),
    ("scopes", "one team owns a set in this version"),
    ("rollout", "a set is swapped whole in this version"),
];

/// Loads a set. Never fails as a whole: what is wrong is in the diagnostics, all of it.
pub fn load(snapshot: &Snapshot, environment: &Environment<'_>) -> Loaded {
    let mut loader = Loader {
        environment,
        snapshot,
        sources: Sources::default(),
        diagnostics: Diagnostics::new(),
        scripts: HashMap::new(),
    };
    let set = loader.run();
    let Loader { sources, mut diagnostics, .. } = loader;
    diagnostics.sort();
    let (set, partial) = if diagnostics.has_errors() { (None, set) } else { (set, None) };
    Loaded { sources, set, partial, diagnostics }
}

/// What a load works on.
pub(crate) struct Loader<'a> {
    pub(crate) environment: &'a Environment<'a>,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Diagnostics,
    /// The scripts read so far, by path.
    pub(crate) scripts: HashMap<String, SourceId>,
}

/// One file that was read.
struct File {
    source: SourceId,
    path: String,
    root: Node,
}

/// A list of pipelines or frames, and what its file says about its place among others.
struct Listed<'f> {
    order: Option<i64>,
    key: Key,
    items: &'f [Node],
}

impl Loader<'_> {
    fn run(&mut self) -> Option<PolicySet> {
        let (files, whole) = self.read_files();
        if files.is_empty() {
            if whole {
                self.diagnostics.push(
                    Diagnostic::new(Code::EmptySet, "the folder holds no policy")
                        .help("a policy is a file ending in .yaml or .yml; *.test.yaml are cases"),
                );
            }
            return None;
        }
        self.sections(&files, whole);

        let listeners = self.named::<Listener>(&files, "listeners", "the listener");
        let keys = self.named::<CallerKey>(&files, "keys", "the key");
        let providers = self.named::<Provider>(&files, "providers", "the provider");
        let models = self.named::<Model>(&files, "models", "the model");
        let library = self.library(&files);
        let param_nodes: BTreeMap<Arc<str>, Node> =
            self.unique(&files, "params").into_iter().map(|(k, v)| (k.name.clone(), v.clone())).collect();
        let params: serde_json::Map<_, _> =
            param_nodes.iter().map(|(name, node)| (name.to_string(), node.to_json())).collect();
        let params = Arc::new(params);
        let admin = self.single(&files, "admin");
        let observe = self.single(&files, "observe").unwrap_or_default();
        let state = self.single(&files, "state");

        let frame_lists = self.ordered(&files, "frames");
        let pipeline_lists = self.ordered(&files, "pipelines");
        let mut expander = Expander::new(self, &library, param_nodes, params.clone());
        let mut frames = Vec::new();
        for item in frame_lists.iter().flat_map(|list| list.items) {
            let place = first_key(item);
            let Some(bound) =
                bind_as::<FrameItem>(item, "the frame", place, &mut expander.loader.diagnostics)
            else {
                continue;
            };
            let stages = expander.list(&bound.stages.node);
            frames.push(FrameDecl { name: shared(&bound.frame), when: bound.when, stages });
        }
        let mut pipelines = Vec::new();
        for item in pipeline_lists.iter().flat_map(|list| list.items) {
            let place = first_key(item);
            let bound =
                bind_as::<PipelineItem>(item, "the pipeline", place, &mut expander.loader.diagnostics);
            // The stages are worth a look even where something beside them is wrong.
            let stages = match bound.as_ref().map(|b| b.stages.as_ref().map(|s| &s.node)) {
                Some(stages) => stages,
                None => item.get("stages"),
            };
            let stages = stages.map(|list| expander.list(list)).unwrap_or_default();
            if let Some(bound) = bound {
                pipelines.push(PipelineDecl {
                    name: shared(&bound.pipeline),
                    when: bound.when,
                    anonymous: bound.anonymous,
                    deadline: bound.deadline.map(|d| d.value.0),
                    stages,
                });
            }
        }
        expander.finish();

        let set = PolicySet {
            revision: self.snapshot.revision,
            listeners: listeners.defined,
            keys: keys.defined,
            providers: providers.defined,
            models: models.defined,
            pipelines,
            frames,
            params,
            files: Files::of(self.snapshot, &self.sources),
            admin,
            observe,
            state,
        };
        meaning::check(&set, &providers.names, whole, self.environment, &mut self.diagnostics);
        Some(set)
    }

    /// Reads every policy file; false where one could not be read, so that what is missing may stand there.
    fn read_files(&mut self) -> (Vec<File>, bool) {
        let mut files = Vec::new();
        let mut whole = true;
        for file in &self.snapshot.files {
            // What is wrong with a text is told to the stage that names it.
            let is_text = matches!(kind(&file.path), Some(FileKind::Text));
            if is_text || (!matches!(kind(&file.path), Some(FileKind::Policy)) && file.content.is_ok()) {
                continue;
            }
            match &file.content {
                Err(why) => {
                    whole = false;
                    let source = self.sources.add(file.path.as_str(), "");
                    self.diagnostics.push(
                        Diagnostic::new(Code::UnreadableFile, format!("{}: {why}", file.path))
                            .at(Span::new(source, 0..0)),
                    );
                }
                Ok(text) => {
                    let source = self.sources.add(file.path.as_str(), text.clone());
                    match read(source, text, &mut self.diagnostics) {
                        Some(root) if matches!(root.kind, NodeKind::Map(_)) => {
                            files.push(File { source, path: file.path.clone(), root });
                        }
                        Some(root) => {
                            whole = false;
                            self.diagnostics.push(
                                Diagnostic::new(
                                    Code::WrongType,
                                    format!(
                                        "a policy file is a mapping of sections, not {}",
                                        root.kind_name()
                                    ),
                                )
                                .at(root.span),
                            );
                        }
                        None => whole = false,
                    }
                }
            }
        }
        (files, whole)
    }

    /// Whether each section is one, and the edition is stated.
    fn sections(&mut self, files: &[File], whole: bool) {
        let mut edition = false;
        for file in files {
            for (key, value) in file.root.entries() {
                let name = &*key.name;
                if name == "weir" {
                    edition = true;
                    if value.as_str() != Some("v1") {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::BadEdition,
                                "this version of Weir knows the edition `v1` only",
                            )
                            .at(value.span)
                            .help("write `weir: v1`"),
                        );
                    }
                } else if let Some((_, why)) = NOT_SERVED.iter().find(|(section, _)| *section == name) {
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code::NotServed,
                            format!("the section `{name}` is not served by this version"),
                        )
                        .at(key.span)
                        .cause(*why)
                        .help("take the section out"),
                    );
                } else if !SECTIONS.contains(&name) {
                    let found =
                        Diagnostic::new(Code::UnknownSection, format!("there is no section `{name}`"))
                            .at(key.span);
                    self.diagnostics.push(match nearest(name, SECTIONS) {
                        Some(near) => found.help(format!("did you mean `{near}`?")),
                        None => found.help(format!("sections are {}", SECTIONS.join(", "))),
                    });
                } else if name == "order" {
                    if !matches!(value.kind, NodeKind::Int(_)) {
                        self.diagnostics.push(
                            Diagnostic::new(Code::WrongType, "`order` takes a whole number").at(value.span),
                        );
                    }
                } else if !value.is_null() {
                    let list = matches!(name, "pipelines" | "frames");
                    let fits = match value.kind {
                        NodeKind::Seq(_) => list,
                        NodeKind::Map(_) => !list,
                        _ => false,
                    };
                    if !fits {
                        let wanted = if list { "a list" } else { "a mapping of names" };
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::WrongType,
                                format!("`{name}` takes {wanted}, not {}", value.kind_name()),
                            )
                            .at(key.span),
                        );
                    } else if name == "frames" && file.path.contains('/') {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::RootOnly,
                                "`frames` may stand only in the set's root folder",
                            )
                            .at(key.span)
                            .cause("a frame is wrapped around every pipeline of the set")
                            .help("move the section into a file beside the set's first one"),
                        );
                    }
                }
            }
        }
        if let (false, true, Some(first)) = (edition, whole, files.first()) {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::BadEdition,
                    "no file says which edition of the language it is written in",
                )
                .at(Span::new(first.source, 0..0))
                .help("write `weir: v1` at the top"),
            );
        }
    }

    /// The entries of a section in all files; a name that stands twice is reported and counts once.
    fn unique<'f>(&mut self, files: &'f [File], section: &str) -> Vec<&'f (Key, Node)> {
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

    fn named<T>(&mut self, files: &[File], section: &str, what: &str) -> Definitions<T>
    where
        T: serde::de::DeserializeOwned + schemars::JsonSchema,
    {
        let mut definitions = Definitions { defined: BTreeMap::new(), names: Vec::new() };
        for (key, node) in self.unique(files, section) {
            definitions.names.push(key.name.clone());
            let what = format!("{what} `{}`", key.name);
            if let Some(value) = bind_as::<T>(node, &what, key.span, &mut self.diagnostics) {
                let name = Spanned { value: key.name.clone(), span: key.span };
                definitions.defined.insert(key.name.clone(), Named { name, value });
            }
        }
        definitions
    }

    /// A section that stands in one file only.
    fn single<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
        &mut self,
        files: &[File],
        section: &str,
    ) -> Option<T> {
        let mut first: Option<&Key> = None;
        let mut found = None;
        for (key, node) in
            files.iter().filter_map(|file| file.root.entry(section)).filter(|(_, n)| !n.is_null())
        {
            if let Some(first) = first {
                let message = format!("the section `{section}` stands in two files");
                self.diagnostics.push(
                    Diagnostic::new(Code::DuplicateName, message).at(key.span).also(first.span, "first here"),
                );
                continue;
            }
            first = Some(key);
            found = bind(node, &mut self.diagnostics);
        }
        found
    }

    /// The library entries of the set, and of the library shipped with Weir if one of it is used.
    fn library(&mut self, files: &[File]) -> BTreeMap<Arc<str>, LibraryEntry> {
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
        let item = bind_as::<LibraryItem>(node, &what, span, &mut self.diagnostics);
        entries.insert(name, LibraryEntry { span, item, shipped });
    }

    /// The lists of a section in the order that their files state.
    fn ordered<'f>(&mut self, files: &'f [File], section: &str) -> Vec<Listed<'f>> {
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

/// What a section defines; `names` has those too whose definition is wrong.
struct Definitions<T> {
    defined: BTreeMap<Arc<str>, Named<T>>,
    names: Vec<Arc<str>>,
}

pub(crate) fn twice(section: &str, name: &str, again: Span, first: Span) -> Diagnostic {
    let what = section.strip_suffix('s').unwrap_or(section);
    Diagnostic::new(Code::DuplicateName, format!("the {what} `{name}` is defined twice"))
        .at(again)
        .label("again")
        .also(first, "first here")
        .help("rename one of the two; nothing is ever overridden silently")
}

/// Where something missing in a mapping is reported: at its first key.
pub(crate) fn first_key(node: &Node) -> Span {
    node.entries().first().map_or(node.span, |(key, _)| key.span)
}

fn shared(name: &Spanned<String>) -> Spanned<Arc<str>> {
    Spanned { value: Arc::from(name.value.as_str()), span: name.span }
}
