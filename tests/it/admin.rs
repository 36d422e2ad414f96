//! `/admin`: the pages of administration, as they lie in `admin/dist`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::cli::{Serving, program};
use crate::harness::{Answer, Client, Options, Server, unpacked};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src \
    'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("admin/dist")
}

/// Every file of the build: its path below `admin/dist` before it was packed, what is in it, and its packed form.
fn files() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(&dist(), &mut paths);
    paths.sort();
    let file = |path: &PathBuf| {
        let name = path.strip_prefix(dist()).unwrap().to_str().unwrap();
        let name = name.strip_suffix(".gz").unwrap_or_else(|| panic!("{name} is not packed"));
        let packed = std::fs::read(path).unwrap();
        (name.to_owned(), unpacked(&packed), packed)
    };
    paths.iter().map(file).collect()
}

async fn get(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    client.call(Method::GET, path, None, fields).await
}

#[tokio::test]
async fn every_file_of_the_build_is_served_as_what_it_is() {
    let server = Server::start().await;
    let mut nobody = server.anonymous();
    let mut hashed = 0;
    for (name, content, _) in files() {
        let answer = nobody.get(&format!("/admin/{name}")).await.is(StatusCode::OK);
        assert!(answer.body == content, "{name} is served as another one");
        let kind = match name.rsplit('.').next().unwrap() {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "ico" => "image/x-icon",
            "woff2" => "font/woff2",
            "txt" => "text/plain; charset=utf-8",
            "json" => "application/json",
            "webmanifest" => "application/manifest+json",
            other => panic!("{name}: say here what .{other} is"),
        };
        assert_eq!(answer.header("content-type"), Some(kind), "{name}");
        let kept = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        assert_eq!(answer.header("cache-control"), Some(kept), "{name}");
        assert_eq!(answer.header("content-encoding"), None, "{name}");
        hashed += usize::from(name.starts_with("assets/"));
    }
    assert!(hashed > 0, "admin/dist has no assets");
}

