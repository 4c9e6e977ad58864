//! Lists of stages as written, to stages resolved: `use` expanded, parameters filled in.

use crate::arguments::reads;
use crate::bind::{bind_sound, bind_sound_but};
use crate::declare::{is_setting, weaker};
use crate::load::{Loader, first_key};
use crate::mend::Lost;
use crate::set::Params;
use crate::stage::{Condition, FrameItem, LibraryItem, PipelineItem, StageDecl, StageItem, Together, VERBS};
use crate::{Key, MAX_PIPELINE_STAGES, MAX_SET_STAGES, Node, Spanned};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Span, nearest, slip_of};
use weir_message::{Mode, Verb};

/// An entry under `stages`; `item` is `None` where it is wrong as a whole.
pub(crate) struct LibraryEntry {
    pub(crate) span: Span,
    pub(crate) item: Option<LibraryItem>,
    /// Parameters that are declared wrongly: they exist, and take anything.
    pub(crate) wrong_params: BTreeSet<Arc<str>>,
    pub(crate) lost: Lost,
    pub(crate) shipped: bool,
}

/// Where a list of stages stands: what `use` it came through.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) nodes: Arc<BTreeMap<Arc<str>, Node>>,
    /// Parameters whose value is wrong.
    pub(crate) wrong_params: Arc<BTreeSet<Arc<str>>>,
    pub(crate) params: Arc<Params>,
    pub(crate) prefix: Option<Arc<str>>,
    pub(crate) when: Vec<Condition>,
    pub(crate) mode: Mode,
    /// What is wrong with the `use`.
    pub(crate) lost: Lost,
    pub(crate) used: Option<Spanned<Arc<str>>>,
    chain: Vec<Spanned<Arc<str>>>,
    pub(crate) in_attempt: bool,
    pub(crate) together: Option<Together>,
}

/// Turns lists of stages into declarations.
pub(crate) struct Expander<'l, 'a> {
    pub(crate) loader: &'l mut Loader<'a>,
    library: &'l BTreeMap<Arc<str>, LibraryEntry>,
    root: Place,
    pub(crate) schemas: HashMap<(Verb, String), Option<Arc<Value>>>,
    used: HashSet<Arc<str>>,
    total: usize,
    in_list: usize,
    /// How many groups of stages stand together.
    groups: u32,
    /// How many values parameters brought in.
    pub(crate) filled: usize,
    pub(crate) stopped: bool,
    /// The places of values that are not known, because the parameter that stands there has none.
    pub(crate) unknown: HashSet<Span>,
    /// Whether the list at hand holds a stage of which nothing is known, and whether any list does.
    has_gap: bool,
    any_gap: bool,
}

/// What holds a list of stages.
pub(crate) trait Outer: DeserializeOwned + JsonSchema {
    /// The list.
    fn list(&self) -> Option<&Node>;
}

impl Outer for PipelineItem {
    fn list(&self) -> Option<&Node> {
        self.stages.as_ref().map(|stages| &stages.node)
    }
}

impl Outer for FrameItem {
    fn list(&self) -> Option<&Node> {
        self.stages.as_ref().map(|stages| &stages.node)
    }
}

impl<'l, 'a> Expander<'l, 'a> {
    pub(crate) fn new(
        loader: &'l mut Loader<'a>,
        library: &'l BTreeMap<Arc<str>, LibraryEntry>,
        nodes: BTreeMap<Arc<str>, Node>,
        params: Arc<Params>,
    ) -> Self {
        let root = Place {
            nodes: Arc::new(nodes),
            wrong_params: Arc::default(),
            params,
            prefix: None,
            when: Vec::new(),
            mode: Mode::Enforce,
            lost: Lost::default(),
            used: None,
            chain: Vec::new(),
            in_attempt: false,
            together: None,
        };
        Self {
            loader,
            library,
            root,
            schemas: HashMap::new(),
            used: HashSet::new(),
            total: 0,
            in_list: 0,
            groups: 0,
            filled: 0,
            stopped: false,
            unknown: HashSet::new(),
            has_gap: false,
            any_gap: false,
        }
    }

