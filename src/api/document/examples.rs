//! An example for every parameter, every body and every answer, beside the operation that it belongs to.
//!
//! The models bring their own; here is what they cannot know, and what is put together from others.

use serde_json::{Map, Value, json};

/// An event of a stream.
const EVENT: &str = concat!(
    "id: 5f0c1d2e3b4a5968-12\n",
    r#"data: {"kind":"session","id":"0d4JZ1mKSzWcQ3hUj6nE9w","until":"2026-12-06T12:00:00Z"}"#,
    "\n\n"
);

/// The example of a parameter of an operation of this group, where its schema does not say enough.
pub(super) fn parameter(tag: &str, name: &str) -> Option<Value> {
    Some(match (tag, name) {
        ("Permissions", "name") => json!("polls.vote"),
        (_, "name") => json!("language"),
        (_, "key") => json!("theme"),
        (_, "sid") => json!("0d4JZ1mKSzWcQ3hUj6nE9w"),
        ("Tokens", "id") | (_, "token_id") => json!("Zk3vT9wQxUmYc0aRb7dLpg"),
        ("Groups", "id") => json!("Vw3mEr9xQ0uYt2aZbC4dfg"),
        (_, "id") => json!("q3bXcK0aTn2vSgYkPzq1bA"),
        (_, "code") => json!("not_authenticated"),
        (_, "seconds") => json!(0),
        _ => return None,
    })
}

/// The examples of answers whose models have none.
fn answer(schema: &str) -> Option<Value> {
    Some(match schema {
        "PasswordVerdict" => json!({
            "acceptable": false,
            "faults": [{
                "field": "password",
                "code": "password_too_short",
                "message": "A password has at least 8 characters",
            }],
            "score": 1,
        }),
        "PermissionNames" => json!({ "items": ["polls.close", "polls.vote"], "next": null }),
        "ImportAnswer" => json!({
            "applied": true,
            "created": 1,
            "changed": 0,
            "kept": 0,
            "refused": 0,
            "outcomes": [{ "fate": "created", "password_format": "pbkdf2_sha256", "losses": [] }],
        }),
        "RevocationList" => json!({
            "items": [
                { "kind": "epoch", "epoch": 1 },
                { "kind": "session", "id": "0d4JZ1mKSzWcQ3hUj6nE9w", "until": "2026-12-06T12:00:00Z" },
            ],
            "position": "5f0c1d2e3b4a5968-12",
            "next": null,
        }),
        "KeySet" => json!({
            "keys": [{
                "kty": "OKP",
                "use": "sig",
                "alg": "EdDSA",
                "kid": "20261122T120000Z",
                "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            }],
        }),
        _ => return None,
    })
}

/// Puts examples of the body and of the answers into the operation.
pub(super) fn add(operation: &mut Map<String, Value>, schemas: &Value) {
    let mut fill = |part: &mut Value| {
        let media = part.get_mut("content").and_then(Value::as_object_mut);
        for media in media.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
            if media["schema"]["type"] == "string" {
                media.insert("example".to_owned(), json!(EVENT));
            }
            if !media.contains_key("example") && !media.contains_key("examples") {
                let example = of(&media["schema"], schemas);
                media.insert("example".to_owned(), example);
            }
        }
    };
    operation.get_mut("requestBody").into_iter().for_each(&mut fill);
    let answers = operation.get_mut("responses").and_then(Value::as_object_mut);
    answers.into_iter().flat_map(Map::values_mut).for_each(fill);
}

/// The example of a schema: its model's own, or one that is put together from those of its parts.
fn of(schema: &Value, schemas: &Value) -> Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    if let Some(name) = name {
        let model = &schemas[name];
        return model.get("example").cloned().or_else(|| answer(name)).unwrap_or_else(|| of(model, schemas));
    }
    match schema["type"].as_str() {
        Some("array") => json!([of(&schema["items"], schemas)]),
        Some("object") => {
            let members = schema["properties"].as_object().into_iter().flatten();
            members.map(|(name, member)| (name.clone(), of(member, schemas))).collect::<Map<_, _>>().into()
        }
        _ => Value::Null,
    }
}

/// Takes away the examples of models: those beside the operations say all, and a model's own `id` in an example is taken
/// for the name of a schema by some readers.
pub(super) fn drop_of_models(schemas: &mut Value) {
    for model in schemas.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        model.remove("example");
    }
}
