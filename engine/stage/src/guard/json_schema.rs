//! JSON Schemas in settings: in the policy, or in a file of the set.

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_pipeline::Workbench;
use weir_policy::{Node, Spanned};

/// A pattern of a schema takes at most this much memory compiled, in bytes.
const PATTERN: usize = 1 << 20;

/// A JSON Schema, compiled. Patterns are regular expressions that take time in proportion to the text; nothing is fetched.
pub(crate) struct JsonSchema {
    validator: Validator,
}

impl JsonSchema {
    /// Compiles a schema (draft 2020-12 unless it says another). The error says where it is wrong.
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        let wrong = |error: ValidationError<'_>| {
            let place = error.instance_path().as_str();
            format!("the JSON Schema does not work, at `{}`", if place.is_empty() { "/" } else { place })
        };
        let patterns = PatternOptions::regex().size_limit(PATTERN);
        let validator = jsonschema::options().with_pattern_options(patterns).build(schema).map_err(wrong)?;
        Ok(Self { validator })
    }

    /// The place in the schema of what a value does not fit; `None` if it fits.
    pub(crate) fn misfit(&self, value: &Value) -> Option<String> {
        if self.validator.is_valid(value) {
            return None;
        }
        let first = self.validator.iter_errors(value).next();
        Some(first.map_or_else(String::new, |error| error.schema_path().as_str().to_owned()))
    }

    /// The schema that settings name, at most one of them; `None` if there is none, or what is wrong was told.
    pub(crate) fn of_settings(
        schema: Option<&Node>,
        file: Option<&Spanned<String>>,
        bench: &mut Workbench<'_>,
    ) -> Option<Self> {
        let mut wrong = |message: String, at: Span| {
            bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(at));
            None
        };
        let (value, at) = match (schema, file) {
            (None, None) => return None,
            (Some(schema), Some(_)) => {
                return wrong("a schema stands here and another in a file".to_owned(), schema.span);
            }
            (Some(schema), None) => (schema.to_json(), schema.span),
            (None, Some(file)) => {
                let text = bench.file(file)?;
                match serde_json::from_str(&text) {
                    Ok(value) => (value, file.span),
                    Err(error) => {
                        let message = format!("`{}` is no JSON: {error}", file.value);
                        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(file.span));
                        return None;
                    }
                }
            }
        };
        match Self::new(&value) {
            Ok(schema) => Some(schema),
            Err(message) => {
                bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(at));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_fits_or_the_place_of_the_rule_is_told() {
        let schema = JsonSchema::new(&json!({
            "type": "object", "required": ["to"], "additionalProperties": false,
            "properties": { "to": { "type": "string", "pattern": "^[a-z]+@acme\\.com$" }, "n": { "type": "integer", "maximum": 3 } }
        }));
        let schema = schema.unwrap();
        for (value, want) in [
            (json!({ "to": "bob@acme.com" }), None),
            (json!({ "to": "bob@evil.com" }), Some("/properties/to/pattern")),
            (json!({ "to": "bob@acme.com", "n": 4 }), Some("/properties/n/maximum")),
            (json!({}), Some("/required")),
            (json!({ "to": "bob@acme.com", "x": 1 }), Some("/additionalProperties")),
            (json!([]), Some("/type")),
        ] {
            assert_eq!(schema.misfit(&value).as_deref(), want, "{value}");
        }
    }

    #[test]
    fn schemas_that_do_not_work_or_would_be_fetched_are_refused() {
        for schema in [
            json!({ "type": "strin" }),
            json!({ "$ref": "https://example.com/x.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "pattern": "(?=a)b" }),
            json!({ "$ref": "#/$defs/none" }),
        ] {
            assert!(JsonSchema::new(&schema).is_err(), "{schema}");
        }
    }
}
