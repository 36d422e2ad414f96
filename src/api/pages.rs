//! The two pages that links in mails lead to: a new password, a confirmed address.
//!
//! They call the operations like any other page of the origin, so that an application can have its own in their
//! place (`--reset-page`, `--verify-page`). No request of theirs leaves the origin, and the token never does more than
//! go into the body of one.

use bytes::Bytes;
use poem::Route;

use crate::api::files::{HTML, SCRIPT, STYLE};
use crate::api::fixed;

/// What a page may load and do. It has no form that is sent without the script: that would put the password into the
/// address.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds the pages to the routes.
pub(super) fn add(route: Route) -> Route {
    route
        .at("/reset", fixed(HTML, Some(POLICY), || Bytes::from_static(include_bytes!("pages/reset.html"))))
        .at("/verify", fixed(HTML, Some(POLICY), || Bytes::from_static(include_bytes!("pages/verify.html"))))
        .at("/pages/page.js", fixed(SCRIPT, None, || Bytes::from_static(include_bytes!("pages/page.js"))))
        .at("/pages/page.css", fixed(STYLE, None, || Bytes::from_static(include_bytes!("pages/page.css"))))
}
