//! A value to set: as written, or what an expression gives.

use crate::per::needs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_pipeline::{Exchange, Needs, Workbench};
use weir_policy::Node;
use weir_script::{Expect, Expression, HookKind};

/// A value as a policy writes it: any, or `cel:` with an expression that gives it.
#[derive(Clone, Debug)]
pub(crate) struct Written(Node);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Written {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Written".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value, or `{ cel: EXPRESSION }` for what an expression gives.",
            "examples": [{ "cel": "caller.team" }],
        })
    }
}

/// A value, compiled.
pub(crate) enum Given {
    Fixed(serde_json::Value),
    Cel(Expression),
}

impl Written {
    /// Where it stands.
    pub(crate) fn span(&self) -> Span {
        self.0.span
    }

    pub(crate) fn compile(&self, hook: HookKind, bench: &mut Workbench<'_>) -> Option<Given> {
        let [(key, expression)] = self.0.entries() else { return Some(Given::Fixed(self.0.to_json())) };
        if &*key.name != "cel" {
            return Some(Given::Fixed(self.0.to_json()));
        }
        let Some(text) = expression.text() else {
            let found = Diagnostic::new(
                Code::WrongType,
                format!("an expression is text, not {}", expression.kind_name()),
            );
            bench.diagnostics.push(found.at(expression.span));
            return None;
        };
        bench.expression(text, hook, Expect::Any).map(Given::Cel)
    }
}

impl Given {
    pub(crate) fn needs(&self) -> Needs {
        match self {
            Self::Fixed(_) => Needs::NONE,
            Self::Cel(expression) => needs(expression.reads()),
        }
    }

    /// Its value for a request.
    pub(crate) fn value(&self, x: &Exchange) -> Result<serde_json::Value, String> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Cel(expression) => match expression.eval(&x.view(), &**x.plan.services()) {
                Ok(value) => Ok(value.to_json()),
                Err(fault) => Err(fault.to_string()),
            },
        }
    }
}
