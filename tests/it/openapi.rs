//! The contract: the committed document is what the code says, and says what the server does.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use signet::api::problem::Code;

use crate::harness::{Server, unpacked};

fn operations(document: &Value) -> Vec<(String, String, Map<String, Value>)> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            found.push((path.clone(), method.clone(), operation.as_object().unwrap().clone()));
        }
    }
    found
}

/// Whether a success has no end of its own.
fn is_stream(operation: &Map<String, Value>) -> bool {
    operation["responses"]["200"]["content"].get("text/event-stream").is_some()
}

#[test]
fn the_committed_document_is_the_one_that_the_code_writes() {
    is_committed("openapi/signet.json", &signet::api::document::text());
}

/// Fails when the file is not what the code writes, or writes it when it is asked to.
pub(crate) fn is_committed(path: &str, written: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if is_to_be_rewritten() {
        return std::fs::write(&file, written).unwrap();
    }
    let is_same = std::fs::read_to_string(&file).unwrap_or_default() == written;
    assert!(is_same, "{path} is not what the code writes; {REWRITE} does");
}

const REWRITE: &str = "SIGNET_REWRITE=1 cargo test --test it -- openapi postman";

#[expect(clippy::disallowed_methods, reason = "asks to rewrite the files")]
fn is_to_be_rewritten() -> bool {
    std::env::var("SIGNET_REWRITE").is_ok()
}

/// The framework has script and style inline in a page of its own, which needs `unsafe-inline`, and not packed.
#[test]
fn the_committed_swagger_ui_is_the_frameworks() {
    let page = poem_openapi::OpenApiService::new((), "", "").swagger_ui_html();
    for (path, start, end) in [
        ("src/api/docs/swagger-ui.js.gz", "<script charset=\"UTF-8\">", "</script>"),
        ("src/api/docs/swagger-ui.css.gz", "<style charset=\"UTF-8\">", "</style>"),
    ] {
        let inner = page.split_once(start).and_then(|(_, rest)| rest.split_once(end)).unwrap().0;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = unpacked(&std::fs::read(&file).unwrap());
        if text != inner.as_bytes() && is_to_be_rewritten() {
            let mut packed = GzEncoder::new(File::create(&file).unwrap(), Compression::best());
            packed.write_all(inner.as_bytes()).unwrap();
            packed.finish().unwrap();
            continue;
        }
        assert!(
            text == inner.as_bytes() && text.len() > 100_000,
            "{path} is not the framework's; {REWRITE} makes it that"
        );
    }
}

#[tokio::test]
async fn swagger_ui_is_sent_packed_to_who_takes_that_and_only_when_it_has_changed() {
    let server = Server::start().await;
    let mut nobody = server.anonymous();
    for (name, kind) in
        [("swagger-ui.js", "text/javascript; charset=utf-8"), ("swagger-ui.css", "text/css; charset=utf-8")]
    {
        let path = format!("/docs/{name}");
        let packed = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/api{path}.gz"))).unwrap();
        let plain = unpacked(&packed);
        for (accepted, coding, expected) in [("gzip", Some("gzip"), packed), ("identity", None, plain)] {
            let mut get = async |fields: &[(&str, &str)]| {
                let fields = [fields, &[("accept-encoding", accepted)]].concat();
                nobody.call(Method::GET, &path, None, &fields).await
            };
            let answer = get(&[]).await.is(StatusCode::OK);
            assert!(answer.body == expected, "{path}: {accepted}");
            assert_eq!(answer.header("content-encoding"), coding);
            assert_eq!((answer.header("content-type"), answer.header("vary")), (Some(kind), Some("Accept-Encoding")));
            let tag = answer.header("etag").unwrap();
            get(&[("if-none-match", tag)]).await.is(StatusCode::NOT_MODIFIED);
        }
    }
}

