//! The fuzz targets of `fuzz/`, over their corpora and some thousand changes of these, the same on every run.
//!
//! `cargo fuzz` looks further, with coverage for a guide; what it finds becomes a file of the corpus, and so a test
//! here. `SIGNET_FUZZ=20` tries twenty times as many.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../../fuzz/judges/cookie.rs"]
mod cookie;
#[path = "../../fuzz/judges/import.rs"]
mod import;
#[path = "../../fuzz/judges/problem.rs"]
mod problem;
#[path = "../../fuzz/judges/token.rs"]
mod token;
#[path = "../../fuzz/judges/world.rs"]
mod world;

/// Numbers that look random and are the same each time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let thrown = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(thrown).unwrap() % end.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Pieces that matter to one of the formats.
const PIECES: [&[u8]; 30] = [
    b"__Host-signet=",
    b"__Host-signet-device=",
    b"__%48ost-signet=",
    b"__Host-signet.theme=",
    b"; ",
    b";",
    b"=",
    b"\t",
    b"\n",
    b"\n\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80",
    b"\\ud800",
    b"\\u0000",
    b"null",
    b"true",
    b"-1",
    b"18446744073709551615",
    b"1e999",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b"..",
    b"%00",
    b"Zq7xKp",
];

/// An input with one to four changes.
fn changed(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = dice.pick(corpus).clone();
    for _ in 0..=dice.below(4) {
        let (at, other) = (dice.below(input.len() + 1), dice.below(input.len() + 1));
        let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 64));
        match dice.below(8) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => drop(input.drain(from..to)),
            3 => {
                let piece = input[from..to].to_vec();
                input.splice(at..at, piece);
            }
            4 => input.truncate(at),
            5 => {
                let tail = dice.pick(corpus);
                let cut = dice.below(tail.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&tail[cut..]);
            }
            _ => drop(input.splice(at..at, dice.pick(&PIECES).iter().copied())),
        }
        input.truncate(16 * 1024);
    }
    input
}

/// Judges the corpus of a target, and so many changes of it.
fn survives(target: &str, rounds: usize, judge: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = fs::read_dir(root.join("fuzz/corpus").join(target)).unwrap().map(Result::unwrap).collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file.path()).unwrap()).collect();
    assert!(corpus.len() >= 5, "{target}: no corpus");
    #[expect(clippy::disallowed_methods, reason = "a longer run is asked for by hand")]
    let times = std::env::var("SIGNET_FUZZ").map_or(1, |times| times.parse().unwrap());
    let mut dice = Dice(0x5169_6E65_7401);
    let more = (0..rounds * times).map(|_| changed(&mut dice, &corpus)).collect::<Vec<_>>();
    for input in corpus.iter().chain(&more) {
        if catch_unwind(AssertUnwindSafe(|| judge(input))).is_err() {
            let kept = root.join("target").join(format!("fuzz-{target}"));
            fs::write(&kept, input).unwrap();
            panic!("{target}: {:?} is kept in target/fuzz-{target}", String::from_utf8_lossy(input));
        }
    }
}

#[test]
fn no_cookie_field_is_read_otherwise_than_plainly() {
    survives("cookie", 20_000, cookie::judge);
}

#[test]
fn no_text_verifies_that_was_not_signed_as_what_it_is_taken_for() {
    survives("token", 4_000, token::judge);
}

#[test]
fn no_file_is_imported_by_halves_or_without_a_word() {
    survives("import", 400, import::judge);
}

#[test]
fn no_request_is_answered_by_anything_but_what_is_documented() {
    survives("problem", 2_000, problem::judge);
}
