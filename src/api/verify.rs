//! "May this pass?", for reverse proxies that ask before they let a request through.
//!
//! The proxy sends the request's own header fields, its method, host and path; the answer is 204 with who it is, or
//! 401 or 403. Nothing else is answered, whatever goes wrong: nginx makes a failure of its own of any other status.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use poem::http::uri::Authority;
use poem::http::{HeaderMap, Method, StatusCode, header};
use poem::web::Data;
use poem::{Endpoint, IntoResponse as _, Request, Response};
use poem_openapi::param::Query;
use poem_openapi::{ApiResponse, OpenApi};

use crate::api::Group;
use crate::api::bearer::{Demanding as _, EitherLookedAt};
use crate::api::caller::LoginRequired;
use crate::api::origin::original_method;
use crate::api::problem::{Code, Problem, Refusal};
use crate::api::visit::{Repeats, Settings, Visit};
use crate::error::Error;
use crate::request;
use crate::rights::Holder;

/// Bytes that the list of all permissions may take: a proxy's buffer holds the whole head.
const PERMISSIONS_MAX: usize = 2048;

/// The fields in which proxies name the path and query of the original request.
const PATHS: [&str; 2] = ["x-forwarded-uri", "x-original-uri"];

/// The fields in which proxies name the host of the original request.
const HOSTS: [&str; 2] = ["x-forwarded-host", "x-original-host"];

/// The parameters of a question.
const PARAMETERS: [&str; 6] = ["permission", "any", "group", "staff", "redirect", "identity"];

/// It may pass.
#[derive(ApiResponse)]
pub enum Verified {
    /// It may pass; this is who it is. Anything but letters, digits and `@ . + - _ ~ :` is percent-encoded.
    #[oai(status = 204)]
    Pass(
        /// The user's name, or that of an API token's owner; empty for nobody.
        #[oai(header = "X-Auth-User")]
        String,
        /// The user; empty for nobody.
        #[oai(header = "X-Auth-User-Id")]
        String,
        /// Names of the groups, separated by commas; empty for an API token, which is in none.
        #[oai(header = "X-Auth-Groups")]
        String,
        /// Permissions, separated by commas: all of them; those that were asked for when all would take more than
        /// 2,048 bytes, or for a superuser, who has every permission there is.
        #[oai(header = "X-Auth-Permissions")]
        String,
        /// The session; empty when there is none, as for an API token.
        #[oai(header = "X-Auth-Session")]
        String,
        /// The same as a signed token for the host that was asked for, good for a minute; empty unless it was asked for.
        #[oai(header = "X-Auth-Token")]
        String,
    ),
    /// A browser that has to log in first, when a redirect was asked for.
    #[oai(status = 302)]
    LogIn(
        /// The page to log in at, with the way back in `next`.
        #[oai(header = "Location")]
        String,
    ),
}

/// Operations for proxies.
pub struct VerifyApi;

