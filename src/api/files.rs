//! Files out of the binary: of what type each is, in which codings it lies there, what names its content.
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

/// A page.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// For a file whose name does not change with what is in it: asked for again every time, and not sent again.
pub(super) const ASKED_AGAIN: &str = "no-cache";

/// A file that is served.
pub(super) struct File {
    pub(super) kind: &'static str,
    /// What a page may load and do.
    pub(super) policy: Option<&'static str>,
    /// How long it may be kept.
    pub(super) keep: &'static str,
    pub(super) plain: LazyLock<Form, Box<dyn FnOnce() -> Form + Send>>,
    /// In other codings, the best one first.
    pub(super) coded: Vec<(&'static str, Form)>,
}

/// The bytes of a file in one coding, and what names them.
pub(super) struct Form {
    pub(super) content: Bytes,
    tag: String,
}

impl Form {
    pub(super) fn of(content: Bytes) -> Self {
        let digest = digest(&content);
        Self { content, tag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..16])) }
    }
}

impl File {
    /// A file of which the binary has nothing but this, in gzip: whoever does not take that gets it unpacked.
    pub(super) fn packed(kind: &'static str, gzip: &'static [u8]) -> Self {
        let unpack = move || {
            let mut content = Vec::new();
            if let Err(why) = GzDecoder::new(gzip).read_to_end(&mut content) {
                tracing::error!(%why, "a file in the program is damaged");
            }
            Form::of(content.into())
        };
        let coded = vec![("gzip", Form::of(Bytes::from_static(gzip)))];
        Self { kind, policy: None, keep: ASKED_AGAIN, plain: LazyLock::new(Box::new(unpack)), coded }
    }

    /// The answer to a request for it, in the best coding that the client takes; only that it has not changed when the
    /// client has it.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let accepted = joined(request.headers(), &header::ACCEPT_ENCODING);
        let coded = self.coded.iter().find(|(coding, _)| accepts(&accepted, coding));
        let (coding, form) = coded.map_or_else(|| (None, &*self.plain), |(coding, form)| (Some(*coding), form));
        let mut response = Response::builder().header(header::CACHE_CONTROL, self.keep).header(header::ETAG, &form.tag);
        if let Some(policy) = self.policy {
            response = response.header(header::CONTENT_SECURITY_POLICY, policy);
        }
        if !self.coded.is_empty() {
            response = response.header(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if names(&joined(request.headers(), &header::IF_NONE_MATCH), &form.tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if let Some(coding) = coding {
            response = response.header(header::CONTENT_ENCODING, coding);
        }
        response.content_type(self.kind).body(form.content.clone())
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
    use super::{accepts, names};

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
}