    /// A pipeline or frame as far as its text is right, what is wrong with it, and its stages.
    pub(crate) fn outer<T: Outer>(&mut self, item: &Node, what: &str) -> (Option<T>, Lost, Vec<StageDecl>) {
        let sound = bind_sound::<T>(item, what, first_key(item), &mut self.loader.diagnostics);
        let mut lost = sound.lost;
        (self.in_list, self.has_gap) = (0, false);
        let mut stages = Vec::new();
        match &sound.value {
            Some(outer) => {
                if let Some(list) = outer.list() {
                    let place = self.root.clone();
                    self.stages(list, &place, &mut stages);
                }
            }
            None => ["when", "stages"].iter().for_each(|field| lost.add(field)),
        }
        if self.has_gap {
            lost.add("stages");
        }
        self.any_gap |= lost.has("stages");
        (sound.value, lost, stages)
    }

    /// Warns of library entries of the set that nothing used, and of parameters that nothing reads.
    pub(crate) fn finish(&mut self) {
        let own = || self.library.iter().filter(|(_, entry)| !entry.shipped);
        let mut found = Vec::new();
        for (name, entry) in own() {
            let Some(item) = entry.item.as_ref().filter(|_| !entry.lost.has("stages")) else { continue };
            for (param, rules) in &item.params {
                if !item.stages.as_ref().is_some_and(|stages| reads(&stages.node, param)) {
                    found.push(
                        Diagnostic::new(
                            Code::Unused,
                            format!("`{name}` never reads its parameter `{param}`"),
                        )
                        .at(rules.span)
                        .help(format!("write `${{param:{param}}}` for a value, or read `params.{param}`")),
                    );
                }
            }
        }
        // Where not all is known that stands in the set, it may be used there.
        let all_known = !self.any_gap && !self.loader.gaps.files && !self.loader.gaps.may_hold("pipelines");
        for (name, entry) in own().filter(|(name, _)| all_known && !self.used.contains(*name)) {
            found.push(
                Diagnostic::new(Code::Unused, format!("nothing uses the policy `{name}`"))
                    .at(entry.span)
                    .help(format!("use it in a pipeline: `use: {name}`")),
            );
        }
        self.loader.diagnostics.extend(found);
    }

    pub(crate) fn say(&mut self, diagnostic: Diagnostic) {
        self.loader.diagnostics.push(diagnostic);
    }

    fn stages(&mut self, list: &Node, place: &Place, out: &mut Vec<StageDecl>) {
        // That it is a list was checked with what holds it.
        for item in list.items() {
            if self.stopped {
                self.has_gap = true;
                return;
            }
            let filled = self.fill(item, place);
            if self.unknown.contains(&filled.span) {
                self.has_gap = true;
            } else if let Some(text) = filled.as_str() {
                self.has_gap = true;
                let found = self.not_a_stage(text, filled.span);
                self.say(found);
            } else {
                self.stage(&filled, place, out);
            }
        }
    }

    /// What is said of a text that stands where a stage belongs.
    fn not_a_stage(&self, text: &str, place: Span) -> Diagnostic {
        let found = Diagnostic::new(Code::WrongType, "a stage is a mapping, not text").at(place);
        let builtins = self.loader.environment.builtins;
        let verb = VERBS.iter().find(|verb| builtins.names(**verb).contains(&text));
        let glued = text.split_once(':').filter(|(verb, _)| VERBS.iter().any(|known| known.name() == *verb));
        found.help(match (verb, glued) {
            (Some(verb), _) => format!("write `{verb}: {text}`"),
            (None, Some((verb, name))) => {
                format!("write `{verb}: {}`, with a space behind the colon", name.trim())
            }
            (None, None) => {
                "write `guard: NAME`, or another verb: route, cache, transform, observe".to_owned()
            }
        })
    }