#[OpenApi(tag = "Group::Rights")]
impl VerifyApi {
    /// Let a request pass
    ///
    /// For reverse proxies. Every condition that is given has to hold; without one, somebody has to be logged in. A
    /// parameter that is not known, or a list that is empty, is a mistake, and nothing passes. The cross-site rule is
    /// judged for the original request, whose method stands in `X-Forwarded-Method` or `X-Original-Method`; without
    /// either it counts as unsafe, and so does the begin of a WebSocket. A session that is due for renewal gets its
    /// cookie with this answer. Without a cookie of ours an API token is looked at: it passes where its permissions
    /// do, and never as staff or as a member of a group.
    ///
    /// A back end that wants proof asks for the signed token: a JWT of the type `identity+jwt`, for 60 seconds, whose
    /// `aud` is the host in `X-Forwarded-Host` or `X-Original-Host`, in lower case and without a port.
    /// It verifies with the public keys alone, and nothing in this API takes it.
    #[oai(path = "/v1/verify", method = "get", operation_id = "verify_request")]
    #[expect(clippy::too_many_arguments, reason = "each parameter of the query is one")]
    async fn verify_request(
        &self,
        visit: Data<&Visit>,
        _looked_at: EitherLookedAt,
        request: &Request,
        /// Permissions that are needed, all of them; separated by commas.
        permission: Query<Option<String>>,
        /// Permissions of which one is needed; separated by commas.
        any: Query<Option<String>>,
        /// Groups that are needed, all of them; separated by commas.
        group: Query<Option<String>>,
        /// `true` when only staff may pass.
        staff: Query<Option<String>>,
        /// `true` when a browser that has to log in is sent to the log-in page, where the server has one. Not for
        /// nginx.
        redirect: Query<Option<String>>,
        /// `true` when the answer shall carry a signed token; then nothing passes without the host of the request.
        identity: Query<Option<String>>,
    ) -> Result<Verified, Problem> {
        let method = original_method(request.headers());
        if !visit.settings().origins.allow(&method, request.headers()) {
            return Err(Problem::new(Code::CrossSite));
        }
        if !is_understood(request) {
            return Err(Problem::with_detail(Code::InvalidParameter, "A parameter is not known, or an empty list."));
        }
        let asked = Conditions {
            permissions: list(permission.as_deref()),
            any: any.as_deref().map(|names| list(Some(names))),
            groups: list(group.as_deref()),
            staff: staff.as_deref().map(flag).transpose()?.unwrap_or_default(),
        };
        let redirect = redirect.as_deref().map(flag).transpose()?.unwrap_or_default();
        let identity = identity.as_deref().map(flag).transpose()?.unwrap_or_default();
        let admitted = visit.admit_holder(request, LoginRequired::demand).await;
        match admitted {
            Err(Error::NotAuthenticated(_)) if redirect && is_page_load(&method, request.headers()) => {
                let way = log_in_page(visit.settings(), request.headers());
                way.map(Verified::LogIn).ok_or_else(|| Problem::new(Code::NotAuthenticated))
            }
            Err(error) => Err(error.into()),
            Ok(()) => {
                let holder = visit.holder().ok_or_else(|| Problem::new(Code::NotAuthenticated))?;
                asked.judge(holder)?;
                let permissions = asked.permissions(holder);
                if !identity {
                    visit.repeats(Repeats::ForProxies);
                }
                let signed = identity.then(|| identity_token(visit.0, request, holder, &permissions)).transpose()?;
                Ok(pass(holder, &permissions, signed.unwrap_or_default()))
            }
        }
    }
}

/// What the proxy asks of whoever wants to pass.
struct Conditions<'a> {
    permissions: Vec<&'a str>,
    any: Option<Vec<&'a str>>,
    groups: Vec<&'a str>,
    staff: bool,
}

impl Conditions<'_> {
    fn judge(&self, holder: &dyn Holder) -> Result<(), Error> {
        let lacking = self.permissions.iter().find(|name| !holder.has_permission(name));
        let outside = self.groups.iter().find(|name| !holder.groups().iter().any(|group| group == **name));
        let any = self.any.as_ref().is_none_or(|names| names.iter().any(|name| holder.has_permission(name)));
        match (lacking, outside) {
            (Some(_), _) => Err(Error::Forbidden("a permission that is lacking".to_owned())),
            (_, Some(_)) => Err(Error::Forbidden("membership of a group".to_owned())),
            _ if !any => Err(Error::Forbidden("one of several permissions".to_owned())),
            _ if self.staff && !holder.is_staff() => Err(Error::Forbidden("the staff flag".to_owned())),
            _ => Ok(()),
        }
    }

    /// The permissions that the back end is told of.
    fn permissions<'a>(&'a self, holder: &'a dyn Holder) -> Vec<&'a str> {
        if !holder.has_every_permission()
            && let Some(all) = holder.granted_within(PERMISSIONS_MAX)
        {
            return all.into_iter().collect();
        }
        let asked = self.permissions.iter().chain(self.any.iter().flatten()).copied();
        asked.filter(|name| holder.has_permission(name)).collect()
    }
}

fn pass(holder: &dyn Holder, permissions: &[&str], token: String) -> Verified {
    let text = |text: Option<String>| text.unwrap_or_default();
    Verified::Pass(
        text(holder.username().map(safe)),
        text(holder.user().map(|id| id.to_string())),
        joined(holder.groups().iter().map(String::as_str)),
        joined(permissions.iter().copied()),
        text(holder.session().map(|id| id.to_string())),
        token,
    )
}

