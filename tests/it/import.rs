//! Accounts in: every shape of Django's dumps, what cannot be carried, all or nothing, and from afar.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Serving, program};
use crate::harness::{PASSWORD, Server, plain_http};

/// Django's hash of [`DJANGO_PASSWORD`].
const HASH: &str = "pbkdf2_sha256$1000$saltSALT01234567890123$5edrtbkFP98aFeHDJn77BDZc8mJXaMcGhBHWUdVfDTo=";
const DJANGO_PASSWORD: &str = "pass word-é";

#[expect(clippy::needless_pass_by_value, reason = "a call shows the fields in place")]
fn user(pk: Value, name: &str, fields: Value) -> Value {
    let mut all = json!({
        "password": HASH, "last_login": null, "is_superuser": false, "username": name, "first_name": "", "last_name": "",
        "email": format!("{name}@example.com"), "is_staff": false, "is_active": true,
        "date_joined": "2024-01-31T12:00:00.5Z", "groups": [], "user_permissions": [],
    });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let mut object = json!({ "model": "auth.user", "fields": all });
    if !pk.is_null() {
        object["pk"] = pk;
    }
    object
}

/// One team, in the four shapes of natural keys. Users come first, so that every reference is a forward one.
fn team(natural_foreign: bool, natural_primary: bool) -> Vec<Value> {
    let permission = |pk: u64, key: Value| if natural_foreign { key } else { json!(pk) };
    let groups = if natural_foreign { json!([["editors"]]) } else { json!([7]) };
    let alice = json!({
        "is_superuser": true, "is_staff": true, "first_name": "Al", "last_login": "2026-11-22T17:43:37.456+01:00",
        "groups": groups, "user_permissions": [permission(16, json!(["view_poll", "polls", "poll"]))],
    });
    let bob = json!({ "is_active": false, "password": "!AbCdEf", "email": "" });
    let content_type = if natural_foreign { json!(["polls", "poll"]) } else { json!(5) };
    let kind = |code: &str| json!({ "name": format!("Can {code}"), "content_type": content_type, "codename": code });
    let grants = json!([permission(17, json!(["add_poll", "polls", "poll"]))]);
    let mut dump = vec![
        user(json!(1), "alice", alice),
        user(json!(2), "bob", bob),
        json!({ "model": "auth.group", "pk": 7, "fields": { "name": "editors", "permissions": grants } }),
        json!({ "model": "auth.permission", "pk": 16, "fields": kind("view_poll") }),
        json!({ "model": "auth.permission", "pk": 17, "fields": kind("add_poll") }),
        json!({ "model": "contenttypes.contenttype", "pk": 5, "fields": { "app_label": "polls", "model": "poll" } }),
        json!({ "model": "sessions.session", "pk": "x", "fields": {} }),
    ];
    if natural_primary {
        for object in &mut dump {
            object.as_object_mut().unwrap().remove("pk");
        }
        // Numbers in references need rows with numbers.
        if !natural_foreign {
            dump.retain(|object| object["model"] == "auth.user");
            for user in &mut dump {
                user["fields"]["groups"] = json!([]);
                user["fields"]["user_permissions"] = json!([]);
            }
        }
    }
    dump
}

fn dump(folder: &Path, objects: &[Value]) {
    fs::write(folder.join("dump.json"), serde_json::to_string_pretty(objects).unwrap()).unwrap();
}

/// Runs the program in the folder.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Imports the dump, and gives the report. The exit code has to be this.
#[track_caller]
fn import(folder: &Path, more: &[&str], code: i32) -> Value {
    let output = run(folder, &[&["import", "django", "dump.json", "--report", "json"], more].concat());
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
}

