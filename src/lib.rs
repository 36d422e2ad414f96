//! Sessions and authorization over signed cookies: stateless to check, ended at once.
//!
//! The rooms; each imports only from floors below its own, and from rooms that stand after it on its own:
//!
//! | floor | room | owns |
//! | --- | --- | --- |
//! | 10 | [`cli`] | the commands |
//! | 9 | [`server`] | bind, run, stop |
//! | 8 | [`connection`], [`config`] | connections, encrypted or not; the configuration |
//! | 7 | [`api`] | HTTP: operations, guards, cookies, problems, the document |
//! | 6 | [`export`], [`import`] | everything out; accounts in, from a backup or from Django |
//! | 5 | [`administration`], [`operator`] | what staff does; what the operator does on the command line |
//! | 4 | [`recovery`], [`account`], [`api_token`], [`session`] | a password or an address proven by mail; a user's own account; tokens for machines; the life of a session |
//! | 4 | [`challenge`], [`offline`], [`repair`] | what is asked by mail; without a server; a damaged store made whole |
//! | 3 | [`app`] | the wired whole; the one door to durable change |
//! | 2 | [`mail`] | where mails go |
//! | 2 | [`revocation`], [`throttle`], [`token`], [`password`], [`store`] | what ended; who tried too often; signed text; hashes; what is kept |
//! | 1 | [`user`], [`rights`], [`audit`], [`keys`] | names, permissions, what was done, the keyring |
//! | 0 | [`claims`], [`error`] | what a token says; what can go wrong |
//! | 0 | [`metrics`], [`request`] | what counts and measures; the name of the request that is served |
//!
//! A request goes down the stairs once: front → guard → [`session::authenticate`] (token, revocations) → operation.
//! No store is asked on the way, but to renew rights that were changed.
//!
//! A program of its own mounts [`api::routes`] beside its routes, behind [`api::front::Front`], and protects its
//! operations with the guards of [`api::caller`], and of [`api::bearer`] where machines may come too;
//! `examples/polls.rs` shows it.

pub mod account;
pub mod administration;
pub mod api;
pub mod api_token;
pub mod app;
pub mod audit;
pub mod challenge;
pub mod claims;
pub mod cli;
pub mod config;
pub mod connection;
pub mod error;
pub mod export;
pub mod import;
pub mod keys;
pub mod mail;
pub mod metrics;
pub mod moving;
pub mod offline;
pub mod operator;
pub mod password;
pub mod recovery;
pub mod repair;
pub mod request;
pub mod revocation;
pub mod rights;
pub mod server;
pub mod session;
pub mod store;
pub mod throttle;
pub mod token;
pub mod user;
