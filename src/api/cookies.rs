//! Signed preference cookies: small values that the client keeps and cannot change.

use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::api::Group;
use crate::api::body::Body;
use crate::api::cookie;
use crate::api::problem::Problem;
use crate::api::session::Done;
use crate::api::visit::Visit;
use crate::claims::LIFE_MAX;
use crate::error::Error;
use crate::session::{COOKIE_BYTES_ALLOWED, COOKIE_FRAME};

/// Seconds that a preference cookie lives for when nothing else is said: one year.
const AGE: u32 = 365 * 24 * 3600;

/// A preference cookie.
#[derive(Object)]
#[oai(example)]
pub struct Preference {
    /// Its name.
    name: String,
    /// Its value; the default when there is none, and null without a default.
    #[oai(nullable)]
    value: Option<String>,
    /// Whether the request carried it, unharmed and within its time.
    found: bool,
}

impl Example for Preference {
    fn example() -> Self {
        Self { name: "language".to_owned(), value: Some("de".to_owned()), found: true }
    }
}

/// A value for a preference cookie.
#[derive(Object)]
#[oai(example)]
pub struct NewPreference {
    /// The value: any text.
    value: String,
    /// Seconds to live, from 1 to 34560000 (400 days); one year when it is left out.
    max_age: Option<u32>,
}

impl Example for NewPreference {
    fn example() -> Self {
        Self { value: "de".to_owned(), max_age: Some(2_592_000) }
    }
}

/// Preference cookie operations.
pub struct CookiesApi;

fn named(name: &str) -> Result<&str, Error> {
    if cookie::is_preference_name(name) {
        return Ok(name);
    }
    let message = "a cookie's name has 1 to 64 letters, digits, - or _";
    Err(Error::invalid("name", "cookie_name", message))
}

#[OpenApi(tag = "Group::Cookies")]
impl CookiesApi {
    /// Read a cookie
    ///
    /// One that was changed, that was set under another name, or that is over counts as none.
    #[oai(path = "/v1/cookies/:name", method = "get", operation_id = "get_cookie")]
    async fn get_cookie(
        &self,
        visit: Data<&Visit>,
        request: &Request,
        /// The name.
        name: Path<String>,
        /// The value to answer when there is no such cookie.
        default: Query<Option<String>>,
    ) -> Result<Json<Preference>, Problem> {
        let name = named(&name)?.to_owned();
        // Two of one name leave no telling which is ours: none is.
        let text = cookie::find(request.headers(), &format!("{}{name}", cookie::PREFERENCE)).unwrap_or_default();
        let app = visit.app();
        let found = text.and_then(|text| app.tokens().verify_cookie(&name, text, app.now()));
        let is_found = found.is_some();
        Ok(Json(Preference { name, value: found.or(default.0), found: is_found }))
    }

    /// Set a cookie
    ///
    /// Signed, HttpOnly, Secure and SameSite=Strict, under the name with `__Host-signet.` in front.
    #[oai(path = "/v1/cookies/:name", method = "put", operation_id = "set_cookie")]
    async fn set_cookie(
        &self,
        visit: Data<&Visit>,
        /// The name.
        name: Path<String>,
        Body(new): Body<NewPreference>,
    ) -> Result<Json<Preference>, Problem> {
        let name = named(&name)?.to_owned();
        let seconds = new.max_age.unwrap_or(AGE);
        if !(1..=LIFE_MAX).contains(&seconds) {
            let message = format!("must be from 1 to {LIFE_MAX}; to delete the cookie, use DELETE");
            return Err(Error::invalid("max_age", "out_of_range", message).into());
        }
        let app = visit.app();
        let now = app.now();
        let text = app.tokens().mint_cookie(&name, &new.value, now, seconds)?;
        let used = text.len() + name.len() + COOKIE_FRAME;
        if used > COOKIE_BYTES_ALLOWED {
            return Err(Error::CookieTooLarge { used, allowed: COOKIE_BYTES_ALLOWED }.into());
        }
        visit.set_cookie(cookie::set_preference(&name, &text, now, seconds)?);
        Ok(Json(Preference { name, value: Some(new.value), found: true }))
    }

    /// Delete a cookie
    ///
    /// Succeeds also when there is none.
    #[oai(path = "/v1/cookies/:name", method = "delete", operation_id = "delete_cookie")]
    async fn delete_cookie(
        &self,
        visit: Data<&Visit>,
        /// The name.
        name: Path<String>,
    ) -> Result<Done, Problem> {
        visit.set_cookie(cookie::clear_preference(named(&name)?)?);
        Ok(Done::Gone)
    }
}
