//! A snapshot to a set: reads each file, binds each section, and checks what names mean.

use crate::expand::Expander;
use crate::mend::without;
use crate::read::read;
use crate::sections::{CallerKey, Listener, Model, Provider};
use crate::set::{Gaps, Params, PolicySet};
use crate::snapshot::{FileKind, Snapshot, kind};
use crate::stage::{FrameDecl, FrameItem, ParamType, PipelineDecl, PipelineItem};
use crate::state::StateSection;
use crate::{Builtins, Catalogue, Files, Key, Node, NodeKind, Spanned, meaning};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, SourceId, Sources, Span, nearest, slip_of};

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
    /// A set with errors without what is wrong in it: to look for more of them, never to be served.
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
        gaps: Gaps::default(),
        models: Vec::new(),
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
    /// What is defined without being known.
    pub(crate) gaps: Gaps,
    /// The names of the models that are defined.
    pub(crate) models: Vec<Arc<str>>,
}

/// One file that was read.
pub(crate) struct File {
    pub(crate) source: SourceId,
    pub(crate) path: String,
    pub(crate) root: Node,
}

impl Loader<'_> {
    fn run(&mut self) -> Option<PolicySet> {
        let mut files = self.read_files();
        if files.is_empty() {
            if !self.gaps.files {
                self.diagnostics.push(
                    Diagnostic::new(Code::EmptySet, "the folder holds no policy")
                        .help("a policy is a file ending in .yaml or .yml; *.test.yaml are cases"),
                );
            }
            return None;
        }
        self.sections(&mut files);

        let listeners = self.named::<Listener>(&files, "listeners", "the listener");
        let keys = self.named::<CallerKey>(&files, "keys", "the key");
        let providers = self.named::<Provider>(&files, "providers", "the provider");
        let models = self.named::<Model>(&files, "models", "the model");
        self.gaps.models = models.wrong();
        self.models = models.names.clone();
        let library = self.library(&files);
        let param_nodes: BTreeMap<Arc<str>, Node> =
            self.unique(&files, "params").into_iter().map(|(k, v)| (k.name.clone(), v.clone())).collect();
        let params = Arc::new(Params {
            values: param_nodes.iter().map(|(name, node)| (name.to_string(), node.to_json())).collect(),
            types: param_nodes.iter().map(|(name, node)| (name.clone(), ParamType::of(node))).collect(),
            open: self.gaps.may_hold("params"),
        });
        let admin = self.single(&files, "admin");
        let observe = self.single(&files, "observe").unwrap_or_default();
        let state: Option<Spanned<StateSection>> = self.single_at(&files, "state");
        if let Some(state) = &state {
            crate::state::check(state, &mut self.diagnostics);
        }
        let state = state.map(|state| state.value);

        let frame_lists = self.ordered(&files, "frames");
        let pipeline_lists = self.ordered(&files, "pipelines");
        let mut expander = Expander::new(self, &library, param_nodes, params.clone());
        let mut frames = Vec::new();
        for item in frame_lists.iter().flat_map(|list| list.items) {
            let (bound, lost, stages) = expander.outer::<FrameItem>(item, "the frame");
            let bound = bound.unwrap_or_default();
            frames.push(FrameDecl { name: called(bound.frame, item), when: bound.when, stages, lost });
        }
        let mut pipelines = Vec::new();
        for item in pipeline_lists.iter().flat_map(|list| list.items) {
            let (bound, lost, stages) = expander.outer::<PipelineItem>(item, "the pipeline");
            let Some(bound) = bound else { continue };
            pipelines.push(PipelineDecl {
                name: called(bound.pipeline, item),
                when: bound.when,
                anonymous: bound.anonymous,
                deadline: bound.deadline.map(|deadline| deadline.value.0),
                stages,
                lost,
            });
        }
        expander.finish();

        let mut set = PolicySet {
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
            gaps: self.gaps.clone(),
        };
        meaning::check(&mut set, &providers.names, self.environment, &mut self.diagnostics);
        Some(set)
    }

    /// Reads every policy file.
    fn read_files(&mut self) -> Vec<File> {
        let mut files = Vec::new();
        for file in &self.snapshot.files {
            // What is wrong with a text is told to the stage that names it.
            let is_text = matches!(kind(&file.path), Some(FileKind::Text));
            if is_text || (!matches!(kind(&file.path), Some(FileKind::Policy)) && file.content.is_ok()) {
                continue;
            }
            match &file.content {
                Err(why) => {
                    self.gaps.files = true;
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
                            self.gaps.files = true;
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
                        None => self.gaps.files = true,
                    }
                }
            }
        }
        files
    }

    /// Whether each section is one, and the edition is stated.
    fn sections(&mut self, files: &mut [File]) {
        files.iter_mut().for_each(|file| self.respelt(file));
        let mut edition = false;
        for file in &*files {
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
                    self.unknown_section(key);
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
                        self.gaps.sections.push(key.name.clone());
                        let wanted = match name {
                            "pipelines" | "frames" => "a list",
                            "observe" | "state" | "admin" => "a mapping",
                            _ => "a mapping of names",
                        };
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::WrongType,
                                format!("`{name}` takes {wanted}, not {}", value.kind_name()),
                            )
                            .at(key.span)
                            .help(match name {
                                "pipelines" => "write `- pipeline: NAME` for each, with its `stages:` below",
                                "frames" => "write `- frame: NAME` for each, with its `stages:` below",
                                "observe" => "write `observe: { traces: 256 }`; `- observe: log` is a stage",
                                "state" => "write `state: { file: weir.db }`",
                                _ => "write a name for each, and what it is below",
                            }),
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
        if let (false, false, Some(first)) = (edition, self.gaps.files, files.first()) {
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

    /// Reports sections whose names are slips beyond much doubt, and gives them the name that was meant.
    fn respelt(&mut self, file: &mut File) {
        let mut meant = HashMap::new();
        for (key, _) in file.root.entries() {
            let is_known = |name: &str| {
                SECTIONS.contains(&name) || NOT_SERVED.iter().any(|(section, _)| *section == name)
            };
            if let Some(near) = slip_of(&key.name, SECTIONS)
                && !is_known(&key.name)
                && file.root.get(near).is_none()
                && !meant.values().any(|other: &Arc<str>| **other == *near)
            {
                self.unknown_section(key);
                meant.insert(key.span, Arc::from(near));
            }
        }
        file.root = without(&file.root, &HashSet::new(), &meant);
    }

    fn unknown_section(&mut self, key: &Key) {
        let found =
            Diagnostic::new(Code::UnknownSection, format!("there is no section `{}`", key.name)).at(key.span);
        self.diagnostics.push(match nearest(&key.name, SECTIONS) {
            Some(near) => {
                self.gaps.sections.push(Arc::from(near));
                found.help(format!("did you mean `{near}`?"))
            }
            None => found.help(format!("sections are {}", SECTIONS.join(", "))),
        });
    }
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

/// The name of a pipeline or frame; `…` where it has none, which was said.
fn called(name: Option<Spanned<String>>, item: &Node) -> Spanned<Arc<str>> {
    match name {
        Some(name) => Spanned { value: Arc::from(name.value.as_str()), span: name.span },
        None => Spanned { value: Arc::from("…"), span: first_key(item) },
    }
}
