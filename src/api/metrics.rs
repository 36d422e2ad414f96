//! `/metrics`: what the server measures of itself, for Prometheus.
//!
//! Owns the answer; who may have it stands in the settings (`scrape.rs`). It is in no API document: it is for whoever
//! runs the server, and to everybody else it is not there.

use poem::http::{HeaderValue, Method, header};
use poem::web::Data;
use poem::{Endpoint, FromRequest as _, IntoResponse as _, Request, Response, Route};

use crate::api::problem::{Code, Problem};
use crate::api::scrape::Verdict;
use crate::api::visit::{Operation, Visit};
use crate::error::{Error, TokenFault};
use crate::metrics::MEDIA_TYPE;

/// Where they are found.
pub const PATH: &str = "/metrics";

/// Adds them to the routes.
pub(super) fn add(route: Route) -> Route {
    route.at(PATH, Metrics)
}

/// Nothing else than them: for a listener of its own.
#[must_use]
pub fn alone() -> Route {
    add(Route::new())
}

struct Metrics;

impl Endpoint for Metrics {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let Data(visit) = Data::<&Visit>::from_request_without_body(&request).await?;
        match visit.settings().metrics.judge(request.headers()) {
            Verdict::Admitted => {}
            Verdict::Refused => {
                let refusal = Problem::from(Error::NotAuthenticated(TokenFault::Anonymous));
                let mut refusal = refusal.into_response();
                let challenge = HeaderValue::from_static("Bearer realm=\"metrics\"");
                refusal.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                return Ok(refusal);
            }
            Verdict::Nothing => return Err(Problem::new(Code::NotFound).into()),
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Err(Problem::method_not_allowed("GET, HEAD").into());
        }
        visit.runs(Operation::METRICS);
        let text = visit.app().measured().map_err(|why| Problem::from(Error::Internal(why)))?;
        Ok(Response::builder().content_type(MEDIA_TYPE).body(text))
    }
}
