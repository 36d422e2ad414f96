//! The API document: the contract, as `openapi/signet.json` holds it.
//!
//! Owns the difference between what the framework writes by itself and what the server really does: problems
//! (`failures`), examples (`examples`), closed request bodies, header names, media types, the order of groups.

use poem_openapi::registry::Registry;
use poem_openapi::types::Type as _;
use poem_openapi::{ContactObject, LicenseObject, OpenApiService};
use serde_json::{Map, Value, json};

use self::failures::Operation;

use crate::api::problem::Problem;
use crate::api::revocations::STREAM_SECONDS_MAX;
use crate::api::{GROUPS, operations};
use crate::api_token::LIFE_MIN;
use crate::audit::Action;
use crate::claims::LIFE_MAX;

mod examples;
mod failures;

const DESCRIPTION: &str = "Django's sessions and authorization as one stateless API. A session is a signed token in a \
    cookie that scripts cannot read: log in with `POST /v1/login`, and every further call carries it. Log-out, flush \
    and every change of rights act on the very next request.";

/// The media type of server-sent events.
pub(crate) const EVENTS: &str = "text/event-stream";

/// Where the texts of the licences stand.
const LICENSES: &str = "https://spdx.org/licenses/";

/// The form of a point in time (RFC 3339).
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$";

/// The form of a permission's name ([`crate::rights::Permission`]).
const PERMISSION: &str = "^[A-Za-z0-9_-]{1,100}\\.[A-Za-z0-9_-]{1,100}$";

/// The document as it is committed: indented, with a line end.
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let service = OpenApiService::new(operations(), "Signet", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .contact(ContactObject::new().name("Signet"))
        .license(LicenseObject::new(env!("CARGO_PKG_LICENSE")).url(LICENSES))
        .server("/");
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap_or_default();
    let bodies = each_operation(&mut document).filter_map(|(_, _, operation)| {
        operation.pointer("/requestBody/content/application~1json/schema/$ref")?.as_str().map(str::to_owned)
    });
    let bodies: Vec<String> = bodies.collect();
    for body in bodies {
        if let Some(schema) = document.pointer_mut(body.trim_start_matches('#')) {
            close(schema);
        }
    }
    add_problem(&mut document);
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        schemas.values_mut().for_each(require_nullable);
    }
    let schemas = document["components"]["schemas"].clone();
    for (path, method, operation) in each_operation(&mut document) {
        describe(&path, &method, operation, &schemas);
    }
    examples::drop_of_models(&mut document["components"]["schemas"]);
    type_nullable(&mut document, &schemas);
    if let Some(Value::Array(tags)) = document.get_mut("tags") {
        tags.sort_by_key(|tag| GROUPS.iter().position(|group| tag["name"] == *group));
    }
    tidy(&mut document);
    document
}

/// Every operation with its path and method.
fn each_operation(document: &mut Value) -> impl Iterator<Item = (String, String, &mut Map<String, Value>)> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    paths.into_iter().flatten().flat_map(|(path, methods)| {
        let methods = methods.as_object_mut();
        methods
            .into_iter()
            .flatten()
            .filter_map(|(method, operation)| Some((path.clone(), method.clone(), operation.as_object_mut()?)))
    })
}

trait Pointer {
    fn pointer(&self, path: &str) -> Option<&Value>;
}

impl Pointer for Map<String, Value> {
    fn pointer(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.strip_prefix('/')?.split_once('/')?;
        self.get(first)?.pointer(&format!("/{rest}"))
    }
}

/// Operations that somebody logs in by.
const ENTERING: [&str; 2] = ["register_account", "login_account"];

/// One operation, as it really is.
fn describe(path: &str, method: &str, operation: &mut Map<String, Value>, schemas: &Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let parameters: Vec<(String, String)> = parameters(operation);
    let has_caller = operation.contains_key("security");
    operation.entry("security").or_insert_with(|| json!([{}]));
    if path == "/v1/session" && operation.contains_key("requestBody") {
        let example = json!({ "theme": "dark", "cart": [7, 12] });
        operation["requestBody"]["content"]["application/json"]["example"] = example;
    }
    let body = operation.get("requestBody").map(|body| &body["content"]["application/json"]["schema"]);
    let model = body.and_then(|schema| schemas.get(schema["$ref"].as_str()?.rsplit('/').next()?));
    let first = model.and_then(|model| model["properties"].as_object()?.keys().next().cloned());
    let member = body.map(|_| first.unwrap_or_else(|| "data".to_owned()));
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for response in responses.values_mut() {
        respell(response);
        if response["description"] == "" {
            response["description"] = json!("Done as asked.");
        }
        if has_caller || path.starts_with("/v1/cookies") && method != "get" {
            add_cookie(response, ENTERING.contains(&id.as_str()));
        }
    }
    let (id, member) = (id.as_str(), member.as_deref());
    let judged = Operation { id, path, changes: method != "get", member, has_caller, parameters: &parameters };
    failures::add(&judged, responses);
    examples::add(operation, schemas);
}

