//! What tells why an expression decided so: its text, and the values of its parts. Only for those who ask (`weir explain`):
//! values may quote the prompt.

use crate::Exchange;
use serde_json::{Map, Value, json};
use weir_script::{CelValue, Explained, Expression};

/// Whether the record is wanted with values.
pub(crate) fn is_wanted(x: &Exchange) -> bool {
    x.gateway.sink.wants_values()
}

/// An expression and its parts, and whether it holds for the request as it is now.
pub(crate) fn of(x: &Exchange, expression: &Expression) -> (Value, bool) {
    let Explained { result, parts } = expression.eval_explained(&x.view(), &**x.plan.services());
    let values: Map<String, Value> = parts
        .into_iter()
        .map(|(part, value)| {
            // Values come as JSON, but for those cut short and faults.
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            (part, value)
        })
        .collect();
    (json!({ "cel": expression.source(), "values": values }), result == Ok(CelValue::Bool(true)))
}
