//! The scripts of one request: what has to hold for its answer, and what the next requests take from it.

use serde_json::{Value, json};

use super::operation::{Door, Operation};
use super::{schema, story};
use crate::api::problem::Code;

/// Operations after which the client has a new cookie.
const GIVING: [&str; 8] = [
    story::REGISTER,
    story::LOG_IN,
    story::CHANGE_PASSWORD,
    "replace_session",
    "update_session",
    "set_session_data",
    "set_session_expiry",
    "renew_session",
];

/// Operations that take the cookie away.
const TAKING: [&str; 4] = [story::LOG_OUT, "delete_session", "delete_sessions", "advance_epoch"];

/// Operations on what the user that the run has made does not have.
const LACKING: [&str; 2] = ["delete_user_session", "delete_user_token"];

/// An event of a request or of the whole collection.
pub(super) fn event(listen: &str, script: &str) -> Value {
    let lines: Vec<&str> = script.trim_end().lines().collect();
    json!({ "listen": listen, "script": { "type": "text/javascript", "exec": lines } })
}

/// What runs before the request is sent.
pub(super) fn before(operation: &Operation<'_>, body: Option<&Value>) -> Option<String> {
    if operation.streams() {
        return Some(
            "// A stream has no end, and a run would wait for it: send it by itself, or with curl.\n\
            pm.execution.skipRequest();"
                .to_owned(),
        );
    }
    let name = body.and_then(|body| body["username"].as_str()).filter(|_| operation.id == story::REGISTER)?;
    Some(include_str!("register.js").replace("NAME", name))
}

/// The problem that an operation ends with here, since what it needs comes another way.
///
/// Links come by mail; other credentials than the session are not in the collection; nobody logs in as a user that was
/// just made.
pub(super) fn refusal(operation: &Operation<'_>) -> Option<Code> {
    match operation.door() {
        Door::Closed => Some(Code::NotAuthenticated),
        _ if operation.id.starts_with("confirm_") => Some(Code::InvalidToken),
        _ if LACKING.contains(&operation.id) => Some(Code::NotFound),
        _ => None,
    }
}

