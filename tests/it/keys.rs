//! The folder of keys: what is refused in it, how keys change while the server runs, what is published.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use pem::Pem;
use reqwest::StatusCode;
use serde_json::{Value, json};
use signet::claims::{Claims, Lifetime};
use signet::keys::{self, Keyring, Kind, Role};
use signet::token::Tokens;
use tempfile::TempDir;

use crate::harness::{Options, Server, folder_with_keys};

/// RSA of 1,024 bits: a public key, which nobody has the other half of.
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCRmSpjurwNnJ9KzLRcXyO+3KZe
elBELuuQ95I4PoyldPeq2Ff7Yhc6upeSC7Q+3NIe/Jd9VSg21TippKLFxhbTdPTu
UG3amcGTU2H9MUoU6hSYaDZP7gtRBPyLFd9K1cz5Uch6kTY3QrEbYLGGLn825uQ5
qMLP01tj8KxP++iGVQIDAQAB
-----END PUBLIC KEY-----
";

/// RSA of 3,072 bits with the exponent 3: a public key, which nobody has the other half of.
const RSA_EXPONENT_3: &str = "-----BEGIN PUBLIC KEY-----
MIIBoDANBgkqhkiG9w0BAQEFAAOCAY0AMIIBiAKCAYEA7kghpD55S7PL1o/iaD6D
KCyZ8iV8LdFxvyXmpTT+K2VVSqV9u34n7Lnx90YeVRsFZM5UrAwc4drMyCKXIuWQ
s9mBE0PDlo/sJ9Z83goQT/wGpI2gk8AqVcT0SU2Dx5VUu6MD+QFhJd2f1CGq1fHO
rGfWMTZNpQ7rCAp4u/c+B4XFL0JumY6uQEecia5flll/QYVNgDnV/wPeqWr0C4Qc
3kDMSXqVfW7nUwF0x2tC7gG0MSI2Fh9QIUzhuzQPTxM12lWp1ZNetINYW1Yn7EW3
NvgMTTyaAc/DX2kCg6lcTzF0FiKrXq5rxWGVIQhUaxxIRk5RfsJ5dYcPwM18jjLD
EbC+o3F6lYJT4l0sjEDmt9vVjbAwxxsRMao997V/cIFU5Y9LfJpfEnpGKfjUgNEb
UwxyeR0zWck5Pxk012v5H3i86rLmREogAuOESWFISLFDf83/06jFJyjUhY4/cF6q
tD66/gSwumhHVaR2NelMWDSimxPf0pRKs4Yq1Ba+qe7DAgED
-----END PUBLIC KEY-----
";

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A key in PEM, of an algorithm, as `generate` writes it.
fn sound(algorithm: &str) -> Vec<u8> {
    let folder = folder_with_keys(&[("k", algorithm)]);
    let keys = folder.path().join("keys");
    fs::read(keys.join(if algorithm == "hs256" { "k.secret" } else { "k.pem" })).unwrap()
}

/// The public half of a key that is not retired yet.
fn public_half(algorithm: &str) -> Vec<u8> {
    let folder = folder_with_keys(&[("a", algorithm), ("b", "eddsa")]);
    let keys = folder.path().join("keys");
    keys::retire(&keys, "a").unwrap();
    fs::read(keys.join("a.pem")).unwrap()
}

fn faults(folder: &Path) -> Vec<String> {
    Keyring::load(folder).err().map(|faults| faults.0).unwrap_or_default()
}

/// One way in which a folder is not sound: what is done to it, and the words that name the fault and the remedy.
struct Spoilt {
    what: &'static str,
    file: &'static str,
    content: Vec<u8>,
    mode: u32,
    fault: &'static str,
    mend: &'static str,
}

