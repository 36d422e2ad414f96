//! `/admin`: the pages of administration, as they were built into `admin/dist`, out of the binary.
//!
//! Owns which file answers, of what type it is, how long it may be kept and in what coding it is sent. The pages are for
//! whoever asks: all that they show comes from operations, each with its own guard.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use include_dir::{Dir, include_dir};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::web::Data;
use poem::{Endpoint, FromRequest as _, Request, Response, Route};

use crate::api::problem::{Code, Problem};
use crate::api::visit::Visit;
use crate::keys::digest;

/// What the pages may load and do: what comes from here, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The files as they were built. A build names them in `index.html` by what is in them, so that another one is noticed.
static DIST: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/admin/dist");

/// The page that all paths lead to which name no file.
const INDEX: &str = "index.html";

/// Files whose names change with what is in them.
const HASHED: &str = "assets/";

/// Codings in which a file may lie beside itself, the best one first: the name in HTTP, and the end of the file's name.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// Media types by the ends of names. What is not among them is sent as bytes.
const TYPES: [(&str, &str); 14] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
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

/// A file that is served.
struct File {
    kind: &'static str,
    is_page: bool,
    is_hashed: bool,
    plain: Form,
    /// In other codings, the best one first.
    coded: Vec<(&'static str, Form)>,
}

/// The bytes of a file in one coding, and what names them.
struct Form {
    content: &'static [u8],
    tag: String,
}

impl Form {
    fn of(content: &'static [u8]) -> Self {
        let digest = digest(content);
        Self { content, tag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..16])) }
    }
}

/// All files by their paths below the folder.
static FILES: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    let mut raw = HashMap::new();
    gather(&DIST, &mut raw);
    let is_coded =
        |path: &str| CODINGS.iter().any(|(_, end)| path.strip_suffix(end).is_some_and(|plain| raw.contains_key(plain)));
    let file = |(path, content): (&&'static str, &&'static [u8])| {
        let coded =
            |(coding, end): &(&'static str, &str)| Some((*coding, Form::of(raw.get(format!("{path}{end}").as_str())?)));
        let kind = kind(path);
        let file = File {
            kind,
            is_page: kind.starts_with("text/html"),
            is_hashed: path.starts_with(HASHED),
            plain: Form::of(content),
            coded: CODINGS.iter().filter_map(coded).collect(),
        };
        (*path, file)
    };
    raw.iter().filter(|(path, _)| !is_coded(path)).map(file).collect()
});

fn gather(folder: &Dir<'static>, found: &mut HashMap<&'static str, &'static [u8]>) {
    found.extend(folder.files().filter_map(|file| Some((file.path().to_str()?, file.contents()))));
    folder.dirs().for_each(|folder| gather(folder, found));
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
        Ok(file.answer(request.headers()))
    }
}

impl File {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let accepted = joined(headers, &header::ACCEPT_ENCODING);
        let coded = self.coded.iter().find(|(coding, _)| accepts(&accepted, coding));
        let (coding, form) = coded.map_or((None, &self.plain), |(coding, form)| (Some(*coding), form));
        let keep = if self.is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut response = Response::builder().header(header::CACHE_CONTROL, keep).header(header::ETAG, &form.tag);
        if self.is_page {
            response = response.header(header::CONTENT_SECURITY_POLICY, POLICY);
        }
        if !self.coded.is_empty() {
            response = response.header(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if names(&joined(headers, &header::IF_NONE_MATCH), &form.tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if let Some(coding) = coding {
            response = response.header(header::CONTENT_ENCODING, coding);
        }
        response.content_type(self.kind).body(Bytes::from_static(form.content))
    }
}

/// The lines of a field as one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

/// Whether a coding may be sent (RFC 9110, section 12.5.3).
fn accepts(accepted: &str, coding: &str) -> bool {
    let mut others = false;
    for part in accepted.split(',') {
        let mut words = part.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let weight = words.find_map(|word| word.strip_prefix("q=").or_else(|| word.strip_prefix("Q=")));
        let is_wanted = weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0));
        if name.eq_ignore_ascii_case(coding) {
            return is_wanted;
        }
        others |= name == "*" && is_wanted;
    }
    others
}

/// Whether `If-None-Match` names the tag (RFC 9110, section 13.1.2).
fn names(wanted: &str, tag: &str) -> bool {
    let is_it = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    wanted.split(',').any(|one| is_it(one.trim()))
}

#[cfg(test)]
mod tests {
    use super::{FILES, accepts, names};

    #[test]
    fn a_coding_is_sent_to_whoever_takes_it() {
        for (accepted, br, gzip) in [
            ("", false, false),
            ("gzip, deflate, br, zstd", true, true),
            ("GZIP", false, true),
            ("br;q=0, gzip;q=0.5", false, true),
            ("br ; q=0.0,*", false, true),
            ("*;q=0", false, false),
            ("*", true, true),
            ("identity", false, false),
            ("brotli, gzipped", false, false),
            ("br;q=much", false, false),
        ] {
            assert_eq!((accepts(accepted, "br"), accepts(accepted, "gzip")), (br, gzip), "{accepted:?}");
        }
    }

    #[test]
    fn a_tag_is_known_among_others() {
        for (wanted, is_it) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", W/\"a\" ", true),
            ("*", true),
            ("", false),
            ("a", false),
            ("\"b\"", false),
            ("\"aa\"", false),
        ] {
            assert_eq!(names(wanted, "\"a\""), is_it, "{wanted}");
        }
    }

    #[test]
    fn every_file_has_a_type_of_its_own() {
        for (path, file) in FILES.iter() {
            assert_ne!(file.kind, "application/octet-stream", "{path} has no media type; give its ending one");
        }
    }
}