/// What has to hold for the answer.
pub(super) fn after(document: &Value, operations: &[Operation<'_>], operation: &Operation<'_>) -> String {
    let mut script = Vec::new();
    if let Some(code) = refusal(operation) {
        let (status, code) = (code.status().as_u16(), code.name());
        test(
            &mut script,
            &format!("is refused with {status}, {code}"),
            &[
                format!("pm.response.to.have.status({status});"),
                format!("pm.expect(pm.response.json().code).to.equal({});", quoted(code)),
            ],
        );
        return script.join("\n");
    }
    let successes: Vec<(&str, &Value)> = operation.successes().collect();
    let statuses = successes.iter().map(|(status, _)| *status).collect::<Vec<_>>();
    let (listed, spoken) = (statuses.join(", "), statuses.join(" or "));
    test(&mut script, &format!("answers {spoken}"), &[format!("pm.expect(pm.response.code).to.be.oneOf([{listed}]);")]);
    for (status, response) in &successes {
        let mut inner = Vec::new();
        shape(&mut inner, document, response);
        cookie(&mut inner, document, operation);
        keep(&mut inner, document, operations, operation, response);
        if !inner.is_empty() {
            script.push(String::new());
            script.push(format!("if (pm.response.code === {status}) {{"));
            script.extend(inner.iter().flat_map(|part| part.lines()).map(|line| format!("    {line}")));
            script.push("}".to_owned());
        }
    }
    script.join("\n")
}

/// Media type, headers and body, as documented.
fn shape(script: &mut Vec<String>, document: &Value, response: &Value) {
    match schema::content(response) {
        Some((kind, content)) => {
            let pretty =
                serde_json::to_string_pretty(&schema::resolved(document, &content["schema"])).unwrap_or_default();
            script.push(format!("const schema = {pretty};"));
            test(
                script,
                &format!("is {kind} of the documented shape"),
                &[
                    "const kind = pm.response.headers.get(\"Content-Type\").split(\";\")[0];".to_owned(),
                    format!("pm.expect(kind).to.equal({});", quoted(kind)),
                    "pm.response.to.have.jsonSchema(schema);".to_owned(),
                ],
            );
        }
        None => test(script, "has no body", &["pm.expect(pm.response.text()).to.equal(\"\");".to_owned()]),
    }
    let headers = response["headers"].as_object().into_iter().flatten();
    let due: Vec<&str> =
        headers.filter(|(_, header)| header["required"] == true).map(|(name, _)| name.as_str()).collect();
    if !due.is_empty() {
        let lines: Vec<String> =
            due.iter().map(|name| format!("pm.response.to.have.header({});", quoted(name))).collect();
        test(script, &format!("has {}", due.join(", ")), &lines);
    }
}

/// That the jar has another cookie, or none any more.
fn cookie(script: &mut Vec<String>, document: &Value, operation: &Operation<'_>) {
    let name = &document["components"]["securitySchemes"]["sessionCookie"]["name"];
    let name = name.as_str().unwrap_or_default();
    let sets = |form: &str| {
        format!(
            "pm.expect(pm.response.headers.filter((header) => {form}.test(`${{header.key}}: ${{header.value}}`))).to.have.lengthOf(1);"
        )
    };
    if GIVING.contains(&operation.id) {
        test(
            script,
            "sets the session's cookie",
            &[
                sets(&format!("/^set-cookie: {name}=[^;]+;/i")),
                format!("pm.expect(pm.cookies.has({})).to.be.true;", quoted(name)),
            ],
        );
    } else if TAKING.contains(&operation.id) {
        test(
            script,
            "takes the session's cookie away",
            &[
                sets(&format!("/^set-cookie: {name}=;.*Max-Age=0(;|$)/i")),
                format!("pm.expect(pm.cookies.has({})).to.be.false;", quoted(name)),
            ],
        );
    }
}

/// What the next requests need.
fn keep(
    script: &mut Vec<String>,
    document: &Value,
    operations: &[Operation<'_>],
    operation: &Operation<'_>,
    response: &Value,
) {
    let schema = schema::content(response).map_or(&Value::Null, |(_, content)| &content["schema"]);
    let mut lines = Vec::new();
    if let Some((other, parameter)) = operation.item_parameter(operations) {
        let variable = quoted(&other.variable(parameter));
        let is_made = operations.iter().any(|maker| maker.method == "post" && maker.path == operation.path);
        let member = [parameter, "id"].into_iter().find(|member| schema::has_member(document, schema, member));
        match member {
            Some(member) if operation.method == "post" => {
                lines.push(format!("pm.collectionVariables.set({variable}, pm.response.json().{member});"));
            }
            None if operation.method == "get" && !is_made && schema::has_member(document, schema, "items") => {
                let items = &schema::resolved(document, schema)["properties"]["items"]["items"]["properties"];
                if let Some(member) = [parameter, "id"].into_iter().find(|member| items.get(member).is_some()) {
                    lines.push("const [first] = pm.response.json().items;".to_owned());
                    lines.push(format!("if (first) pm.collectionVariables.set({variable}, first.{member});"));
                }
            }
            _ => {}
        }
    }
    if operation.id == story::CHANGE_PASSWORD {
        lines.push(
            "const [old, now] = [\"password\", \"newPassword\"].map((name) => pm.collectionVariables.get(name));"
                .to_owned(),
        );
        lines.push("pm.collectionVariables.set(\"password\", now);".to_owned());
        lines.push("pm.collectionVariables.set(\"newPassword\", old);".to_owned());
    }
    if response["headers"].get("ETag").is_some() {
        lines.push("pm.collectionVariables.set(\"etag\", pm.response.headers.get(\"ETag\") ?? \"\");".to_owned());
    }
    script.extend(lines);
}

/// One test: its name, and the lines that may not fail.
fn test(script: &mut Vec<String>, name: &str, lines: &[String]) {
    let lines = lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
    script.push(format!(
        "pm.test({}, () => {{
{lines}}});",
        quoted(name)
    ));
}

/// A string of JavaScript.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
