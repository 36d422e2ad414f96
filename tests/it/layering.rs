//! The order of the house: imports run downward only, and each foreign crate has its rooms.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the top down. A room may import from floors below its own, and from rooms inside itself.
const FLOORS: [&[&str]; 15] = [
    &["main"],
    &["lib", "cli"],
    &["server"],
    &["connection"],
    &["config"],
    &["api"],
    &["export", "moving"],
    &["import"],
    &["administration", "operator"],
    &["recovery"],
    &["account", "api_token"],
    &["session", "offline", "repair"],
    &["challenge"],
    &["app"],
    &[
        "revocation",
        "throttle",
        "token",
        "password",
        "store",
        "mail",
        "user",
        "rights",
        "audit",
        "keys",
        "claims",
        "error",
        "metrics",
        "request",
    ],
];

const GROUND_FLOOR: usize = FLOORS.len() - 1;

/// The ground floor has an order of its own.
const GROUND: [&[&str]; 6] = [
    &["revocation", "throttle"],
    &["token", "store", "mail"],
    &["user"],
    &["rights", "audit", "keys"],
    &["claims", "password"],
    &["error", "metrics", "request"],
];

/// Inside `api`, what serves the groups of operations, from the top down.
const API: [&[&str]; 12] = [
    &["admin", "docs", "metrics", "pages", "postman"],
    &["document"],
    &[
        "account",
        "audit",
        "cookies",
        "figures",
        "groups",
        "imports",
        "machine",
        "permissions",
        "recovery",
        "revocations",
        "rights",
        "sessions",
        "tokens",
        "users",
        "verify",
    ],
    &["session"],
    &["shown", "front"],
    &["body", "json", "list"],
    &["again", "bearer", "measure"],
    &["caller"],
    &["visit"],
    &["problem"],
    &["cookie", "files", "origin", "proxies", "scrape"],
    &["authorization"],
];

/// Foreign crates that could be replaced, and the rooms that may name them.
const FOREIGN: [(&str, &[&str]); 41] = [
    ("prometheus", &["metrics"]),
    ("jsonwebtoken", &["keys"]),
    ("aws_lc_rs", &["keys", "throttle"]),
    ("include_dir", &["api/admin"]),
    ("ipnet", &["api/proxies"]),
    ("pem", &["keys"]),
    ("argon2", &["password"]),
    ("bcrypt", &["password"]),
    ("md5", &["password"]),
    ("pbkdf2", &["password"]),
    ("scrypt", &["password"]),
    ("sha1", &["password"]),
    ("sha2", &["password", "import", "moving"]),
    ("zxcvbn", &["password"]),
    ("sled", &["store/embedded"]),
    ("crossbeam_epoch", &["store/embedded"]),
    ("tokio_postgres", &["store/postgres"]),
    ("deadpool", &["store/postgres"]),
    ("tokio_postgres_rustls", &["store/postgres"]),
    ("refinery", &["store/postgres"]),
    ("rustls", &["store/postgres"]),
    ("rustls_native_certs", &["store/postgres"]),
    ("crc32fast", &["store/embedded/salvage"]),
    ("quick_cache", &["token"]),
    ("rcgen", &["connection"]),
    ("clap", &["cli", "config"]),
    ("poem", &["api", "server", "connection"]),
    ("poem_openapi", &["api"]),
    ("rustix", &["keys", "connection", "app/following", "password"]),
    ("hyper", &["connection"]),
    ("hyper_util", &["connection"]),
    ("flate2", &["api/files"]),
    ("lettre", &["mail"]),
    ("url", &["mail"]),
    ("idna", &["user"]),
    ("percent_encoding", &["mail"]),
    ("reqwest", &["import/remote"]),
    ("jiff", &["import/django", "cli/import"]),
    ("tempfile", &["import/input", "offline"]),
    ("indicatif", &["cli"]),
    ("rpassword", &["cli"]),
];

fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().with_extension("").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), code(&fs::read_to_string(path).unwrap()))).collect()
}

/// Without comments and tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The names that follow `path::`, also inside braces.
fn named(code: &str, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(path) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                names.extend(list.split(',').map(|name| first_word(name.trim())));
            }
            None => names.push(first_word(rest)),
        }
    }
    names.retain(|name| !name.is_empty() && name.chars().next().is_some_and(char::is_lowercase));
    names
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn floor(floors: &[&[&str]], room: &str) -> Option<usize> {
    floors.iter().position(|rooms| rooms.contains(&room))
}

fn check(floors: &[&[&str]], room: &str, other: &str, file: &str, faults: &mut Vec<String>) {
    if let (Some(here), Some(there)) = (floor(floors, room), floor(floors, other))
        && there <= here
        && room != other
    {
        faults.push(format!("src/{file}.rs: {room} imports {other}, which is not below it"));
    }
}

#[test]
fn imports_run_downward_only() {
    let mut faults = Vec::new();
    for (file, code) in sources() {
        let mut parts = file.split('/');
        let room = parts.next().unwrap();
        let inner = parts.next();
        if room == "lib" {
            continue;
        }
        assert!(floor(&FLOORS, room).is_some(), "src/{file}.rs has no floor; give it one");
        for other in named(&code, "crate::") {
            if floor(&FLOORS, room) == Some(GROUND_FLOOR) && floor(&FLOORS, &other) == Some(GROUND_FLOOR) {
                check(&GROUND, room, &other, &file, &mut faults);
            } else {
                check(&FLOORS, room, &other, &file, &mut faults);
            }
        }
        if let ("api", Some(inner)) = (room, inner) {
            assert!(floor(&API, inner).is_some(), "src/{file}.rs has no floor inside api; give it one");
            for other in named(&code, "crate::api::") {
                check(&API, inner, &other, &file, &mut faults);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_foreign_crate_is_named_in_its_rooms_only() {
    let mut faults = Vec::new();
    for (file, code) in sources() {
        for (name, rooms) in FOREIGN {
            let at_home = rooms.iter().any(|room| file == *room || file.starts_with(&format!("{room}/")));
            let names_it = code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if names_it && !at_home {
                faults.push(format!("src/{file}.rs names {name}, which belongs to {}", rooms.join(", ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_room_says_what_it_owns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources().keys() {
        let text = fs::read_to_string(root.join(file).with_extension("rs")).unwrap();
        assert!(text.starts_with("//! "), "src/{file}.rs has no sign on its door");
    }
}