/// What the store keeps: the lines of an export but the first one, which holds the time.
fn kept(folder: &Path) -> Vec<Value> {
    let output = run(folder, &["export"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kept_user(folder: &Path, name: &str) -> Value {
    let lines = kept(folder);
    let found = lines.iter().find(|line| line["user"]["username"] == name);
    found.unwrap_or_else(|| panic!("no {name}"))["user"].clone()
}

/// Every file below a folder, with its contents.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn codes(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    report["lines"].as_array().unwrap().iter().map(|line| (text(&line["record"]), text(&line["code"]))).collect()
}

#[test]
fn every_shape_of_a_dump_carries_the_same_people() {
    for (foreign, primary, lines) in
        [(false, false, false), (true, false, true), (true, true, false), (false, true, true)]
    {
        let folder = TempDir::new().unwrap();
        let objects = team(foreign, primary);
        dump(folder.path(), &objects);
        if lines {
            let text: String = objects.iter().map(|object| format!("{object}\n\n")).collect();
            fs::write(folder.path().join("dump.json"), text).unwrap();
        }
        let report = import(folder.path(), &["--apply"], 0);
        let context = format!("{foreign} {primary}: {report}");
        assert_eq!(report["users"]["created"], 2, "{context}");
        assert_eq!(report["password_formats"], json!({ "pbkdf2_sha256": 1, "unusable": 1 }), "{context}");
        assert_eq!((&report["superusers"], &report["staff"], &report["inactive"]), (&json!(1), &json!(1), &json!(1)));
        let alice = kept_user(folder.path(), "alice");
        assert_eq!(alice["last_login"], "2026-11-22T16:43:37.456Z");
        assert_eq!(alice["date_joined"], "2024-01-31T12:00:00.500Z");
        assert_eq!(alice["password"], HASH);
        assert_eq!((&alice["first_name"], &alice["email"]), (&json!("Al"), &json!("alice@example.com")));
        let bob = kept_user(folder.path(), "bob");
        assert_eq!((&bob["is_active"], &bob["email"]), (&json!(false), &json!("")));
        if primary && !foreign {
            continue;
        }
        assert_eq!(alice["groups"], json!(["editors"]), "{context}");
        assert_eq!(alice["user_permissions"], json!(["polls.view_poll"]), "{context}");
        let group = kept(folder.path()).into_iter().find_map(|line| line.get("group").cloned()).unwrap();
        assert_eq!(group["permissions"], json!(["polls.add_poll"]));
        assert_eq!(report["ignored"], json!({ "sessions.session": 1 }));
    }
}

#[test]
fn without_apply_nothing_is_written_and_a_second_import_changes_nothing() {
    let folder = TempDir::new().unwrap();
    dump(folder.path(), &team(false, false));
    let report = import(folder.path(), &[], 0);
    assert_eq!((&report["applied"], &report["users"]["created"]), (&json!(false), &json!(2)));
    assert!(!folder.path().join("data").exists() && !folder.path().join("keys").exists());
    import(folder.path(), &["--apply"], 0);
    let before = kept(folder.path());
    let mut more = team(false, false);
    more.push(user(json!(3), "carol", json!({})));
    dump(folder.path(), &more);
    let report = import(folder.path(), &[], 0);
    assert_eq!((&report["users"]["created"], &report["users"]["kept"]), (&json!(1), &json!(2)));
    assert_eq!(kept(folder.path()), before);
    let report = import(folder.path(), &["--apply"], 0);
    assert_eq!(report["users"]["created"], 1);
    let before = kept(folder.path());
    let report = import(folder.path(), &["--apply"], 0);
    for kind in ["users", "groups", "permissions"] {
        assert_eq!((&report[kind]["created"], &report[kind]["changed"]), (&json!(0), &json!(0)), "{kind}");
    }
    assert_eq!(kept(folder.path()), before);
}

#[tokio::test]
async fn people_log_in_with_the_password_that_they_had_and_a_later_import_leaves_them_alone() {
    let folder = TempDir::new().unwrap();
    dump(folder.path(), &team(false, false));
    import(folder.path(), &["--apply"], 0);
    let serving = Serving::start(folder.path(), &[]);
    assert!(serving.said.is_empty(), "there is a superuser already: {:?}", serving.said);
    let log_in = async |name: &str, password: &str| {
        let body = json!({ "username": name, "password": password }).to_string();
        let request = plain_http().build().unwrap().post(format!("{}/v1/login", serving.base));
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        answer.status()
    };
    assert_eq!(log_in("alice", DJANGO_PASSWORD).await, StatusCode::OK);
    assert_eq!(log_in("alice", "pass word-e").await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in("bob", "!AbCdEf").await, StatusCode::UNAUTHORIZED);
    // The store is in use: the error says what to do.
    let output = run(folder.path(), &["import", "django", "dump.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--url"), "{}", said(&output));
    serving.stop();
    let before = kept(folder.path());
    let report = import(folder.path(), &["--apply"], 0);
    assert_eq!(report["users"]["kept"], 2);
    assert_eq!(kept(folder.path()), before);
}

#[test]
fn what_cannot_be_carried_is_told_line_by_line_and_left_out_only_when_asked() {
    let folder = TempDir::new().unwrap();
    let many: Vec<Value> = (0..200).map(|n| json!([format!("{}{n}", "a".repeat(40)), "polls", "poll"])).collect();
    let objects = [
        user(json!(1), "alice", json!({})),
        user(json!(2), "ALICE", json!({})),
        user(json!(3), "two words", json!({})),
        user(json!(4), "dear", json!({ "password": "pbkdf2_sha256$999999999$salt$AAAA" })),
        user(json!(5), "odd", json!({ "password": "argon2$bad" })),
        user(json!(6), "nomail", json!({ "email": "nobody" })),
        user(json!(7), "mighty", json!({ "user_permissions": many })),
        user(json!(8), "member", json!({ "groups": [70, 9], "user_permissions": [99] })),
        user(json!(9), "late", json!({ "last_login": "yesterday" })),
        json!({ "model": "auth.group", "pk": 9, "fields": { "name": "a,b", "permissions": [] } }),
        json!({ "model": "auth.permission", "pk": 5, "fields": { "name": "x", "content_type": 1, "codename": "x" } }),
    ];
    dump(folder.path(), &objects);
    let report = import(folder.path(), &["--apply"], 1);
    assert!(!folder.path().join("data").exists(), "what is refused leaves nothing behind");
    let expected = [
        ("auth.permission pk 5 \"?.x\"", "unknown_content_type"),
        ("auth.group pk 9 \"a,b\"", "group_name"),
        ("auth.user pk 2 \"ALICE\"", "twice"),
        ("auth.user pk 3 \"two words\"", "username"),
        ("auth.user pk 4 \"dear\"", "password_hash"),
        ("auth.user pk 5 \"odd\"", "password_hash"),
        ("auth.user pk 6 \"nomail\"", "email"),
        ("auth.user pk 7 \"mighty\"", "rights_too_large"),
        ("auth.user pk 8 \"member\"", "unexplained_permission"),
        ("auth.user pk 8 \"member\"", "unexplained_group"),
        ("auth.user pk 8 \"member\"", "unknown_group"),
        ("auth.user pk 9 \"late\"", "time"),
    ];
    let expected: Vec<_> = expected.map(|(record, code)| (record.to_owned(), code.to_owned())).to_vec();
    assert_eq!(codes(&report), expected);
    assert!(report["remarks"].to_string().contains("contenttypes auth"), "{report}");
    assert!(!folder.path().join("data").exists() || kept(folder.path()).len() == 1, "it was refused");
    let report = import(folder.path(), &["--apply", "--skip"], 0);
    assert_eq!((&report["users"]["created"], &report["users"]["refused"]), (&json!(6), &json!(3)));
    assert_eq!(kept_user(folder.path(), "dear")["password"], "!");
    assert_eq!(kept_user(folder.path(), "nomail")["email"], "");
    let text = said(&run(folder.path(), &["import", "django", "dump.json", "--data", "new"]));
    assert!(text.contains("auth.user pk 6 \"nomail\": email:"), "{text}");
    // Somebody of the store has the name, but for case.
    dump(folder.path(), &[user(json!(50), "Alice", json!({})), user(json!(1), "renamed", json!({}))]);
    let report = import(folder.path(), &[], 1);
    let found: Vec<String> = codes(&report).into_iter().map(|(_, code)| code).collect();
    assert_eq!(found, ["look_alike", "other_name"]);
}

#[test]
fn custom_user_models_time_zones_and_other_keys_are_understood() {
    let folder = TempDir::new().unwrap();
    // In summer; in the hour that is skipped in spring; in the one that comes twice in autumn; at the end of all time.
    let joined = [
        ("eve", "2024-07-01T12:00:00"),
        ("fred", "2024-03-31T02:30:00.25"),
        ("gwen", "2024-10-27T02:30:00"),
        ("hugh", "9999-12-31T23:59:59"),
    ];
    let accounts = joined.iter().enumerate().map(|(n, (name, joined))| {
        let key = format!("9f2c4f5e-0000-4000-8000-00000000000{n}");
        let mut account = user(json!(key), "x", json!({ "phone": "1" }));
        account["model"] = json!("accounts.User");
        account["fields"].as_object_mut().unwrap().remove("username");
        account["fields"]["email"] = json!(format!("{name}@example.com"));
        account["fields"]["date_joined"] = json!(joined);
        account
    });
    dump(folder.path(), &accounts.collect::<Vec<_>>());
    let refused = |arguments: &[&str], expected: &str| {
        let output = run(folder.path(), &[&["import", "django", "dump.json"], arguments].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(expected), "{}", said(&output));
    };
    refused(&[], "--user-model accounts.user");
    refused(&["--user-model", "accounts.user"], "--username-field");
    let arguments = ["--user-model", "Accounts.User", "--username-field", "email", "--apply"];
    let report = import(folder.path(), &[&arguments[..], &["--time-zone", "Europe/Berlin"]].concat(), 0);
    assert_eq!(report["fields_not_carried"], json!({ "phone": 4 }));
    assert!(report["remarks"].to_string().contains("Europe/Berlin"), "{report}");
    // As Django's own `make_aware` takes them.
    let kept = joined.map(|(name, _)| kept_user(folder.path(), &format!("{name}@example.com"))["date_joined"].clone());
    let expected = ["2024-07-01T10:00:00Z", "2024-03-31T01:30:00.250Z", "2024-10-27T00:30:00Z", "9999-12-31T23:59:59Z"];
    assert_eq!(kept, expected);
    let output = run(folder.path(), &["import", "django", "dump.json", "--time-zone", "Mars"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_is_no_dump_is_refused_with_its_place() {
    let folder = TempDir::new().unwrap();
    let good = user(json!(1), "alice", json!({})).to_string();
    let large = format!("{{\"model\":\"auth.user\",\"fields\":{{\"x\":\"{}\"}}}}", "x".repeat(1 << 20));
    for (text, expected) in [
        (String::new(), "it is empty"),
        ("<xml/>".to_owned(), "neither a JSON array nor JSON lines"),
        (format!("[{good},\n{{\"model\":1}}]"), "record 2, line 2"),
        (format!("[{good},"), "cut off"),
        (format!("[{good}] x"), "line 1"),
        (format!("{good}\n{good}x\n"), "line 2"),
        (format!("{good}\n{large}\n"), "line 2: larger than 1 MiB"),
        (format!("[{large}]"), "larger than 1 MiB"),
    ] {
        fs::write(folder.path().join("dump.json"), &text).unwrap();
        let output = run(folder.path(), &["import", "django", "dump.json"]);
        assert_eq!(output.status.code(), Some(1), "{expected}");
        assert!(said(&output).contains(expected), "{expected}: {}", said(&output));
    }
    let output = run(folder.path(), &["import"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn existing_accounts_stay_unless_they_are_to_be_replaced() {
    let folder = TempDir::new().unwrap();
    dump(folder.path(), &team(true, false));
    import(folder.path(), &["--apply"], 0);
    let before = kept_user(folder.path(), "alice");
    let mut objects = team(true, false);
    objects[0]["fields"]["is_superuser"] = json!(false);
    objects[1]["fields"]["is_superuser"] = json!(true);
    objects[1]["fields"]["is_active"] = json!(true);
    objects[1]["fields"]["is_staff"] = json!(true);
    dump(folder.path(), &objects);
    import(folder.path(), &["--apply"], 0);
    assert_eq!(kept_user(folder.path(), "alice"), before);
    let report = import(folder.path(), &["--apply", "--existing", "replace"], 0);
    assert_eq!(report["users"]["changed"], 2);
    let after = kept_user(folder.path(), "alice");
    assert_eq!((&after["id"], &after["is_superuser"]), (&before["id"], &json!(false)));
    assert_eq!(after["rights_version"], 1, "what is taken away makes tokens stale");
    let report = import(folder.path(), &["--apply", "--existing", "replace"], 0);
    assert_eq!(report["users"]["changed"], 0);
}

/// A dump of so many users, in groups.
fn crowd(folder: &Path, users: u64) {
    let mut objects = team(true, false);
    for pk in 100..100 + users {
        objects.push(user(json!(pk), &format!("user{pk}"), json!({ "groups": [["editors"]] })));
    }
    dump(folder, &objects);
}

/// Starts the import and kills it as soon as the journal has been there for so long.
fn killed_after(folder: &Path, wait: Duration) -> bool {
    let mut command: Command = program(folder);
    command.args(["import", "django", "dump.json", "--apply"]).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let journal = folder.join("data/signet-import");
    let begun = std::time::Instant::now();
    while !journal.exists() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(1));
    }
    let seen = std::time::Instant::now();
    while seen.elapsed() < wait && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    journal.exists()
}

#[test]
fn an_import_that_is_killed_is_finished_by_the_next_one_or_taken_back() {
    let mut interrupted = 0;
    for round in 0..6u64 {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        dump(folder, &[user(json!(1), "alice", json!({ "is_superuser": true, "is_staff": true }))]);
        import(folder, &["--apply"], 0);
        let before = kept(folder);
        crowd(folder, 3000);
        if !killed_after(folder, Duration::from_millis(round * 60)) {
            continue;
        }
        interrupted += 1;
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["export"]] {
            let output = run(folder, arguments);
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            let said = said(&output);
            assert!(said.contains("was interrupted") && said.contains("--undo"), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        if round % 2 == 0 {
            let output = run(folder, &["import", "--undo"]);
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            assert_eq!(kept(folder), before);
            continue;
        }
        let whole = fs::read(folder.join("dump.json")).unwrap();
        dump(folder, &[user(json!(9), "other", json!({}))]);
        let output = run(folder, &["import", "django", "dump.json", "--apply"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        fs::write(folder.join("dump.json"), whole).unwrap();
        import(folder, &["--apply"], 0);
        let users = kept(folder).iter().filter(|line| line.get("user").is_some()).count();
        assert_eq!(users, 3002);
    }
    assert!(interrupted > 0, "none was interrupted");
    let folder = TempDir::new().unwrap();
    let output = run(folder.path(), &["import", "--undo"]);
    assert!(said(&output).contains("nothing to take back"), "{}", said(&output));
    assert!(files(&folder.path().join("data")).is_empty());
}

#[tokio::test]
async fn a_running_server_takes_an_import_in_parts() {
    let server = Server::start().await;
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    crowd(folder, 1200);
    fs::write(folder.join("password"), PASSWORD).unwrap();
    let base = server.base.clone();
    let afar = async |more: &[&str], code: i32| {
        let fixed =
            ["import", "django", "dump.json", "--report", "json", "--url", &base, "--password-file", "password"];
        let mut command = program(folder);
        command.args(fixed).args(more);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()
    };
    let report = afar(&[], 0).await;
    assert_eq!((&report["users"]["created"], &report["groups"]["created"]), (&json!(1202), &json!(1)), "{report}");
    let mut admin = server.admin().await;
    let count = async |admin: &mut crate::harness::Client, search: &str| {
        let found = admin.get(&format!("/v1/users?limit=200&search={search}")).await.is(StatusCode::OK);
        found.json()["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&mut admin, "user1").await, 0);
    let report = afar(&["--apply"], 0).await;
    assert_eq!(report["users"]["created"], 1202);
    let mut alice = server.anonymous();
    let credentials = json!({ "username": "alice", "password": DJANGO_PASSWORD });
    alice.post("/v1/login", credentials).await.is(StatusCode::OK);
    assert!(alice.may("polls.add_poll").await);
    let report = afar(&["--apply"], 0).await;
    assert_eq!((&report["users"]["created"], &report["users"]["kept"]), (&json!(0), &json!(1202)));
    afar(&["--username", "alice"], 1).await;
}

#[tokio::test]
async fn a_part_is_written_whole_or_not_at_all_and_by_superusers_only() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let user = |id: &str, name: &str| json!({ "user": { "id": id, "username": name, "password": HASH } });
    let (a, b) = ("AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAAg");
    let part = json!({ "records": [user(a, "one"), user(b, "two words")], "apply": true });
    let refused = admin.post("/v1/import", part).await.is_problem("invalid");
    assert_eq!(refused.errors(), [("records/1/username".to_owned(), "username".to_owned())]);
    admin.get(&format!("/v1/users/{a}")).await.is(StatusCode::NOT_FOUND);
    let two = json!({ "records": [{ "user": { "id": a, "username": "x" }, "group": { "id": a, "name": "x" } }] });
    assert_eq!(admin.post("/v1/import", two).await.is_problem("invalid").errors()[0].1, "one_member");
    let odd = json!({ "records": [user("short", "one")] });
    assert_eq!(admin.post("/v1/import", odd).await.is_problem("invalid").errors()[0].1, "id");
    let assumed = json!({ "records": [], "apply": true, "assumed_groups": ["x"] });
    assert_eq!(admin.post("/v1/import", assumed).await.is_problem("invalid").errors()[0].1, "not_with_apply");
    let many: Vec<Value> = (0..501).map(|_| user(a, "one")).collect();
    assert_eq!(
        admin.post("/v1/import", json!({ "records": many })).await.is_problem("invalid").errors()[0].1,
        "too_many"
    );
    let part = json!({ "records": [user(a, "one"), user(b, "two words")], "apply": true, "skip": true });
    let answer = admin.post("/v1/import", part).await.is(StatusCode::OK).json();
    assert_eq!((&answer["created"], &answer["refused"]), (&json!(1), &json!(1)));
    // An account that was deleted and comes again is not dead on arrival, and its old tokens stay dead.
    let credentials = json!({ "username": "one", "password": DJANGO_PASSWORD });
    let mut one = server.anonymous();
    one.post("/v1/login", credentials.clone()).await.is(StatusCode::OK);
    admin.delete(&format!("/v1/users/{a}")).await.is(StatusCode::NO_CONTENT);
    admin.post("/v1/import", json!({ "records": [user(a, "one")], "apply": true })).await.is(StatusCode::OK);
    assert!(!one.is_somebody().await);
    let mut again = server.anonymous();
    again.post("/v1/login", credentials).await.is(StatusCode::OK);
    assert!(again.is_somebody().await);
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    staff.post("/v1/import", json!({ "records": [] })).await.is(StatusCode::FORBIDDEN);
    let refused = admin.get("/v1/audit?action=import&outcome=refused").await.json();
    assert_eq!(refused["items"][0]["actor"]["name"], "staff");
    server.anonymous().post("/v1/import", json!({ "records": [] })).await.is(StatusCode::UNAUTHORIZED);
}

#[test]
fn a_full_disk_leaves_an_import_that_is_taken_back_whole() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    dump(folder, &team(true, false));
    import(folder, &["--apply"], 0);
    let before = kept(folder);
    crowd(folder, 6000);
    // No file grows beyond 4 MiB: what a full disk looks like, without filling one.
    let script = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" import django dump.json --apply";
    let mut shell = Command::new("/bin/sh");
    shell.current_dir(folder).env_clear().stdin(std::process::Stdio::null());
    let output = shell.args(["-c", script, env!("CARGO_BIN_EXE_signet")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("--undo"), "{}", said(&output));
    let output = run(folder, &["import", "--undo"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(kept(folder), before);
    assert!(!folder.join("data/signet-import").exists());
    import(folder, &["--apply"], 0);
}

#[tokio::test]
async fn an_identity_is_one_groups_and_a_counter_has_room_to_rise() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (a, b) = ("AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAAg");
    let group = |name: &str| json!({ "group": { "id": a, "name": name } });
    let refused = admin.post("/v1/import", json!({ "records": [group("x"), group("y")], "apply": true })).await;
    assert_eq!(refused.is_problem("invalid").errors(), [("records/1/id".to_owned(), "twice".to_owned())]);
    for counter in ["version", "generation", "rights_version"] {
        let mut user = json!({ "id": b, "username": "one", "password": HASH });
        user[counter] = json!(u64::MAX);
        let part = json!({ "records": [{ "user": user }], "apply": true });
        let refused = admin.post("/v1/import", part).await.is_problem("invalid");
        assert_eq!(refused.errors(), [(format!("records/0/{counter}"), "out_of_range".to_owned())]);
    }
    // The highest that is taken: a change of the password ends what was opened before.
    let user = json!({ "id": b, "username": "one", "password": HASH, "generation": (1u64 << 53) - 1 });
    admin.post("/v1/import", json!({ "records": [{ "user": user }], "apply": true })).await.is(StatusCode::OK);
    let credentials = json!({ "username": "one", "password": DJANGO_PASSWORD });
    let (mut one, mut other) = (server.anonymous(), server.anonymous());
    one.post("/v1/login", credentials.clone()).await.is(StatusCode::OK);
    other.post("/v1/login", credentials).await.is(StatusCode::OK);
    let change = json!({ "old_password": DJANGO_PASSWORD, "new_password": "another short sentence" });
    one.post("/v1/password", change).await.is(StatusCode::OK);
    assert!(one.is_somebody().await && !other.is_somebody().await);
}
