//! Lists of stages as written, to stages resolved: `use` expanded, parameters filled in, scripts found.

use crate::arguments::reads;
use crate::load::{Loader, first_key};
use crate::shape;
use crate::snapshot::{FileKind, kind};
use crate::stage::{
    BodyDecl, Condition, Hold, LibraryItem, OnError, RhaiItem, StageDecl, StageItem, Together, VERBS,
    verbs_of_field,
};
use crate::{MAX_PIPELINE_STAGES, MAX_SET_STAGES, Node, Spanned, bind_as};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Embedded, SourceId, Span, nearest};
use weir_message::{Mode, Verb};

/// An entry under `stages`; `item` is `None` where its own shape is wrong.
pub(crate) struct LibraryEntry {
    pub(crate) span: Span,
    pub(crate) item: Option<LibraryItem>,
    pub(crate) shipped: bool,
}

/// Where a list of stages stands: what `use` it came through.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) nodes: Arc<BTreeMap<Arc<str>, Node>>,
    params: Arc<Map<String, Value>>,
    prefix: Option<Arc<str>>,
    when: Vec<Condition>,
    mode: Mode,
    used: Option<Spanned<Arc<str>>>,
    chain: Vec<Spanned<Arc<str>>>,
    in_attempt: bool,
    together: Option<Together>,
}

/// Turns lists of stages into declarations.
pub(crate) struct Expander<'l, 'a> {
    pub(crate) loader: &'l mut Loader<'a>,
    library: &'l BTreeMap<Arc<str>, LibraryEntry>,
    root: Place,
    schemas: HashMap<(Verb, String), Option<Arc<Value>>>,
    used: HashSet<Arc<str>>,
    total: usize,
    in_list: usize,
    /// How many groups of stages stand together.
    groups: u32,
    /// How many values parameters brought in.
    pub(crate) filled: usize,
    pub(crate) stopped: bool,
}

impl<'l, 'a> Expander<'l, 'a> {
    pub(crate) fn new(
        loader: &'l mut Loader<'a>,
        library: &'l BTreeMap<Arc<str>, LibraryEntry>,
        nodes: BTreeMap<Arc<str>, Node>,
        params: Arc<Map<String, Value>>,
    ) -> Self {
        let root = Place {
            nodes: Arc::new(nodes),
            params,
            prefix: None,
            when: Vec::new(),
            mode: Mode::Enforce,
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
        }
    }

    /// The stages of a pipeline or frame.
    pub(crate) fn list(&mut self, list: &Node) -> Vec<StageDecl> {
        self.in_list = 0;
        let mut out = Vec::new();
        let place = self.root.clone();
        self.stages(list, &place, &mut out);
        out
    }

