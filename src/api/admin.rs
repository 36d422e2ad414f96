//! `/admin`: the pages of administration, as they were built into `admin/dist`, out of the binary.
//!
//! Owns which file answers, of what type it is and how long it may be kept. The pages are for whoever asks: all
//! that they show comes from operations, each with its own guard.

use std::collections::HashMap;
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use poem::http::Method;
use poem::web::Data;
use poem::{Endpoint, FromRequest as _, Request, Response, Route};

use crate::api::files::{ASKED_AGAIN, File, HTML, SCRIPT, STYLE};
use crate::api::problem::{Code, Problem};
use crate::api::visit::Visit;

/// What the pages may load and do: what comes from here, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The files as they were built. A build names them in `index.html` by what is in them, so that another one is noticed.
static DIST: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/admin/dist");

/// The page that all paths lead to which name no file.
const INDEX: &str = "index.html";

/// Files whose names change with what is in them, and for how long they may be kept.
const HASHED: &str = "assets/";
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// How the names of all files end: a build leaves nothing but their compressed forms.
const PACKED: &str = ".gz";

/// Media types by the ends of names. What is not among them is sent as bytes.
const TYPES: [(&str, &str); 14] = [
    ("html", HTML),
    ("js", SCRIPT),
    ("mjs", SCRIPT),
    ("css", STYLE),
    ("json", "application/json"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("txt", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("woff", "font/woff"),
];

/// Adds the pages to the routes.
pub(super) fn add(route: Route) -> Route {
    route.at("/admin", Admin).at("/admin/*path", Admin)
}

/// All files by their paths below the folder, as they were before they were compressed.
static FILES: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    let mut files = HashMap::new();
    gather(&DIST, &mut files);
    files
});

fn gather(folder: &'static Dir<'static>, files: &mut HashMap<&'static str, File>) {
    let file = |file: &'static include_dir::File<'static>| {
        let path = file.path().to_str()?.strip_suffix(PACKED)?;
        let kind = kind(path);
        let keep = if path.starts_with(HASHED) { FOR_GOOD } else { ASKED_AGAIN };
        let policy = (kind == HTML).then_some(POLICY);
        Some((path, File::packed(kind, keep, policy, file.contents())))
    };
    files.extend(folder.files().filter_map(file));
    folder.dirs().for_each(|folder| gather(folder, files));
}

fn kind(path: &str) -> &'static str {
    let end = path.rsplit_once('.').map_or("", |(_, end)| end);
    TYPES.iter().find(|(known, _)| *known == end).map_or("application/octet-stream", |(_, kind)| kind)
}

struct Admin;

impl Endpoint for Admin {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let Data(visit) = Data::<&Visit>::from_request_without_body(&request).await?;
        if !visit.settings().admin {
            return Err(Problem::new(Code::NotFound).into());
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Err(Problem::method_not_allowed("GET, HEAD").into());
        }
        let path = request.uri().path();
        let path = path.strip_prefix("/admin").unwrap_or(path).trim_start_matches('/');
        // What names no file is a place in the pages, which they find by themselves.
        let file = FILES.get(path).or_else(|| FILES.get(INDEX).filter(|_| !path.contains('.')));
        let file = file.ok_or_else(|| Problem::new(Code::NotFound))?;
        Ok(file.answer(&request))
    }
}

#[cfg(test)]
mod tests {
    use super::{FILES, INDEX, kind};

    #[test]
    fn every_file_has_a_type_of_its_own() {
        assert!(FILES.contains_key(INDEX));
        for path in FILES.keys() {
            assert_ne!(kind(path), "application/octet-stream", "{path} has no media type; give its ending one");
        }
    }
}
