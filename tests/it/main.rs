//! Signet from outside: each file is one capability, each test a sentence about it.

#![expect(clippy::too_many_lines, reason = "a test that tells a story is read from top to bottom")]

mod faults;
mod harness;
mod login;
mod revocation;