fn spoilt_folders() -> Vec<Spoilt> {
    let key = sound("eddsa");
    let text = String::from_utf8(key.clone()).unwrap();
    let odd = "not an Ed25519, P-256 or RSA key";
    let put = "put a sound key here, or remove the file";
    let write = "write it as one unencrypted PKCS#8 key";
    let generate = "signet keys generate --algorithm hs256";
    let pem_of = |tag: &str, der: &[u8]| pem::encode(&Pem::new(tag, der)).into_bytes();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let rsa = pem_of("PRIVATE KEY", der.as_ref());
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let p384_public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = p384.public_key().as_der().unwrap();
    let (p384, p384_public) =
        (pem_of("PRIVATE KEY", p384.to_pkcs8v1().unwrap().as_ref()), pem_of("PUBLIC KEY", p384_public.as_ref()));
    let der = pem::parse(&key).unwrap().contents().to_vec();
    let mut flipped = der.clone();
    flipped[10] ^= 0xff;
    // A point that is not on the curve, and an Ed25519 key of the wrong length.
    let mut off_curve = pem::parse(public_half("es256")).unwrap().contents().to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    let short = pem::parse(public_half("eddsa")).unwrap().contents()[..43].to_vec();
    let row = |what, file, content: Vec<u8>, mode, fault, mend| Spoilt { what, file, content, mode, fault, mend };
    let secret = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes).into_bytes();
    let bytes: Vec<u8> = (0..32).map(|n| n * 7 + 3).collect();
    let padded = [&[0xfb, 0xef, 0xbe], &bytes[..]].concat();
    vec![
        row("empty", "bad.pem", vec![], 0o600, "no key in it", write),
        row("text", "bad.pem", b"to be done\n".to_vec(), 0o600, "no key in it", write),
        row("half written", "bad.pem", key[..key.len() / 2].to_vec(), 0o600, "", write),
        row("no end line", "bad.pem", text.replace("-----END PRIVATE KEY-----", "").into(), 0o600, "", write),
        row("bytes", "bad.pem", vec![0xff; 100], 0o600, "", write),
        row("DER", "bad.pem", der.clone(), 0o600, "", write),
        row("cut off within", "bad.pem", pem_of("PRIVATE KEY", &der[..der.len() - 1]), 0o600, odd, put),
        row("a damaged byte", "bad.pem", pem_of("PRIVATE KEY", &flipped), 0o600, odd, put),
        row("nothing within", "bad.pem", pem_of("PRIVATE KEY", &[]), 0o600, odd, put),
        row("two keys", "bad.pem", [sound("eddsa"), sound("es256")].concat(), 0o600, "more than one block", write),
        row("one key twice", "bad.pem", [key.clone(), key.clone()].concat(), 0o600, "more than one block", write),
        row("encrypted", "bad.pem", pem_of("ENCRYPTED PRIVATE KEY", &der), 0o600, "an encrypted key", write),
        row("PKCS#1", "bad.pem", pem_of("RSA PRIVATE KEY", &der), 0o600, "neither PRIVATE KEY nor PUBLIC KEY", write),
        row("SEC1", "bad.pem", pem_of("EC PRIVATE KEY", &der), 0o600, "neither PRIVATE KEY nor PUBLIC KEY", write),
        row(
            "a certificate",
            "bad.pem",
            pem_of("CERTIFICATE", &der),
            0o600,
            "neither PRIVATE KEY nor PUBLIC KEY",
            write,
        ),
        row("P-384", "bad.pem", p384, 0o600, odd, put),
        row("P-384, public", "bad.pem", p384_public, 0o644, "", put),
        row("off the curve", "bad.pem", pem_of("PUBLIC KEY", &off_curve), 0o644, "", put),
        row("a short point", "bad.pem", pem_of("PUBLIC KEY", &short), 0o644, odd, put),
        row("private as public", "bad.pem", pem_of("PUBLIC KEY", &der), 0o600, "", put),
        row("RSA 2048", "bad.pem", rsa, 0o600, "2048 bits is weak: at least 3072", put),
        row("RSA 1024, public", "bad.pem", RSA_1024.into(), 0o644, "1024 bits is weak: at least 3072", put),
        row("exponent 3", "bad.pem", RSA_EXPONENT_3.into(), 0o644, "exponent is not 65537", put),
        row("read by all", "bad.pem", key.clone(), 0o644, "others than its owner can read", "chmod 600"),
        row("read by the group", "bad.pem", key.clone(), 0o640, "others than its owner can read", "chmod 600"),
        row("changed by the group", "bad.pem", key.clone(), 0o620, "others than its owner can read", "chmod 600"),
        row("run by others", "bad.pem", key.clone(), 0o601, "others than its owner can read", "chmod 600"),
        row(
            "public, changed by all",
            "bad.pem",
            public_half("eddsa"),
            0o666,
            "others than its owner can change",
            "chmod 644",
        ),
        row(
            "public, changed by the group",
            "bad.pem",
            public_half("es256"),
            0o664,
            "others than its owner can change",
            "chmod 644",
        ),
        row("secret read by all", "bad.secret", sound("hs256"), 0o644, "others than its owner can read", "chmod 600"),
        row(
            "retired secret read by all",
            "bad.retired",
            sound("hs256"),
            0o604,
            "others than its owner can read",
            "chmod 600",
        ),
        row("no secret", "bad.secret", vec![], 0o600, "a weak secret", generate),
        row("31 bytes", "bad.secret", secret(&bytes[..31]), 0o600, "a weak secret", generate),
        row("31 bytes, retired", "bad.retired", secret(&bytes[..31]), 0o600, "a weak secret", generate),
        row("zeros", "bad.secret", secret(&[0; 64]), 0o600, "a weak secret", generate),
        row("a pattern", "bad.secret", secret(&b"0123456789".repeat(7)), 0o600, "a weak secret", generate),
        row("a known word", "bad.secret", b"secret".to_vec(), 0o600, "", generate),
        row(
            "a phrase",
            "bad.secret",
            b"this is my very long secret phrase, you know".to_vec(),
            0o600,
            "not a secret in",
            generate,
        ),
        row("padded", "bad.secret", URL_SAFE.encode(&padded).into(), 0o600, "not a secret in", generate),
        row("other alphabet", "bad.secret", STANDARD_NO_PAD.encode(&padded).into(), 0o600, "not a secret in", generate),
        row("a PEM as secret", "bad.secret", key.clone(), 0o600, "not a secret in", generate),
        row("a secret as PEM", "bad.pem", sound("hs256"), 0o600, "no key in it", write),
        row("an odd name", "bad name.pem", key.clone(), 0o600, "letters, digits, - or _", "rename the file"),
        row("a dot in the name", "bad.old.pem", key.clone(), 0o600, "letters, digits, - or _", "rename the file"),
        row("quotes in the name", "b\"ad.pem", key.clone(), 0o600, "letters, digits, - or _", "rename the file"),
        row("a letter of elsewhere", "b\u{e9}d.pem", key.clone(), 0o600, "letters, digits, - or _", "rename the file"),
        row("a backup", "bad.pem~", key.clone(), 0o600, "not a kind of file that belongs here", "move it away"),
        row("another ending", "bad.key", key.clone(), 0o600, "not a kind of file that belongs here", "move it away"),
        row(
            "capitals in the ending",
            "bad.PEM",
            key.clone(),
            0o600,
            "not a kind of file that belongs here",
            "move it away",
        ),
        row("no ending", "bad", key.clone(), 0o600, "not a kind of file that belongs here", "move it away"),
        row("notes", "notes.txt", b"x".to_vec(), 0o644, "not a kind of file that belongs here", "move it away"),
        row("too large", "bad.pem", vec![b'x'; 65 * 1024], 0o600, "larger than any key", "put a key here"),
        row("the same stem", "good.secret", sound("hs256"), 0o600, "the same key as good", "remove one of them"),
        row(
            "the same stem, retired",
            "good.retired",
            sound("hs256"),
            0o600,
            "the same key as good",
            "remove one of them",
        ),
    ]
}

