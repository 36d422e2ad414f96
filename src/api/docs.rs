//! The API document over HTTP, and Swagger UI to try it.
//!
//! Everything comes from the binary: no request leaves the origin, and the page works under a policy without
//! inline scripts or styles.

use std::sync::LazyLock;

use bytes::Bytes;
use poem::Route;

use crate::api::files::{ASKED_AGAIN, File, HTML, SCRIPT, STYLE};
use crate::api::{document, fixed, got};

/// What the page may load. Swagger UI draws icons from `data:` images.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// Adds the document and its pages to the routes.
pub(super) fn add(route: Route) -> Route {
    let page = || fixed(HTML, Some(POLICY), || Bytes::from_static(include_bytes!("docs/page.html")));
    route
        .at("/openapi.json", fixed("application/json", None, || DOCUMENT.clone()))
        .at("/docs", page())
        .at("/docs/", page())
        .at("/docs/page.js", fixed(SCRIPT, None, || Bytes::from_static(include_bytes!("docs/page.js"))))
        .at("/docs/page.css", fixed(STYLE, None, || Bytes::from_static(include_bytes!("docs/page.css"))))
        .at("/docs/swagger-ui.js", got(|request| UI_SCRIPT.answer(request)))
        .at("/docs/swagger-ui.css", got(|request| UI_STYLE.answer(request)))
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document::text().into());

// As the framework has them, but packed: they are a twelfth of the program otherwise.
static UI_SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::packed(SCRIPT, ASKED_AGAIN, None, include_bytes!("docs/swagger-ui.js.gz")));
static UI_STYLE: LazyLock<File> =
    LazyLock::new(|| File::packed(STYLE, ASKED_AGAIN, None, include_bytes!("docs/swagger-ui.css.gz")));
