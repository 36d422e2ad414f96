//! What all lists of administration share: a cursor, a search, a limit, versions as entity tags.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;

use crate::api::problem::{Code, Problem};
use crate::error::Error;
use crate::store::Slice;

/// Items on a page when nothing else is said, and at the most.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 200;

/// The slice that the parameters of a list ask for.
///
/// # Errors
/// A problem that names the parameter.
pub(crate) fn slice(search: Option<&str>, cursor: Option<&str>, limit: Option<u32>) -> Result<Slice, Problem> {
    let wrong =
        |name: &str, how: &str| Problem::with_detail(Code::InvalidParameter, format!("The parameter `{name}` {how}."));
    let limit = limit.map_or(Ok(LIMIT), usize::try_from).unwrap_or(usize::MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(wrong("limit", &format!("has to be from 1 to {LIMIT_MAX}")));
    }
    if search.is_some_and(|text| text.chars().count() > 150) {
        return Err(wrong("search", "has at most 150 characters"));
    }
    let key = |cursor: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok();
    let after = match cursor.map(key) {
        Some(None) => return Err(wrong("cursor", "has to be the `next` of the page before")),
        after => after.flatten(),
    };
    let search = search.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Slice { after, search, limit })
}

/// The cursor that goes on after a key.
pub(crate) fn cursor(key: Option<String>) -> Option<String> {
    key.map(|key| URL_SAFE_NO_PAD.encode(key))
}

/// A record, with the tag of its state.
#[derive(ApiResponse)]
pub enum Tagged<T: ToJSON> {
    /// The record as it is now.
    #[oai(status = 200)]
    Ok(
        Json<T>,
        /// Names this state of the record, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

impl<T: ToJSON> Tagged<T> {
    pub(crate) fn of(record: T, version: u64) -> Self {
        Self::Ok(Json(record), format!("\"{version}\""))
    }
}

/// A record that was just made, with the tag of its state.
#[derive(ApiResponse)]
pub enum Made<T: ToJSON> {
    /// The new record.
    #[oai(status = 201)]
    Created(
        Json<T>,
        /// Names this state of the record, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

impl<T: ToJSON> Made<T> {
    pub(crate) fn of(record: T, version: u64) -> Self {
        Self::Created(Json(record), format!("\"{version}\""))
    }
}

/// The version that `If-Match` names; `None` when any will do.
///
/// # Errors
/// `PreconditionFailed` for a tag that is none of ours.
pub(crate) fn version(if_match: Option<&str>) -> Result<Option<u64>, Error> {
    let quoted = |tag: &str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    match if_match.map(str::trim) {
        None | Some("*") => Ok(None),
        Some(tag) => quoted(tag).map(Some).ok_or(Error::PreconditionFailed),
    }
}
