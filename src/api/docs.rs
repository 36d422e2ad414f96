//! The API document over HTTP, and Swagger UI to try it.
//!
//! Everything comes from the binary: no request leaves the origin, and the page works under a policy without
//! inline scripts or styles.

use std::sync::LazyLock;

use bytes::Bytes;
use poem::Route;
use poem_openapi::OpenApiService;

use crate::api::{document, fixed};

/// What the page may load. Swagger UI draws icons from `data:` images.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// Adds the document and its pages to the routes.
pub(super) fn add(route: Route) -> Route {
    const HTML: &str = "text/html; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    const STYLE: &str = "text/css; charset=utf-8";
    let page = || fixed(HTML, Some(POLICY), || Bytes::from_static(include_bytes!("docs/page.html")));
    route
        .at("/openapi.json", fixed("application/json", None, || DOCUMENT.clone()))
        .at("/docs", page())
        .at("/docs/", page())
        .at("/docs/page.js", fixed(SCRIPT, None, || Bytes::from_static(include_bytes!("docs/page.js"))))
        .at("/docs/page.css", fixed(STYLE, None, || Bytes::from_static(include_bytes!("docs/page.css"))))
        .at("/docs/swagger-ui.js", fixed(SCRIPT, None, || SWAGGER_UI.script.clone()))
        .at("/docs/swagger-ui.css", fixed(STYLE, None, || SWAGGER_UI.style.clone()))
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document::text().into());

static SWAGGER_UI: LazyLock<SwaggerUi> = LazyLock::new(SwaggerUi::unpack);

struct SwaggerUi {
    script: Bytes,
    style: Bytes,
}

impl SwaggerUi {
    /// Out of the framework's own page, which has script and style inline and so needs `unsafe-inline`.
    fn unpack() -> Self {
        let page = OpenApiService::new((), "", "").swagger_ui_html();
        let between = |start: &str, end: &str| {
            let inner = page.split_once(start).and_then(|(_, rest)| rest.split_once(end));
            Bytes::copy_from_slice(inner.map_or("", |(inner, _)| inner).as_bytes())
        };
        Self {
            script: between("<script charset=\"UTF-8\">", "</script>"),
            style: between("<style charset=\"UTF-8\">", "</style>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SWAGGER_UI;

    #[test]
    fn swagger_ui_is_found_in_the_frameworks_page() {
        assert!(SWAGGER_UI.script.len() > 1_000_000, "script: {} bytes", SWAGGER_UI.script.len());
        assert!(SWAGGER_UI.style.len() > 100_000, "style: {} bytes", SWAGGER_UI.style.len());
    }
}