/// A folder with one sound key, `good`.
fn sound_folder() -> (TempDir, PathBuf) {
    let folder = folder_with_keys(&[("good", "eddsa")]);
    let keys = folder.path().join("keys");
    (folder, keys)
}

#[tokio::test]
async fn a_folder_with_a_fault_gives_no_keyring_and_the_fault_names_file_and_remedy() {
    let server = Server::start_with(Options { folder: Some(sound_folder().0), ..Options::default() }).await;
    let mut somebody = server.admin().await;
    let running = server.app.tokens().keyring();
    let keys = server.folder().join("keys");
    for Spoilt { what, file, content, mode, fault, mend } in spoilt_folders() {
        let path = keys.join(file);
        write(&path, content, mode);
        let found = faults(&keys);
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        let named = path.to_string_lossy();
        assert!(found[0].starts_with(&format!("{named}: ")), "{what}: {found:?}");
        assert!(found[0].contains(fault) && found[0].contains(mend), "{what}: {found:?}");
        assert!(!found[0].contains('\n'), "{what}: one line");
        // A server that runs goes on with the keys that it has.
        assert_eq!(server.app.reload_keys(&keys).unwrap_err().0, found, "{what}");
        assert!(Arc::ptr_eq(&running, &server.app.tokens().keyring()), "{what}");
        fs::remove_file(&path).unwrap();
    }
    assert!(somebody.is_somebody().await);
    assert!(server.admin().await.is_somebody().await, "new sessions are signed as before");
    assert!(faults(&keys).is_empty());
    server.app.reload_keys(&keys).unwrap();
    assert!(somebody.is_somebody().await);
}

#[test]
fn a_key_is_a_plain_file_and_no_link() {
    let (folder, keys) = sound_folder();
    let elsewhere = folder.path().join("elsewhere.pem");
    write(&elsewhere, sound("eddsa"), 0o600);
    for target in [elsewhere.as_path(), Path::new("good.pem"), Path::new("nowhere.pem"), Path::new("/dev/null")] {
        let path = keys.join("link.pem");
        symlink(target, &path).unwrap();
        let found = faults(&keys);
        assert_eq!(found.len(), 1, "{}: {found:?}", target.display());
        assert!(found[0].contains("link.pem: not a plain file; put the key itself here"), "{found:?}");
        fs::remove_file(path).unwrap();
    }
    let path = keys.join("socket.pem");
    let _socket = std::os::unix::net::UnixListener::bind(path).unwrap();
    assert!(faults(&keys)[0].contains("socket.pem: not a plain file"));
}

