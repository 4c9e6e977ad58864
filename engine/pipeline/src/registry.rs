//! How built-in stages come into a plan.

use crate::route::Named;
use crate::{Child, Models, Stage, Target};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Embedded, Span, nearest};
use weir_policy::{Builtins, StageDecl, bind};
use weir_script::{Expect, Expression, HookKind, ParamTypes, Services};
use weir_state::State;

/// The built-in stages: their names and schemas for the loader, their compilers for the plan.
pub trait Registry: Builtins + Send + Sync {
    /// Compiles a stage whose body is a built-in. `None`: what is wrong is among the diagnostics.
    fn compile(&self, decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>>;

    /// Whether a guard of this name may refuse all callers who are not known: asked of one whose settings are wrong, so that
    /// nothing is said that only follows from them.
    fn may_require_caller(&self, name: &str) -> bool {
        let _ = name;
        true
    }
}

/// What a built-in compiles with.
pub struct Workbench<'a> {
    /// What is found wrong.
    pub diagnostics: &'a mut Diagnostics,
    /// The pipeline or frame (`frame NAME`) that the stage is written in: what it meters is its own, and a frame's stage meters
    /// all pipelines together.
    pub home: &'a str,
    /// The files of the set that stages name in their settings.
    pub files: &'a weir_policy::Files,
    /// The parameters that expressions may read here.
    pub params: &'a ParamTypes,
    /// The set's models by name.
    pub models: &'a Models,
    /// The models that run in this process.
    pub inference: &'a weir_inference::Models,
    /// What outlives a plan.
    pub state: &'a Arc<State>,
    /// What expressions call.
    pub services: &'a Arc<dyn Services>,
    /// The set's accounts, for routes that lead to one without a model.
    pub accounts: &'a Accounts,
    /// The stages that expressions name in `limits.stage("…")`, and where.
    pub limit_names: &'a mut Vec<(String, Span)>,
    /// The headers of the request that expressions read and ask for.
    pub headers: &'a mut HeaderReads,
    /// The folder of the set; `None` where only the set itself is looked at (`check`, `test`).
    pub root: Option<&'a std::path::Path>,
    /// What secrets in settings resolve to; `None` where they are not needed (`check`, `test`).
    pub secret: &'a dyn Fn(&weir_policy::Secret) -> Option<weir_policy::SecretValue>,
}

/// The target that an account of this name is; none if there is none.
type Make = dyn Fn(&str) -> Option<Target>;

/// The accounts of a set, each as a target without a model.
pub struct Accounts {
    make: Box<Make>,
    names: Vec<Arc<str>>,
    /// There may be others, which could not be read.
    is_open: bool,
}

impl Accounts {
    pub(crate) fn new(
        names: Vec<Arc<str>>,
        is_open: bool,
        make: impl Fn(&str) -> Option<Target> + 'static,
    ) -> Self {
        Self { make: Box::new(make), names, is_open }
    }
}

/// The headers of the request that a stage's expressions read. A client may leave any out.
#[derive(Clone, Debug, Default)]
pub struct HeaderReads {
    /// Those that are read without asking whether they are there, and where.
    pub unasked: Vec<(String, Span)>,
    /// Those that are there wherever the stage lets a request pass.
    pub asked: Vec<String>,
}

impl Workbench<'_> {
    /// The settings of a stage, from its `with:`.
    pub fn settings<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
        &mut self,
        decl: &StageDecl,
    ) -> Option<T> {
        bind(&decl.with, self.diagnostics)
    }

    /// The text of a file that a setting names.
    pub fn file(&mut self, path: &weir_policy::Spanned<String>) -> Option<Arc<str>> {
        self.files.text(path).map_err(|found| self.diagnostics.push(*found)).ok()
    }

    /// An expression for a hook.
    pub fn expression(&mut self, text: &Embedded, hook: HookKind, expect: Expect) -> Option<Expression> {
        match Expression::compile(text, hook, expect, self.params) {
            Ok(expression) => {
                self.limit_names.extend_from_slice(expression.limit_names());
                self.headers.unasked.extend_from_slice(expression.unasked_headers());
                Some(expression)
            }
            Err(found) => {
                self.diagnostics.extend(found);
                None
            }
        }
    }

    /// An account by its name: a target for requests that name no model.
    pub fn account(&mut self, name: &str, span: Span) -> Option<Arc<Target>> {
        if let Some(target) = (self.accounts.make)(name) {
            return Some(Arc::new(target));
        }
        if !self.accounts.is_open {
            let names = &self.accounts.names;
            let help = match nearest(name, names.iter().map(|name| &**name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("define it under `providers:`; defined are {}", listed(names)),
            };
            let message = format!("no provider is called `{name}`");
            self.diagnostics.push(Diagnostic::new(Code::UnknownName, message).at(span).help(help));
        }
        None
    }

    /// Where a model's name leads: `requested` to the model that the request asks for, any other name to that model.
    pub fn model(&mut self, name: &str, span: Span) -> Option<Child> {
        if name == "requested" {
            return Some(Child::Requested);
        }
        if let Some(route) = self.models.get(name) {
            let route = Arc::clone(route);
            return Some(Child::Route(match self.models.is_exact(name) {
                true => route,
                false => Arc::new(Named { name: Arc::from(name), route }),
            }));
        }
        if self.models.is_open() {
            return None;
        }
        let names = self.models.names();
        let near = nearest(name, names.iter().map(|name| &**name));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("define it under `models:`; defined are {}", listed(&names)),
        };
        let message = format!("no model is called `{name}`");
        self.diagnostics.push(Diagnostic::new(Code::UnknownName, message).at(span).help(help));
        None
    }
}

fn listed(names: &[Arc<str>]) -> String {
    let mut out = names.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 8 {
        out.push_str(" …");
    }
    if out.is_empty() { "none".to_owned() } else { out }
}
