//! One request of the collection: its address, headers and body, its scripts, and the answers that it may have.

use serde_json::{Value, json};

use super::operation::Operation;
use super::story::{self, Step, Who};
use super::{schema, script};
use crate::api::problem::MEDIA_TYPE;

/// Members of bodies that are not the example's, but what the run has.
const MEMBERS: [(&str, &str, &str); 8] = [
    (story::REGISTER, "username", "{{username}}"),
    (story::REGISTER, "password", "{{password}}"),
    (story::REGISTER, "email", "{{email}}"),
    (story::LOG_IN, "username", "{{username}}"),
    (story::LOG_IN, "password", "{{password}}"),
    (story::CHANGE_PASSWORD, "old_password", "{{password}}"),
    (story::CHANGE_PASSWORD, "new_password", "{{newPassword}}"),
    ("request_password_reset", "email", "{{email}}"),
];

/// Lists of what others made: on an empty server nobody has, and a new account could hand on none of it.
const LENT: [&str; 3] = ["permissions", "user_permissions", "groups"];

/// A request as an item of its folder.
pub(super) fn item(document: &Value, operations: &[Operation<'_>], step: &Step<'_>) -> Value {
    let (Step::Operation(operation) | Step::LogIn(operation, _) | Step::LogOut(operation)) = step;
    let example = schema::body(document, operation);
    let mut body = example.clone();
    if let Some(body) = &mut body {
        fill(operations, operation, body);
        if let Step::LogIn(_, Who::Administrator) = step {
            body["username"] = json!("{{adminUsername}}");
            body["password"] = json!("{{adminPassword}}");
        }
    }
    let summary = operation.text("summary");
    let (name, description) = match step {
        Step::Operation(_) => (summary.to_owned(), describe(operation)),
        Step::LogIn(_, Who::Administrator) => {
            (format!("{summary} as the administrator"), "The requests that follow are for administrators.".to_owned())
        }
        Step::LogIn(..) => (format!("{summary} again"), "The requests that follow need a session.".to_owned()),
        Step::LogOut(_) => (format!("{summary} at the end"), "Nobody stays logged in.".to_owned()),
    };
    let before = script::before(operation, example.as_ref()).map(|script| script::event("prerequest", &script));
    let after = script::event("test", &script::after(document, operations, operation));
    let events: Vec<Value> = before.into_iter().chain([after]).collect();
    let answers = match step {
        Step::Operation(_) => answers(document, operation, &request(operation, example.as_ref(), None)),
        _ => Vec::new(),
    };
    let mut item = json!({
        "name": name,
        "event": events,
        "request": request(operation, body.as_ref(), Some(&description)),
        "response": answers,
    });
    if operation
        .value
        .get("responses")
        .and_then(Value::as_object)
        .is_some_and(|all| all.keys().any(|s| s.starts_with('3')))
    {
        item["protocolProfileBehavior"] = json!({ "followRedirects": false });
    }
    item
}

fn describe(operation: &Operation<'_>) -> String {
    let text = operation.text("description");
    let note = match script::refusal(operation) {
        Some(code) => {
            format!("As it stands here the answer is {} `{}`: {}.", code.status().as_u16(), code.name(), WITHOUT)
        }
        None if operation.streams() => "A run leaves this out, since the answer is a stream without an end.".to_owned(),
        None => String::new(),
    };
    [text, &note].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("\n\n")
}

const WITHOUT: &str = "what it needs is not there, or does not come with the session's cookie";

/// Puts what the run has in the place of what the example has. Names of things that are made end with the run's.
fn fill(operations: &[Operation<'_>], operation: &Operation<'_>, body: &mut Value) {
    let things = operation.makes(operations) || (operation.method == "patch" && operation.path.ends_with('}'));
    for (name, value) in body.as_object_mut().into_iter().flatten() {
        let own = MEMBERS.iter().find(|(id, member, _)| *id == operation.id && member == name);
        if let Some((_, _, variable)) = own {
            *value = json!(variable);
        } else if things && LENT.contains(&name.as_str()) && value.is_array() {
            *value = json!([]);
        } else if let (true, "name" | "username", Some(text)) = (things, name.as_str(), value.as_str()) {
            *value = json!(format!("{text}-{{{{run}}}}"));
        }
    }
}

/// The request; as the example has it when there is no description.
fn request(operation: &Operation<'_>, body: Option<&Value>, description: Option<&str>) -> Value {
    let mut headers = Vec::new();
    if body.is_some() {
        headers.push(json!({ "key": "Content-Type", "value": "application/json" }));
    }
    for parameter in operation.parameters("header") {
        let name = parameter["name"].as_str().unwrap_or_default();
        let value =
            if name.eq_ignore_ascii_case("If-Match") { "{{etag}}".to_owned() } else { schema::parameter(parameter) };
        headers.push(optional(parameter, &value));
    }
    let mut request = json!({
        "method": operation.method.to_uppercase(),
        "header": headers,
        "url": url(operation, description.is_some()),
    });
    if let Some(body) = body {
        let text = serde_json::to_string_pretty(body).unwrap_or_default();
        request["body"] = json!({ "mode": "raw", "raw": text, "options": { "raw": { "language": "json" } } });
    }
    if let Some(description) = description {
        request["description"] = json!(description);
    }
    request
}

fn url(operation: &Operation<'_>, filled: bool) -> Value {
    let parts = operation.path.trim_start_matches('/').split('/');
    let path: Vec<String> = parts
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => format!(":{name}"),
            None => part.to_owned(),
        })
        .collect();
    let query: Vec<Value> = operation.parameters("query").map(|of| optional(of, &schema::parameter(of))).collect();
    let variables: Vec<Value> = operation
        .parameters("path")
        .map(|parameter| {
            let name = parameter["name"].as_str().unwrap_or_default();
            let variable = format!("{{{{{}}}}}", operation.variable(name));
            let value = if filled { variable } else { schema::parameter(parameter) };
            json!({ "key": name, "value": value, "description": parameter["description"] })
        })
        .collect();
    let sent: Vec<String> = operation
        .parameters("query")
        .filter(|parameter| parameter["required"] == true)
        .map(|of| format!("{}={}", of["name"].as_str().unwrap_or_default(), schema::parameter(of)))
        .collect();
    let question = if sent.is_empty() { "" } else { "?" };
    let raw = format!("{{{{baseUrl}}}}/{}{question}{}", path.join("/"), sent.join("&"));
    let mut url = json!({ "raw": raw, "host": ["{{baseUrl}}"], "path": path });
    for (member, values) in [("query", query), ("variable", variables)] {
        if !values.is_empty() {
            url[member] = Value::Array(values);
        }
    }
    url
}

