//! Problems: every failure as one `application/problem+json` (RFC 9457), and the one table that makes them.
//!
//! Owns the closed list of codes. What the caller may know stands in the problem; what the log must know goes with the
//! answer as a [`Refusal`], and `front.rs` logs it, once, under the same request id. No problem quotes input, a
//! library's text or a path.

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::error::{
    AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::types::ToJSON as _;
use poem_openapi::{ApiResponse, Enum, Object};

use crate::api::cookie;
use crate::app::Part;
use crate::error::{Error, Fault};
use crate::request;

/// The media type of every failure.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($code:ident $name:literal $status:ident $title:literal $remedy:literal;)*) => {
        /// What went wrong. The list is closed: a new code is a new version of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
        #[oai(rename = "ProblemCode")]
        pub enum Code {
            $(#[doc = $title] #[oai(rename = $name)] $code,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as it stands in problems.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// The HTTP status that always goes with it.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)* }
            }

            /// What it means, the same in every problem of this code.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            /// How to mend it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$code => $remedy,)* }
            }
        }
    };
}

codes! {
    MalformedBody "malformed_body" BAD_REQUEST "The body is not one JSON text"
        "Send one JSON text in UTF-8, each member once, nested at most 64 deep.";
    InvalidParameter "invalid_parameter" BAD_REQUEST "A parameter cannot be accepted"
        "Send each parameter once, in the form that the API document gives.";
    InvalidToken "invalid_token" UNPROCESSABLE_ENTITY "The link is not good, or not any more"
        "Ask for another mail. Only the newest link works, once, for 30 minutes.";
    NotAuthenticated "not_authenticated" UNAUTHORIZED "Nobody is logged in"
        "Log in with POST /v1/login and send the cookie that it sets.";
    InvalidCredentials "invalid_credentials" UNAUTHORIZED "The log-in failed"
        "Check the name and the password.";
    Forbidden "forbidden" FORBIDDEN "The right to do this is lacking"
        "Ask an administrator for the right.";
    WrongPassword "wrong_password" FORBIDDEN "The old password is not right"
        "Send the present password as old_password.";
    RegistrationClosed "registration_closed" FORBIDDEN "Registration is closed"
        "Ask an administrator for an account.";
    CrossSite "cross_site" FORBIDDEN "The request comes from another site"
        "Call from a page of a configured origin, or from a client that is no browser.";
    NotFound "not_found" NOT_FOUND "There is no such thing"
        "Check the path and the identifier.";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The resource does not have this method"
        "Use one of the methods in the Allow field.";
    NotAcceptable "not_acceptable" NOT_ACCEPTABLE "The answer cannot be given in the wished form"
        "Accept application/json.";
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "The request took too long to arrive"
        "Send it again, faster.";
    Taken "taken" CONFLICT "The name is in use"
        "Choose another name; names that differ only in case or width count as the same.";
    Conflict "conflict" CONFLICT "Somebody else changed the thing in between"
        "Read it again and repeat the change.";
    LastSuperuser "last_superuser" CONFLICT "No active superuser would be left"
        "Make another superuser first.";
    TooManyTokens "too_many_tokens" CONFLICT "There are as many API tokens as one user may have"
        "End one with DELETE /v1/tokens/{id}; after a thousand that were ended early, end all with DELETE /v1/sessions.";
    PreconditionFailed "precondition_failed" PRECONDITION_FAILED "If-Match names another state than the present one"
        "Read it again, and repeat the change with the new ETag.";
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "Send at most 64 KiB, and 4 MiB to an import.";
    CookieTooLarge "cookie_too_large" PAYLOAD_TOO_LARGE "The session would not fit into its cookie"
        "Keep less in the session: delete keys, or store the data elsewhere and keep its id.";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The body is not of a media type that is taken"
        "Send Content-Type: application/json, without a content coding.";
    Invalid "invalid" UNPROCESSABLE_ENTITY "Members of the request cannot be accepted"
        "Mend the members that errors lists.";
    RightsTooLarge "rights_too_large" UNPROCESSABLE_ENTITY "The rights would not fit into the user's cookie"
        "Grant many permissions through a group: a group costs only its name.";
    TokenTooLarge "token_too_large" UNPROCESSABLE_ENTITY "The API token would be too long"
        "Name fewer permissions.";
    TooManyRequests "too_many_requests" TOO_MANY_REQUESTS "Too many requests"
        "Wait for as long as Retry-After says.";
    HeadersTooLarge "headers_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "The header is too large"
        "Send fewer or smaller fields; clear the site's cookies.";
    Internal "internal" INTERNAL_SERVER_ERROR "The server failed"
        "Try again; give the request id to whoever runs the server.";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The server cannot do this at the moment"
        "Wait for as long as Retry-After says. Nothing has changed.";
}

