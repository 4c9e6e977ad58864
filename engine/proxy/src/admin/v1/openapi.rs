//! What `/admin/v1` takes and answers, as OpenAPI 3.1 writes it, from the types.

use super::keys::{AuditPage, Key, KeyChange, KeyPage, Rotation};
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};
use weir_state::KeySettings;

/// The description of the admin API (OpenAPI 3.1).
pub fn openapi() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut made = settings.into_generator();
    let key = reference::<Key>(&mut made);
    let pages = (reference::<KeyPage>(&mut made), reference::<AuditPage>(&mut made));
    let wishes = (
        reference::<KeySettings>(&mut made),
        reference::<KeyChange>(&mut made),
        reference::<Rotation>(&mut made),
    );
    let one = |status: &str, told: &str| {
        let content = json!({ "application/json": { "schema": key } });
        let tag = json!({ "ETag": { "schema": { "type": "string" }, "description": "Its version, for `If-Match`." } });
        json!({ status: { "description": told, "headers": tag, "content": content } })
    };
    let takes = |schema: &Value, required: bool| json!({ "required": required, "content": { "application/json": { "schema": schema } } });
    let page = |schema: &Value| json!({ "200": { "description": "A page.", "content": { "application/json": { "schema": schema } } } });
    let paging = [
        parameter(
            "query",
            "limit",
            "How many at most.",
            &json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 50 }),
        ),
        parameter("query", "cursor", "`next` of the page before.", &json!({ "type": "string" })),
    ];
    let id = parameter("path", "id", "The key's id.", &json!({ "type": "string" }));
    let matching = parameter(
        "header",
        "If-Match",
        "The version that is meant; another one is 412.",
        &json!({ "type": "string" }),
    );
    let text = json!({ "type": "string" });
    let filters = [
        parameter("query", "team", "Keys of this team alone.", &text),
        parameter("query", "name", "The key of this name alone.", &text),
        parameter("query", "prefix", "Keys that begin so.", &text),
    ];
    let once = parameter(
        "header",
        "Idempotency-Key",
        "Sent again within a day with the same body, it makes no second key.",
        &text,
    );
    let usage = ["by", "bucket", "since", "until", "where", "time_zone", "format"]
        .map(|name| parameter("query", name, "As `weir usage` takes it.", &text));
    let paths = json!({
        "/admin/v1/keys": {
            "get": operation("listKeys", "The keys that were made here", &[&paging[..], &filters[..]].concat(), None, &page(&pages.0)),
            "post": operation("createKey", "Makes a key; it is told in the answer, this once", std::slice::from_ref(&once), Some(takes(&wishes.0, true)),
                &joined(one("201", "It is there."), one("200", "The same request was made before; the key itself is not told again."))),
        },
        "/admin/v1/keys/{id}": {
            "get": operation("readKey", "One key", std::slice::from_ref(&id), None, &one("200", "The key.")),
            "patch": operation("changeKey", "Changes what a key stands for, or refuses it for a while", &[id.clone(), matching.clone()], Some(takes(&wishes.1, true)), &one("200", "As it is now.")),
            "delete": operation("deleteKey", "Takes a key away for good", &[id.clone(), matching.clone()], None, &json!({ "204": { "description": "It is gone." } })),
        },
        "/admin/v1/keys/{id}/rotate": {
            "post": operation("rotateKey", "Puts another key in its place; it is told in the answer, this once", &[id, matching], Some(takes(&wishes.2, false)), &one("200", "As it is now.")),
        },
        "/admin/v1/cache/{id}/wrong": {
            "post": operation("tellWrong", "Says that the answer of a semantic cache was wrong: its entry goes, and the two questions share none any more",
                &[parameter("path", "id", "The request that got the answer: its `x-request-id`.", &text)], None,
                &json!({ "200": { "description": "How many entries went.", "content": { "application/json": { "schema": {
                    "type": "object", "required": ["evicted"], "properties": { "evicted": { "type": "integer" } },
                } } } } })),
        },
        "/admin/v1/audit": {
            "get": operation("listAudit", "What was done, oldest first, each entry bound to the one before by its hash", &paging, None, &page(&pages.1)),
        },
        "/admin/v1/usage": {
            "get": operation("readUsage", "What was spent, from the ledger", &usage, None,
                &json!({ "200": { "description": "The report.", "content": { "application/json": {}, "text/csv": {} } } })),
        },
    });
    let problem = json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
        },
    });
    let mut schemas = made.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem);
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Weir admin API", "version": "1", "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "paths": paths,
        "security": [{ "token": [] }],
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "The token of the set's `admin` section." } },
        },
    })
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn parameter(place: &str, name: &str, told: &str, schema: &Value) -> Value {
    json!({ "in": place, "name": name, "description": told, "required": place == "path", "schema": schema })
}

fn operation(id: &str, told: &str, parameters: &[Value], takes: Option<Value>, answers: &Value) -> Value {
    let problem = json!({
        "description": "What went wrong.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let mut operation = json!({
        "operationId": id, "summary": told, "parameters": parameters,
        "responses": joined(answers.clone(), json!({ "default": problem })),
    });
    if let (Some(body), Some(fields)) = (takes, operation.as_object_mut()) {
        fields.insert("requestBody".to_owned(), body);
    }
    operation
}

fn joined(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}
