//! The view as a page and as a schema, generated from the tables that check and read it.

use crate::budget::{Budget, LONGEST_TEXT};
use crate::check::LOOPS;
use crate::check_call::{MACROS, signature};
use crate::expression::{CelValue, own};
use crate::function::FUNCTIONS;
use crate::memo::Memo;
use crate::object::{Context, OBJECTS, Object};
use crate::parse::{DEPTH, LONGEST, NODES};
use crate::reads::Reads;
use crate::root::ROOTS;
use crate::script_surface::HANDLES;
use crate::types::Type;
use crate::view::{Services, View};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;
use weir_message::{Dialect, Operation, Request};

/// The reference of the view, of CEL's functions and of the handles of Rhai scripts, in Markdown.
pub fn view_reference() -> String {
    let mut out = String::from(
        "# The view\n\nWhat CEL expressions, Rhai scripts and cases can see of a request. Generated; do not edit.\n\n\
         ## Roots\n\n| root | type | exists in | |\n|---|---|---|---|\n",
    );
    // Writing to a String cannot fail.
    for root in ROOTS {
        let hooks: Vec<&str> = root.hooks.iter().map(|hook| hook.name()).collect();
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", root.name, root.ty, hooks.join(", "), root.doc);
    }
    out.push_str(
        "\n`when` is the `when:` of a pipeline, `stage when` that of a frame or a stage. Reading a root in a hook that runs before it exists is \
         the load error `too-early`.\n\n## Null\n\nReading a field of null is a fault, and so is comparing null with a value: \
         a guard that cannot tell does what its `on_error` says. Test first with `caller != null` or `has(caller.team)`; \
         `has` is false wherever its path ends early, and takes `has(request.headers[\"x-team\"])` too. `a && b` and \
         `a || b` are settled by either side, even if the other is a fault.\n\nA client may leave any header out, and reading one that is \
         not there is a fault too: `\"x-team\" in request.headers && request.headers[\"x-team\"] == \"blue\"` asks first. Where a text is \
         needed: `(\"x-team\" in request.headers ? request.headers[\"x-team\"] : \"\")`. A read that nothing asks for, neither the \
         expression nor a `when` above it nor a guard before it, is the warning `may-be-absent`.\n\n## Types\n\nA type that cannot fit is \
         the load error `type-mismatch`; so is each branch of `a ? b : c` where it stands. What reads nothing of a request is \
         worked out at load, and is an error there if it is a fault (`bool(\"yes\")`, `1 / 0`). Parameters have their declared types; \
         `type: number` reads as a double, whole or not.\n",
    );
    for object in OBJECTS {
        let _ = writeln!(
            out,
            "\n### {}\n\n{}\n\n| field | type | |\n|---|---|---|",
            object.name,
            object.doc.trim()
        );
        for field in object.fields {
            let _ = writeln!(out, "| `{}` | {} | {} |", field.name, field.ty, field.doc);
        }
    }
    out.push_str("\n## Functions of expressions\n\n| call | |\n|---|---|\n");
    for function in FUNCTIONS {
        let _ = writeln!(out, "| {} | {} |", signature(function), function.doc);
    }
    let _ = writeln!(
        out,
        "\nMacros: {}. `exists_one` may be written `existsOne`; `map` takes a filter as an optional second argument.\n\n\
         ## Bounds of expressions\n\nAn expression has at most {LONGEST} bytes, {NODES} parts, depth {DEPTH} and {LOOPS} loops \
         in each other; what is more is the load error `too-costly`. At run time work is counted, not timed: each part \
         evaluated, each item of a loop and each stretch of a text scanned. Past the budget (worth about one millisecond), or \
         with a text of more than {} MiB, the expression is a fault.\n\n## Handles of scripts\n\nA hook gets one handle, whose \
         edits count and whose return value does not. Setters exist only for stages that may edit; `deny` only for guards. \
         Header values that are credentials read as `…`.",
        MACROS.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        LONGEST_TEXT >> 20,
    );
    for handle in HANDLES {
        let _ = writeln!(
            out,
            "\n### `fn {}({})`\n\n{}\n\n| member | for | |\n|---|---|---|",
            handle.hook, handle.letter, handle.doc
        );
        for member in handle.members {
            let spelt = member.spelling(handle.letter);
            let _ = writeln!(out, "| `{spelt}` | {} | {} |", member.needs.name(), member.doc);
        }
    }
    out
}

/// The view as a JSON Schema: a property for each root, definitions for the types.
pub fn view_schema() -> Json {
    let mut roots = Map::new();
    for root in ROOTS {
        let hooks: Vec<&str> = root.hooks.iter().map(|hook| hook.name()).collect();
        let mut schema = type_schema(root.ty);
        schema.insert("description".to_owned(), json!(root.doc));
        schema.insert("x-hooks".to_owned(), json!(hooks));
        roots.insert(root.name.to_owned(), Json::Object(schema));
    }
    let mut types = Map::new();
    for object in OBJECTS {
        let mut fields = Map::new();
        for field in object.fields {
            let mut schema = type_schema(field.ty);
            schema.insert("description".to_owned(), json!(field.doc));
            fields.insert(field.name.to_owned(), Json::Object(schema));
        }
        let schema = json!({ "type": "object", "description": object.doc.trim(), "properties": fields });
        types.insert(object.name.to_owned(), schema);
    }
    let functions: Vec<Json> = FUNCTIONS
        .iter()
        .map(|f| {
            let takes: Vec<String> = f.takes.iter().map(Type::to_string).collect();
            json!({ "name": f.name, "call": signature(f).trim_matches('`'), "takes": takes, "gives": f.gives.to_string(), "description": f.doc })
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The view of Weir's policies",
        "type": "object",
        "properties": roots,
        "additionalProperties": false,
        "$defs": types,
        "x-functions": functions,
    })
}

fn type_schema(ty: Type) -> Map<String, Json> {
    let schema = match ty {
        Type::Any | Type::Either(_) => json!({}),
        Type::Null => json!({ "type": "null" }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::Int | Type::Uint => json!({ "type": "integer" }),
        Type::Double => json!({ "type": "number" }),
        Type::String => json!({ "type": "string" }),
        Type::Bytes => json!({ "type": "string", "format": "byte" }),
        Type::Timestamp => json!({ "type": "string", "format": "date-time" }),
        Type::Duration => json!({ "type": "string", "format": "duration" }),
        Type::List(inside) => json!({ "type": "array", "items": type_schema(*inside) }),
        Type::Map(inside) => json!({ "type": "object", "additionalProperties": type_schema(*inside) }),
        Type::Object(def) => json!({ "$ref": format!("#/$defs/{}", def.name) }),
    };
    match schema {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

struct NoServices;

impl Services for NoServices {
    fn count_tokens(&self, _: &str, _: &str) -> u64 {
        0
    }

    fn request_tokens(&self, _: &Request) -> u64 {
        0
    }
}

/// An object as a map of its fields, but for those that need more than the object itself.
pub(crate) fn owned_object(object: Object<'_>) -> CelValue {
    let request = Request::new("", Dialect::OpenAi, Operation::Chat, "");
    let view = View::new(&request, "", 0);
    let cx = Context { view: &view, services: &NoServices, budget: Budget::new(), memo: Memo::default() };
    let shown =
        object.def().fields.iter().filter(|f| !f.reads.meets(Reads::TOKENS | Reads::ATTEMPTS | Reads::SPENT));
    CelValue::Map(
        shown
            .map(|field| (CelValue::String(field.name.to_owned()), own(&(field.read)(object, &cx))))
            .collect(),
    )
}