#[test]
fn a_key_that_belongs_to_somebody_else_is_refused() {
    let (_folder, keys) = sound_folder();
    let path = keys.join("other.pem");
    write(&path, sound("eddsa"), 0o600);
    assert!(faults(&keys).is_empty());
    if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
        println!("skipped: only root can give a file away");
        return;
    }
    let found = faults(&keys);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("other.pem: owned by somebody else; give it to the user that runs signet"), "{found:?}");
}

#[test]
fn one_key_has_one_name() {
    for algorithm in ["eddsa", "es256", "rs256", "hs256"] {
        let folder = folder_with_keys(&[("first", algorithm), ("signer", "eddsa")]);
        let keys = folder.path().join("keys");
        let ending = if algorithm == "hs256" { "secret" } else { "pem" };
        let first = fs::read(keys.join(format!("first.{ending}"))).unwrap();
        write(&keys.join(format!("second.{ending}")), &first, 0o600);
        let found = faults(&keys);
        assert_eq!(found.len(), 1, "{algorithm}: {found:?}");
        assert!(found[0].contains(&format!("second.{ending}: it is the same key as first")), "{found:?}");
        assert!(found[0].contains("remove one of them"), "{found:?}");
        // Nor may the half that was retired come back beside the whole.
        fs::remove_file(keys.join(format!("second.{ending}"))).unwrap();
        keys::retire(&keys, "first").unwrap();
        write(&keys.join(format!("second.{ending}")), &first, 0o600);
        assert!(faults(&keys)[0].contains("the same key as first"), "{algorithm}");
    }
}

#[test]
fn all_faults_are_told_at_once_and_a_folder_without_a_signer_is_one() {
    let (folder, keys) = sound_folder();
    write(&keys.join("a.pem"), "x", 0o600);
    write(&keys.join("b.secret"), "x", 0o600);
    write(&keys.join("c.txt"), "x", 0o600);
    assert_eq!(faults(&keys).len(), 3);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(keys::is_empty(&empty).unwrap());
    assert!(faults(&empty)[0].contains("no key here can sign; make one with `signet keys generate`"));
    write(&empty.join("old.pem"), public_half("eddsa"), 0o644);
    assert!(!keys::is_empty(&empty).unwrap(), "a new key must not be made beside it");
    assert!(faults(&empty)[0].contains("no key here can sign"));
    let nowhere = folder.path().join("nowhere");
    assert!(faults(&nowhere)[0].contains("cannot be read") && faults(&nowhere)[0].contains("--keys"));
    // What is no key, and does not look like one.
    write(&empty.join("README.md"), "x", 0o644);
    write(&empty.join(".gitignore"), "*", 0o644);
    fs::create_dir(empty.join("tls")).unwrap();
    write(&empty.join("new.pem"), sound("es256"), 0o600);
    assert_eq!(Keyring::load(&empty).ok().unwrap().keys().len(), 2);
}

#[test]
fn a_key_that_another_program_wrote_is_taken_as_it_is() {
    let (_folder, keys) = sound_folder();
    let text = String::from_utf8(sound("eddsa")).unwrap().replace("\r\n", "\n");
    for (content, mode) in [
        (text.replace('\n', "\r\n"), 0o600),
        (text.trim_end().to_owned(), 0o400),
        (format!("# made by hand\n\n{text}\n\n"), 0o600),
    ] {
        write(&keys.join("other.pem"), content, mode);
        assert_eq!(Keyring::load(&keys).ok().unwrap().signer().kid(), "other");
        fs::remove_file(keys.join("other.pem")).unwrap();
    }
    write(&keys.join("secret.secret"), [sound("hs256"), b"\n".to_vec()].concat(), 0o600);
    assert_eq!(Keyring::load(&keys).ok().unwrap().signer().algorithm(), "HS256");
    fs::remove_file(keys.join("secret.secret")).unwrap();
    for algorithm in ["eddsa", "es256"] {
        write(&keys.join("public.pem"), public_half(algorithm), 0o444);
        let ring = Keyring::load(&keys).ok().unwrap();
        assert!(ring.keys().iter().any(|key| key.kid() == "public" && !key.can_sign()));
    }
}

