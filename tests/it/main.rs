//! Signet from outside: each file is one capability, each test a sentence about it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::wrong_self_convention, reason = "`answer.is_problem(..)` goes on with the answer")]
#![expect(clippy::too_many_lines, reason = "a test that tells a story is read from top to bottom")]

mod admin;
mod again;
mod anchor;
mod api_tokens;
mod audit;
mod catalogue;
mod cli;
mod connections;
mod cookie;
mod cookies;
mod devices;
mod endings;
mod example;
mod export;
mod faults;
mod feed;
mod figures;
mod following;
mod fuzz;
mod harness;
mod history;
mod import;
mod keys;
mod kills;
mod layering;
mod login;
mod logout;
mod logs;
mod mail;
mod meanwhile;
mod metrics;
mod model;
mod moving;
mod nodes;
mod openapi;
mod operations;
mod operator;
mod passwords;
mod postgres;
mod postman;
mod problems;
mod program;
mod properties;
mod races;
mod readme;
mod renewal;
mod rights;
mod routes;
mod seal;
mod session;
mod store;
mod supply;
mod throttle;
mod tokens;
mod users;
mod verify;
mod wire;