/// A parameter of the query or a header: switched off unless it is required.
fn optional(parameter: &Value, value: &str) -> Value {
    let mut one = json!({ "key": parameter["name"], "value": value, "description": parameter["description"] });
    if parameter["required"] != true {
        one["disabled"] = json!(true);
    }
    one
}

/// The answers of success, and the problem that the request ends with as it stands.
fn answers(document: &Value, operation: &Operation<'_>, request: &Value) -> Vec<Value> {
    let answer = |status: &str, response: &Value| {
        let content = schema::content(response);
        let kind = content.map(|(kind, _)| json!({ "key": "Content-Type", "value": kind }));
        let body = content.map(|(kind, content)| {
            let example = schema::example(document, content);
            match example.as_str().filter(|_| kind != "application/json" && kind != MEDIA_TYPE) {
                Some(text) => text.to_owned(),
                None => serde_json::to_string_pretty(&example).unwrap_or_default(),
            }
        });
        json!({
            "name": response["description"],
            "originalRequest": request,
            "status": reason(status),
            "code": status.parse::<u16>().unwrap_or_default(),
            "header": kind.into_iter().collect::<Vec<_>>(),
            "cookie": [],
            "body": body,
        })
    };
    let mut answers: Vec<Value> = operation.successes().map(|(status, response)| answer(status, response)).collect();
    if let Some(code) = script::refusal(operation) {
        let status = code.status().as_u16().to_string();
        if let Some(response) = operation.response(&status) {
            let mut refused = answer(&status, response);
            let mut problem = schema::content(response).map_or(Value::Null, |(_, of)| schema::example(document, of));
            problem["type"] = json!(format!("/problems/{}", code.name()));
            problem["title"] = json!(code.title());
            problem["status"] = json!(code.status().as_u16());
            problem["detail"] = json!(code.remedy());
            problem["code"] = json!(code.name());
            refused["name"] = json!(code.title());
            refused["body"] = json!(serde_json::to_string_pretty(&problem).unwrap_or_default());
            answers.push(refused);
        }
    }
    answers
}

fn reason(status: &str) -> &'static str {
    let code = status.parse().ok().and_then(|code| poem::http::StatusCode::from_u16(code).ok());
    code.and_then(|code| code.canonical_reason()).unwrap_or_default()
}