impl Code {
    /// The code of a failure that only has a status.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::INTERNAL_SERVER_ERROR => Self::Internal,
            StatusCode::BAD_REQUEST => Self::InvalidParameter,
            _ => match Self::ALL.iter().find(|code| code.status() == status) {
                Some(code) => *code,
                None if status.is_server_error() => Self::Internal,
                None => Self::InvalidParameter,
            },
        }
    }
}

/// One member of the request that cannot be accepted.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ProblemError")]
pub struct ProblemError {
    /// The member, as a name or a path such as `permissions/0`.
    field: String,
    /// A code that a program can rely on.
    code: String,
    /// What is wrong and how to mend it, for a person.
    message: String,
}

impl From<Fault> for ProblemError {
    fn from(fault: Fault) -> Self {
        Self { field: fault.field, code: fault.code.to_owned(), message: fault.message }
    }
}

/// Why a request failed (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct Problem {
    /// A URI reference that names the kind of problem; it leads to its explanation.
    #[oai(rename = "type")]
    kind: String,
    /// What the kind means, for a person; the same for every problem of the kind.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time and how to mend it, for a person.
    detail: String,
    /// The kind, for a program.
    code: Code,
    /// Names this request in the server's log.
    request_id: String,
    /// The members of the request that cannot be accepted.
    errors: Option<Vec<ProblemError>>,
    /// Bytes that the `Set-Cookie` line, or the API token, would take.
    bytes_used: Option<u64>,
    /// Bytes that it may take.
    bytes_allowed: Option<u64>,
    /// The methods of the resource, for the `Allow` field.
    #[oai(skip)]
    allow: Option<String>,
    /// Seconds to wait, for the `Retry-After` field.
    #[oai(skip)]
    retry_after: Option<u64>,
    /// What the log has to know.
    #[oai(skip)]
    reason: Option<String>,
}

/// What the log and the counters have to know of a request that was refused or that failed.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The problem's code.
    pub code: Code,
    /// The server failed, and not the caller.
    pub is_ours: bool,
    /// Why, for the log; nothing secret.
    pub reason: Option<String>,
}

impl Refusal {
    /// Logs it, under the name of the request that is being served.
    pub(crate) fn log(&self, operation: &str) {
        let (request_id, code, reason) = (request::id(), self.code.name(), self.reason.as_deref());
        if self.is_ours {
            tracing::error!(request_id, operation, code, reason, "request failed");
        } else {
            tracing::info!(request_id, operation, code, reason, "request refused");
        }
    }
}

impl Problem {
    /// A problem of this kind, in the words of its remedy.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self::with_detail(code, code.remedy())
    }

    /// A problem of this kind, in its own words.
    #[must_use]
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{}", code.name()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            request_id: request::id(),
            errors: None,
            bytes_used: None,
            bytes_allowed: None,
            allow: None,
            retry_after: None,
            reason: None,
        }
    }

    fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same, with what the log has to know.
    #[must_use]
    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// That these parts are not ready.
    #[must_use]
    pub(crate) fn not_ready(parts: &[Part]) -> Self {
        let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        let mut problem = Self::new(Code::Unavailable).because(format!("not ready: {}", names.join(", ")));
        let error = |part: &Part| {
            let message = match part {
                Part::Store => {
                    "The store accepts no writes. It is opened again as soon as that is possible; the log says what it lacks."
                }
                Part::Memory => "The store was opened again, and memory is being loaded from it.",
                Part::Following => {
                    "Nothing was heard from the shared store for longer than --max-staleness. Sessions are accepted again as soon as it answers; the log says what it lacks."
                }
                Part::Passwords => {
                    "Workers that hash passwords have ended. Restart the server, and report what the log says."
                }
                Part::Server => "The server is stopping. Ask another one.",
            };
            ProblemError { field: part.name().to_owned(), code: "not_ready".to_owned(), message: message.to_owned() }
        };
        problem.errors = Some(parts.iter().map(error).collect());
        problem
    }

    /// That the resource does not have the method, but these.
    #[must_use]
    pub fn method_not_allowed(allow: &str) -> Self {
        let mut problem = Self::new(Code::MethodNotAllowed);
        problem.allow = Some(allow.to_owned());
        problem
    }

    /// That members of the body cannot be accepted.
    #[must_use]
    pub fn invalid(faults: Vec<Fault>) -> Self {
        let mut problem = Self::new(Code::Invalid);
        problem.errors = Some(faults.into_iter().map(ProblemError::from).collect());
        problem
    }

    /// That something would need more bytes than it may take.
    #[must_use]
    pub fn too_large(code: Code, used: usize, allowed: usize) -> Self {
        Self::new(code).with_bytes(used, allowed)
    }

    fn with_bytes(mut self, used: usize, allowed: usize) -> Self {
        self.bytes_used = Some(used as u64);
        self.bytes_allowed = Some(allowed as u64);
        self.detail = format!("{used} bytes of {allowed} would be needed. {}", self.detail);
        self
    }

    /// The problem that an error of the framework is.
    #[must_use]
    pub fn of_framework(error: &poem::Error) -> Self {
        // The framework's own text may quote the input: only names that stand in the API document are passed on.
        if let Some(ParseParamError { name, .. }) = error.downcast_ref() {
            return Self::with_detail(
                Code::InvalidParameter,
                format!("The parameter `{name}` is not of the form that the API document gives."),
            );
        }
        let code = if error.is::<ParsePathError>() {
            Code::NotFound
        } else if error.is::<ParseRequestPayloadError>() {
            Code::MalformedBody
        } else if error.is::<ContentTypeError>() {
            Code::UnsupportedMediaType
        } else if error.is::<AuthorizationError>() {
            Code::NotAuthenticated
        } else {
            Code::of_status(error.status())
        };
        Self::new(code)
    }

    /// The problem that an answer with this status is, when it says nothing better.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        Self::new(Code::of_status(status))
    }
}