    /// Warns of library entries of the set that nothing used, and of parameters that nothing reads.
    pub(crate) fn finish(&mut self) {
        for (name, entry) in self.library {
            for (param, rules) in entry.item.iter().filter(|_| !entry.shipped).flat_map(|item| &item.params) {
                let read = entry.item.as_ref().is_some_and(|item| reads(&item.stages.node, param));
                if !read {
                    self.loader.diagnostics.push(
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
        for (name, entry) in
            self.library.iter().filter(|(name, entry)| !entry.shipped && !self.used.contains(*name))
        {
            self.loader.diagnostics.push(
                Diagnostic::new(Code::Unused, format!("nothing uses the policy `{name}`"))
                    .at(entry.span)
                    .help(format!("use it in a pipeline: `use: {name}`")),
            );
        }
    }

    pub(crate) fn say(&mut self, diagnostic: Diagnostic) {
        self.loader.diagnostics.push(diagnostic);
    }

    fn stages(&mut self, list: &Node, place: &Place, out: &mut Vec<StageDecl>) {
        // That it is a list was checked with what holds it.
        for item in list.items() {
            if self.stopped {
                return;
            }
            let mut good = true;
            let filled = self.fill(item, place, &mut good);
            if good {
                self.stage(&filled, place, out);
            }
        }
    }

    fn stage(&mut self, node: &Node, place: &Place, out: &mut Vec<StageDecl>) {
        let verbs: Vec<(Verb, &Node)> =
            VERBS.iter().filter_map(|v| Some((*v, node.get(v.name())?))).collect();
        let title = match verbs.as_slice() {
            [(verb, name)] => format!("the {verb} `{}`", name.text().map_or("", |t| &t.text)),
            _ => match node.get("use").and_then(Node::as_str) {
                Some(name) => format!("the use of `{name}`"),
                None => "the stage".to_owned(),
            },
        };
        let bound = bind_as::<StageItem>(node, &title, first_key(node), &mut self.loader.diagnostics);
        // What stands below is checked in its own right, whatever else is wrong with the stage.
        if let (None, [(verb, name)]) = (&bound, verbs.as_slice())
            && let Some(with) = node.get("with")
            && let Some(builtin) =
                name.as_str().filter(|_| node.get("cel").is_none() && node.get("rhai").is_none())
        {
            self.settings(*verb, builtin, name.span, Some(with), &title);
        }
        if let Some((key, list)) = node.entry("together") {
            if bound.is_some() {
                self.together(node, (key.span, list), place, out);
            }
            return;
        }
        let mut inner = Vec::new();
        self.tried(node, place, &mut Vec::new(), &mut inner);
        let Some(item) = bound else { return };
        match (verbs.as_slice(), &item.use_) {
            ([], Some(name)) => self.expand(node, &item, name, place, out),
            ([(verb, _)], None) => {
                if self.admit(node) {
                    let decl = self.declare(node, item, *verb, &title, place, inner);
                    out.extend(decl);
                }
            }
            ([], None) => self.say(
                Diagnostic::new(Code::BadStage, "the stage has no verb")
                    .at(first_key(node))
                    .help("write one of `route`, `guard`, `cache`, `transform`, `observe`, or `use`"),
            ),
            (several, used) => {
                let mut keys: Vec<&str> = several.iter().map(|(verb, _)| verb.name()).collect();
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

    fn declare(
        &mut self,
        node: &Node,
        item: StageItem,
        verb: Verb,
        title: &str,
        place: &Place,
        attempt: Vec<StageDecl>,
    ) -> Option<StageDecl> {
        let own = item.verb(verb)?.clone();
        for (key, _) in node.entries() {
            let verbs = verbs_of_field(&key.name);
            if !verbs.contains(&verb) {
                let mut owners: Vec<String> = verbs.iter().map(|v| format!("`{v}`")).collect();
                if verbs.is_empty() {
                    owners.push("`together`".to_owned());
                }
                self.say(
                    Diagnostic::new(Code::UnknownField, format!("{title} has no field `{}`", key.name))
                        .at(key.span)
                        .help(format!("only {} has it", owners.join(" or "))),
                );
            }
        }
        if verb == Verb::Route && place.in_attempt {
            self.say(
                Diagnostic::new(Code::Misplaced, "a route cannot stand in `attempt`")
                    .at(own.span)
                    .cause("the target of an attempt is chosen before its stages run"),
            );
        }
        let text: Arc<str> = Arc::from(own.value.as_str());
        let body = match (item.cel, item.rhai) {
            (Some(cel), None) => BodyDecl::Cel(cel),
            (None, Some(rhai)) => BodyDecl::Rhai(self.script(rhai)?),
            (None, None) => {
                self.settings(verb, &own, own.span, item.with.as_ref(), title);
                BodyDecl::Builtin(Spanned { value: text.clone(), span: own.span })
            }
            (Some(cel), Some(_)) => {
                self.say(
                    Diagnostic::new(Code::BadStage, format!("{title} has two bodies, `cel` and `rhai`"))
                        .at(own.span)
                        .also(cel.span, "one of them")
                        .help("make them two stages"),
                );
                return None;
            }
        };
        if let (false, Some((key, _))) = (matches!(body, BodyDecl::Builtin(_)), node.entry("with")) {
            self.say(
                Diagnostic::new(
                    Code::BadStage,
                    format!("{title} has a body of its own, so `with` sets nothing"),
                )
                .at(key.span)
                .help("write the values into the body, or declare them under `params`"),
            );
        }
        let own_name = item.name.map_or_else(|| text.to_string(), |name| name.value);
        let name = match &place.prefix {
            Some(prefix) => Arc::from(format!("{prefix}/{own_name}")),
            None => Arc::from(own_name),
        };
        let mut when = place.when.clone();
        when.extend(item.when.map(|expr| Condition { expr, params: place.params.clone() }));
        let mode = item.mode.map_or(Mode::Enforce, |mode| mode.value.into());
        Some(StageDecl {
            name,
            span: own.span,
            verb,
            body,
            with: item.with.filter(|with| !with.is_null()).unwrap_or_else(|| Node::empty_map(own.span)),
            when,
            mode: weaker(mode, place.mode),
            timeout: item.timeout.map(|t| t.value.0),
            on_error: item.on_error.map_or_else(|| OnError::default_of(verb), |on| on.value),
            sample: item.sample.map_or(1.0, |share| share.value.0),
            deny: item.deny.map(|deny| deny.value),
            stream_whole: item.stream.is_some(),
            hold: item.hold.map_or(Hold::Declared, |hold| hold.value),
            unread_pass: item.unread.is_some(),
            on_hit_skip: item.on_hit.is_some(),
            together: place.together,
            attempt,
            within: Vec::new(),
            params: place.params.clone(),
            used: place.used.clone(),
        })
    }

    /// Whether the built-in exists and its settings fit its schema.
    fn settings(&mut self, verb: Verb, name: &str, span: Span, with: Option<&Node>, title: &str) {
        let builtins = self.loader.environment.builtins;
        let schema = self
            .schemas
            .entry((verb, name.to_owned()))
            .or_insert_with(|| builtins.schema(verb, name).map(|schema| Arc::new(schema.to_value())))
            .clone();
        let Some(schema) = schema else {
            let found =
                Diagnostic::new(Code::UnknownStage, format!("there is no built-in {verb} `{name}`")).at(span);
            let names = builtins.names(verb);
            let elsewhere = VERBS.iter().find(|other| builtins.names(**other).contains(&name));
            let body = "a stage of your own has a body: `cel` or `rhai`";
            self.say(match (elsewhere, nearest(name, names.iter().copied())) {
                (Some(other), _) => found.help(format!("`{name}` is a {other}: write `{other}: {name}`")),
                (None, Some(near)) => found.help(format!("did you mean `{near}`?")),
                (None, None) if names.is_empty() => found.help(body),
                (None, None) => found.help(format!("the built-ins are {}; {body}", names.join(", "))),
            });
            return;
        };
        let none = Node::empty_map(span);
        let with = with.filter(|with| !with.is_null()).unwrap_or(&none);
        let found = shape::check(with, &schema, &schema, title, span);
        self.loader.diagnostics.extend(found);
    }

    fn script(&mut self, rhai: RhaiItem) -> Option<Embedded> {
        let (path, span) = match rhai {
            RhaiItem::Text(text) => return Some(text),
            RhaiItem::File { path, span } => (path, span),
        };
        let here =
            self.loader.sources.get(span.source).map(|s| s.name.clone()).unwrap_or_else(|| Arc::from(""));
        let Some(target) = beside(&here, &path).filter(|t| matches!(kind(t), Some(FileKind::Script))) else {
            self.say(
                Diagnostic::new(Code::BadValue, format!("`{path}` is not a script of this set"))
                    .at(span)
                    .help("a script is a file ending in .rhai inside the set's folder, named relative to this file"),
            );
            return None;
        };
        let file = self.loader.snapshot.files.iter().find(|file| file.path == target);
        let Some(text) = file.and_then(|file| file.content.as_ref().ok()) else {
            // One that cannot be read has been reported already.
            if file.is_none() {
                let found =
                    Diagnostic::new(Code::UnknownName, format!("there is no file `{target}`")).at(span);
                let files = self.loader.snapshot.files.iter().map(|f| f.path.as_str());
                let near = nearest(&target, files.filter(|f| f.ends_with(".rhai")));
                self.say(match near {
                    Some(near) => found.help(format!("did you mean `{near}`?")),
                    None => found.help("the path is relative to this file"),
                });
            }
            return None;
        };
        let sources = &mut self.loader.sources;
        let id: SourceId = *self
            .loader
            .scripts
            .entry(target.clone())
            .or_insert_with(|| sources.add(target.as_str(), text.clone()));
        Some(Embedded::whole(text.clone(), id))
    }

    fn expand(
        &mut self,
        node: &Node,
        item: &StageItem,
        name: &Spanned<String>,
        place: &Place,
        out: &mut Vec<StageDecl>,
    ) {
        for (key, _) in node.entries() {
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
        let Some((shared, entry)) = sibling.or_else(|| library.get_key_value(name.value.as_str())) else {
            let found =
                Diagnostic::new(Code::UnknownName, format!("there is no policy `{}` to use", name.value))
                    .at(name.span);
            self.say(match nearest(name, library.keys().map(|k| &**k)) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("define it under `stages`; those shipped with Weir are called weir/NAME"),
            });
            return;
        };
        self.used.insert(shared.clone());
        if place.chain.iter().any(|link| link.value == *shared) {
            let mut found = Diagnostic::new(Code::Cycle, format!("`{shared}` uses itself")).at(name.span);
            for link in place.chain.iter().filter(|link| link.span != name.span) {
                found = found.also(link.span, format!("`{}` is used here", link.value));
            }
            self.say(found.help("a policy cannot bring in itself, not even by way of another"));
            return;
        }
        let Some(library_item) = &entry.item else { return };
        let Some((nodes, params)) = self.arguments(shared, library_item, item.with.as_ref(), name.span)
        else {
            return;
        };
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
            nodes: Arc::new(nodes),
            params: Arc::new(params),
            prefix,
            when,
            mode: weaker(mode, place.mode),
            used: Some(place.used.clone().unwrap_or(link)),
            chain,
            in_attempt: place.in_attempt,
            together: place.together,
        };
        self.stages(&library_item.stages.node, &inner, out);
    }
}

/// The mode of a stage that came through a `use` with a mode of its own: the one that does less.
fn weaker(a: Mode, b: Mode) -> Mode {
    match (a, b) {
        (Mode::Off, _) | (_, Mode::Off) => Mode::Off,
        (Mode::Shadow, _) | (_, Mode::Shadow) => Mode::Shadow,
        (Mode::Enforce, Mode::Enforce) => Mode::Enforce,
    }
}

/// The path `relative` as seen from the file `here`; `None` where it leaves the set's folder.
pub(crate) fn beside(here: &str, relative: &str) -> Option<String> {
    if relative.starts_with('/') || relative.contains('\\') {
        return None;
    }
    let mut parts: Vec<&str> = here.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}