#[test]
fn generating_makes_a_file_for_its_owner_only_that_will_sign() {
    let folder = folder_with_keys(&[]);
    let keys = folder.path().join("keys");
    let mut now = DateTime::UNIX_EPOCH;
    for (algorithm, name) in [("rs256", "RS256"), ("eddsa", "EdDSA"), ("hs256", "HS256"), ("es256", "ES256")] {
        now += TimeDelta::seconds(1);
        let kid = keys::generate(&keys, algorithm, None, now).unwrap();
        let signer = Keyring::load(&keys).ok().unwrap();
        assert_eq!((signer.signer().kid(), signer.signer().algorithm()), (kid.as_str(), name));
    }
    let files: Vec<_> = fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "nothing is left beside: {files:?}");
    assert!(files.iter().all(|path| mode(path) == 0o600), "{files:?}");
    // A name that is taken, that is none, or that would never sign; and an algorithm that is none.
    let last = Keyring::load(&keys).ok().unwrap().signer().kid().to_owned();
    for (algorithm, kid, words) in [
        ("eddsa", last.as_str(), "already"),
        ("hs256", last.as_str(), "already"),
        ("eddsa", "0", "would never sign"),
        ("eddsa", "", "letters, digits"),
        ("eddsa", "../evil", "letters, digits"),
        ("eddsa", "a/b", "letters, digits"),
        ("eddsa", "a.b", "letters, digits"),
        ("eddsa", "a\"b", "letters, digits"),
        ("eddsa", "a\nb", "letters, digits"),
        ("eddsa", &"k".repeat(65), "letters, digits"),
        ("none", "zz", "eddsa, es256, rs256 or hs256"),
        ("EdDSA", "zz", "eddsa, es256, rs256 or hs256"),
        ("hs512", "zz", "eddsa, es256, rs256 or hs256"),
    ] {
        let why = keys::generate(&keys, algorithm, Some(kid), now).unwrap_err();
        assert!(why.contains(words), "{algorithm} {kid}: {why}");
    }
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 4);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written outside");
    // Two keys are never the same.
    let kid = keys::generate(&keys, "eddsa", Some("zz"), now).unwrap();
    assert_ne!(fs::read(keys.join("zz.pem")).unwrap(), sound("eddsa"));
    assert_eq!(Keyring::load(&keys).ok().unwrap().signer().kid(), kid);
}

