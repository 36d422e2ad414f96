//! Schemas and examples, read out of the document: without references, in the words of JSON Schema.

use serde_json::{Map, Value, json};

use super::operation::Operation;

/// Deeper than any schema that does not contain itself.
const DEPTH_MAX: usize = 16;

/// What a schema says about a value, so that a validator of JSON Schema understands it without the document.
pub(super) fn resolved(document: &Value, schema: &Value) -> Value {
    resolve(document, schema, 0)
}

fn resolve(document: &Value, schema: &Value, depth: usize) -> Value {
    let Some(members) = schema.as_object().filter(|_| depth < DEPTH_MAX) else { return json!({}) };
    if members.contains_key("$ref") {
        return resolve(document, target(document, schema), depth + 1);
    }
    let nullable = members.get("nullable") == Some(&Value::Bool(true));
    let inner = |schema: &Value| resolve(document, schema, depth + 1);
    let mut kept = Map::new();
    for (name, value) in members {
        let value = match name.as_str() {
            "additionalProperties" if value.is_object() => inner(value),
            "type" if nullable => json!([value, "null"]),
            "type"
            | "required"
            | "pattern"
            | "minimum"
            | "maximum"
            | "minLength"
            | "maxLength"
            | "minItems"
            | "maxItems"
            | "additionalProperties" => value.clone(),
            "enum" => {
                let null = nullable.then_some(Value::Null);
                value.as_array().into_iter().flatten().cloned().chain(null).collect()
            }
            // The other formats are of OpenAPI and unknown to validators.
            "format" if value == "date-time" => value.clone(),
            "items" => inner(value),
            "properties" => {
                let each = value.as_object().into_iter().flatten();
                Value::Object(each.map(|(name, schema)| (name.clone(), inner(schema))).collect())
            }
            "allOf" | "anyOf" | "oneOf" => value.as_array().into_iter().flatten().map(inner).collect(),
            _ => continue,
        };
        kept.insert(name.clone(), value);
    }
    // A reference with words beside it is written as the only part of a whole; a type beside it is the part's own.
    if kept.contains_key("allOf") {
        kept.remove("type");
    }
    let alone = kept.len() == 1 && kept.get("allOf").and_then(Value::as_array).is_some_and(|parts| parts.len() == 1);
    let schema = if alone { kept["allOf"][0].take() } else { Value::Object(kept) };
    if nullable && schema.get("type").is_none_or(|kind| !kind.is_array()) && schema != json!({}) {
        return json!({ "anyOf": [schema, { "type": "null" }] });
    }
    schema
}

fn target<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let at = schema["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    at.unwrap_or(&Value::Null)
}

/// The JSON content of a request or an answer: its media type and what is said about it.
pub(super) fn content(of: &Value) -> Option<(&str, &Value)> {
    let all = of["content"].as_object()?;
    let json = all.iter().find(|(kind, _)| kind.ends_with("json"));
    json.or_else(|| all.iter().next()).map(|(kind, content)| (kind.as_str(), content))
}

/// The example of a request's body.
pub(super) fn body(document: &Value, operation: &Operation<'_>) -> Option<Value> {
    let (_, content) = content(operation.value.get("requestBody")?)?;
    Some(example(document, content))
}

/// The example of a content: its own, the first of several, or that of its schema.
pub(super) fn example(document: &Value, content: &Value) -> Value {
    if let Some(own) = content.get("example") {
        return own.clone();
    }
    let several = content["examples"].as_object().and_then(|several| several.values().next());
    if let Some(first) = several.and_then(|first| first.get("value")) {
        return first.clone();
    }
    of_schema(document, &content["schema"], 0)
}

fn of_schema(document: &Value, schema: &Value, depth: usize) -> Value {
    if depth >= DEPTH_MAX {
        return Value::Null;
    }
    if let Some(own) = schema.get("example").or_else(|| schema.get("default")) {
        return own.clone();
    }
    let inner = |schema: &Value| of_schema(document, schema, depth + 1);
    if schema.get("$ref").is_some() {
        return inner(target(document, schema));
    }
    if let Some(part) = ["allOf", "oneOf", "anyOf"].iter().find_map(|several| schema[several].get(0)) {
        return inner(part);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let shown = members.filter(|(_, schema)| schema["nullable"] != true);
            Value::Object(shown.map(|(name, schema)| (name.clone(), inner(schema))).collect())
        }
        Some("array") => json!([inner(&schema["items"])]),
        Some("string") => json!(""),
        Some("boolean") => json!(false),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        _ => Value::Null,
    }
}

/// The example of a parameter, as text.
pub(super) fn parameter(parameter: &Value) -> String {
    let schema = &parameter["schema"];
    let several = parameter["examples"].as_object().and_then(|several| several.values().next()?.get("value"));
    let own = parameter.get("example").or(several).or_else(|| schema.get("example")).or_else(|| schema.get("default"));
    match own.or_else(|| schema["enum"].get(0)) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Whether an answer of this schema has the member at its top.
pub(super) fn has_member(document: &Value, schema: &Value, member: &str) -> bool {
    resolved(document, schema)["properties"].get(member).is_some()
}
