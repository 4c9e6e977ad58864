//! What the part of a pipeline below a stage amounts to, for the keys of caches.
//!
//! Counted is what may change an answer: stages that decide, with their settings, and where their routes lead. Places in files,
//! blanks of YAML, observers and shadows are not, so that moving a stage keeps what caches hold.

use crate::plan::Step;
use crate::{Access, Exchange, Reaches, Target};
use std::sync::Arc;
use weir_message::{Mode, Verb};
use weir_policy::{BodyDecl, StageDecl};

/// The fingerprint of what stands below a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Below {
    print: [u8; 32],
    /// The request's own model is part of it.
    is_by_model: bool,
}

impl Below {
    /// The fingerprint for a request: where the model leads that it asks for counts, other models do not.
    pub(crate) fn of(&self, x: &Exchange) -> [u8; 32] {
        if !self.is_by_model {
            return self.print;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.print);
        hasher.update(&x.plan.models().print(x.request.model()));
        *hasher.finalize().as_bytes()
    }
}

/// Gives each step the fingerprint of all that stands below it.
pub(crate) fn seal(steps: &mut [Step], decls: &[&StageDecl], models: &crate::Models) {
    let route =
        steps.iter().rev().filter(|step| step.mode == Mode::Enforce).find_map(|step| step.stage.route());
    let (reaches, named) = match route {
        // Without a route, the model that the request asks for.
        None => (Reaches::Requested, Vec::new()),
        Some(route) => match route.reaches() {
            Reaches::Any => (Reaches::Any, route.targets(models)),
            reaches => (reaches, route.targets(&crate::Models::default())),
        },
    };
    let mut below = Below { print: targets(&named), is_by_model: reaches == Reaches::Requested };
    for (step, decl) in steps.iter_mut().zip(decls).rev() {
        step.below = below;
        if step.verb != Verb::Observe && step.mode == Mode::Enforce {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&below.print);
            hasher.update(&stage(decl));
            below.print = *hasher.finalize().as_bytes();
        }
    }
}

/// Where targets lead, whatever their order.
pub(crate) fn targets(targets: &[Arc<Target>]) -> [u8; 32] {
    let mut prints: Vec<[u8; 32]> = targets.iter().map(|target| one(target)).collect();
    prints.sort_unstable();
    prints.dedup();
    *blake3::hash(prints.as_flattened()).as_bytes()
}

fn one(target: &Target) -> [u8; 32] {
    let provider = &target.provider;
    let mut prints = Prints::default();
    prints.add(&provider.name);
    prints.add(provider.dialect.name());
    prints.add(if provider.has_responses { "responses" } else { "" });
    match &provider.access {
        Access::Echo => prints.add("echo"),
        Access::Http(endpoint) => {
            prints.add(&endpoint.host);
            prints.add(&endpoint.port.to_string());
            prints.add(&endpoint.base_path);
        }
    }
    prints.add(target.model.as_deref().unwrap_or(""));
    prints.done()
}

/// What tells a stage from another: what it runs, with which settings, for which requests.
fn stage(decl: &StageDecl) -> [u8; 32] {
    let mut prints = Prints::default();
    prints.add(decl.verb.name());
    match &decl.body {
        BodyDecl::Builtin(name) => prints.add(name),
        BodyDecl::Cel(text) => prints.add(&text.text),
        BodyDecl::Rhai(text) => prints.add(&text.text),
    }
    prints.add(&decl.with.to_json().to_string());
    for when in &decl.when {
        prints.add(&when.expr.text);
        prints.add(&serde_json::Value::Object(when.params.values.clone()).to_string());
    }
    prints.add(&decl.sample.to_string());
    prints.add(if decl.on_error == weir_policy::OnError::Skip { "skip" } else { "" });
    prints.add(&serde_json::Value::Object(decl.params.values.clone()).to_string());
    for inner in decl.attempt.iter().filter(|inner| inner.mode == Mode::Enforce) {
        prints.0.update(&stage(inner));
    }
    prints.done()
}

#[derive(Default)]
struct Prints(blake3::Hasher);

impl Prints {
    /// Adds a text, told apart from its neighbours by its length.
    fn add(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn done(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}
