//! The Postman collection: the committed file is what the code makes of the document, and holds all of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use signet::api::{document, postman};

use crate::openapi::is_committed;

fn folders(collection: &Value) -> &Vec<Value> {
    collection["item"].as_array().unwrap()
}

fn requests(folder: &Value) -> &Vec<Value> {
    folder["item"].as_array().unwrap()
}

/// Method and path, as the document writes them.
fn place(item: &Value) -> String {
    let url = item["request"]["url"]["raw"].as_str().unwrap().strip_prefix("{{baseUrl}}").unwrap();
    let path = url.split('?').next().unwrap().split('/').map(|part| match part.strip_prefix(':') {
        Some(name) => format!("{{{name}}}"),
        None => part.to_owned(),
    });
    let path: Vec<String> = path.collect();
    format!("{} {}", item["request"]["method"].as_str().unwrap().to_lowercase(), path.join("/"))
}

#[test]
fn the_committed_collection_is_the_one_that_the_code_writes() {
    let written = postman::text();
    assert!(written == postman::text(), "two collections of one document differ");
    is_committed("openapi/signet.postman_collection.json", &written);
}

#[test]
fn every_operation_is_a_request_in_the_folder_of_its_group() {
    let document = document::document();
    let collection = postman::collection(&document);
    let names: Vec<&Value> = folders(&collection).iter().map(|folder| &folder["name"]).collect();
    assert_eq!(names, document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect::<Vec<_>>());
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for folder in folders(&collection) {
        for item in requests(folder) {
            let at = (folder["name"].as_str().unwrap().to_owned(), item["name"].as_str().unwrap().to_owned());
            found.entry(place(item)).or_default().push(at);
        }
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let here = found.remove(&format!("{method} {path}")).unwrap_or_default();
            let own = (operation["tags"][0].as_str().unwrap(), operation["summary"].as_str().unwrap());
            let times = here.iter().filter(|(folder, name)| (folder.as_str(), name.as_str()) == own).count();
            assert_eq!(times, 1, "{method} {path}: {here:?}");
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_request_is_tested_and_leaves_the_cookie_to_the_jar() {
    let collection = postman::collection(&document::document());
    let text = collection.to_string();
    assert!(collection.get("auth").is_none() && !text.contains(r#""auth":"#));
    let known: Vec<String> = collection["variable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| {
            assert!(variable["description"].as_str().is_some_and(|text| text.len() > 3), "{variable}");
            format!("{{{{{}}}}}", variable["key"].as_str().unwrap())
        })
        .collect();
    for item in folders(&collection).iter().flat_map(requests) {
        let context = place(item);
        let tests = item["event"].as_array().unwrap().iter().filter(|event| event["listen"] == "test");
        let script = tests.flat_map(|event| event["script"]["exec"].as_array().unwrap());
        let script: Vec<&str> = script.map(|line| line.as_str().unwrap()).collect();
        assert!(script.iter().any(|line| line.trim_start().starts_with("pm.test(")), "{context}");
        assert!(
            script.iter().any(|line| line.contains("pm.response.code).to") || line.contains("have.status")),
            "{context}"
        );
        for header in item["request"]["header"].as_array().unwrap() {
            let name = header["key"].as_str().unwrap();
            assert!(!["cookie", "authorization"].contains(&name.to_lowercase().as_str()), "{context}: {name}");
        }
        for parameter in item["request"]["url"]["query"].as_array().into_iter().flatten() {
            assert_eq!(parameter["disabled"], true, "{context}: {parameter}");
        }
        let request = item["request"].to_string();
        let used = request.match_indices("{{").map(|(at, _)| {
            let rest = &request[at..];
            &rest[..rest.find("}}").unwrap() + 2]
        });
        for variable in used {
            assert!(known.iter().any(|one| one == variable), "{context}: {variable}");
        }
    }
}

/// What an operation that nobody has told the rules about becomes.
#[test]
fn an_operation_that_is_not_known_has_its_place() {
    let mut document = document::document();
    document["tags"].as_array_mut().unwrap().insert(0, json!({ "name": "Things", "description": "New." }));
    let operation = |id: &str, status: &str, content: Value, more: Value| {
        let mut operation = json!({
            "tags": ["Things"], "operationId": id, "summary": id, "security": [{ "sessionCookie": [] }],
            "responses": { status: { "description": "Done.", "content": content }, "403": { "description": "No." } },
        });
        operation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        operation
    };
    let thing =
        json!({ "application/json": { "schema": { "type": "object", "properties": { "id": { "type": "string" } } } } });
    let parameters =
        json!([{ "name": "id", "in": "path", "required": true, "description": "The thing.", "example": "one" }]);
    let body =
        json!({ "content": { "application/json": { "example": { "name": "first", "permissions": ["polls.vote"] } } } });
    document["paths"]["/v1/things/{id}"] = json!({
        "delete": operation("delete_thing", "204", Value::Null, json!({ "parameters": parameters })),
        "get": operation("get_thing", "200", thing.clone(), json!({ "parameters": parameters })),
    });
    document["paths"]["/v1/things"] = json!({
        "get": operation("list_things", "200", thing.clone(), json!({})),
        "post": operation("create_thing", "201", thing, json!({ "requestBody": body })),
    });
    let stream = json!({ "text/event-stream": { "schema": { "type": "string" } } });
    document["paths"]["/v1/things/stream"] = json!({ "get": operation("stream_things", "200", stream, json!({})) });
    let elsewhere = json!({ "security": [{ "apiToken": [] }] });
    document["paths"]["/v1/things/sum"] = json!({ "get": operation("sum_things", "200", Value::Null, elsewhere) });

    let collection = postman::collection(&document);
    let folder = folders(&collection).first().unwrap();
    let names: Vec<&str> = requests(folder).iter().map(|item| item["name"].as_str().unwrap()).collect();
    let story = [
        "Log in as the administrator",
        "create_thing",
        "get_thing",
        "list_things",
        "stream_things",
        "sum_things",
        "delete_thing",
    ];
    assert_eq!(names, story);
    let last = folders(&collection).iter().flat_map(requests).last().unwrap();
    assert_eq!(last["name"], "Log out at the end");
    let item = |name: &str| requests(folder).iter().find(|item| item["name"] == name).unwrap();
    let make = item("create_thing");
    assert_eq!(make["request"]["body"]["raw"], "{\n  \"name\": \"first-{{run}}\",\n  \"permissions\": []\n}");
    assert!(make["event"].to_string().contains(r#"pm.collectionVariables.set(\"thingId\", pm.response.json().id)"#));
    assert_eq!(item("get_thing")["request"]["url"]["variable"][0]["value"], "{{thingId}}");
    assert!(item("stream_things")["event"].to_string().contains("pm.execution.skipRequest()"));
    assert!(item("sum_things")["event"].to_string().contains("pm.response.to.have.status(401)"));
}
