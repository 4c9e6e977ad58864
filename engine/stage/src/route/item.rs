//! Where a route may lead, and after which failures.

use super::{fallback, weighted};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Embedded, nearest};
use weir_message::{Cause, StatusSet};
use weir_pipeline::{Child, Workbench};
use weir_policy::{Node, Spanned, Stages, bind_as};

/// Where a route may lead: a model's name, `requested`, or a mapping.
#[derive(Clone, Debug)]
pub(super) struct Item(Node);

/// Where a route may lead, with conditions. Either `model` or `route` is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Leads {
    /// A model of the set, or `requested` for the one that the request asks for.
    #[serde(default)]
    model: Option<Spanned<String>>,
    /// A route inside this one: `weighted` or `fallback`.
    #[serde(default)]
    route: Option<Spanned<String>>,
    /// The settings of the route inside.
    #[serde(default)]
    with: Option<Node>,
    /// Its share among the weights of all (`weighted`); 1 if not given.
    #[serde(default)]
    weight: Option<u32>,
    /// After which failures of the one before it is tried (`fallback`): statuses, `4xx`, `5xx`, or causes such as `timeout`.
    #[serde(default)]
    on: Option<Vec<Status>>,
    /// Stages that run once per attempt that comes by here, after those of the routes around.
    #[serde(default)]
    #[allow(dead_code, reason = "the loader makes stages of it")]
    attempt: Option<Stages>,
}

/// A place that a route leads to, compiled.
pub(super) struct Led {
    pub(super) child: Child,
    pub(super) follows_request: bool,
    pub(super) weight: u32,
    pub(super) on: Option<StatusSet>,
}

impl Item {
    pub(super) fn compile(&self, bench: &mut Workbench<'_>) -> Option<Led> {
        if let Some(name) = self.0.as_str() {
            let child = bench.model(name, self.0.span)?;
            return Some(Led { follows_request: name == "requested", child, weight: 1, on: None });
        }
        let leads: Leads = bind_as(&self.0, "a place that a route leads to", self.0.span, bench.diagnostics)?;
        let on = match &leads.on {
            Some(list) => Some(statuses(list, bench)?),
            None => None,
        };
        let (child, follows_request) = match (&leads.model, &leads.route) {
            (Some(model), None) => {
                if let Some(with) = &leads.with {
                    let found =
                        Diagnostic::new(Code::UnknownField, "`with` goes with `route`, not with `model`");
                    bench.diagnostics.push(found.at(with.span));
                    return None;
                }
                (bench.model(&model.value, model.span)?, model.value == "requested")
            }
            (None, Some(route)) => self.nested(route, leads.with.as_ref(), bench)?,
            _ => {
                let message = "a route leads to one place: give either `model` or `route`";
                bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(self.0.span));
                return None;
            }
        };
        Some(Led { child, follows_request, weight: leads.weight.unwrap_or(1), on })
    }

    fn nested(
        &self,
        route: &Spanned<String>,
        with: Option<&Node>,
        bench: &mut Workbench<'_>,
    ) -> Option<(Child, bool)> {
        let empty = Node::empty_map(route.span);
        let with = with.unwrap_or(&empty);
        match route.value.as_str() {
            "weighted" => {
                let (route, follows) = weighted::build(with, route.span, bench)?;
                Some((Child::Route(Arc::new(route)), follows))
            }
            "fallback" => {
                let (route, follows) = fallback::build(with, route.span, bench)?;
                Some((Child::Route(Arc::new(route)), follows))
            }
            other => {
                let help = match nearest(other, ["weighted", "fallback"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "there are `weighted` and `fallback`".to_owned(),
                };
                let message = format!("there is no route called `{other}`");
                bench
                    .diagnostics
                    .push(Diagnostic::new(Code::UnknownStage, message).at(route.span).help(help));
                None
            }
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Item {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Item".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let leads = generator.subschema_for::<Leads>();
        json_schema!({ "anyOf": [{ "type": "string", "description": "A model's name, or `requested`." }, leads] })
    }
}

/// A status (`429`), a class of them (`5xx`) or a cause (`timeout`), with its place.
#[derive(Clone, Debug)]
pub(super) struct Status(Embedded);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        node.text().cloned().map(Self).ok_or_else(|| de::Error::custom("a status or a cause"))
    }
}

impl JsonSchema for Status {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"], "description": "A status (`429`), `4xx`, `5xx`, or a cause such as `timeout`."
        })
    }
}

/// The failures that a list names.
pub(super) fn statuses(list: &[Status], bench: &mut Workbench<'_>) -> Option<StatusSet> {
    let mut set = StatusSet::default();
    let mut all_fit = true;
    for Status(item) in list {
        if set.add(&item.text) {
            continue;
        }
        all_fit = false;
        let names = Cause::ALL.iter().map(|cause| cause.name()).chain(["4xx", "5xx"]);
        let help = match nearest(&item.text, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "write a status from 400 to 599, `4xx`, `5xx`, or one of {}",
                Cause::ALL.iter().map(|cause| cause.name()).collect::<Vec<_>>().join(", ")
            ),
        };
        let message = format!("`{}` is no failure of an attempt", item.text);
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(item.span).help(help));
    }
    all_fit.then_some(set)
}

/// The failures that another target may mend: all but those that lie in the request, or end it.
pub(super) fn mendable() -> StatusSet {
    let is_mendable = |cause: &Cause| {
        !matches!(cause, Cause::Rejected | Cause::ContentFiltered | Cause::Cancelled | Cause::Deadline)
    };
    StatusSet { causes: Cause::ALL.iter().copied().filter(is_mendable).collect(), ..StatusSet::default() }
}