impl From<Error> for Problem {
    /// The one table: a fact of the domain, and what the caller is told.
    fn from(error: Error) -> Self {
        let problem = match &error {
            Error::NotAuthenticated(_) => Self::new(Code::NotAuthenticated),
            Error::InvalidCredentials => Self::new(Code::InvalidCredentials),
            Error::WrongPassword => Self::new(Code::WrongPassword),
            Error::InvalidToken => Self::new(Code::InvalidToken),
            Error::Forbidden(needs) => {
                Self::with_detail(Code::Forbidden, format!("This needs {needs}. {}", Code::Forbidden.remedy()))
            }
            Error::BeyondOwnRights(what) => {
                Self::with_detail(Code::Forbidden, format!("This reaches beyond your own rights: {what}."))
            }
            Error::RegistrationClosed => Self::new(Code::RegistrationClosed),
            Error::NotFound(what) => {
                Self::with_detail(Code::NotFound, format!("There is no such {what}. {}", Code::NotFound.remedy()))
            }
            Error::Taken(what) => {
                Self::with_detail(Code::Taken, format!("The name of the {what} is in use. {}", Code::Taken.remedy()))
            }
            Error::Changed => Self::new(Code::Conflict),
            Error::Outdated => Self::with_detail(
                Code::Conflict,
                "Your own rights were changed while the request was on its way. Send it again.",
            ),
            Error::PreconditionFailed => Self::new(Code::PreconditionFailed),
            Error::LastSuperuser => Self::new(Code::LastSuperuser),
            Error::CookieTooLarge { used, allowed } => Self::too_large(Code::CookieTooLarge, *used, *allowed),
            Error::RightsTooLarge { used, allowed } => Self::too_large(Code::RightsTooLarge, *used, *allowed),
            Error::TokenTooLarge { used, allowed } => Self::too_large(Code::TokenTooLarge, *used, *allowed),
            Error::TooManyTokens => Self::new(Code::TooManyTokens),
            Error::Invalid(faults) => Self::invalid(faults.clone()),
            Error::Throttled { retry_after } => Self::new(Code::TooManyRequests).with_retry_after(*retry_after),
            Error::Busy | Error::Unavailable(_) => Self::new(Code::Unavailable),
            Error::Internal(_) => Self::new(Code::Internal),
        };
        problem.because(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = self.to_json_string();
        let refusal = Refusal { code: self.code, is_ours: status.is_server_error(), reason: self.reason };
        let mut response = Response::builder().status(status).content_type(MEDIA_TYPE).body(body);
        let headers = response.headers_mut();
        match self.code {
            Code::NotAuthenticated | Code::InvalidCredentials => {
                // RFC 9110, section 15.5.2, asks for a challenge. `Basic` would open a browser's dialog.
                let challenge = format!("Cookie realm=\"signet\", cookie-name=\"{}\"", cookie::SESSION);
                if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                    headers.insert(header::WWW_AUTHENTICATE, challenge);
                }
            }
            Code::Unavailable | Code::TooManyRequests => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after.unwrap_or(1)));
            }
            _ => {}
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response.extensions_mut().insert(refusal);
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let mut response = problem.into_response();
        let refusal = response.extensions_mut().remove::<Refusal>();
        let mut error = Self::from_response(response);
        // An error brings its own extensions, in the place of the answer's.
        if let Some(refusal) = refusal {
            error.set_data(refusal);
        }
        error
    }
}

/// Every operation can fail; the document says so in one place (`api/document.rs`).
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(registry: &mut Registry) {
        <Self as poem_openapi::types::Type>::register(registry);
    }
}
