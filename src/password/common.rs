//! Passwords that many people have, and that are therefore tried first.
//!
//! Owns the list, embedded as sorted text that is searched where it lies, and the passwords that are made of it by
//! repeating or joining. `common/SOURCES.md` says where the list comes from. Called by `policy.rs`.

/// One a line, in lower case, sorted by bytes.
const COMMON: &str = include_str!("common/common.txt");

/// The most common ones of at least four characters, in the same form.
const ROOTS: &str = include_str!("common/common-roots.txt");

/// The longest piece whose repetition counts as common, in characters.
const REPEATED_MAX: usize = 8;

/// Whether the password, without regard to case and outer white space, is a common one, the repetition of a common
/// one or of a piece of at most eight characters, or two of the four hundred most common ones in a row.
pub(super) fn is_common(password: &str) -> bool {
    let text = password.trim().to_lowercase();
    stands_in(COMMON, &text) || is_repetition(&text) || is_pair(&text)
}

fn is_repetition(text: &str) -> bool {
    let ends = text.char_indices().map(|(at, _)| at).enumerate().skip(1);
    for (chars, end) in ends.take_while(|(_, end)| *end <= text.len() / 2) {
        let (unit, rest) = text.split_at(end);
        if text.len().is_multiple_of(end)
            && rest.as_bytes().chunks(end).all(|piece| piece == unit.as_bytes())
            && (chars <= REPEATED_MAX || stands_in(COMMON, unit))
        {
            return true;
        }
    }
    false
}

fn is_pair(text: &str) -> bool {
    let joints = text.char_indices().map(|(at, _)| at).filter(|at| (4..=32).contains(at));
    joints.map(|at| text.split_at(at)).any(|(one, other)| stands_in(ROOTS, one) && stands_in(ROOTS, other))
}

/// Whether the text is a line of a sorted list.
fn stands_in(list: &str, text: &str) -> bool {
    if text.contains('\n') {
        return false;
    }
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let bytes = list.as_bytes();
        let start = bytes[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let length = bytes[middle..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - middle);
        let end = middle + length;
        match text.as_bytes().cmp(&bytes[start..end]) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => high = start,
            std::cmp::Ordering::Greater => low = end + 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{COMMON, ROOTS, is_common, stands_in};

    #[test]
    fn the_lists_are_sorted_and_every_line_is_found() {
        for list in [COMMON, ROOTS] {
            assert!(list.lines().is_sorted());
            assert!(
                list.lines().all(|line| stands_in(list, line) && line.trim() == line && line.to_lowercase() == line)
            );
            assert!(!stands_in(list, "") && !stands_in(list, "zzzzzzzzzzzzzz") && !stands_in(list, "a\nb"));
        }
    }

    #[test]
    fn enough_common_passwords_are_of_the_least_length() {
        // OWASP ASVS 6.2.4: at least 3,000 that satisfy the policy. Also where 15 characters are asked for.
        let listed = COMMON.lines().filter(|line| line.chars().count() >= 8).count();
        assert!(listed >= 20_000, "{listed}");
        let long = |text: &String| text.chars().count() >= 15;
        let pairs = ROOTS.lines().flat_map(|one| ROOTS.lines().map(move |other| format!("{one}{other}")));
        let pairs: Vec<_> = pairs.filter(long).collect();
        assert!(pairs.len() >= 15_000, "{}", pairs.len());
        assert!(pairs.iter().step_by(97).all(|pair| is_common(pair)));
        let doubled = COMMON.lines().map(|line| line.repeat(2)).filter(long).collect::<Vec<_>>();
        assert!(doubled.len() >= 20_000 && doubled.iter().step_by(97).all(|text| is_common(text)), "{}", doubled.len());
    }

    #[test]
    fn what_is_made_of_common_ones_is_common() {
        for text in
            [" PassWord ", "password", "passwordpassword", "aaaaaaaaaaaaaaaaaaaa", "ab1ab1ab1ab1", "qwertyuiopPassword"]
        {
            assert!(is_common(text), "{text}");
        }
        for text in ["correct horse battery", "a short sentence", "aaaaaaaaab", "", "\u{e9}t\u{e9} \u{e0} la mer"] {
            assert!(!is_common(text), "{text}");
        }
    }
}
