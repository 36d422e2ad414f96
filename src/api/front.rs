//! The front: what every request passes on its way in, and every answer on its way out.
//!
//! One middleware, so that the order is the order of its lines. In: the cross-site rule, the size of the header, an
//! answer that can be given again, the request's name and a visit. Out: a panic, an error or a bare status becomes a
//! problem; cookies are written; every answer gets its security headers; a success is kept to be given again; a failure
//! is logged, once, and everything is counted. Programs that embed Signet put their own routes behind it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse as _, Middleware, Request, Response};

use crate::api::measure::Measure;
use crate::api::problem::{self, Code, Problem, Refusal};
use crate::api::proxies::VERIFY;
pub use crate::api::visit::Settings;
use crate::api::visit::{Outcome, Visit};
use crate::api::{again, cookie};
use crate::app::App;
use crate::error::Error;
use crate::request;

/// Bytes that the names and values of a request's header may have: as much as proxies usually take.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;

/// The middleware. See the module.
pub struct Front {
    app: App,
    settings: Arc<Settings>,
    answers_again: bool,
}

impl Front {
    /// The front of this Signet.
    #[must_use]
    pub fn new(app: App, settings: Settings) -> Self {
        Self { app, settings: Arc::new(settings), answers_again: false }
    }

    /// The same, giving an answer that rests on nothing but the token, such as that of `GET /v1/session`, again without
    /// going through the routes. For programs that have nothing of their own between this front and Signet's routes:
    /// it would not be asked.
    #[must_use]
    pub fn answering_again(self) -> Self {
        Self { answers_again: true, ..self }
    }
}

impl<E: Endpoint> Middleware<E> for Front {
    type Output = Behind<E>;

    fn transform(&self, inner: E) -> Behind<E> {
        let measure = Measure::new(&self.app);
        let (app, settings) = (self.app.clone(), Arc::clone(&self.settings));
        Behind { app, settings, answers_again: self.answers_again, measure, inner }
    }
}

/// Routes behind the front.
pub struct Behind<E> {
    app: App,
    settings: Arc<Settings>,
    answers_again: bool,
    measure: Measure,
    inner: E,
}

impl<E: Endpoint> Endpoint for Behind<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let began = Instant::now();
        let refused = self.refuse(&request);
        if refused.is_none()
            && self.answers_again
            && let Some((operation, response)) = again::find(&self.app, &self.settings.origins, &request)
        {
            self.measure.answered(operation, request.method(), response.status(), began.elapsed());
            return Ok(response);
        }
        let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
        let id = self.settings.proxies.request_id(peer, request.headers()).map(str::to_owned);
        let method = request.method().clone();
        request::serve(id, async {
            let visit = Visit::new(self.app.clone(), Arc::clone(&self.settings));
            let response = self.answer(request, refused, &visit).await;
            let operation = visit.operation();
            if let Some(refusal) = response.extensions().get::<Refusal>() {
                refusal.log(operation.name());
                self.measure.refused(refusal);
            }
            self.measure.answered(operation, &method, response.status(), began.elapsed());
            Ok(response)
        })
        .await
    }
}

impl<E: Endpoint> Behind<E> {
    async fn answer(&self, request: Request, refused: Option<fn() -> Problem>, visit: &Visit) -> Response {
        let repeatable = (self.answers_again && *request.method() == Method::GET).then(|| request.uri().clone());
        let mut response = match refused {
            Some(problem) => problem().into_response(),
            None => self.pass(request, visit.clone()).await,
        };
        let outcome = visit.close();
        let repeats = outcome.repeats;
        let cookies = cookies(&self.app, outcome, response.status());
        match cookies {
            Ok(cookies) => write(response.headers_mut(), cookies),
            Err(error) => response = Problem::from(error).into_response(),
        }
        self.secure(response.headers_mut());
        match (repeats, repeatable, visit.session()) {
            (Some(when), Some(uri), Some(session)) if session.is_as_sent() && response.status().is_success() => {
                again::keep(session, (visit.operation(), when), &uri, response).await
            }
            _ => response,
        }
    }

