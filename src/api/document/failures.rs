//! How each operation can fail: the codes that it can answer, and an example of each.
//!
//! Owns the table. That no code is missing from it is held by the tests, all of which look at every problem that
//! they get.

use std::collections::BTreeMap;

use poem_openapi::types::ToJSON as _;
use serde_json::{Map, Value, json};

use crate::api::problem::{Code, MEDIA_TYPE, Problem};
use crate::api::proxies;
use crate::error::Fault;

/// What of an operation decides how it can fail.
pub(super) struct Operation<'a> {
    pub(super) id: &'a str,
    pub(super) path: &'a str,
    /// Not GET.
    pub(super) changes: bool,
    /// A member that its body can have.
    pub(super) member: Option<&'a str>,
    /// Whether it looks at a session or an API token.
    pub(super) has_caller: bool,
    /// Kind and name of its parameters.
    pub(super) parameters: &'a [(String, String)],
}

/// Codes of single operations.
const SPECIAL: [(Code, &[&str]); 12] = [
    (Code::InvalidCredentials, &["login_account"]),
    (Code::RegistrationClosed, &["register_account"]),
    (Code::WrongPassword, &["change_password", "update_me"]),
    (
        Code::Taken,
        &["register_account", "create_user", "update_user", "create_group", "update_group", "create_permission"],
    ),
    (Code::LastSuperuser, &["update_user", "delete_user", "delete_user_password"]),
    (Code::TooManyTokens, &["create_token"]),
    (Code::TokenTooLarge, &["create_token"]),
    (Code::RightsTooLarge, &["create_user", "update_user", "update_group", "create_permission"]),
    (Code::InvalidToken, &["confirm_password_reset", "confirm_email_verification"]),
    (
        Code::CookieTooLarge,
        &[
            "register_account",
            "login_account",
            "change_password",
            "replace_session",
            "update_session",
            "set_session_data",
            "delete_session_data",
            "set_session_expiry",
            "renew_session",
            "delete_sessions",
            "set_cookie",
        ],
    ),
    (Code::Invalid, &["get_cookie", "set_cookie", "delete_cookie", "request_email_verification"]),
    (
        Code::TooManyRequests,
        &[
            "register_account",
            "login_account",
            "logout_account",
            "delete_session",
            "change_password",
            "update_me",
            "check_password",
            "request_password_reset",
            "confirm_password_reset",
            "request_email_verification",
            "confirm_email_verification",
        ],
    ),
];

/// Where staff works.
const ADMINISTRATION: [&str; 9] = [
    "/v1/users",
    "/v1/groups",
    "/v1/permissions",
    "/v1/epoch",
    "/v1/import",
    "/v1/audit",
    "/v1/figures",
    "/v1/open-sessions",
    "/v1/revocations",
];

/// The codes that the operation can answer, in the order of their list.
fn codes(operation: &Operation<'_>) -> Vec<Code> {
    if operation.path == proxies::VERIFY {
        // A proxy is told these, whatever goes wrong.
        return vec![Code::NotAuthenticated, Code::Forbidden, Code::CrossSite];
    }
    let is_administration =
        ADMINISTRATION.iter().any(|path| operation.path.starts_with(path)) && !operation.path.ends_with("/check");
    let has_body = operation.member.is_some();
    let has = |kind: &str| operation.parameters.iter().any(|(its, _)| its == kind);
    let applies = |code: Code| match code {
        Code::MalformedBody | Code::RequestTimeout | Code::BodyTooLarge | Code::UnsupportedMediaType => has_body,
        Code::NotAuthenticated => operation.has_caller && operation.id != "login_account",
        Code::Forbidden => is_administration,
        Code::CrossSite => operation.changes,
        Code::NotFound => has("path"),
        Code::Conflict => operation.changes && (is_administration || operation.has_caller && has_body),
        Code::PreconditionFailed => operation.parameters.iter().any(|(_, name)| name == "If-Match"),
        Code::InvalidParameter | Code::HeadersTooLarge | Code::Internal | Code::Unavailable => true,
        Code::Invalid if has_body => true,
        code => SPECIAL.iter().any(|(special, ids)| *special == code && ids.contains(&operation.id)),
    };
    Code::ALL.iter().copied().filter(|code| applies(*code)).collect()
}

/// Adds the operation's failures to its answers.
pub(super) fn add(operation: &Operation<'_>, responses: &mut Map<String, Value>) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes(operation) {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        responses.insert(status.to_string(), response(&codes, operation.member));
    }
    responses.sort_keys();
}

/// What one status can mean.
fn response(codes: &[Code], member: Option<&str>) -> Value {
    let titles: Vec<&str> = codes.iter().map(|code| code.title()).collect();
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| (code.name().to_owned(), json!({ "summary": code.title(), "value": example(*code, member) })))
        .collect();
    let mut response = json!({
        "description": format!("{}.", titles.join(". Or: ")),
        "content": { MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" }, "examples": examples } },
    });
    let header = match codes[0] {
        Code::NotAuthenticated | Code::InvalidCredentials => ("WWW-Authenticate", "A challenge that names the cookie."),
        Code::Unavailable | Code::TooManyRequests => ("Retry-After", "Seconds to wait."),
        _ => return response,
    };
    response["headers"] = json!({ header.0: { "description": header.1, "schema": { "type": "string" } } });
    response
}

/// The problem as the server answers it.
pub(super) fn example(code: Code, member: Option<&str>) -> Value {
    let problem = match code {
        Code::Invalid => {
            let fault = Fault::new(member.unwrap_or("name"), "invalid", "has a form that cannot be accepted");
            Problem::invalid(vec![fault])
        }
        Code::CookieTooLarge | Code::RightsTooLarge | Code::TokenTooLarge => Problem::too_large(code, 4_317, 4_096),
        code => Problem::new(code),
    };
    let mut example = problem.to_json().unwrap_or_default();
    example["request_id"] = json!("4bf92f3577b34da6a3ce929d0e0e4736");
    example
}
