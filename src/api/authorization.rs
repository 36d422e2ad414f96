//! The `Authorization` field: an API token, or nothing of ours.

use poem::http::{HeaderMap, header};

/// The token of the one `Authorization` field with the scheme `Bearer` (RFC 6750, section 2.1; the scheme in any case,
/// RFC 9110, section 11.1). `None` for another scheme and for more than one field: that is as no field at all.
///
/// What follows the scheme is given as it is; anything but a token does not verify.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(header::AUTHORIZATION).into_iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let text = std::str::from_utf8(field.as_bytes()).ok()?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderValue, header};

    use super::bearer;

    #[test]
    fn only_the_one_field_of_the_scheme_counts() {
        type Row<'a> = (&'a [&'a [u8]], Option<&'a str>);
        let table: [Row<'_>; 14] = [
            (&[], None),
            (&[b"Bearer a.b.c"], Some("a.b.c")),
            (&[b"bearer a.b.c"], Some("a.b.c")),
            (&[b"BEARER  a.b.c"], Some("a.b.c")),
            (&[b"Bearer a.b.c, Bearer d"], Some("a.b.c, Bearer d")),
            (&[b"Bearer"], Some("")),
            (&[b"Bearer "], Some("")),
            (&[b"Bearera.b.c"], None),
            (&[b"Bearer\ta.b.c"], None),
            (&[b"Basic YTpi"], None),
            (&[b"a.b.c"], None),
            (&[b"Bearer \xff"], None),
            (&[b"Bearer a", b"Bearer a"], None),
            (&[b"Bearer a", b"Basic YTpi"], None),
        ];
        for (fields, expected) in table {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
            }
            assert_eq!(bearer(&headers), expected, "{fields:?}");
        }
    }
}