    /// What is refused before anybody looks at it, as a problem that is to be made when the request has its name.
    fn refuse(&self, request: &Request) -> Option<fn() -> Problem> {
        if !self.settings.origins.allow(request.method(), request.headers()) {
            return Some(|| Problem::new(Code::CrossSite));
        }
        let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let too_large = bytes > HEADER_BYTES_MAX;
        match request.uri().path() {
            // A proxy makes a failure of its own of anything but a plain no.
            VERIFY if too_large => Some(|| Problem::with_detail(Code::Forbidden, Code::HeadersTooLarge.remedy())),
            _ if too_large => Some(|| Problem::with_detail(Code::HeadersTooLarge, Code::HeadersTooLarge.remedy())),
            _ => None,
        }
    }

    async fn pass(&self, mut request: Request, visit: Visit) -> Response {
        let is_head = request.method() == Method::HEAD;
        request.extensions_mut().insert(visit);
        let outcome = AssertUnwindSafe(self.inner.call(request)).catch_unwind().await;
        let mut response = match outcome {
            Ok(Ok(answer)) => respoken(answer.into_response()),
            Ok(Err(error)) if error.is_from_response() => respoken(error.into_response()),
            Ok(Err(error)) => Problem::of_framework(&error).into_response(),
            // The text of the panic went to the log; it is not for the caller.
            Err(_) => {
                let place = request::take_panic().unwrap_or_else(|| "a panic".to_owned());
                Problem::new(Code::Internal).because(place).into_response()
            }
        };
        if is_head {
            response.take_body();
        }
        response
    }

    /// The headers that every answer carries (OWASP ASVS 3.4).
    fn secure(&self, headers: &mut HeaderMap) {
        const ALWAYS: [(HeaderName, HeaderValue); 4] = [
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
            (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        ];
        headers.reserve(ALWAYS.len() + 3);
        for (name, value) in ALWAYS {
            headers.insert(name, value);
        }
        // A page brings its own policy and caching; everything else is not to be rendered or kept.
        let closed = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(closed);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if self.settings.https_only {
            let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
        }
    }
}

/// The answer itself, or the problem that a failure without one is.
fn respoken(response: Response) -> Response {
    let status = response.status();
    let is_failure = status.is_client_error() || status.is_server_error();
    let is_problem = response.content_type().is_some_and(|kind| kind == problem::MEDIA_TYPE);
    if is_failure && !is_problem { Problem::of_status(status).into_response() } else { response }
}

/// The cookies that the answer has to set.
///
/// Only a success gives out a session's cookie, and only when the session was not ended meanwhile: an answer in
/// flight must never take the place of a newer log-in or bring back what was ended.
fn cookies(app: &App, outcome: Outcome, status: StatusCode) -> Result<Option<Vec<HeaderValue>>, Error> {
    let Outcome { session, clear, is_private, cookies: others, .. } = outcome;
    let touched = session.is_some() || clear || is_private;
    if !status.is_success() {
        return Ok(touched.then(Vec::new));
    }
    let mut cookies = Vec::new();
    if clear {
        cookies.push(cookie::clear_session()?);
    }
    if let Some(session) = &session
        && let (Some(token), Some(claims)) = (session.token_to_send(), session.claims())
        && session.is_alive(app)
    {
        cookies.push(cookie::set_session(token, claims, app.now())?);
    }
    cookies.extend(others);
    Ok((touched || !cookies.is_empty()).then_some(cookies))
}

/// Writes the cookies. An answer that looked at the session varies with the cookie, and is kept by nobody.
fn write(headers: &mut HeaderMap, cookies: Option<Vec<HeaderValue>>) {
    let Some(cookies) = cookies else { return };
    headers.append(header::VARY, HeaderValue::from_static("Cookie"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
}