    fn stage(&mut self, node: &Node, place: &Place, out: &mut Vec<StageDecl>) {
        let written: Vec<(Verb, &Node)> =
            VERBS.iter().filter_map(|v| Some((*v, node.get(v.name())?))).collect();
        let title = match written.as_slice() {
            [(verb, name)] => format!("the {verb} `{}`", name.text().map_or("", |t| &t.text)),
            _ => match node.get("use").and_then(Node::as_str) {
                Some(name) => format!("the use of `{name}`"),
                None => "the stage".to_owned(),
            },
        };
        let mut found = Diagnostics::new();
        let sound = bind_sound_but::<StageItem>(node, &title, first_key(node), &self.unknown, &mut found);
        let settings = match written.as_slice() {
            [(verb, name)] => name.as_str().and_then(|name| self.schema(*verb, name)),
            _ => None,
        };
        for mut found in found {
            let key = node.entries().iter().find(|(key, _)| found.span == Some(key.span));
            if let (Some((key, _)), Some(settings), Code::UnknownField) = (key, &settings, found.code)
                && is_setting(settings, &key.name)
            {
                found = found.help(format!("settings stand in `with`: `with: {{ {}: … }}`", key.name));
            }
            self.say(found);
        }
        let Some(item) = sound.value else {
            self.has_gap = true;
            return;
        };
        if let Some((key, list)) = node.entry("together") {
            self.together(node, (key.span, list), place, out);
            return;
        }
        let mut inner = Vec::new();
        self.tried(node, place, &mut Vec::new(), &mut inner);
        let mut lost = sound.lost;
        for field in ["when", "mode"] {
            if place.lost.has(field) {
                lost.add(field);
            }
        }
        let verbs: Vec<Verb> = VERBS
            .iter()
            .copied()
            .filter(|verb| item.verb(*verb).is_some() || node.get(verb.name()).is_some())
            .collect();
        match (verbs.as_slice(), &item.use_) {
            ([], Some(name)) => self.expand(node, &item, &lost, name, place, out),
            ([verb], None) => {
                if self.admit(node) {
                    out.push(self.declare(node, item, lost, *verb, &title, place, inner));
                }
            }
            ([], None) => {
                self.has_gap = true;
                if !lost.has("use") {
                    self.say(
                        Diagnostic::new(Code::BadStage, "the stage has no verb")
                            .at(first_key(node))
                            .help("write one of `route`, `guard`, `cache`, `transform`, `observe`, or `use`"),
                    );
                }
            }
            (several, used) => {
                self.has_gap = true;
                let mut keys: Vec<&str> = several.iter().map(|verb| verb.name()).collect();
                keys.extend(used.as_ref().map(|_| "use"));
                let mut found = Diagnostic::new(
                    Code::BadStage,
                    format!("one stage has several verbs: {}", keys.join(", ")),
                )
                .at(first_key(node))
                .help("make them stages of their own, each with its own `-`");
                for key in keys.iter().filter_map(|k| node.entry(k)).skip(1) {
                    found = found.also(key.0.span, "another verb");
                }
                self.say(found);
            }
        }
    }

    /// The stages of a route's `attempt`, then those of the places in its `to`, which `within` tells from each other.
    fn tried(&mut self, route: &Node, place: &Place, within: &mut Vec<u16>, out: &mut Vec<StageDecl>) {
        if let Some(list) = route.get("attempt") {
            let from = out.len();
            let below = Place { in_attempt: true, ..place.clone() };
            self.stages(list, &below, out);
            out.iter_mut().skip(from).for_each(|stage| stage.within.clone_from(within));
        }
        let with = route.get("route").and_then(|_| route.get("with"));
        let to = with.and_then(|with| with.get("to")).map_or(&[][..], Node::items);
        for (n, item) in (0..).zip(to) {
            within.push(n);
            self.tried(item, place, within, out);
            within.pop();
        }
    }

    /// Guards that judge side by side.
    fn together(
        &mut self,
        node: &Node,
        (span, list): (Span, &Node),
        place: &Place,
        out: &mut Vec<StageDecl>,
    ) {
        for (key, _) in node.entries().iter().filter(|(key, _)| !["together", "while"].contains(&&*key.name))
        {
            self.say(
                Diagnostic::new(Code::UnknownField, format!("`together` has no field `{}`", key.name))
                    .at(key.span)
                    .help("beside it stands `while` alone; what else is to be said, each of its guards says"),
            );
        }
        if place.together.is_some() || place.in_attempt {
            let inside = if place.in_attempt { "`attempt`" } else { "another" };
            self.say(
                Diagnostic::new(Code::Misplaced, format!("`together` cannot stand in {inside}"))
                    .at(span)
                    .help("write its guards one below the other"),
            );
            self.has_gap = true;
            return;
        }
        self.groups = self.groups.saturating_add(1);
        let together =
            Together { number: self.groups, upstream: node.get("while").is_some_and(|n| !n.is_null()) };
        let inner = Place { together: Some(together), ..place.clone() };
        self.stages(list, &inner, out);
    }