#[test]
fn every_operation_can_be_understood() {
    let document = signet::api::document::document();
    let mut ids = BTreeSet::new();
    let tags: Vec<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(tags, signet::api::GROUPS);
    for (path, method, operation) in operations(&document) {
        let context = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{context}: no id"));
        assert!(ids.insert(id.to_owned()), "{context}: {id} twice");
        assert!(id.contains('_') && id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{context}: {id}");
        let summary = operation["summary"].as_str().unwrap_or_else(|| panic!("{context}: no summary"));
        assert!(summary.len() > 5 && !summary.ends_with('.'), "{context}: {summary}");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{context}");
        assert!(tags.contains(&operation["tags"][0].as_str().unwrap()), "{context}");
        for parameter in operation.get("parameters").and_then(Value::as_array).unwrap_or(&Vec::new()) {
            assert!(parameter["description"].as_str().is_some_and(|text| text.len() > 3), "{context}: {parameter}");
            if parameter["in"] == "path" {
                assert!(parameter.get("example").is_some(), "{context}: no example for {}", parameter["name"]);
            }
        }
        if let Some(body) = operation.get("requestBody") {
            let content = body["content"].as_object().unwrap();
            assert_eq!(content.keys().collect::<Vec<_>>(), ["application/json"], "{context}");
            assert!(content["application/json"].get("example").is_some(), "{context}: no example of the body");
        }
        assert!(operation["description"].as_str().is_some_and(|text| text.ends_with('.')), "{context}: no description");
        assert!(operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty()), "{context}: no security");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{context}");
        for status in ["500", "503"] {
            // A proxy is never told either.
            assert_eq!(responses.contains_key(status), path != "/v1/verify", "{context}: {status}");
        }
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{context}: {status}");
            let expected = match status.as_str() {
                "200" if is_stream(&operation) => "text/event-stream",
                status if status.starts_with('2') => "application/json",
                _ => "application/problem+json",
            };
            for (kind, media) in response.get("content").and_then(Value::as_object).into_iter().flatten() {
                assert_eq!(kind, expected, "{context}: {status}");
                let examples = match media.get("examples").and_then(Value::as_object) {
                    Some(named) => named.values().map(|example| &example["value"]).collect(),
                    None => vec![&media["example"]],
                };
                assert!(!examples.is_empty(), "{context}: {status}: no example");
                for example in examples {
                    let mut faults = Vec::new();
                    judge(&document, &media["schema"], example, &format!("{context}: {status}"), &mut faults);
                    assert!(faults.is_empty(), "{}", faults.join("\n"));
                    if kind == "application/problem+json" {
                        // As the server's other problems are judged wherever a test gets one.
                        let code = Code::ALL.iter().find(|code| code.name() == example["code"]).unwrap();
                        assert_eq!(code.status().as_str(), status, "{context}");
                        assert_eq!(example["title"], code.title(), "{context}");
                    }
                }
            }
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["sessionCookie"]["in"], "cookie");
    assert_eq!(document["components"]["securitySchemes"]["sessionCookie"]["name"], "__Host-signet");
}

#[test]
fn every_request_body_is_closed_and_its_example_is_one() {
    let document = signet::api::document::document();
    let mut seen = 0;
    for (path, method, operation) in operations(&document) {
        let Some(reference) =
            operation.get("requestBody").and_then(|body| body.pointer("/content/application~1json/schema/$ref"))
        else {
            continue;
        };
        let schema = document.pointer(reference.as_str().unwrap().trim_start_matches('#')).unwrap();
        assert_eq!(schema["additionalProperties"], false, "{method} {path}");
        let example = operation["requestBody"]["content"]["application/json"]["example"].as_object().unwrap();
        for name in schema["required"].as_array().unwrap_or(&Vec::new()) {
            assert!(example.contains_key(name.as_str().unwrap()), "{method} {path}: {name}");
        }
        for (name, value) in example {
            assert!(schema["properties"].get(name).is_some() && !value.is_null(), "{method} {path}: {name}");
        }
        seen += 1;
    }
    assert!(seen >= 12, "{seen}");
}

