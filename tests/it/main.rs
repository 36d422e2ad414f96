//! Signet from outside: each file is one capability, each test a sentence about it.

#![expect(clippy::too_many_lines, reason = "a test that tells a story is read from top to bottom")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod harness;
mod wire;

mod cookie;
mod keys;
mod login;
mod problems;
mod tokens;
