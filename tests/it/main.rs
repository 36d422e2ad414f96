//! Signet from outside: each file is one capability, each test a sentence about it.

#![expect(clippy::too_many_lines, reason = "a test that tells a story is read from top to bottom")]

mod cli;
mod cookies;
mod example;
mod harness;
mod layering;
mod login;
mod logout;
mod openapi;
mod renewal;
mod rights;
mod session;
mod store;
mod users;