#[tokio::test]
async fn keys_change_through_all_algorithms_without_logging_anybody_out() {
    let folder = folder_with_keys(&[("1", "eddsa")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let keys = server.folder().join("keys");
    let mut everybody = vec![server.admin().await];
    let mut preferences = Vec::new();
    for (n, algorithm) in [(1, "EdDSA"), (2, "ES256"), (3, "RS256"), (4, "HS256")] {
        let kid = n.to_string();
        if n > 1 {
            keys::generate(&keys, &algorithm.to_lowercase(), Some(&kid), server.now()).unwrap();
            server.app.reload_keys(&keys).unwrap();
        }
        let mut new = server.admin().await;
        let header = URL_SAFE_NO_PAD.decode(new.cookie.as_deref().unwrap().split('.').next().unwrap()).unwrap();
        assert_eq!(
            String::from_utf8(header).unwrap(),
            format!(r#"{{"alg":"{algorithm}","kid":"{kid}","typ":"session+jwt"}}"#)
        );
        let set = new.put("/v1/cookies/n", json!({ "value": kid })).await.is(StatusCode::OK);
        preferences.push((kid, set.set_cookies()[0].split(';').next().unwrap().to_owned()));
        everybody.push(new);
        // All keys but the newest are retired; what they signed still counts.
        if n > 1 {
            keys::retire(&keys, &(n - 1).to_string()).unwrap();
            server.app.reload_keys(&keys).unwrap();
        }
        for client in &mut everybody {
            assert!(client.is_somebody().await, "after {algorithm}");
        }
        for (value, cookie) in &preferences {
            let headers = [("cookie", cookie.as_str())];
            let read = server.anonymous().call(reqwest::Method::GET, "/v1/cookies/n", None, &headers).await.json();
            assert_eq!(read["value"], value.as_str(), "after {algorithm}");
        }
    }
    // An old session's next issue is by the new key.
    let mut oldest = everybody.swap_remove(0);
    oldest.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    let kept = oldest.cookie.clone().unwrap();
    for n in ["1", "2", "3"] {
        fs::remove_file(keys.join(format!("{n}.pem"))).unwrap();
    }
    server.app.reload_keys(&keys).unwrap();
    assert!(server.with_cookie(&kept).is_somebody().await);
}

#[test]
fn a_retired_key_verifies_and_never_signs_again() {
    for algorithm in ["eddsa", "es256", "rs256", "hs256"] {
        let folder = folder_with_keys(&[("1", algorithm), ("2", "eddsa")]);
        let keys = folder.path().join("keys");
        let file = keys.join(if algorithm == "hs256" { "1.secret" } else { "1.pem" });
        // Signed while it was the newest.
        fs::rename(keys.join("2.pem"), folder.path().join("2.pem")).unwrap();
        let token = Keyring::load(&keys).ok().unwrap().sign(Kind::Session, b"{}").unwrap();
        assert!(keys::retire(&keys, "1").unwrap_err().contains("the only key that can sign"), "{algorithm}");
        fs::rename(folder.path().join("2.pem"), keys.join("2.pem")).unwrap();
        let before = fs::read(&file).unwrap();
        keys::retire(&keys, "1").unwrap();
        let ring = Keyring::load(&keys).ok().unwrap();
        let key = ring.keys().iter().find(|key| key.kid() == "1").unwrap();
        assert!(!key.can_sign(), "{algorithm}");
        assert_eq!(ring.verify(Kind::Session, &token).as_deref(), Some(&b"{}"[..]), "{algorithm}");
        assert_eq!(ring.verify(Kind::Cookie, &token), None, "{algorithm}");
        assert_eq!(ring.signer().kid(), "2");
        assert!(keys::retire(&keys, "1").unwrap_err().contains("retired already"), "{algorithm}");
        assert!(keys::retire(&keys, "3").unwrap_err().contains("there is no key 3"), "{algorithm}");
        assert!(keys::retire(&keys, "../2").unwrap_err().contains("there is no key"), "{algorithm}");
        if algorithm == "hs256" {
            assert!(!file.exists());
            assert_eq!(mode(&keys.join("1.retired")), 0o600);
        } else {
            // No file of the folder has the private half any more, nor has one beside it.
            let private = pem::parse(&before).unwrap().contents().to_vec();
            for entry in fs::read_dir(&keys).unwrap() {
                let content = fs::read(entry.unwrap().path()).unwrap();
                let block = pem::parse(&content).unwrap();
                assert_ne!(block.contents(), private, "{algorithm}");
            }
            let left = pem::parse(fs::read(&file).unwrap()).unwrap();
            assert_eq!(left.tag(), "PUBLIC KEY", "{algorithm}");
            assert_eq!(fs::read_dir(&keys).unwrap().count(), 2, "{algorithm}");
        }
    }
}

#[test]
fn nothing_is_retired_in_a_folder_with_a_fault() {
    let folder = folder_with_keys(&[("1", "eddsa"), ("2", "eddsa")]);
    let keys = folder.path().join("keys");
    write(&keys.join("3.pem"), "x", 0o600);
    let before = fs::read(keys.join("1.pem")).unwrap();
    assert!(keys::retire(&keys, "1").unwrap_err().contains("3.pem"));
    assert_eq!(fs::read(keys.join("1.pem")).unwrap(), before);
}

#[tokio::test]
async fn removing_a_key_ends_its_sessions_also_those_that_the_server_remembers() {
    let folder = folder_with_keys(&[("1", "eddsa")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let keys = server.folder().join("keys");
    let mut old = server.admin().await;
    assert!(old.is_somebody().await && old.is_somebody().await);
    keys::generate(&keys, "eddsa", Some("2"), server.now()).unwrap();
    server.app.reload_keys(&keys).unwrap();
    let mut new = server.admin().await;
    assert!(old.is_somebody().await);
    fs::remove_file(keys.join("1.pem")).unwrap();
    server.app.reload_keys(&keys).unwrap();
    let answer = old.get("/v1/session").await;
    answer.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
    assert!(new.is_somebody().await);
}

#[tokio::test]
async fn after_a_leak_a_new_key_and_a_new_epoch_end_what_was_forged() {
    let folder = folder_with_keys(&[("1", "eddsa")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let keys = server.folder().join("keys");
    let stolen = Keyring::load(&keys).ok().unwrap();
    let template = server.admin().await.cookie.unwrap();
    let template = URL_SAFE_NO_PAD.decode(template.split('.').nth(1).unwrap()).unwrap();
    let forged = |epoch: u64, sid: &str| {
        let mut claims: Value = serde_json::from_slice(&template).unwrap();
        (claims["epoch"], claims["sid"], claims["gen"]) = (json!(epoch), json!(sid), json!(u64::MAX));
        // Sealed data would not open in another session.
        claims["data"] = json!({});
        stolen.sign(Kind::Session, claims.to_string().as_bytes()).unwrap()
    };
    // Whoever has the key can be anybody, but cannot say to be of an epoch that is to come.
    for epoch in [1, 2, u64::MAX] {
        let mut forger = server.with_cookie(&forged(epoch, "0d4JZ1mKSzWcQ3hUj6nE9w"));
        assert!(!forger.is_somebody().await, "epoch {epoch}");
    }
    let mut forger = server.with_cookie(&forged(0, "AAAAAAAAAAAAAAAAAAAAAA"));
    assert!(forger.is_somebody().await);
    // The new key signs whatever session asks for its next issue, so that the old key's end is not enough.
    keys::generate(&keys, "eddsa", Some("2"), server.now()).unwrap();
    server.app.reload_keys(&keys).unwrap();
    forger.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    fs::remove_file(keys.join("1.pem")).unwrap();
    server.app.reload_keys(&keys).unwrap();
    assert!(forger.is_somebody().await);
    server.admin().await.post("/v1/epoch", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert!(!forger.is_somebody().await);
    assert!(server.admin().await.is_somebody().await);
}

#[tokio::test]
async fn another_key_under_the_old_name_is_refused_and_the_set_in_use_stays() {
    let folder = folder_with_keys(&[("1", "eddsa")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let keys = server.folder().join("keys");
    let mut old = server.admin().await;
    fs::remove_file(keys.join("1.pem")).unwrap();
    keys::generate(&keys, "eddsa", Some("1"), server.now()).unwrap();
    let refused = server.app.reload_keys(&keys).unwrap_err().to_string();
    assert!(refused.contains("keys/1: ") && refused.contains("a name of its own"), "{refused}");
    assert!(old.is_somebody().await);
    // A start has nothing to compare with: what the old key signed does not verify.
    let token = old.cookie.clone().unwrap();
    let folder = server.stop().await;
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    assert!(!server.with_cookie(&token).is_somebody().await);
    assert!(server.admin().await.is_somebody().await);
}

/// The instant at which the tests without a server take place.
fn noon() -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(2_000_000_000, 0).unwrap()
}

#[test]
fn a_token_that_is_verified_while_its_key_is_removed_is_not_remembered() {
    let folder = folder_with_keys(&[("1", "eddsa"), ("2", "eddsa")]);
    let keys = folder.path().join("keys");
    let both = || Keyring::load(&keys).ok().unwrap();
    let mut leaked = folder_with_keys(&[]);
    let copy = |to: &TempDir, kid: &str| {
        let name = format!("{kid}.pem");
        fs::copy(keys.join(&name), to.path().join("keys").join(name)).unwrap();
    };
    copy(&leaked, "1");
    let signer = Tokens::new("signet", "signet", Keyring::load(&leaked.path().join("keys")).ok().unwrap());
    leaked = folder_with_keys(&[]);
    copy(&leaked, "2");
    let rest = || Keyring::load(&leaked.path().join("keys")).ok().unwrap();
    let life = Lifetime { age: 3600, end: 3600 };
    let texts: Vec<String> =
        (0..64).map(|_| signer.mint(&Claims::anonymous("signet", "signet", 0, noon(), life)).unwrap()).collect();
    for round in 0..30 {
        let tokens = Tokens::new("signet", "signet", both());
        let (started, over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (tokens, texts, started, over) = (&tokens, &texts, &started, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        for text in texts.iter().skip(thread * 16).take(16) {
                            started.fetch_or(tokens.verify(text, noon()).is_ok(), Ordering::SeqCst);
                        }
                    }
                });
            }
            while !started.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            tokens.replace_keyring(rest());
            over.store(true, Ordering::SeqCst);
        });
        let alive = texts.iter().filter(|text| tokens.verify(text, noon()).is_ok()).count();
        assert_eq!(alive, 0, "round {round}: tokens of a removed key are still accepted");
    }
}

#[tokio::test]
async fn what_is_published_is_public() {
    let folder = folder_with_keys(&[("a", "hs256"), ("b", "rs256"), ("c", "es256"), ("d", "eddsa"), ("e", "es256")]);
    let keys = folder.path().join("keys");
    for kid in ["a", "b", "c"] {
        keys::retire(&keys, kid).unwrap();
    }
    keys::generate(&keys, "hs256", Some("f"), DateTime::UNIX_EPOCH).unwrap();
    let private: Vec<String> = ["d.pem", "e.pem", "f.secret", "a.retired"]
        .iter()
        .map(|name| String::from_utf8(fs::read(keys.join(name)).unwrap()).unwrap())
        .collect();
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let answer = server.anonymous().get("/.well-known/jwks.json").await.is(StatusCode::OK);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert!(answer.set_cookies().is_empty());
    let body = answer.json();
    let mut seen = Vec::new();
    for key in body["keys"].as_array().unwrap() {
        let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        let expected: &[&str] = match key["kty"].as_str().unwrap() {
            "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            "OKP" => &["alg", "crv", "kid", "kty", "use", "x"],
            kind => panic!("a key of the kind {kind} is published"),
        };
        assert_eq!(members, expected, "no d, p, q, dp, dq, qi, k and no other member");
        assert_eq!(key["use"], "sig");
        seen.push((key["kid"].as_str().unwrap(), key["alg"].as_str().unwrap()));
    }
    assert_eq!(
        seen,
        [("b", "RS256"), ("c", "ES256"), ("d", "EdDSA"), ("e", "ES256")],
        "retired keys too, secrets never"
    );
    let text = String::from_utf8(answer.body).unwrap();
    for secret in private {
        let body: String = secret.lines().filter(|line| !line.starts_with("-----")).collect();
        assert!(!text.contains(&body[body.len() - 20..]));
    }
    // The two curves' keys are the ones that verify.
    assert_eq!(body["keys"][1]["crv"], "P-256");
    assert_eq!(body["keys"][2]["crv"], "Ed25519");
}

#[tokio::test]
async fn names_of_keys_that_are_not_there_cost_no_look_into_the_folder() {
    let folder = folder_with_keys(&[("1", "eddsa")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let mut somebody = server.admin().await;
    let ring = server.app.tokens().keyring();
    // A reload would find nothing, and so end the session; a look at the file would find it.
    let keys = server.folder().join("keys");
    let honest = somebody.cookie.clone().unwrap();
    let (_, rest) = honest.split_once('.').unwrap();
    fs::rename(keys.join("1.pem"), keys.join("2.pem")).unwrap();
    let calls = server.store.calls();
    for n in 0..500 {
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"session+jwt"}}"#, if n == 0 { 2 } else { n + 2 });
        let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        server.with_cookie(&token).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.store.calls(), calls, "nor a question to the store");
    assert!(Arc::ptr_eq(&ring, &server.app.tokens().keyring()));
    somebody.get("/v1/session").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_starts_again_knows_the_sessions_of_its_keys() {
    let server = Server::start().await;
    let token = server.admin().await.cookie.unwrap();
    let folder = server.stop().await;
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    assert!(server.with_cookie(&token).is_somebody().await);
}

#[tokio::test]
async fn a_new_key_is_published_at_once_and_signs_when_its_lead_is_over() {
    let lead = TimeDelta::minutes(10);
    let server = Server::start_with(Options { key_lead: lead, ..Options::default() }).await;
    let keys = server.folder().join("keys");
    let old = server.app.tokens().keyring().signer().kid().to_owned();
    let mut somebody = server.admin().await;
    server.pass(lead.num_seconds() + 1);
    let new = keys::generate(&keys, "eddsa", None, server.now()).unwrap();
    server.app.reload_keys(&keys).unwrap();
    let ring = server.app.tokens().keyring();
    assert_eq!((ring.signer().kid(), ring.jwks().keys.len()), (old.as_str(), 2));
    let role = |kid: &str| ring.inventory().find(|key| key.kid == kid).unwrap().role;
    assert_eq!((role(&old), role(&new)), (Role::Signs, Role::CouldSign));
    // Another node, to whom it was given before, signs with it already.
    let ahead = Keyring::load(&keys).unwrap();
    assert_eq!(ahead.signer().kid(), new);
    let header = |token: &str| URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let signed_by = |token: &str| serde_json::from_slice::<Value>(&header(token)).unwrap()["kid"].clone();
    somebody.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    assert_eq!(signed_by(somebody.cookie.as_ref().unwrap()), old);
    server.pass(lead.num_seconds());
    while server.app.tokens().keyring().signer().kid() != new {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    somebody.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    assert_eq!(signed_by(somebody.cookie.as_ref().unwrap()), new);
    // With nothing older, what is there signs.
    fs::remove_file(keys.join(format!("{old}.pem"))).unwrap();
    let newest = keys::generate(&keys, "eddsa", None, server.now()).unwrap();
    fs::remove_file(keys.join(format!("{new}.pem"))).unwrap();
    server.app.reload_keys(&keys).unwrap();
    assert_eq!(server.app.tokens().keyring().signer().kid(), newest);
}

#[test]
fn a_key_that_seals_waits_as_well() {
    let folder = folder_with_keys(&[("a", "eddsa")]);
    let keys = folder.path().join("keys");
    let at = |minutes: i64| DateTime::from_timestamp(2_000_000_000 + 60 * minutes, 0).unwrap();
    let first = keys::generate_sealing(&keys, None, at(0)).unwrap();
    let second = keys::generate_sealing(&keys, None, at(5)).unwrap();
    let ring = Keyring::load(&keys).unwrap();
    let sealer = |ring: &Keyring| ring.sealer().unwrap().kid().to_owned();
    assert_eq!(sealer(&ring), second);
    for (until, chosen) in [(at(-1), &first), (at(4), &first), (at(5), &second), (at(1), &first)] {
        ring.choose(Some(until));
        assert_eq!(sealer(&ring), *chosen, "{until}");
    }
    assert!(ring.choose(None) && !ring.choose(None));
}