    /// Counts a stage; false past the limit.
    fn admit(&mut self, node: &Node) -> bool {
        self.total += 1;
        self.in_list += 1;
        let limit = match (self.in_list > MAX_PIPELINE_STAGES, self.total > MAX_SET_STAGES) {
            (false, false) => return true,
            (true, _) => format!("a pipeline has at most {MAX_PIPELINE_STAGES} stages"),
            (false, true) => format!("a set has at most {MAX_SET_STAGES} stages"),
        };
        if !self.stopped {
            self.stopped = true;
            self.say(
                Diagnostic::new(Code::TooLarge, limit)
                    .at(first_key(node))
                    .cause("those that `use` brings in count"),
            );
        }
        false
    }

    fn expand(
        &mut self,
        node: &Node,
        item: &StageItem,
        lost: &Lost,
        name: &Spanned<String>,
        place: &Place,
        out: &mut Vec<StageDecl>,
    ) {
        // A slip has been said.
        let known = |key: &&(Key, Node)| StageItem::FIELDS.contains(&&*key.0.name);
        for (key, _) in node.entries().iter().filter(known) {
            if !["use", "with", "name", "when", "mode"].contains(&&*key.name) {
                self.say(
                    Diagnostic::new(Code::UnknownField, format!("a `use` has no field `{}`", key.name))
                        .at(key.span)
                        .help("its fields are `use`, `with`, `name`, `when`, `mode`"),
                );
            }
        }
        let library = self.library;
        // Within the library shipped with Weir names are its own first.
        let shipped = place.chain.last().is_some_and(|link| link.value.starts_with("weir/"));
        let sibling =
            shipped.then(|| library.get_key_value(format!("weir/{}", name.value).as_str())).flatten();
        let mut known = sibling.or_else(|| library.get_key_value(name.value.as_str()));
        if known.is_none() {
            if self.loader.gaps.may_hold("stages") {
                self.has_gap = true;
                return;
            }
            let found =
                Diagnostic::new(Code::UnknownName, format!("there is no policy `{}` to use", name.value))
                    .at(name.span);
            let shipped = self.loader.environment.library.iter().map(|(name, _)| format!("weir/{name}"));
            let mut names: Vec<String> = library.keys().map(|name| name.to_string()).chain(shipped).collect();
            names.sort_unstable();
            names.dedup();
            self.say(match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("define it under `stages`; those shipped with Weir are called weir/NAME"),
            });
            known =
                slip_of(name, library.keys().map(AsRef::as_ref)).and_then(|near| library.get_key_value(near));
        }
        let Some((shared, entry)) = known else {
            self.has_gap = true;
            return;
        };
        self.used.insert(shared.clone());
        if place.chain.iter().any(|link| link.value == *shared) {
            let mut found = Diagnostic::new(Code::Cycle, format!("`{shared}` uses itself")).at(name.span);
            for link in place.chain.iter().filter(|link| link.span != name.span) {
                found = found.also(link.span, format!("`{}` is used here", link.value));
            }
            self.say(found.help("a policy cannot bring in itself, not even by way of another"));
            self.has_gap = true;
            return;
        }
        let list = entry.item.as_ref().and_then(|item| Some((item, &item.stages.as_ref()?.node)));
        let Some((library_item, list)) = list else {
            self.has_gap = true;
            return;
        };
        let with = item.with.as_ref().filter(|with| !with.is_null());
        let arguments = self.arguments(shared, (library_item, entry), with, lost.has("with"), name.span);
        let link = Spanned { value: shared.clone(), span: name.span };
        let mut chain = place.chain.clone();
        chain.push(link.clone());
        let mut when = place.when.clone();
        when.extend(item.when.clone().map(|expr| Condition { expr, params: place.params.clone() }));
        let prefix = match (&place.prefix, &item.name) {
            (Some(outer), Some(own)) => Some(Arc::from(format!("{outer}/{}", own.value))),
            (None, Some(own)) => Some(Arc::from(own.value.as_str())),
            (outer, None) => outer.clone(),
        };
        let mode = item.mode.as_ref().map_or(Mode::Enforce, |mode| mode.value.into());
        let inner = Place {
            nodes: Arc::new(arguments.nodes),
            wrong_params: Arc::new(arguments.wrong),
            params: Arc::new(arguments.params),
            prefix,
            when,
            mode: weaker(mode, place.mode),
            lost: lost.clone(),
            used: Some(place.used.clone().unwrap_or(link)),
            chain,
            in_attempt: place.in_attempt,
            together: place.together,
        };
        self.stages(list, &inner, out);
    }
}
