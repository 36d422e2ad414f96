//! Files out of the binary: packed there, sent as they are to who takes that, and unpacked for everybody else.
//!
//! No file is chosen here, and nothing is said of who may have it.

use std::io::Read as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::read::GzDecoder;
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use poem::{Request, Response};

use crate::keys::digest;

// The media types of what makes a page.
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const STYLE: &str = "text/css; charset=utf-8";

/// For a file whose name does not change with what is in it: asked for again every time, and not sent again.
pub(super) const ASKED_AGAIN: &str = "no-cache";

/// A file that is served. The binary holds it in gzip alone.
pub(super) struct File {
    kind: &'static str,
    /// How long it may be kept.
    keep: &'static str,
    /// What a page may load and do.
    policy: Option<&'static str>,
    packed: Form,
    /// For who does not take gzip.
    plain: LazyLock<Form, Box<dyn FnOnce() -> Form + Send>>,
}

/// The bytes of a file in one coding, and what names them.
struct Form {
    content: Bytes,
    tag: String,
}

impl Form {
    fn of(content: Bytes) -> Self {
        let digest = digest(&content);
        Self { content, tag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..16])) }
    }
}

impl File {
    /// The file that this is in gzip: its media type, for how long it may be kept, and the policy of a page.
    pub(super) fn packed(
        kind: &'static str,
        keep: &'static str,
        policy: Option<&'static str>,
        gzip: &'static [u8],
    ) -> Self {
        // The tests have unpacked every one.
        let unpack = move || {
            let mut content = Vec::new();
            GzDecoder::new(gzip).read_to_end(&mut content).expect("a file in the program is whole");
            Form::of(content.into())
        };
        let packed = Form::of(Bytes::from_static(gzip));
        Self { kind, keep, policy, packed, plain: LazyLock::new(Box::new(unpack)) }
    }

    /// The answer to a request for it, in gzip when the client takes that; only that it has not changed when the client
    /// has it.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let is_packed = takes_gzip(&joined(request.headers(), &header::ACCEPT_ENCODING));
        let form = if is_packed { &self.packed } else { &*self.plain };
        let response = Response::builder().header(header::CACHE_CONTROL, self.keep).header(header::ETAG, &form.tag);
        let mut response = response.header(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Some(policy) = self.policy {
            response = response.header(header::CONTENT_SECURITY_POLICY, policy);
        }
        if names(&joined(request.headers(), &header::IF_NONE_MATCH), &form.tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if is_packed {
            response = response.header(header::CONTENT_ENCODING, "gzip");
        }
        response.content_type(self.kind).body(form.content.clone())
    }
}

/// The lines of a field as one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

/// Whether gzip may be sent (RFC 9110, section 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    let mut others = false;
    for part in accepted.split(',') {
        let mut words = part.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let weight = words.find_map(|word| word.strip_prefix("q=").or_else(|| word.strip_prefix("Q=")));
        let is_wanted = weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0));
        if name.eq_ignore_ascii_case("gzip") {
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
    use super::{names, takes_gzip};

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (accepted, takes) in [
            ("", false),
            ("gzip, deflate, br, zstd", true),
            ("GZIP", true),
            ("br;q=0, gzip;q=0.5", true),
            ("gzip ; q=0.0,*", false),
            ("br;q=0, *", true),
            ("*;q=0", false),
            ("*", true),
            ("identity", false),
            ("brotli, gzipped", false),
            ("gzip;q=much", false),
        ] {
            assert_eq!(takes_gzip(accepted), takes, "{accepted:?}");
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
}