#[tokio::test]
async fn every_path_that_names_no_file_is_the_page_and_it_runs_nothing_of_its_own() {
    let server = Server::start().await;
    let mut nobody = server.anonymous();
    let (_, page, _) = files().into_iter().find(|(name, ..)| name == "index.html").unwrap();
    for path in ["/admin", "/admin/", "/admin/users", "/admin/users/q3bXcK0aTn2vSgYkPzq1bA?tab=sessions", "/admin//x"] {
        let answer = nobody.get(path).await.is(StatusCode::OK);
        assert!(answer.body == page, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert_eq!(answer.header("content-security-policy"), Some(POLICY), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        assert!(answer.set_cookies().is_empty(), "{path}");
        let tag = answer.header("etag").unwrap();
        let again = get(&mut nobody, path, &[("if-none-match", tag)]).await.is(StatusCode::NOT_MODIFIED);
        assert!(again.body.is_empty() && again.header("content-type").is_none());
        assert_eq!((again.header("etag"), again.header("content-security-policy")), (Some(tag), Some(POLICY)));
        get(&mut nobody, path, &[("if-none-match", "\"another\"")]).await.is(StatusCode::OK);
        let head = nobody.call(Method::HEAD, path, None, &[]).await.is(StatusCode::OK);
        assert!(head.body.is_empty() && head.header("etag") == Some(tag));
    }
    // A browser would refuse what stands inline.
    for (name, content, _) in files().into_iter().filter(|(name, ..)| name.rsplit('.').next() == Some("html")) {
        let text = String::from_utf8(content).unwrap().to_lowercase();
        for tag in text.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            assert!(!tag.starts_with("style"), "{name}: <{tag}>");
            assert!(!tag.starts_with("script") || tag.contains(" src="), "{name}: <{tag}>");
            let inline = |word: &str| word.starts_with("style=") || (word.starts_with("on") && word.contains('='));
            assert!(!tag.split_whitespace().any(inline), "{name}: <{tag}>");
        }
    }
}

#[tokio::test]
async fn what_is_no_file_of_the_build_is_not_found() {
    let server = Server::start().await;
    let mut nobody = server.anonymous();
    for path in ["/admin/none.js", "/admin/assets/none.css", "/admin/assets/..%2findex.html", "/admin/a.b/c", "/admins"]
    {
        nobody.get(path).await.is(StatusCode::NOT_FOUND).is_problem("not_found");
    }
    for (name, ..) in files() {
        nobody.get(&format!("/admin/{name}.gz")).await.is(StatusCode::NOT_FOUND).is_problem("not_found");
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        for path in ["/admin", "/admin/users", "/admin/none.js"] {
            let refused = nobody.call(method.clone(), path, None, &[]).await.is_problem("method_not_allowed");
            assert_eq!(refused.header("allow"), Some("GET, HEAD"));
        }
    }
}

#[tokio::test]
async fn a_file_comes_packed_to_who_takes_that() {
    let server = Server::start().await;
    let mut nobody = server.anonymous();
    for (name, content, packed) in files() {
        let path = format!("/admin/{name}");
        let plain = nobody.get(&path).await;
        let mut tags = BTreeSet::new();
        for (accepted, coding, expected) in [
            ("gzip, deflate, br", Some("gzip"), &packed),
            ("gzip;q=0, *", None, &content),
            ("identity", None, &content),
        ] {
            let answer = get(&mut nobody, &path, &[("accept-encoding", accepted)]).await.is(StatusCode::OK);
            assert_eq!(answer.header("content-encoding"), coding, "{name}: {accepted}");
            assert!(answer.body == *expected, "{name}: {accepted}");
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{name}");
            assert_eq!(answer.header("content-type"), plain.header("content-type"), "{name}");
            let tag = answer.header("etag").unwrap().to_owned();
            let fields = [("accept-encoding", accepted), ("if-none-match", tag.as_str())];
            get(&mut nobody, &path, &fields).await.is(StatusCode::NOT_MODIFIED);
            tags.insert((coding, tag));
        }
        // Another coding is another tag.
        assert_eq!(tags.iter().map(|(_, tag)| tag).collect::<BTreeSet<_>>().len(), 2, "{name}: {tags:?}");
    }
}

#[tokio::test]
async fn pages_that_are_off_are_not_there() {
    let server = Server::start_with(Options { admin: false, ..Options::default() }).await;
    let mut admin = server.admin().await;
    let paths = files().into_iter().map(|(name, ..)| format!("/admin/{name}"));
    for path in ["/admin", "/admin/", "/admin/users"].map(str::to_owned).into_iter().chain(paths) {
        for method in [Method::GET, Method::DELETE] {
            admin.call(method, &path, None, &[]).await.is(StatusCode::NOT_FOUND).is_problem("not_found");
        }
    }
    // The operations are.
    admin.get("/v1/figures").await.is(StatusCode::OK);
}

#[tokio::test]
async fn the_program_has_the_pages_unless_it_is_told_not_to() {
    for (flags, variable, status) in [
        (&[][..], None, StatusCode::OK),
        (&["--admin", "off"][..], None, StatusCode::NOT_FOUND),
        (&[][..], Some("off"), StatusCode::NOT_FOUND),
        (&["--admin", "on"][..], Some("off"), StatusCode::OK),
    ] {
        let folder = TempDir::new().unwrap();
        let mut command = program(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags);
        if let Some(value) = variable {
            command.env("SIGNET_ADMIN", value);
        }
        let server = Serving::start_as(&mut command);
        let answer = reqwest::get(format!("{}/admin", server.base)).await.unwrap();
        assert_eq!(answer.status(), status, "{flags:?} {variable:?}");
        let (_, said) = server.stop();
        assert_eq!(said.contains("/admin\n"), status == StatusCode::OK, "{said}");
    }
    let help = program(&std::env::temp_dir()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("--admin <on|off>") && help.contains("SIGNET_ADMIN"), "{help}");
}
