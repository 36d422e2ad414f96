//! The configuration: flags and `SIGNET_…` variables, checked once, before anything is made.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use clap::{Args, FromArgMatches as _};

use crate::account::ADMIN;
use crate::api::proxies::Proxies;
use crate::api::scrape::{Scrape, Token};
use crate::claims::Lifetime;
use crate::mail::{Route, Sender};
use crate::password::policy::{LENGTH_MAX, LENGTH_MIN};
use crate::password::{Cost, Policy};
use crate::store::postgres::{Address, Unread};

mod mail;
mod value;

use mail::{page, route};
use value::{choose, folder, key_lead, kibibytes, login_page, long_time, number, origin, place, read, staleness, time};

/// The flags of `serve`, as they were given. Each is also a variable.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    /// Where to listen, as host:port; port 0 takes a free one
    #[arg(long, env = "SIGNET_LISTEN", default_value = "localhost:8000", value_name = "HOST:PORT")]
    pub listen: String,
    /// The folder of the embedded store; made when it is missing
    #[arg(long, env = "SIGNET_DATA", default_value = "data", value_name = "FOLDER")]
    pub data: PathBuf,
    /// The store in place of the one in --data: postgres://USER:PASSWORD@HOST/DATABASE, with ?sslrootcert=FILE for authorities of your own. It holds a password: better as the variable
    #[arg(long, env = "SIGNET_STORE", hide_env_values = true, value_name = "URL")]
    pub store: Option<Unread>,
    /// The folder of the keys; gets an Ed25519 key when it has none
    #[arg(long, env = "SIGNET_KEYS", default_value = "keys", value_name = "FOLDER")]
    pub keys: PathBuf,
    /// For how long what was heard from --store is relied on: so long may an ended session live on another node. A node that hears nothing for longer accepts no session, and /readyz says so
    #[arg(long, env = "SIGNET_MAX_STALENESS", default_value = "15s", value_name = "TIME")]
    pub max_staleness: String,
    /// How long after it was made a key begins to sign, when there is an older one: so long may it take to reach every node; without it at once, or 1m with --store
    #[arg(long, env = "SIGNET_KEY_LEAD", value_name = "TIME")]
    pub key_lead: Option<String>,
    /// The issuer of tokens (`iss`)
    #[arg(long, env = "SIGNET_ISSUER", default_value = "signet", value_name = "NAME")]
    pub issuer: String,
    /// The audience of tokens (`aud`)
    #[arg(long, env = "SIGNET_AUDIENCE", default_value = "signet", value_name = "NAME")]
    pub audience: String,
    #[expect(rustdoc::bare_urls, reason = "the text of --help")]
    /// An origin whose pages may call, as https://example.org; repeatable, or separated by commas; without one, the address that is listened on
    #[arg(long = "origin", env = "SIGNET_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Seal the data of sessions in their tokens, so that whoever holds a cookie cannot read it; with a key of its own, made in --keys when there is none
    #[arg(long, env = "SIGNET_SEAL_DATA")]
    pub seal_data: bool,
    /// How long a session lives without use: 90s, 30m, 1h, 14d, or seconds
    #[arg(long, env = "SIGNET_SESSION_AGE", default_value = "1h", value_name = "TIME")]
    pub session_age: String,
    /// How long a session lives in any case
    #[arg(long, env = "SIGNET_SESSION_END", default_value = "14d", value_name = "TIME")]
    pub session_end: String,
    /// A file with the password of the superuser `admin`, who is made when there are no users; without one it gets a random password
    #[arg(long, env = "SIGNET_ADMIN_PASSWORD_FILE", value_name = "FILE")]
    pub admin_password_file: Option<PathBuf>,
    /// Whether anybody may register: open or closed
    #[arg(long, env = "SIGNET_REGISTRATION", default_value = "open", value_name = "open|closed")]
    pub registration: String,
    /// The fewest characters of a new password; 15 is advised where nothing else protects the account
    #[arg(long, env = "SIGNET_PASSWORD_LENGTH", default_value = "8", value_name = "CHARACTERS")]
    pub password_length: String,
    /// The least strength of a new password, from 1 to 4 (zxcvbn); 0 asks for none
    #[arg(long, env = "SIGNET_PASSWORD_SCORE", default_value = "0", value_name = "0..4")]
    pub password_score: String,
    /// The memory that hashing a password takes, as 19MiB, or in kibibytes; stored hashes follow when their users log in
    #[arg(long, env = "SIGNET_HASH_MEMORY", default_value = "19MiB", value_name = "SIZE")]
    pub hash_memory: String,
    /// How often hashing a password goes over that memory
    #[arg(long, env = "SIGNET_HASH_PASSES", default_value = "2", value_name = "NUMBER")]
    pub hash_passes: String,
    /// The lanes of that memory
    #[arg(long, env = "SIGNET_HASH_LANES", default_value = "1", value_name = "NUMBER")]
    pub hash_lanes: String,
    /// Encryption: off, dev (a certificate for localhost, made once) or files
    #[arg(long, env = "SIGNET_TLS", default_value = "off", value_name = "off|dev|files")]
    pub tls: String,
    /// The certificate chain in PEM, for --tls files
    #[arg(long, env = "SIGNET_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM, for --tls files
    #[arg(long, env = "SIGNET_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The page to log in at, for browsers that a proxy asks about: a path such as /login, or a URL of one of the origins
    #[arg(long, env = "SIGNET_LOGIN_URL", value_name = "URL")]
    pub login_url: Option<String>,
    /// A proxy in front whose X-Forwarded-For is believed, as an address or a network such as 10.0.0.0/8; repeatable, or separated by commas
    #[arg(long = "trusted-proxy", env = "SIGNET_TRUSTED_PROXY", value_delimiter = ',', value_name = "NETWORK")]
    pub trusted_proxies: Vec<String>,
    /// Whether whoever tries too often to log in or register has to wait: on or off
    #[arg(long, env = "SIGNET_THROTTLE", default_value = "on", value_name = "on|off")]
    pub throttle: String,
    /// How long the audit log is kept
    #[arg(long, env = "SIGNET_AUDIT_KEEP", default_value = "90d", value_name = "TIME")]
    pub audit_keep: String,
    /// Write each event of the audit log to standard output too, as a line of JSON
    #[arg(long, env = "SIGNET_AUDIT_STDOUT")]
    pub audit_stdout: bool,
    /// Where mails go: folder:PATH (files; `mail` beside the data when it is left out), smtp://USER@HOST:587 (STARTTLS), smtps://USER@HOST:465 (TLS) or smtp+plain://HOST:25 (unencrypted)
    #[arg(long, env = "SIGNET_MAIL", value_name = "ROUTE")]
    pub mail: Option<String>,
    /// Who mails come from
    #[arg(long, env = "SIGNET_MAIL_FROM", default_value = "Signet <signet@localhost>", value_name = "SENDER")]
    pub mail_from: String,
    /// A file with the password of the user in --mail
    #[arg(long, env = "SIGNET_MAIL_PASSWORD_FILE", value_name = "FILE")]
    pub mail_password_file: Option<PathBuf>,
    /// The page of the first --origin that asks for a new password, where the link in a mail leads
    #[arg(long, env = "SIGNET_RESET_PAGE", default_value = "/reset", value_name = "PATH")]
    pub reset_page: String,
    /// The page of the first --origin that confirms an address, where the link in a mail leads
    #[arg(long, env = "SIGNET_VERIFY_PAGE", default_value = "/verify", value_name = "PATH")]
    pub verify_page: String,
    /// Whether there are pages of administration at /admin: on or off
    #[arg(long, env = "SIGNET_ADMIN", default_value = "on", value_name = "on|off")]
    pub admin: String,
    /// Where to listen for whoever reads /metrics, as host:port, apart from everybody else; port 0 takes a free one
    #[arg(long, env = "SIGNET_METRICS_LISTEN", value_name = "HOST:PORT")]
    pub metrics_listen: Option<String>,
    /// A file with the token that reading /metrics takes, as Authorization: Bearer; without it there is none on --listen
    #[arg(long, env = "SIGNET_METRICS_TOKEN_FILE", value_name = "FILE")]
    pub metrics_token_file: Option<PathBuf>,
    /// The most connections at once; those longest out of use end when one more comes; without it 16,384, or fewer where fewer files may be open
    #[arg(long, env = "SIGNET_MAX_CONNECTIONS", value_name = "NUMBER")]
    pub max_connections: Option<String>,
    /// How long to go on serving after the signal to stop, while /readyz says so already; a second signal ends it
    #[arg(long, env = "SIGNET_STOP_DELAY", default_value = "0s", value_name = "TIME")]
    pub stop_delay: String,
    /// The form of the log: text or json
    #[arg(long, env = "SIGNET_LOG", default_value = "text", value_name = "text|json")]
    pub log: String,
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// With a certificate for localhost, made once beside the keys.
    Dev,
    /// With the certificate chain and the key of these files, as they were read.
    Files {
        /// The chain in PEM.
        cert: Vec<u8>,
        /// The key in PEM.
        key: Secret<Vec<u8>>,
    },
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Something that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A configuration that can be served.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Config {
    /// Where to listen, as host:port.
    pub listen: String,
    /// The folder of the embedded store.
    pub data: PathBuf,
    /// The store in its place.
    pub store: Option<Address>,
    /// The folder of the keys.
    pub keys: PathBuf,
    /// For how long what was heard from a shared store is relied on.
    pub max_staleness: Duration,
    /// How long after it was made a key begins to sign.
    pub key_lead: TimeDelta,
    /// The issuer of tokens.
    pub issuer: String,
    /// The audience of tokens.
    pub audience: String,
    /// The origins whose pages may call; empty for the address that is listened on.
    pub origins: Vec<String>,
    /// Whether the data of sessions is sealed.
    pub seal_data: bool,
    /// How long sessions live.
    pub life: Lifetime,
    /// The first superuser's password, when it was given.
    pub admin_password: Option<Secret<String>>,
    /// Whether anybody may register.
    pub registration_open: bool,
    /// What a new password has to be.
    pub policy: Policy,
    /// What a password hash costs.
    pub hash_cost: Cost,
    /// How connections are encrypted.
    pub tls: Tls,
    /// The page to log in at.
    pub login_url: Option<String>,
    /// The proxies whose word on the client's address counts.
    pub proxies: Proxies,
    /// Whether whoever tries too often has to wait.
    pub throttle: bool,
    /// How long the audit log is kept.
    pub audit_keep: TimeDelta,
    /// Whether events are written to standard output too.
    pub audit_stdout: bool,
    /// Where mails go.
    pub mail: Route,
    /// Who mails come from.
    pub mail_from: Sender,
    /// The path of the page that asks for a new password.
    pub reset_page: String,
    /// The path of the page that confirms an address.
    pub verify_page: String,
    /// Whether there are pages of administration.
    pub admin: bool,
    /// Where to listen for whoever reads what is measured.
    pub metrics_listen: Option<String>,
    /// Who may read it on the address that everybody is served on.
    pub metrics: Scrape,
    /// How many connections may be open at once; as many as there is usually room for without.
    pub max_connections: Option<usize>,
    /// How long to go on serving after the signal to stop.
    pub stop_delay: Duration,
    /// The form of the log.
    pub log: Log,
}

