//! One stage as written, to its declaration: its fields for its verb, its body, its settings.

use crate::expand::{Expander, Place};
use crate::load::first_key;
use crate::mend::{Lost, mended};
use crate::snapshot::{FileKind, kind};
use crate::stage::{
    BodyDecl, Condition, Hold, OnError, RhaiItem, StageDecl, StageItem, VERBS, verbs_of_field,
};
use crate::{Expr, Node, Spanned};
use serde_json::Value;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Embedded, SourceId, nearest, slip_of};
use weir_message::{Mode, Verb};

impl Expander<'_, '_> {
    /// The declaration of a stage as far as its text is right; `lost` are the fields that are wrong.
    #[allow(clippy::too_many_arguments, reason = "what is known of one stage, asked at one place")]
    pub(crate) fn declare(
        &mut self,
        node: &Node,
        item: StageItem,
        mut lost: Lost,
        verb: Verb,
        title: &str,
        place: &Place,
        attempt: Vec<StageDecl>,
    ) -> StageDecl {
        let own = match item.verb(verb) {
            Some(own) => own.clone(),
            None => Spanned { value: String::new(), span: first_key(node) },
        };
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
        if let Some(sample) = item.sample.as_ref().filter(|sample| sample.value.0 <= 0.0) {
            self.say(
                Diagnostic::new(
                    Code::NeverHappens,
                    format!("{title} takes part in no request: `sample` is 0"),
                )
                .at(sample.span)
                .help("raise it, or say `mode: off` if so meant"),
            );
        }
        let nothing = || Embedded::verbatim("", own.span);
        let mut with = item.with.filter(|with| !with.is_null()).unwrap_or_else(|| Node::empty_map(own.span));
        let body = match (item.cel, item.rhai) {
            (Some(cel), None) => BodyDecl::Cel(cel),
            (None, Some(rhai)) => BodyDecl::Rhai(self.script(rhai).unwrap_or_else(|| {
                lost.add("rhai");
                nothing()
            })),
            (None, None) if lost.has("cel") => BodyDecl::Cel(Expr(nothing())),
            (None, None) if lost.has("rhai") => BodyDecl::Rhai(nothing()),
            (None, None) => {
                let name = match lost.has(verb.name()) {
                    true => "",
                    false => self.settings(verb, &own, &mut with, title, &mut lost),
                };
                BodyDecl::Builtin(Spanned { value: Arc::from(name), span: own.span })
            }
            (Some(cel), Some(_)) => {
                self.say(
                    Diagnostic::new(Code::BadStage, format!("{title} has two bodies, `cel` and `rhai`"))
                        .at(own.span)
                        .also(cel.span, "one of them")
                        .help("make them two stages"),
                );
                lost.add("cel");
                BodyDecl::Cel(cel)
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
        let own_name = item.name.map_or_else(|| own.value.clone(), |name| name.value);
        let name = match &place.prefix {
            Some(prefix) => Arc::from(format!("{prefix}/{own_name}")),
            None => Arc::from(own_name),
        };
        let mut when = place.when.clone();
        when.extend(item.when.map(|expr| Condition { expr, params: place.params.clone() }));
        let mode = item.mode.map_or(Mode::Enforce, |mode| mode.value.into());
        StageDecl {
            name,
            span: own.span,
            verb,
            body,
            with,
            when,
            mode: weaker(mode, place.mode),
            timeout: item.timeout.map(|t| t.value.0),
            on_error: item.on_error.map_or_else(|| OnError::default_of(verb), |on| on.value),
            sample: item.sample.map_or(1.0, |share| share.value.0),
            deny: item.deny,
            stream_whole: item.stream.is_some(),
            hold: item.hold.map_or(Hold::Declared, |hold| hold.value),
            unread_pass: item.unread.is_some(),
            on_hit_skip: item.on_hit.is_some(),
            attempt,
            within: Vec::new(),
            together: place.together,
            params: place.params.clone(),
            used: place.used.clone(),
            lost,
        }
    }

    /// Checks that the built-in exists and its settings against its schema; what is wrong is taken out of them. Returns the
    /// built-in's name, or that of the one that is likely meant, if any.
    fn settings<'n>(
        &mut self,
        verb: Verb,
        own: &'n Spanned<String>,
        with: &mut Node,
        title: &str,
        lost: &mut Lost,
    ) -> &'n str {
        let (name, span) = (own.value.as_str(), own.span);
        let builtins = self.loader.environment.builtins;
        let Some(schema) = self.schema(verb, name) else {
            let found =
                Diagnostic::new(Code::UnknownStage, format!("there is no built-in {verb} `{name}`")).at(span);
            let names = builtins.names(verb);
            let elsewhere = VERBS.iter().find(|other| builtins.names(**other).contains(&name));
            let near = nearest(name, names.iter().copied());
            lost.add(verb.name());
            let body = "a stage of your own has a body: `cel` or `rhai`";
            let is_model = verb == Verb::Route && self.loader.models.iter().any(|model| **model == *name);
            self.say(match (elsewhere, near) {
                _ if is_model => {
                    found.help(format!("`{name}` is a model: write `route: fallback` with `to: [{name}]`"))
                }
                (Some(other), _) => found.help(format!("`{name}` is a {other}: write `{other}: {name}`")),
                (None, Some(near)) => found.help(format!("did you mean `{near}`?")),
                (None, None) if names.is_empty() => found.help(body),
                (None, None) => found.help(format!("the built-ins are {}; {body}", names.join(", "))),
            });
            return if elsewhere.is_some() { name } else { near.unwrap_or_default() };
        };
        // What settings are that stand beside `with` and not in it is not known: that was told.
        if lost.iter().any(|field| is_setting(&schema, field)) {
            lost.add("with");
        }
        if !lost.has("with") {
            let mended = mended(with, &schema, title, span, &self.unknown);
            if !mended.is_whole {
                lost.add("with");
                *with = mended.node.unwrap_or_else(|| Node::empty_map(span));
            }
            self.loader.diagnostics.extend(mended.found);
        }
        name
    }

