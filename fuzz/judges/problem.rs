//! The problem translator: whatever comes in, every failure is a documented problem, never a 500, and quotes nothing.
//!
//! An input is a request as text: `WHO METHOD TARGET`, header fields, an empty line, the body. WHO is `admin` or nobody;
//! `ADMIN` in the target and the body stands for the id of the superuser.

use std::sync::LazyLock;

use poem::http::header::{CONTENT_TYPE, COOKIE};
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use poem::{Endpoint as _, Request, Response};
use serde_json::Value;
use signet::api::problem::{Code, MEDIA_TYPE};

use super::world::{self, World};

/// A word of the input that no problem may hold.
const CANARY: &str = "Zq7xKp";

/// Judges one request.
pub(crate) fn judge(input: &[u8]) {
    world::with(|world| {
        let admin = world.admin.user().unwrap().to_string();
        let Some(request) = request(input, &admin, world.admin.token().unwrap()) else { return };
        let asked = (request.method().clone(), request.uri().path().to_owned());
        world.runtime.block_on(async {
            let response = world.endpoint.call(request).await.expect("the front answers everything");
            is_an_answer(world, &asked, response).await;
        });
    });
}

/// The request, unless no server would even be given such a one.
fn request(input: &[u8], admin: &str, token: &str) -> Option<Request> {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((input, &b""[..]), |end| (&input[..end], &input[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(3, |byte| *byte == b' ');
    let (who, method, target) = (words.next()?, words.next()?, words.next()?);
    let target = String::from_utf8_lossy(target).replace("ADMIN", admin);
    let uri = Uri::try_from(target).ok().filter(|uri| uri.path().starts_with('/'))?;
    let mut request = Request::builder().method(Method::from_bytes(method).ok()?).uri(uri).finish();
    let headers = request.headers_mut();
    for line in lines.take(64) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    if who == b"admin" {
        headers.append(COOKIE, HeaderValue::from_str(&format!("__Host-signet={token}")).ok()?);
    }
    if !body.is_empty() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        match std::str::from_utf8(body) {
            Ok(text) => request.set_body(text.replace("ADMIN", admin)),
            Err(_) => request.set_body(body.to_vec()),
        }
    }
    Some(request)
}

async fn is_an_answer(world: &World, (method, path): &(Method, String), mut response: Response) {
    let (status, headers) = (response.status(), response.headers().clone());
    let context = format!("{method} {path}: {status}");
    assert_eq!(headers.get("x-content-type-options").unwrap(), "nosniff", "{context}");
    assert!(headers.contains_key("cache-control") && headers.contains_key("content-security-policy"), "{context}");
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{context}");
    assert_ne!(status, StatusCode::SERVICE_UNAVAILABLE, "{context}");
    for line in headers.get_all("set-cookie") {
        let line = line.to_str().expect("a cookie is plain text");
        assert!(line.starts_with("__Host-signet") && line.len() <= 4096, "{context}: {line}");
        assert!(line.ends_with("; Path=/; HttpOnly; Secure; SameSite=Strict"), "{context}: {line}");
    }
    // A stream has no end to wait for.
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        return;
    }
    let body = response.take_body().into_vec().await.unwrap();
    if status.as_u16() < 400 || *method == Method::HEAD {
        assert!(status.as_u16() < 600, "{context}");
        return;
    }
    assert_eq!(headers.get(CONTENT_TYPE).unwrap(), MEDIA_TYPE, "{context}");
    let problem: Value = serde_json::from_slice(&body).expect("a problem is JSON");
    let code = problem["code"].as_str().unwrap_or_default();
    let known = Code::ALL.iter().find(|known| known.name() == code).unwrap_or_else(|| panic!("{context}: {problem}"));
    assert_eq!(known.status(), status, "{context}");
    assert_eq!(problem["status"], status.as_u16(), "{context}");
    assert_eq!(problem["type"], format!("/problems/{code}"), "{context}");
    assert_eq!(problem["title"], known.title(), "{context}");
    assert!(is_documented(method, path, status, code), "{context}: {code} is not in the API document");
    let said = String::from_utf8_lossy(&body);
    assert!(!said.contains(CANARY), "{context} quotes its input: {said}");
    assert!(!said.contains(&*world.folder.path().to_string_lossy()), "{context} names a path: {said}");
}

/// Whether the API document says that the operation can answer the code. What is none can answer all.
fn is_documented(method: &Method, path: &str, status: StatusCode, code: &str) -> bool {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(signet::api::document::document);
    let path: Vec<&str> = path.split('/').collect();
    let is_it = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == path.len() && parts.iter().zip(&path).all(|(part, named)| part.starts_with('{') || part == named)
    };
    let mut paths: Vec<_> = DOCUMENT["paths"].as_object().unwrap().iter().filter(|(path, _)| is_it(path)).collect();
    // A path that is spelt out comes before one with a parameter.
    paths.sort_by_key(|(path, _)| path.contains('{'));
    // `get` is no method that there is.
    let known = method.as_str().to_uppercase() == method.as_str();
    let operation =
        paths.first().filter(|_| known).and_then(|(_, methods)| methods.get(method.as_str().to_lowercase()));
    operation.is_none_or(|operation| {
        let answers = &operation["responses"][status.as_str()]["content"][MEDIA_TYPE]["examples"];
        answers[code]["value"]["code"] == code
    })
}