/// What is wrong with the configuration, why, and how to mend it; in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

fn bad(flag: &str, what: impl fmt::Display, mend: impl fmt::Display) -> BadConfig {
    let variable = flag.replace('-', "_").to_uppercase();
    BadConfig(format!("--{flag} (SIGNET_{variable}): {what}; {mend}"))
}

impl Default for Flags {
    /// What no flags and the variables of the environment say.
    fn default() -> Self {
        let command = Self::augment_args(clap::Command::new("signet"));
        let matches = command.get_matches_from(["signet"]);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

impl Flags {
    /// The configuration that the flags ask for. Nothing is made or changed.
    ///
    /// # Errors
    /// The first fault, in one line.
    pub fn check(self) -> Result<Config, BadConfig> {
        place("listen", &self.listen)?;
        if let Some(listen) = &self.metrics_listen {
            place("metrics-listen", listen)?;
        }
        let metrics = self.metrics_token_file.as_deref().map(metrics_token).transpose()?;
        let max_connections =
            self.max_connections.as_deref().map(|text| number("max-connections", text, 16..=1_000_000));
        let max_connections = max_connections.transpose()?;
        let stop_delay = Duration::from_secs(time("stop-delay", &self.stop_delay, 0)?.into());
        for (flag, name) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
                return Err(bad(flag, "not a name", "give 1 to 200 characters, such as the server's address"));
            }
        }
        let age = time("session-age", &self.session_age, 10)?;
        let end = time("session-end", &self.session_end, 10)?;
        let key_lead = key_lead(self.key_lead.as_deref(), self.store.is_some())?;
        let max_staleness = staleness(&self.max_staleness)?;
        let audit_keep = long_time("audit-keep", &self.audit_keep)?;
        if age > end {
            let mend = format!("give a time of at most {}", self.session_end);
            return Err(bad("session-age", "longer than the session's absolute end", mend));
        }
        let origins: Vec<String> = self.origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?;
        let login_url = self.login_url.as_deref().map(|url| login_page(url, &origins)).transpose()?;
        let registration_open = choose("registration", &self.registration, &["closed", "open"])? == 1;
        let log = [Log::Text, Log::Json][choose("log", &self.log, &["text", "json"])?];
        let tls = self.encryption()?;
        let throttle = choose("throttle", &self.throttle, &["off", "on"])? == 1;
        let admin = choose("admin", &self.admin, &["off", "on"])? == 1;
        let proxies = Proxies::parse(&self.trusted_proxies).map_err(|what| {
            bad("trusted-proxy", what, "give an address or a network, such as 127.0.0.1 or 10.0.0.0/8")
        })?;
        folder("data", &self.data)?;
        folder("keys", &self.keys)?;
        if self.data == self.keys {
            return Err(bad("data", "the same folder as --keys", "name two folders"));
        }
        let store =
            self.store.as_ref().map(Unread::read).transpose().map_err(|e| {
                bad("store", e.to_string(), "give postgres://USER:PASSWORD@HOST/DATABASE, or leave it out")
            })?;
        let policy = Policy {
            length: number("password-length", &self.password_length, LENGTH_MIN..=LENGTH_MAX)?,
            score: number("password-score", &self.password_score, 0..=4)?,
        };
        let hash_cost = self.hash_cost()?;
        let admin_password = |path| admin_password(path, &policy);
        let admin_password = self.admin_password_file.as_deref().map(admin_password).transpose()?;
        let mail = route(self.mail.as_deref(), self.mail_password_file.as_deref(), &self.data)?;
        let mail_from = self.mail_from.parse().map_err(|_| {
            bad(
                "mail-from",
                "not an address",
                "give name@domain, or a name and an address as in Signet <signet@example.org>",
            )
        })?;
        let reset_page = page("reset-page", self.reset_page)?;
        let verify_page = page("verify-page", self.verify_page)?;
        Ok(Config {
            listen: self.listen,
            data: self.data,
            store,
            keys: self.keys,
            max_staleness,
            key_lead,
            issuer: self.issuer,
            audience: self.audience,
            origins,
            seal_data: self.seal_data,
            life: Lifetime { age, end },
            admin_password,
            registration_open,
            policy,
            hash_cost,
            tls,
            login_url,
            proxies,
            throttle,
            audit_keep,
            audit_stdout: self.audit_stdout,
            mail,
            mail_from,
            reset_page,
            verify_page,
            admin,
            metrics_listen: self.metrics_listen,
            metrics: metrics.unwrap_or_default(),
            max_connections,
            stop_delay,
            log,
        })
    }
}

