//! The built-ins by verb and name: one line each.

use crate::{Metrics, cache, guard, observe, route, transform};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, nearest};
use weir_message::Verb;
use weir_pipeline::{Registry, Stage, Workbench};
use weir_policy::{BodyDecl, Builtins, StageDecl};

/// A built-in stage.
pub(crate) struct Builtin {
    pub(crate) verb: Verb,
    pub(crate) name: &'static str,
    /// Its source file; the `//!` lines are the head of its page.
    pub(crate) source: &'static str,
    pub(crate) schema: fn() -> Schema,
    compile: fn(&StageDecl, &mut Workbench<'_>, &Metrics) -> Option<Arc<dyn Stage>>,
}

macro_rules! builtin {
    ($verb:ident, $name:literal, $module:path, $file:literal) => {{
        use $module as module;
        Builtin {
            verb: Verb::$verb,
            name: $name,
            source: include_str!($file),
            schema: schema::<module::Settings>,
            compile: |decl, bench, _| module::compile(decl, bench),
        }
    }};
    ($verb:ident, $name:literal, $module:path, $file:literal, with metrics) => {{
        use $module as module;
        Builtin {
            verb: Verb::$verb,
            name: $name,
            source: include_str!($file),
            schema: schema::<module::Settings>,
            compile: |decl, bench, metrics| module::compile(decl, bench, metrics),
        }
    }};
}

pub(crate) static BUILTINS: &[Builtin] = &[
    builtin!(Route, "requested", route::requested, "route/requested.rs"),
    builtin!(Route, "weighted", route::weighted, "route/weighted.rs"),
    builtin!(Route, "fallback", route::fallback, "route/fallback.rs"),
    builtin!(Route, "pass-through", route::pass_through, "route/pass_through.rs"),
    builtin!(Guard, "key", guard::key, "guard/key.rs"),
    builtin!(Guard, "rate", guard::rate, "guard/rate.rs"),
    builtin!(Guard, "concurrency", guard::concurrency, "guard/concurrency.rs"),
    builtin!(Guard, "quota", guard::quota, "guard/quota.rs", with metrics),
    builtin!(Guard, "budget", guard::budget, "guard/budget.rs", with metrics),
    builtin!(Guard, "pii", guard::pii, "guard/pii/mod.rs"),
    builtin!(Guard, "regex", guard::regex, "guard/regex.rs"),
    builtin!(Guard, "secrets", guard::secrets, "guard/secrets.rs"),
    builtin!(Guard, "tools", guard::tools, "guard/tools.rs"),
    builtin!(Guard, "schema", guard::schema, "guard/schema.rs"),
    builtin!(Guard, "urls", guard::urls, "guard/urls.rs"),
    builtin!(Guard, "size", guard::size, "guard/size.rs"),
    builtin!(Guard, "language", guard::language, "guard/language.rs"),
    builtin!(Guard, "words", guard::words, "guard/words.rs"),
    builtin!(Guard, "unicode", guard::unicode, "guard/unicode.rs"),
    builtin!(Guard, "injection", guard::injection, "guard/injection.rs"),
    builtin!(Guard, "content", guard::content, "guard/content.rs"),
    builtin!(Guard, "code", guard::code, "guard/code/mod.rs"),
    builtin!(Guard, "topics", guard::topics, "guard/topics.rs"),
    builtin!(Guard, "grounding", guard::grounding, "guard/grounding/mod.rs"),
    builtin!(Guard, "webhook", guard::webhook, "guard/webhook/mod.rs"),
    builtin!(Guard, "moderation", guard::moderation, "guard/moderation.rs"),
    builtin!(Guard, "presidio", guard::presidio, "guard/presidio.rs"),
    builtin!(Guard, "bedrock-guardrail", guard::bedrock_guardrail, "guard/bedrock_guardrail.rs"),
    builtin!(Guard, "azure-content-safety", guard::azure_content_safety, "guard/azure_content_safety.rs"),
    builtin!(Guard, "model-armor", guard::model_armor, "guard/model_armor.rs"),
    builtin!(Guard, "lakera", guard::lakera, "guard/lakera.rs"),
    builtin!(Guard, "tokens", guard::tokens, "guard/tokens.rs"),
    builtin!(Cache, "exact", cache::exact, "cache/exact.rs"),
    builtin!(Cache, "semantic", cache::semantic, "cache/semantic.rs"),
    builtin!(Transform, "headers", transform::headers, "transform/headers.rs"),
    builtin!(Transform, "json", transform::json, "transform/json.rs"),
    builtin!(Observe, "log", observe::log, "observe/log.rs"),
    builtin!(Observe, "metrics", observe::metrics, "observe/metrics.rs", with metrics),
];

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>()
}

/// All built-ins. `metrics` is the process's own: `observe: metrics` counts there.
pub fn registry(metrics: Metrics) -> Arc<dyn Registry> {
    Arc::new(Stages { metrics })
}

struct Stages {
    metrics: Metrics,
}

fn find(verb: Verb, name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.verb == verb && builtin.name == name)
}

impl Builtins for Stages {
    fn names(&self, verb: Verb) -> Vec<&'static str> {
        BUILTINS.iter().filter(|builtin| builtin.verb == verb).map(|builtin| builtin.name).collect()
    }

    fn schema(&self, verb: Verb, name: &str) -> Option<Schema> {
        find(verb, name).map(|builtin| (builtin.schema)())
    }
}

impl Registry for Stages {
    fn compile(&self, decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
        let BodyDecl::Builtin(name) = &decl.body else { return None };
        let Some(builtin) = find(decl.verb, &name.value) else {
            let message = format!("there is no {} called `{}`", decl.verb, name.value);
            let names = self.names(decl.verb);
            let help = match nearest(&name.value, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", names.join(", ")),
            };
            bench.diagnostics.push(Diagnostic::new(Code::UnknownStage, message).at(name.span).help(help));
            return None;
        };
        (builtin.compile)(decl, bench, &self.metrics)
    }

    fn may_require_caller(&self, name: &str) -> bool {
        name == "key"
    }
}