/// Kind and name of the parameters, after giving each an example.
fn parameters(operation: &mut Map<String, Value>) -> Vec<(String, String)> {
    let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
    let Some(Value::Array(parameters)) = operation.get_mut("parameters") else { return Vec::new() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for parameter in parameters {
        let (kind, name) = (text(&parameter["in"]), text(&parameter["name"]));
        if let Some(example) = examples::parameter(&tag, &name) {
            parameter["example"] = example;
        }
        let schema = &mut parameter["schema"];
        match name.as_str() {
            "limit" => {
                schema["minimum"] = json!(1);
                schema["maximum"] = json!(200);
            }
            "search" => schema["maxLength"] = json!(150),
            "seconds" => {
                schema["minimum"] = json!(0);
                schema["maximum"] = json!(STREAM_SECONDS_MAX);
            }
            "cursor" => schema["pattern"] = json!("^[A-Za-z0-9_-]*$"),
            "action" => {
                let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
                schema["pattern"] = json!(format!("^({})$", names.join("|")));
            }
            "outcome" => schema["pattern"] = json!("^(done|refused)$"),
            "since" | "until" => schema["pattern"] = json!(TIME),
            _ => {}
        }
        found.push((kind, name));
    }
    found
}

/// Media types without their parameter, and header names as they are usually written.
fn respell(response: &mut Value) {
    if let Some(Value::Object(content)) = response.get_mut("content") {
        *content = std::mem::take(content)
            .into_iter()
            .map(|(kind, value)| {
                // An array is what clients would wait for the end of.
                let value = if kind == EVENTS { json!({ "schema": { "type": "string" } }) } else { value };
                (kind.trim_end_matches("; charset=utf-8").to_owned(), value)
            })
            .collect();
    }
    if let Some(Value::Object(headers)) = response.get_mut("headers") {
        *headers = std::mem::take(headers).into_iter().map(|(name, value)| (usual_name(&name), value)).collect();
    }
}

/// A header's name as it is usually written; the framework writes it in capitals.
fn usual_name(name: &str) -> String {
    let known = ["ETag", "Cache-Control"].into_iter().find(|known| known.eq_ignore_ascii_case(name));
    known.unwrap_or(name).to_owned()
}

/// That the answer may set a cookie; and the one by which a device is known, where somebody logs in.
fn add_cookie(response: &mut Value, enters: bool) {
    let description = if enters {
        "The session's cookie; and, in a line of its own, `__Host-signet-device` on a device that is not known to the \
         user yet."
    } else {
        "The cookie, when the client has to be given another one than it sent."
    };
    response["headers"]["Set-Cookie"] = json!({
        "description": description,
        "required": false,
        "deprecated": false,
        "schema": { "type": "string" },
    });
}

/// A request body takes no member that it does not name, and its example has none that is not there.
fn close(schema: &mut Value) {
    schema["additionalProperties"] = json!(false);
    if let Some(Value::Object(example)) = schema.get_mut("example") {
        example.retain(|_, value| !value.is_null());
    }
    narrow(schema);
}

/// Limits that the operations check themselves, told as far as a schema can tell them.
fn narrow(schema: &mut Value) {
    let title = schema["title"].as_str().unwrap_or_default().to_owned();
    let Some(Value::Object(members)) = schema.get_mut("properties") else { return };
    for (name, member) in members {
        match (title.as_str(), name.as_str()) {
            // A question may name anything.
            ("PermissionQuestion", _) => {}
            ("NewPermission", "name") => member["pattern"] = json!(PERMISSION),
            (_, "permissions" | "user_permissions") => member["items"]["pattern"] = json!(PERMISSION),
            (_, "expires_in") => {
                member["minimum"] = json!(LIFE_MIN);
                member["maximum"] = json!(LIFE_MAX);
            }
            (_, "max_age") => {
                member["minimum"] = json!(1);
                member["maximum"] = json!(LIFE_MAX);
            }
            _ => {}
        }
    }
}

/// A member that may be null is always there, if only as null: a client has one way to be without it, not two.
fn require_nullable(schema: &mut Value) {
    let Some(Value::Object(members)) = schema.get("properties") else { return };
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_there = |name: &String| required.iter().any(|required| required == name);
    let there = members.iter().filter(|(name, member)| member["nullable"] == true || is_there(name));
    let there: Vec<&String> = there.map(|(name, _)| name).collect();
    if !there.is_empty() {
        schema["required"] = json!(there);
    }
}

/// The schema of problems, which no operation names by itself.
fn add_problem(document: &mut Value) {
    let mut registry = Registry::new();
    Problem::register(&mut registry);
    for (name, schema) in &registry.schemas {
        document["components"]["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
}

/// A reference that may be null says of what type it is otherwise: readers ask for it beside `nullable`.
fn type_nullable(value: &mut Value, schemas: &Value) {
    match value {
        Value::Object(members) => {
            if members.get("nullable") == Some(&json!(true)) && !members.contains_key("type") {
                let named = members.get("allOf").and_then(|parts| parts[0]["$ref"].as_str()?.rsplit('/').next());
                if let Some(kind) = named.and_then(|name| schemas[name].get("type")).cloned() {
                    members.insert("type".to_owned(), kind);
                }
            }
            members.values_mut().for_each(|member| type_nullable(member, schemas));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| type_nullable(item, schemas)),
        _ => {}
    }
}

/// Numbers without a sign say so in a way that every reader knows, and a reference that may be null has no part
/// that says nothing.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let most = match members.get("format").and_then(Value::as_str) {
                Some("uint8") => Some((u64::from(u8::MAX), "int32")),
                Some("uint16") => Some((u64::from(u16::MAX), "int32")),
                Some("uint32") => Some((u64::from(u32::MAX), "int64")),
                Some("uint64") => Some((9_007_199_254_740_991, "int64")),
                _ => None,
            };
            if let Some((most, format)) = most {
                members.insert("format".to_owned(), json!(format));
                members.entry("minimum").or_insert(json!(0));
                members.entry("maximum").or_insert(json!(most));
            }
            if let Some(Value::Array(parts)) = members.get_mut("allOf") {
                parts.retain(|part| part.get("$ref").is_some() || part.get("type").is_some());
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
