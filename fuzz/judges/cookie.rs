//! The cookie parser: at most one value, only under the exact name, as twenty plain lines find it too.

use poem::http::{HeaderMap, HeaderValue, header};
use signet::api::cookie::{DEVICE, PREFERENCE, SESSION, find, is_preference_name};

/// Judges `Cookie` fields, one on a line.
pub(crate) fn judge(input: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut fields = Vec::new();
    for field in input.split(|byte| *byte == b'\n').take(64) {
        // What is no field at all is refused below.
        if let Ok(value) = HeaderValue::from_bytes(field) {
            headers.append(header::COOKIE, value);
            fields.push(field);
        }
    }
    let preference = format!("{PREFERENCE}theme");
    for name in [SESSION, DEVICE, &preference] {
        let expected = plainly(&fields, name);
        match (find(&headers, name), expected.as_slice()) {
            (Ok(Some(found)), [only]) => assert_eq!(found, std::str::from_utf8(only).unwrap_or_default()),
            (Ok(None), []) | (Err(_), [_, _, ..]) => {}
            (found, expected) => panic!("{name}: {found:?}, and not {expected:?}"),
        }
    }
    // A name from outside cannot reach beyond its prefix.
    if let Ok(name) = std::str::from_utf8(input)
        && is_preference_name(name)
    {
        assert!(name.bytes().all(|byte| !b"=; \t\",\\%".contains(&byte)) && name.len() <= 64, "{name}");
        assert!(![SESSION, DEVICE].contains(&format!("{PREFERENCE}{name}").as_str()));
    }
}

/// The values of all cookies of the name: pairs between semicolons, without blanks around; the name before the first `=`.
fn plainly<'a>(fields: &[&'a [u8]], name: &str) -> Vec<&'a [u8]> {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let mut values = Vec::new();
    for field in fields {
        for pair in field.split(|byte| *byte == b';') {
            let Some(first) = pair.iter().position(|byte| !blank(byte)) else { continue };
            let last = pair.iter().rposition(|byte| !blank(byte)).unwrap_or(first);
            let pair = &pair[first..=last];
            let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
            if &pair[..equals] == name.as_bytes() {
                values.push(&pair[equals + 1..]);
            }
        }
    }
    values
}
