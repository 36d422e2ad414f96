//! The cross-site rule: which requests with an unsafe method may have come from a page.
//!
//! `SameSite=Strict` and bodies in JSON only are the second and the third wall.

use poem::http::{HeaderMap, HeaderValue, Method, header};

/// The fields in which proxies name the method of the original request.
const METHODS: [&str; 2] = ["x-forwarded-method", "x-original-method"];

/// The origins whose pages may call, as configured: `https://example.org`, lower case, without a path.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// These origins and no others.
    #[must_use]
    pub fn new(origins: Vec<String>) -> Self {
        Self(origins)
    }

    /// Whether a request with this method and these headers may pass.
    ///
    /// Safe methods pass. `Sec-Fetch-Site` has to be `same-origin` or `none`; where a client does not send it, an
    /// `Origin` has to be one of ours; with neither the caller is no browser (Fetch Metadata, with the mandatory
    /// fallback of the OWASP CSRF sheet).
    #[must_use]
    pub fn allow(&self, method: &Method, headers: &HeaderMap) -> bool {
        if method.is_safe() {
            return true;
        }
        let mut sites = headers.get_all("sec-fetch-site").iter().peekable();
        if sites.peek().is_some() {
            return sites.all(|site| site == "same-origin" || site == "none");
        }
        let ours = |origin: &[u8]| self.0.iter().any(|known| known.as_bytes() == origin);
        headers.get_all(header::ORIGIN).iter().all(|origin| ours(origin.as_bytes()))
    }
}

/// The method of the original request, when a proxy asks. One that nobody knows could be any, and so could what goes
/// through a WebSocket, which pages of any site can open by a GET (RFC 6455, section 10.2).
pub(crate) fn original_method(headers: &HeaderMap) -> Method {
    if headers.contains_key("sec-websocket-key") || headers.get_all("sec-fetch-mode").iter().any(|m| m == "websocket") {
        return Method::POST;
    }
    let mut named = METHODS.iter().flat_map(|name| headers.get_all(*name));
    let parse = |value: &HeaderValue| Method::from_bytes(value.as_bytes()).ok();
    match (named.next().and_then(parse), named.next()) {
        (Some(method), None) => method,
        _ => Method::POST,
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderName, Method};

    use super::Origins;

    #[test]
    fn only_our_own_pages_and_clients_that_are_no_browsers_pass() {
        let origins = Origins::new(vec!["https://good.example".to_owned()]);
        let table: [(&[(&str, &str)], bool); 15] = [
            (&[], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "Same-Origin")], false),
            (&[("sec-fetch-site", "")], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://good.example")], false),
            (&[("origin", "https://good.example")], true),
            (&[("origin", "https://good.example.evil")], false),
            (&[("origin", "https://evil-good.example")], false),
            (&[("origin", "http://good.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://good.example"), ("origin", "https://evil.example")], false),
        ];
        for (fields, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            assert_eq!(origins.allow(&Method::POST, &headers), expected, "{fields:?}");
            assert!(origins.allow(&Method::GET, &headers), "{fields:?}");
        }
    }
}
