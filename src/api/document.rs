//! The API document: the contract, as `openapi/signet.json` holds it.
//!
//! Owns the difference between what the framework writes by itself and what the server really does: problems,
//! closed request bodies, header names, media types, the order of groups, examples.

use poem_openapi::registry::Registry;
use poem_openapi::types::Type as _;
use poem_openapi::{OpenApiService, types::ToJSON as _};
use serde_json::{Map, Value, json};

use crate::api::problem::{Code, MEDIA_TYPE, Problem};
use crate::api::{GROUPS, operations, verify};
use crate::claims::LIFE_MAX;

const DESCRIPTION: &str = "Django's sessions and authorization as one stateless API. A session is a signed token in a \
    cookie that scripts cannot read: log in with `POST /v1/login`, and every further call carries it. Log-out, flush \
    and every change of rights act on the very next request.";

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
    let service =
        OpenApiService::new(operations(), "Signet", env!("CARGO_PKG_VERSION")).description(DESCRIPTION).server("/");
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap_or_default();
    let bodies = each_operation(&mut document).filter_map(|(path, method, operation)| {
        describe(&path, &method, operation);
        operation.pointer("/requestBody/content/application~1json/schema/$ref")?.as_str().map(str::to_owned)
    });
    let bodies: Vec<String> = bodies.collect();
    for body in bodies {
        if let Some(schema) = document.pointer_mut(body.trim_start_matches('#')) {
            close(schema);
        }
    }
    add_problem(&mut document);
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

/// Operations that whoever tries too often has to wait for.
const THROTTLED: [&str; 6] = [
    "register_account",
    "login_account",
    "change_password",
    "check_password",
    "request_password_reset",
    "request_email_verification",
];

/// Operations that somebody logs in by.
const ENTERING: [&str; 2] = ["register_account", "login_account"];

/// Operations without a body whose new cookie may be too large.
const REISSUING: [&str; 3] = ["delete_session_data", "renew_session", "delete_sessions"];

/// One operation, as it really is.
fn describe(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let has_body = operation.contains_key("requestBody");
    let operation_id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let parameters: Vec<(String, String)> = parameters(operation);
    let has_session = operation.contains_key("security");
    let staff = ["/v1/users", "/v1/groups", "/v1/epoch", "/v1/import", "/v1/audit", "/v1/revocations"];
    let is_administration =
        staff.iter().any(|p| path.starts_with(p)) || (path.starts_with("/v1/permissions") && !path.ends_with("/check"));
    operation.entry("security").or_insert_with(|| json!([{}]));
    if path == "/v1/session" && has_body {
        let example = json!({ "theme": "dark", "cart": [7, 12] });
        operation["requestBody"]["content"]["application/json"]["example"] = example;
    }
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for response in responses.values_mut() {
        respell(response);
        if response["description"] == "" {
            response["description"] = json!("Done as asked.");
        }
        if has_session || path.starts_with("/v1/cookies") && method != "get" {
            add_cookie(response, ENTERING.contains(&operation_id.as_str()));
        }
    }
    let is = |kind: &str, name: &str| parameters.iter().any(|(k, n)| k == kind && (name.is_empty() || n == name));
    let unsafe_method = method != "get";
    let table = [
        (has_body || is("query", ""), Code::MalformedBody),
        (has_session, Code::NotAuthenticated),
        (unsafe_method || is_administration, Code::Forbidden),
        (is("path", ""), Code::NotFound),
        (has_body, Code::RequestTimeout),
        ((has_session && has_body) || (is_administration && unsafe_method), Code::Conflict),
        (is("header", "If-Match"), Code::PreconditionFailed),
        (has_body || REISSUING.contains(&operation_id.as_str()), Code::BodyTooLarge),
        (has_body, Code::UnsupportedMediaType),
        (has_body || path.starts_with("/v1/cookies") || path == "/v1/email/verify", Code::Invalid),
        (operation_id.starts_with("confirm_"), Code::InvalidToken),
        (THROTTLED.contains(&operation_id.as_str()), Code::TooManyRequests),
        (true, Code::Internal),
        (true, Code::Unavailable),
    ];
    // A proxy is told these two, whatever goes wrong.
    let to_proxies = [(true, Code::NotAuthenticated), (true, Code::Forbidden)];
    let table = if path == verify::PATH { &to_proxies[..] } else { &table[..] };
    for (_, code) in table.iter().filter(|(applies, _)| *applies) {
        responses.insert(code.status().as_u16().to_string(), problem_response(*code));
    }
    responses.sort_keys();
}

/// Kind and name of the parameters, after giving each an example.
fn parameters(operation: &mut Map<String, Value>) -> Vec<(String, String)> {
    let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
    let Some(Value::Array(parameters)) = operation.get_mut("parameters") else { return Vec::new() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for parameter in parameters {
        let (kind, name) = (text(&parameter["in"]), text(&parameter["name"]));
        let example = match (tag.as_str(), name.as_str()) {
            ("Permissions", "name") => json!("polls.vote"),
            (_, "name") => json!("language"),
            (_, "key") => json!("theme"),
            (_, "sid") => json!("0d4JZ1mKSzWcQ3hUj6nE9w"),
            ("Groups", "id") => json!("Vw3mEr9xQ0uYt2aZbC4dfg"),
            (_, "id") => json!("q3bXcK0aTn2vSgYkPzq1bA"),
            (_, "code") => json!("not_authenticated"),
            _ => Value::Null,
        };
        if !example.is_null() {
            parameter["example"] = example;
        }
        let schema = &mut parameter["schema"];
        match name.as_str() {
            "limit" => {
                schema["minimum"] = json!(1);
                schema["maximum"] = json!(200);
            }
            "search" => schema["maxLength"] = json!(150),
            "cursor" => schema["pattern"] = json!("^[A-Za-z0-9_-]*$"),
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
            .map(|(kind, value)| (kind.trim_end_matches("; charset=utf-8").to_owned(), value))
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

fn problem_response(code: Code) -> Value {
    let mut response = json!({
        "description": code.title(),
        "content": { MEDIA_TYPE: { "schema": { "$ref": format!("#/components/schemas/{}", Problem::name()) } } },
    });
    let header = match code {
        Code::NotAuthenticated => ("WWW-Authenticate", "A challenge that names the cookie."),
        Code::Unavailable | Code::TooManyRequests => ("Retry-After", "Seconds to wait."),
        _ => return response,
    };
    response["headers"] = json!({ header.0: { "description": header.1, "schema": { "type": "string" } } });
    response
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
            (_, "max_age") => {
                member["minimum"] = json!(1);
                member["maximum"] = json!(LIFE_MAX);
            }
            _ => {}
        }
    }
}

/// The schema of problems, which no operation names by itself.
fn add_problem(document: &mut Value) {
    let mut registry = Registry::new();
    Problem::register(&mut registry);
    for (name, schema) in &registry.schemas {
        document["components"]["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
    let example = Problem::new(Code::NotAuthenticated).to_json().unwrap_or_default();
    document["components"]["schemas"][Problem::name().as_ref()]["example"] = example;
    let id = "0123456789abcdef-1";
    document["components"]["schemas"][Problem::name().as_ref()]["example"]["request_id"] = json!(id);
}

/// Numbers without a sign say so in a way that every reader knows, and a reference that may be null has no part
/// that says nothing.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let most = match members.get("format").and_then(Value::as_str) {
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
