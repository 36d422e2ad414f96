//! The Postman collection: the API document as requests that can be sent, from the top to the bottom, with a test on
//! each.
//!
//! Pure: a document in, a collection (format v2.1.0) out. Owns what a collection is made of; the rooms below it own
//! the order of the requests, one request, its scripts, and how schemas and examples are read. The cookie is nobody's
//! business here: the client's jar keeps it, so there is no authorization and no header for it.

use serde_json::{Map, Value, json};

use crate::api::document;

mod operation;
mod request;
mod schema;
mod script;
mod story;

use operation::Operation;
use story::Who;

const FORMAT: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";

const HOW: &str = "## How to use it\n\nSet `adminPassword` to the password that the first start of the server printed, \
    and `baseUrl` to its address. Every request can be sent by itself, and the whole can be run from the top to the \
    bottom, also again and again: what it makes carries the name of the run. **Log in** sets the session's cookie; the \
    cookie jar keeps it and sends it back, so there is nothing to copy and nothing to fill in under *Authorization*.\n\n\
    Run it on a server of your own for trying: it logs everybody out, and each run leaves the account that it registered \
    and the imported one behind. After some runs in a row a server answers 429 here and there, unless it was started with \
    `--throttle off`.";

/// The collection as it is committed: indented, with a line end.
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&collection(&document::document())).unwrap_or_default();
    text.push('\n');
    text
}

/// The collection of an API document: every operation once, in the folder of its group, and log-ins where the story
/// needs them.
///
/// An operation that no rule knows is placed by its method and path, and is expected to answer as documented.
#[must_use]
pub fn collection(document: &Value) -> Value {
    let operations = operation::all(document);
    let folders = document["tags"].as_array().into_iter().flatten();
    let mut who = Who::Nobody;
    let mut items: Vec<Value> = Vec::new();
    for tag in folders {
        let here: Vec<&Operation<'_>> = operations.iter().filter(|operation| tag["name"] == operation.tag).collect();
        let steps = story::steps(&here, &operations, &mut who);
        let requests: Vec<Value> = steps.iter().map(|step| request::item(document, &operations, step)).collect();
        items.push(json!({ "name": tag["name"], "description": tag["description"], "item": requests }));
    }
    let last = story::last(&operations, who).map(|step| request::item(document, &operations, &step));
    if let (Some(last), Some(Value::Array(requests))) = (last, items.last_mut().map(|folder| &mut folder["item"])) {
        requests.push(last);
    }
    let about = document["info"]["description"].as_str().unwrap_or_default();
    json!({
        "info": {
            "name": document["info"]["title"],
            "description": format!("{about}\n\n{HOW}"),
            "version": document["info"]["version"],
            "schema": FORMAT,
        },
        "item": items,
        "event": [
            script::event("prerequest", include_str!("postman/before.js")),
            script::event("test", include_str!("postman/after.js")),
        ],
        "variable": variables(document, &operations),
    })
}

/// The variables: what a person sets, and what the answers set.
fn variables(document: &Value, operations: &[Operation<'_>]) -> Vec<Value> {
    let example = |id: &str, member: &str| {
        let body = operation::find(operations, id).and_then(|operation| schema::body(document, operation));
        body.and_then(|body| body[member].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let variable = |(name, value, description): (&str, String, &str)| json!({ "key": name, "value": value, "type": "string", "description": description });
    let own = [
        ("baseUrl", "http://localhost:8000".to_owned(), "The address of the server."),
        (
            "username",
            example(story::LOG_IN, "username"),
            "Who logs in. **Register** makes a new name and puts it here.",
        ),
        (
            "password",
            example(story::LOG_IN, "password"),
            "The password of `username`; **Change my password** swaps it with `newPassword`.",
        ),
        ("newPassword", example(story::CHANGE_PASSWORD, "new_password"), "The password that `username` gets next."),
        ("email", example(story::REGISTER, "email"), "The address of `username`; **Register** makes a new one."),
        ("adminUsername", "admin".to_owned(), "A superuser, for the folders of administration."),
        ("adminPassword", String::new(), "The superuser's password: the first start of the server prints it."),
        ("run", String::new(), "What the names that this run makes end with; set by itself."),
        ("etag", String::new(), "The `ETag` of the latest answer that had one, for `If-Match`."),
    ];
    let mut found: Vec<Value> = own.map(variable).into();
    let mut seen = Map::new();
    for operation in operations {
        for parameter in operation.parameters("path") {
            let name = operation.variable(parameter["name"].as_str().unwrap_or_default());
            let description = parameter["description"].as_str().unwrap_or_default();
            if seen.insert(name.clone(), Value::Null).is_none() {
                found.push(variable((&name, schema::parameter(parameter), description)));
            }
        }
    }
    found
}