/// Whether a value is of a schema, as far as this document uses schemas.
fn judge(document: &Value, schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return judge(document, document.pointer(reference.trim_start_matches('#')).unwrap(), value, path, faults);
    }
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        judge(document, part, value, path, faults);
    }
    let fits = match schema["type"].as_str() {
        None => true,
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => panic!("{path}: {other}"),
    };
    if !fits {
        faults.push(format!("{path}: {value} is not of {schema}"));
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        judge(document, &schema["items"], item, &format!("{path}/{at}"), faults);
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            faults.push(format!("{path}: {name} is missing"));
        }
    }
    for (name, value) in members {
        match schema["properties"].get(name) {
            Some(schema) => judge(document, schema, value, &format!("{path}/{name}"), faults),
            None if schema["additionalProperties"].is_object()
                || schema["allOf"].is_array()
                || schema["type"].is_null() => {}
            None => faults.push(format!("{path}: {name} is not in the document")),
        }
    }
}

/// Calls every operation with the example that the document gives for it, in the order of use.
#[tokio::test]
async fn what_the_server_answers_is_what_the_document_says() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    server.group("editors", &["polls.vote"]).await;
    let (_, somebody) = server.user("somebody", json!({})).await;
    let served = server.anonymous().get("/openapi.json").await.is(StatusCode::OK);
    assert!(String::from_utf8(served.body).unwrap() == signet::api::document::text());
    let document = signet::api::document::document();
    let rank = |operation: &Map<String, Value>, method: &str| {
        let tag = operation["tags"][0].as_str().unwrap();
        let group = signet::api::GROUPS.iter().position(|group| *group == tag);
        (method == "delete", operation["operationId"] == "advance_epoch", group)
    };
    let mut all = operations(&document);
    all.sort_by_key(|(_, method, operation)| rank(operation, method));
    let mut faults = Vec::new();
    let mut statuses = BTreeSet::new();
    for (path, method, operation) in all {
        for mut client in [server.admin().await, server.anonymous()] {
            let mut real = path.clone();
            for parameter in operation.get("parameters").and_then(Value::as_array).unwrap_or(&Vec::new()) {
                if parameter["in"] == "path" {
                    let name = parameter["name"].as_str().unwrap();
                    real = real.replace(&format!("{{{name}}}"), parameter["example"].as_str().unwrap());
                }
            }
            real = real.replace("/v1/users/q3bXcK0aTn2vSgYkPzq1bA", &format!("/v1/users/{somebody}"));
            if is_stream(&operation) {
                real.push_str("?seconds=0");
            }
            let content = operation.get("requestBody").map(|body| &body["content"]["application/json"]);
            let body = content.map(|content| content["example"].clone());
            let verb = method.to_uppercase().parse().unwrap();
            let answer = client.call(verb, &real, body, &[]).await;
            let context = format!("{method} {real}: {}", answer.status);
            statuses.insert(answer.status.as_u16());
            let Some(response) = operation["responses"].get(answer.status.as_str()) else {
                faults.push(format!("{context} is not in the document: {}", String::from_utf8_lossy(&answer.body)));
                continue;
            };
            let kind = answer.header("content-type").map(|kind| kind.trim_end_matches("; charset=utf-8"));
            match response["content"].as_object().and_then(|content| content.iter().next()) {
                Some((expected, content)) => {
                    if kind != Some(expected) {
                        faults.push(format!("{context}: {kind:?}"));
                    }
                    let body = match expected.as_str() {
                        "text/event-stream" => Value::String(String::from_utf8(answer.body.clone()).unwrap()),
                        _ => answer.json(),
                    };
                    judge(&document, &content["schema"], &body, &context, &mut faults);
                }
                None if !answer.body.is_empty() => {
                    faults.push(format!("{context}: a body that is not in the document"));
                }
                None => {}
            }
            for (name, _) in
                response["headers"].as_object().into_iter().flatten().filter(|(_, h)| h["required"] == true)
            {
                if answer.header(&name.to_lowercase()).is_none() {
                    faults.push(format!("{context}: no {name}"));
                }
            }
            if !answer.set_cookies().is_empty() && response["headers"]["Set-Cookie"].is_null() {
                faults.push(format!("{context}: a cookie that is not in the document"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for status in [200, 201, 204, 401, 403, 404] {
        assert!(statuses.contains(&status), "{status} never came: {statuses:?}");
    }
}