/// The signed token for the host that was asked for. It is minted for each question, since it is good for a minute.
fn identity_token(
    visit: &Visit,
    request: &Request,
    holder: &dyn Holder,
    permissions: &[&str],
) -> Result<String, Problem> {
    let host = original_host(request.headers());
    let host = host.ok_or_else(|| Problem::with_detail(Code::Forbidden, "The host of the request is not named."))?;
    let app = visit.app();
    Ok(app.tokens().mint_identity(&host, holder, permissions, app.now())?)
}

/// The host of the original request, in lower case, without its port: proxies differ in whether they tell that. One
/// that is said twice could be any.
fn original_host(headers: &HeaderMap) -> Option<String> {
    let mut named = HOSTS.iter().flat_map(|name| headers.get_all(*name));
    let (Some(host), None) = (named.next(), named.next()) else { return None };
    let authority = Authority::try_from(host.as_bytes()).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let (name, port) = (authority.host(), authority.port_u16());
    let is_host = !name.is_empty() && authority.as_str().bytes().all(is_plain);
    (is_host && (port.is_some() || authority.as_str() == name)).then(|| name.to_ascii_lowercase())
}

/// Whether every parameter is one of ours, and every list names something: a condition that is misspelt or got lost must
/// not be one that holds.
fn is_understood(request: &Request) -> bool {
    let fine = |(name, value): &(String, String)| match name.as_str() {
        "permission" | "any" | "group" => !list(Some(value)).is_empty(),
        name => PARAMETERS.contains(&name),
    };
    request.params::<Vec<(String, String)>>().is_ok_and(|given| given.iter().all(fine))
}

fn list(names: Option<&str>) -> Vec<&str> {
    names.into_iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect()
}

fn flag(text: &str) -> Result<bool, Problem> {
    text.parse().map_err(|_| Problem::with_detail(Code::InvalidParameter, "A flag is `true` or `false`."))
}

/// The text as a header field can carry it, for every reader alike.
fn safe(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@.+-_~:".contains(&byte);
    let spell = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(spell).collect()
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(safe).collect::<Vec<_>>().join(",")
}

/// Whether a browser is about to show a page.
fn is_page_load(method: &Method, headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    method.is_safe() && accepts.contains("text/html")
}

/// The page to log in at, with the way back: the path of the original request, and nothing that leads elsewhere.
fn log_in_page(settings: &Settings, headers: &HeaderMap) -> Option<String> {
    let page = settings.login_url.as_ref()?;
    let back = PATHS.iter().find_map(|name| headers.get(*name)).and_then(|path| path.to_str().ok());
    // Browsers take a backslash for a slash, and leave out a tab.
    let local = |path: &&str| path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\t']);
    let Some(back) = back.filter(local).filter(|path| path.len() <= 2048) else { return Some(page.clone()) };
    let mark = if page.contains('?') { '&' } else { '?' };
    Some(format!("{page}{mark}next={}", safe(back)))
}

/// Answers 403 in the place of everything that a proxy cannot take for an answer.
pub(crate) struct Plain<E>(pub(crate) E);

impl<E: Endpoint<Output = Response>> Endpoint for Plain<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind().await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_from_response() => error.into_response(),
            Ok(Err(error)) => Problem::of_framework(&error).into_response(),
            Err(_) => {
                let place = request::take_panic().unwrap_or_else(|| "a panic".to_owned());
                Problem::new(Code::Internal).because(place).into_response()
            }
        };
        let known = [StatusCode::NO_CONTENT, StatusCode::FOUND, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        if known.contains(&answer.status()) || answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(answer);
        }
        let mut refusal =
            Problem::with_detail(Code::Forbidden, "This could not be judged, so it does not pass.").into_response();
        // The log is told what it was, and the proxy is not.
        if let (Some(what), Some(said)) =
            (answer.extensions().get::<Refusal>(), refusal.extensions_mut().get_mut::<Refusal>())
        {
            let reason = what.reason.as_deref().unwrap_or("a bug");
            said.is_ours = what.is_ours;
            said.reason = Some(format!("could not be judged: {}: {reason}", what.code.name()));
        }
        Ok(refusal)
    }
}