    /// The schema of a built-in's settings.
    pub(crate) fn schema(&mut self, verb: Verb, name: &str) -> Option<Arc<Value>> {
        let builtins = self.loader.environment.builtins;
        self.schemas
            .entry((verb, name.to_owned()))
            .or_insert_with(|| builtins.schema(verb, name).map(|schema| Arc::new(schema.to_value())))
            .clone()
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
        let files = &self.loader.snapshot.files;
        let mut file = files.iter().find(|file| file.path == target);
        if file.is_none() {
            let found = Diagnostic::new(Code::UnknownName, format!("there is no file `{target}`")).at(span);
            let scripts = || files.iter().map(|f| f.path.as_str()).filter(|f| f.ends_with(".rhai"));
            file = slip_of(&target, scripts()).and_then(|near| files.iter().find(|file| file.path == near));
            self.say(match nearest(&target, scripts()) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("the path is relative to this file"),
            });
        }
        // One that cannot be read has been reported already.
        let (target, text) = file.and_then(|file| Some((&file.path, file.content.as_ref().ok()?)))?;
        let sources = &mut self.loader.sources;
        let id: SourceId = *self
            .loader
            .scripts
            .entry(target.clone())
            .or_insert_with(|| sources.add(target.as_str(), text.clone()));
        Some(Embedded::whole(text.clone(), id))
    }
}

/// Whether a built-in has a setting of this name, and a stage no field.
pub(crate) fn is_setting(schema: &Value, field: &str) -> bool {
    let settings = schema.get("properties").and_then(Value::as_object);
    settings.is_some_and(|settings| settings.contains_key(field)) && !StageItem::FIELDS.contains(&field)
}

/// The mode of a stage that came through a `use` with a mode of its own: the one that does less.
pub(crate) fn weaker(a: Mode, b: Mode) -> Mode {
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