impl Flags {
    /// What connections are encrypted with.
    fn encryption(&self) -> Result<Tls, BadConfig> {
        match (choose("tls", &self.tls, &["off", "dev", "files"])?, &self.tls_cert, &self.tls_key) {
            (2, Some(cert), Some(key)) => {
                Ok(Tls::Files { cert: read("tls-cert", cert)?, key: Secret(read("tls-key", key)?) })
            }
            (2, None, _) => Err(bad("tls-cert", "--tls files needs a certificate", "name its PEM file")),
            (2, _, None) => Err(bad("tls-key", "--tls files needs the certificate's key", "name its PEM file")),
            (_, Some(_), _) => Err(bad("tls-cert", "taken with --tls files only", "add --tls files")),
            (_, _, Some(_)) => Err(bad("tls-key", "taken with --tls files only", "add --tls files")),
            (1, ..) => Ok(Tls::Dev),
            _ => Ok(Tls::Off),
        }
    }

    /// Argon2id, at least as dear as the cheapest parameters that OWASP's password storage cheat sheet names, and
    /// within what a stored hash may cost.
    fn hash_cost(&self) -> Result<Cost, BadConfig> {
        let memory = kibibytes("hash-memory", &self.hash_memory, 7 * 1024..=256 * 1024)?;
        let passes = number("hash-passes", &self.hash_passes, 1..=16)?;
        let lanes = number("hash-lanes", &self.hash_lanes, 1..=16)?;
        let work = memory * passes;
        if work < 35 * 1024 {
            let mend = "take more memory or more passes, such as 19MiB and 2, or 46MiB and 1";
            return Err(bad("hash-passes", "memory times passes is below 35 MiB, which is too easy to guess", mend));
        }
        if work > 1024 * 1024 {
            return Err(bad("hash-passes", "memory times passes is above 1 GiB", "take less memory or fewer passes"));
        }
        Ok(Cost { memory, passes, lanes })
    }
}

fn admin_password(path: &Path, policy: &Policy) -> Result<Secret<String>, BadConfig> {
    let flag = "admin-password-file";
    let text =
        String::from_utf8(read(flag, path)?).map_err(|_| bad(flag, "the file is not text", "write it in UTF-8"))?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    policy.judge("password", &password, &ADMIN).map_err(|faults| {
        let found: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
        bad(flag, found.join("; "), "write another one")
    })?;
    Ok(Secret(password))
}

fn metrics_token(path: &Path) -> Result<Scrape, BadConfig> {
    let flag = "metrics-token-file";
    let text = String::from_utf8(read(flag, path)?).unwrap_or_default();
    let token = Token::parse(text.trim_end_matches(['\r', '\n']));
    let mend = "write 20 characters or more of A-Z a-z 0-9 - . _ ~ + / =, such as `openssl rand -hex 32` gives";
    token.map(Scrape::Token).ok_or_else(|| bad(flag, "not a token", mend))
}
