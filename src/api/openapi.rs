//! `openapi.json`: made from the table of routes, so that it names every call and no other.

use serde_json::{Map, Value, json};

use super::problem::Kind;
use super::route::{Call, Field, Holds, REPORT, ROUTES, Route};
use crate::limits::REPORT_TTL_MAX_S;

/// The document (OpenAPI 3.1).
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(methods) = path {
            methods.insert(route.method.to_lowercase(), operation(route));
        }
    }
    let mut kinds: Vec<Kind> = Kind::ALL.to_vec();
    kinds.sort_by_key(|kind| (kind.status(), kind.slug()));
    let problems: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({ "type": format!("/problems/{}", kind.slug()), "status": kind.status().as_u16(), "title": kind.title() })
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Meridian",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
            "description": "A global traffic manager. Bodies are JSON in UTF-8; unknown fields and parameters are refused. Times are RFC 3339 in UTC. Additions are no breaking changes: ignore what you do not know.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "description": "RFC 9457.",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": { "type": "string", "enum": problems.iter().map(|problem| problem["type"].clone()).collect::<Vec<_>>() },
                        "title": { "type": "string" },
                        "status": { "type": "integer" },
                        "detail": { "type": "string" },
                    },
                    "x-problems": problems,
                },
                "Report": report(),
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let headers: &[(&str, &str)] = match route.call {
        Call::Events => &[("Last-Event-ID", "The last event that was seen: what came after it follows.")],
        _ if route.is_order() => &[
            ("Idempotency-Key", "By which a repetition is known: under one key an order is carried out once."),
            ("If-Match", "Refuse when the last order in force is another than this revision."),
        ],
        _ => &[],
    };
    parameters.extend(headers.iter().map(
        |(name, about)| json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } }),
    ));
    parameters.extend(route.query.iter().map(|field| {
        json!({
            "name": field.name,
            "in": "query",
            "description": field.about,
            "schema": match field.holds {
                Holds::Number => json!({ "type": "integer", "minimum": 0 }),
                Holds::Texts => json!({ "type": "array", "items": { "type": "string" } }),
                Holds::Bool => json!({ "type": "boolean" }),
                Holds::Text
                | Holds::Word(_)
                | Holds::Duration
                | Holds::Span
                | Holds::Numbers
                | Holds::Reports => json!({ "type": "string" }),
            },
        })
    }));
    let content = match route.call {
        Call::Metrics => json!({ "text/plain": {} }),
        Call::Events => json!({ "text/event-stream": {} }),
        _ => json!({ "application/json": {} }),
    };
    let mut operation = json!({
        "operationId": format!("{:?}", route.call),
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": content },
            "default": {
                "description": "It was not done.",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            },
        },
    });
    if route.query.iter().any(|field| field.name == "wait") {
        operation["responses"]["202"] = json!({ "description": "Carried out; the last old answer has not expired yet.", "content": { "application/json": {} } });
    }
    let Value::Object(fields) = &mut operation else { return operation };
    match route.role {
        Some(role) => {
            fields.insert("security".into(), json!([{ "token": [] }, {}]));
            fields.insert("x-role".into(), role.as_str().into());
        }
        None => drop(fields.insert("security".into(), json!([]))),
    }
    if route.is_write() && !route.body.is_empty() {
        let required =
            route.body.iter().any(|field| ["state", "reports", "active_dc", "weights", "gate"].contains(&field.name));
        fields.insert(
            "requestBody".into(),
            json!({ "required": required, "content": { "application/json": { "schema": object(route.body) } } }),
        );
    }
    operation
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), schema(field))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn report() -> Value {
    let mut report = object(REPORT);
    for name in ["endpoint", "check"] {
        report["properties"][name] = json!({ "type": "string" });
    }
    report["required"] = json!(["endpoint", "check", "state"]);
    report
}

fn schema(field: &Field) -> Value {
    let mut schema = match field.holds {
        Holds::Text => json!({ "type": "string" }),
        Holds::Word(words) => json!({ "type": "string", "enum": words }),
        Holds::Bool => json!({ "type": "boolean" }),
        Holds::Number => json!({ "type": "integer", "minimum": 0 }),
        Holds::Duration => json!({
            "oneOf": [
                { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" },
                { "type": "integer", "minimum": 1, "maximum": REPORT_TTL_MAX_S },
            ],
        }),
        Holds::Span => json!({
            "oneOf": [
                { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" },
                { "type": "integer", "minimum": 0 },
            ],
        }),
        Holds::Numbers => json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } }),
        Holds::Texts => {
            json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        Holds::Reports => json!({ "type": "array", "items": { "$ref": "#/components/schemas/Report" } }),
    };
    schema["description"] = field.about.into();
    schema
}
