//! Forged tokens: what somebody sends who wants to be somebody else.
//!
//! Most faults are signed with the server's own key, so that each token has one fault only, and the same signer's
//! faultless token passes. However a token is refused, the answer is the same.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use chrono::DateTime;
use jsonwebtoken::{Algorithm, EncodingKey};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use signet::claims::{ChallengeKind, Claims, Lifetime};
use signet::keys::{Keyring, Kind};
use signet::token::Tokens;

use crate::harness::{Client, ORIGIN, Options, PASSWORD, Server, folder_with_keys};

/// Signs whatever it is given with a key of a server.
struct Forger {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Forger {
    /// With the key of this name in the folder of a server.
    fn new(folder: &Path, kid: &str, algorithm: Algorithm) -> Self {
        let file = |ending| folder.join("keys").join(format!("{kid}.{ending}"));
        let read = |ending| std::fs::read(file(ending)).unwrap();
        let key = match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_pem(&read("pem")).unwrap(),
            Algorithm::ES256 => EncodingKey::from_ec_pem(&read("pem")).unwrap(),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(read("secret")).unwrap())
            }
            _ => EncodingKey::from_rsa_pem(&read("pem")).unwrap(),
        };
        Self { kid: kid.to_owned(), algorithm, key }
    }

    /// With the Ed25519 key that a server makes by itself.
    fn of(server: &Server) -> Self {
        Self::new(server.folder(), server.app.tokens().keyring().signer().kid(), Algorithm::EdDSA)
    }

    /// The header of the tokens of this key.
    fn header(&self) -> String {
        format!(r#"{{"alg":"{:?}","kid":"{}","typ":"session+jwt"}}"#, self.algorithm, self.kid)
    }

    /// A token of these claims, faultless otherwise.
    fn token(&self, claims: impl AsRef<[u8]>) -> String {
        self.token_under(self.header(), claims)
    }

    /// A token with this header.
    fn token_under(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        self.signed(&format!("{}.{}", encoded(header), encoded(claims)))
    }

    /// This text and its signature.
    fn signed(&self, message: &str) -> String {
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a token.
pub(crate) fn claims_of(token: &str) -> Map<String, Value> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// The claims as JSON, with other words for one of them.
fn reworded(claims: &Map<String, Value>, name: &str, words: &str) -> String {
    let member = |(known, value): (&String, &Value)| {
        if known == name { format!("\"{known}\":{words}") } else { format!("\"{known}\":{value}") }
    };
    format!("{{{}}}", claims.iter().map(member).collect::<Vec<_>>().join(","))
}

/// The claims as JSON, with these others.
fn with(claims: &Map<String, Value>, others: Value) -> String {
    let mut claims = claims.clone();
    let Value::Object(others) = others else { panic!("not an object") };
    claims.extend(others);
    Value::Object(claims).to_string()
}

/// The claims as JSON, without one of them.
fn without(claims: &Map<String, Value>, name: &str) -> String {
    let rest = claims.iter().filter(|(known, _)| *known != name);
    Value::Object(rest.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
}

/// What a failed try is compared with, and somebody real to try to be.
struct Gate<'a> {
    server: &'a Server,
    victim: Client,
    refusal: (Value, reqwest::header::HeaderMap),
}

impl<'a> Gate<'a> {
    async fn at(server: &'a Server) -> Self {
        let victim = server.admin().await;
        Self { server, victim, refusal: refusal(server, "nonsense").await.unwrap() }
    }

    /// The claims of the victim's token, with a mark that no token of the server has.
    fn claims(&self) -> Map<String, Value> {
        let mut claims = claims_of(self.victim.cookie.as_deref().unwrap());
        claims.insert("data".to_owned(), json!({ "forged": true }));
        claims
    }

    /// That a token passes: its signer signs well.
    async fn lets_in(&self, token: &str) {
        let answer = self.server.with_cookie(token).get("/v1/session").await.is(StatusCode::OK);
        assert_eq!(answer.json()["user"]["username"], "admin", "{token}");
    }

    /// That each token is refused with the one answer, and that the victim has not noticed.
    async fn refuses(mut self, table: Vec<(String, String)>) {
        let mut let_in = Vec::new();
        for (what, token) in &table {
            match refusal(self.server, token).await {
                None => let_in.push(what),
                Some(refusal) => assert_eq!(refusal, self.refusal, "{what}"),
            }
        }
        assert!(let_in.is_empty(), "let in: {let_in:#?}");
        assert!(self.victim.is_somebody().await);
    }
}

/// The answer that refuses a token, without what differs in each answer; `None` when the token is let in.
async fn refusal(server: &Server, token: &str) -> Option<(Value, reqwest::header::HeaderMap)> {
    let answer = server.with_cookie(token).get("/v1/session").await;
    if answer.status == StatusCode::OK {
        return None;
    }
    let answer = answer.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
    assert!(answer.set_cookies().is_empty());
    let mut body = answer.json();
    assert!(body["request_id"].take().is_string());
    let mut headers = answer.headers.clone();
    headers.remove("date");
    // As long as the request's id happens to be.
    headers.remove("content-length");
    Some((body, headers))
}

fn named<T: AsRef<str>>(kind: &str, tokens: impl IntoIterator<Item = (T, String)>) -> Vec<(String, String)> {
    tokens.into_iter().map(|(what, token)| (format!("{kind}: {}", what.as_ref()), token)).collect()
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused_however_none_is_spelled() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = Value::Object(gate.claims()).to_string();
    gate.lets_in(&forger.token(&claims)).await;
    let mut spellings: Vec<String> = (0..16_u32)
        .map(|bits| {
            let letter = |(at, c): (usize, char)| if bits >> at & 1 == 1 { c.to_ascii_uppercase() } else { c };
            format!("\"{}\"", "none".chars().enumerate().map(letter).collect::<String>())
        })
        .collect();
    spellings.extend(["\"none \"", "\"\"", "null", "0", "[]", "[\"none\"]", "[\"EdDSA\"]", "{}"].map(str::to_owned));
    let mut table = Vec::new();
    for alg in &spellings {
        let header = format!(r#"{{"alg":{alg},"kid":"{}","typ":"session+jwt"}}"#, forger.kid);
        let signed = forger.token_under(&header, &claims);
        let bare = signed.rsplit_once('.').unwrap().0.to_owned();
        table.push((format!("{alg}, signed"), signed));
        table.push((format!("{alg}, empty signature"), format!("{bare}.")));
        table.push((format!("{alg}, two parts"), bare));
    }
    let header = format!(r#"{{"kid":"{}","typ":"session+jwt"}}"#, forger.kid);
    table.push(("no alg".to_owned(), forger.token_under(header, &claims)));
    table.push(("no header".to_owned(), forger.token_under("", &claims)));
    table.push(("empty header".to_owned(), forger.token_under("{}", &claims)));
    gate.refuses(table).await;
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    for (algorithm, spki) in
        [("eddsa", "302a300506032b6570032100"), ("es256", "3059301306072a8648ce3d020106082a8648ce3d03010703420004")]
    {
        let folder = folder_with_keys(&[("only", algorithm)]);
        let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
        let gate = Gate::at(&server).await;
        let claims = Value::Object(gate.claims()).to_string();
        let jwks = server.anonymous().get("/.well-known/jwks.json").await;
        let jwk = jwks.json()["keys"][0].clone();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default()).unwrap();
        let raw = [part("x"), part("y")].concat();
        let point = [&[4][..], &raw].concat();
        let der: Vec<u8> =
            (0..spki.len()).step_by(2).map(|at| u8::from_str_radix(&spki[at..at + 2], 16).unwrap()).collect();
        let der = [der, raw.clone()].concat();
        let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let pem = pem::encode_config(&pem::Pem::new("PUBLIC KEY", der.clone()), lines);
        assert!(
            aws_lc_rs::signature::ParsedPublicKey::new(
                if algorithm == "eddsa" {
                    &aws_lc_rs::signature::ED25519 as &'static dyn aws_lc_rs::signature::VerificationAlgorithm
                } else {
                    &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED
                },
                &der
            )
            .is_ok(),
            "the key is spelled rightly"
        );
        let members = if algorithm == "eddsa" { vec!["crv", "kty", "x"] } else { vec!["crv", "kty", "x", "y"] };
        let members: Vec<_> = members.iter().map(|name| format!("\"{name}\":{}", jwk[name])).collect();
        let canonical = format!("{{{}}}", members.join(","));
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes()).as_ref().to_vec();
        let secrets: Vec<Vec<u8>> = vec![
            pem.clone().into_bytes(),
            pem.trim_end().into(),
            pem.replace('\n', "\r\n").into_bytes(),
            pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes(),
            der.clone(),
            STANDARD.encode(&der).into_bytes(),
            encoded(&der).into_bytes(),
            raw.clone(),
            point,
            part("x"),
            encoded(&raw).into_bytes(),
            jwk["x"].as_str().unwrap().into(),
            jwk.to_string().into_bytes(),
            canonical.into_bytes(),
            serde_json::to_vec_pretty(&jwk).unwrap(),
            jwks.body.clone(),
            thumbprint.clone(),
            encoded(&thumbprint).into_bytes(),
            b"only".to_vec(),
            Vec::new(),
        ];
        let mut table = Vec::new();
        for (n, secret) in secrets.iter().enumerate() {
            let key = EncodingKey::from_secret(secret);
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let forger = Forger { kid: "only".to_owned(), algorithm, key: key.clone() };
                table.push((format!("{algorithm:?} with encoding {n}"), forger.token(&claims)));
                // The server's own header, in case that the algorithm is guessed from the signature.
                let honest = gate.victim.cookie.as_deref().unwrap().split('.').next().unwrap();
                let message = format!("{honest}.{}", encoded(&claims));
                table.push((format!("{algorithm:?} unsaid with encoding {n}"), forger.signed(&message)));
            }
        }
        gate.refuses(table).await;
    }
}

#[tokio::test]
async fn an_algorithm_is_the_keys_own_and_spelled_exactly() {
    let folder = folder_with_keys(&[("a", "eddsa"), ("b", "es256"), ("c", "hs256"), ("d", "rs256"), ("e", "eddsa")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let gate = Gate::at(&server).await;
    let claims = Value::Object(gate.claims()).to_string();
    let known = [
        ("a", Algorithm::EdDSA),
        ("b", Algorithm::ES256),
        ("c", Algorithm::HS256),
        ("d", Algorithm::RS256),
        // Of the kind of the first one: only the name tells them apart.
        ("e", Algorithm::EdDSA),
    ];
    let names = [
        "EdDSA",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "Ed25519",
        "Ed448",
        "eddsa",
        "EDDSA",
        "EdDsa",
        "es256",
        "Es256",
        "hs256",
        "Hs256",
        "EdDSA ",
        " ES256",
        "HS256\\u0000",
        "HS\\u0032\\u0035\\u0036",
        "A128KW",
        "dir",
    ];
    let mut table = Vec::new();
    for (kid, algorithm) in known {
        let forger = Forger::new(server.folder(), kid, algorithm);
        gate.lets_in(&forger.token(&claims)).await;
        for name in names {
            // Every algorithm's name under every key's name, but for those that belong together.
            for (other, its) in known {
                if (other, name) != (kid, format!("{algorithm:?}").as_str()) {
                    let header = format!(r#"{{"alg":"{name}","kid":"{other}","typ":"session+jwt"}}"#);
                    let what = format!("{name} under {other} ({its:?}), signed by {kid}");
                    table.push((what, forger.token_under(header, &claims)));
                }
            }
        }
        let lonely = format!(r#"{{"alg":"{algorithm:?}","typ":"session+jwt"}}"#);
        table.push((format!("no kid, signed by {kid}"), forger.token_under(lonely, &claims)));
    }
    // Rightly signed by the key itself, by other algorithms that it can do.
    for (kid, algorithm) in [
        ("d", Algorithm::RS384),
        ("d", Algorithm::RS512),
        ("d", Algorithm::PS256),
        ("d", Algorithm::PS384),
        ("d", Algorithm::PS512),
        ("c", Algorithm::HS384),
        ("c", Algorithm::HS512),
    ] {
        let forger = Forger::new(server.folder(), kid, algorithm);
        table.push((format!("{algorithm:?} by {kid}"), forger.token(&claims)));
        let usual = if kid == "d" { "RS256" } else { "HS256" };
        let header = forger.header().replace(&format!("{algorithm:?}"), usual);
        table.push((format!("{algorithm:?} by {kid}, said to be {usual}"), forger.token_under(header, &claims)));
    }
    gate.refuses(table).await;
}

#[tokio::test]
async fn a_key_is_named_by_its_exact_name_and_by_nothing_else() {
    let folder = folder_with_keys(&[("Key-1", "eddsa")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    let (gate, forger) = (Gate::at(&server).await, Forger::new(server.folder(), "Key-1", Algorithm::EdDSA));
    let claims = Value::Object(gate.claims()).to_string();
    gate.lets_in(&forger.token(&claims)).await;
    let long = format!("\"{}\"", "k".repeat(2000));
    let kids = [
        r#""key-1""#,
        r#""Key-1 ""#,
        r#""Key-1.pem""#,
        r#""./Key-1""#,
        r#""keys/Key-1""#,
        r#""Key-1\u0000""#,
        r#""Key-2""#,
        r#""Key%2D1""#,
        r#""Key\u002d1""#,
        r#""\u212aey-1""#,
        r#""../../../../dev/null""#,
        r#""/dev/null""#,
        r#""/etc/passwd""#,
        r#""a' OR 1=1--""#,
        r#""\u0000""#,
        r#""%00""#,
        r#""""#,
        "null",
        "1",
        "[]",
        r#"["Key-1"]"#,
        r#"{"Key-1":1}"#,
        "true",
        &long,
    ];
    let token = |kid: &&str| {
        let header = format!(r#"{{"alg":"EdDSA","kid":{kid},"typ":"session+jwt"}}"#);
        ((*kid).to_owned(), forger.token_under(header, &claims))
    };
    gate.refuses(named("kid", kids.iter().map(token))).await;
}

#[tokio::test]
async fn a_header_has_its_three_members_and_no_others() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = Value::Object(gate.claims()).to_string();
    gate.lets_in(&forger.token(&claims)).await;
    let header = forger.header();
    let plus = |more: &str| format!("{},{more}}}", header.strip_suffix('}').unwrap());
    let mut headers: Vec<String> = [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":["alg"]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":["x","x"],"x":1"#,
        r#""crit":"b64""#,
        r#""crit":null"#,
        r#""b64":false"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""p2c":2147483648,"p2s":"AAAA""#,
        r#""cty":"JWT""#,
        r#""x":1"#,
        r#""":"""#,
        r#""alg":"none""#,
        r#""alg":"EdDSA""#,
        r#""al\u0067":"none""#,
        r#""\u0061lg":"EdDSA""#,
        r#""kid":"other""#,
        r#""k\u0069d":"other""#,
        r#""typ":"session+jwt""#,
        r#""typ":"cookie+jwt""#,
    ]
    .map(plus)
    .into();
    headers.extend([
        // The same members, in another order and with other blanks.
        format!(r#"{{"typ":"session+jwt","alg":"EdDSA","kid":"{}"}}"#, forger.kid),
        header.replace(':', ": "),
        format!(" {header}"),
        format!("{header}\n"),
        format!("{header}{header}"),
        format!("\u{feff}{header}"),
        format!("[{header}]"),
        header.replace("alg", "ALG"),
        header.replace("EdDSA", "Ed\\u0044SA"),
    ]);
    // Names of the kind of token.
    let typs = [
        "\"JWT\"",
        "\"jwt\"",
        "\"at+jwt\"",
        "\"cookie+jwt\"",
        "\"reset+jwt\"",
        "\"application/session+jwt\"",
        "\"Session+JWT\"",
        "\"session+JWT\"",
        "\"session+jwt \"",
        "\"session\"",
        "\"\"",
        "null",
        "1",
        "[\"session+jwt\"]",
    ];
    headers.extend(typs.map(|typ| header.replace("\"session+jwt\"", typ)));
    headers.push(header.replace(",\"typ\":\"session+jwt\"", ""));
    let mut table: Vec<_> =
        headers.iter().map(|header| (header.clone(), forger.token_under(header, &claims))).collect();
    let utf16: Vec<u8> = header.encode_utf16().flat_map(u16::to_le_bytes).collect();
    table.push(("UTF-16".to_owned(), forger.token_under(utf16, &claims)));
    gate.refuses(named("header", table)).await;
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_not_looked_at() {
    let server = Server::start().await;
    let gate = Gate::at(&server).await;
    let claims = Value::Object(gate.claims()).to_string();
    // The attacker's own key, under the name of the server's.
    let own = folder_with_keys(&[("evil", "eddsa")]);
    let jwk = serde_json::to_value(Keyring::load(&own.path().join("keys")).unwrap().jwks()).unwrap()["keys"][0].clone();
    let real = Forger::of(&server);
    let evil = Forger::new(own.path(), "evil", Algorithm::EdDSA);
    let evil = Forger { kid: real.kid.clone(), ..evil };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let mut table = vec![("another key under our key's name".to_owned(), evil.token(&claims))];
    for more in [
        json!({ "jwk": jwk }),
        json!({ "jku": url }),
        json!({ "x5u": url }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "x5t": "AAAA" }),
        json!({ "x5t#S256": "AAAA" }),
        json!({ "iss": url }),
    ] {
        let mut header: Map<String, Value> = serde_json::from_str(&real.header()).unwrap();
        header.extend(more.as_object().unwrap().clone());
        let header = Value::Object(header).to_string();
        table.push((format!("{more}, their key"), evil.token_under(&header, &claims)));
        table.push((format!("{more}, our key"), real.token_under(&header, &claims)));
    }
    for issuer in [&url, "file:///dev/null"] {
        table.push((format!("iss {issuer}"), evil.token(reworded(&gate.claims(), "iss", &json!(issuer).to_string()))));
    }
    gate.refuses(table).await;
    listener.set_nonblocking(true).unwrap();
    let nobody = listener.accept().expect_err("the server fetched a key from an address in a token");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_token_is_three_parts_in_plain_base64url() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    // Data whose encoding has characters that the two base64 alphabets spell differently.
    let mut claims = gate.claims();
    claims.insert("data".to_owned(), json!({ "k": "\u{7ff}\u{7fe}???>>>\u{7ff}~~~" }));
    let mut claims = Value::Object(claims).to_string();
    // And a length that leaves bits unused.
    while !(encoded(&claims).len() % 4 == 2 && encoded(&claims).contains(['-', '_'])) {
        claims = claims.replace("???", "????");
    }
    let good = forger.token(&claims);
    gate.lets_in(&good).await;
    let parts: Vec<&str> = good.split('.').collect();
    let (h, p, s) = (parts[0], parts[1], parts[2]);
    let jws = json!({ "payload": p, "protected": h, "signature": s }).to_string();
    let general = json!({ "payload": p, "signatures": [{ "protected": h, "signature": s }] }).to_string();
    let mut table: Vec<(String, String)> = [
        ("nothing", String::new()),
        ("no dot", h.to_owned()),
        ("dots only", "..".to_owned()),
        ("one dot", format!("{h}.{p}")),
        ("four parts", format!("{good}.")),
        ("four parts in front", format!(".{good}")),
        ("four parts, twice a payload", format!("{h}.{p}.{p}.{s}")),
        ("five parts", format!("{h}.{p}.{s}.{p}.{s}")),
        ("two dots", format!("{h}..{p}.{s}")),
        ("no header", format!(".{p}.{s}")),
        ("no payload", format!("{h}..{s}")),
        ("detached payload, signed", forger.signed(&format!("{h}."))),
        ("no signature", format!("{h}.{p}.")),
        ("JSON", jws),
        ("JSON, general", general),
        ("%2E", good.replace('.', "%2E")),
        ("%2e", good.replace('.', "%2e")),
        ("percent", format!("%65{}", &good[1..])),
        ("percent in the signature", format!("{h}.{p}.%{:02x}{}", s.as_bytes()[0], &s[1..])),
        ("quotes", format!("\"{good}\"")),
        ("blank within", format!("{h}.{p} .{s}")),
        ("tab within", format!("{h}.\t{p}.{s}")),
        ("non-ASCII", format!("{good}\u{e9}")),
        ("comma", format!("{good},{good}")),
        ("= after the signature", format!("{good}==")),
        ("other case", good.to_uppercase()),
    ]
    .map(|(what, token)| (what.to_owned(), token))
    .into();
    // Signed as they stand: only the encoding is at fault.
    let other_alphabet = |part: &str| part.replace('-', "+").replace('_', "/");
    assert_ne!(other_alphabet(p), p);
    let unused = |part: &str| {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = ALPHABET.iter().position(|c| Some(c) == part.as_bytes().last()).unwrap();
        format!("{}{}", &part[..part.len() - 1], char::from(ALPHABET[last | 1]))
    };
    for (what, h, p) in [
        ("= after the header", format!("{h}="), p.to_owned()),
        ("= after the payload", h.to_owned(), format!("{p}==")),
        ("padded", URL_SAFE.encode(forger.header()) + "=", URL_SAFE.encode(&claims)),
        ("other alphabet", h.to_owned(), other_alphabet(p)),
        ("unused bits of the payload", h.to_owned(), unused(p)),
        ("blank after the payload", h.to_owned(), format!("{p} ")),
        ("a payload that is not encoded", h.to_owned(), claims.clone()),
        ("a character too many", h.to_owned(), format!("{p}AAA")),
    ] {
        table.push((what.to_owned(), forger.signed(&format!("{h}.{p}"))));
    }
    assert_ne!(unused(s), s, "the signature's last character has unused bits");
    table.push(("unused bits of the signature".to_owned(), format!("{h}.{p}.{}", unused(s))));
    table.push(("other alphabet in the signature".to_owned(), format!("{h}.{p}.{}/", &s[1..])));
    gate.refuses(named("form", table)).await;
}

#[tokio::test]
async fn a_signature_that_is_not_exactly_right_is_refused() {
    for (kid, name, algorithm) in
        [("ed", "eddsa", Algorithm::EdDSA), ("ec", "es256", Algorithm::ES256), ("hs", "hs256", Algorithm::HS256)]
    {
        let folder = folder_with_keys(&[(kid, name)]);
        let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
        let (gate, forger) = (Gate::at(&server).await, Forger::new(server.folder(), kid, algorithm));
        let good = forger.token(Value::Object(gate.claims()).to_string());
        gate.lets_in(&good).await;
        let (message, signature) = good.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let size = signature.len();
        let half = size / 2;
        let der = |r: &[u8], s: &[u8]| {
            let integer = |n: &[u8]| {
                let n = if n[0] > 0x7f { [&[0][..], n].concat() } else { n.to_vec() };
                [&[2, u8::try_from(n.len()).unwrap()][..], &n].concat()
            };
            let both = [integer(r), integer(s)].concat();
            [&[0x30, u8::try_from(both.len()).unwrap()][..], &both].concat()
        };
        let (r, s) = signature.split_at(half);
        let mut signatures: Vec<(String, Vec<u8>)> = vec![
            ("empty".into(), vec![]),
            ("zero".into(), vec![0; size]),
            ("ones".into(), vec![0xff; size]),
            ("shorter".into(), signature[..size - 1].to_vec()),
            ("half".into(), r.to_vec()),
            ("longer".into(), [&signature[..], &[0]].concat()),
            ("twice".into(), [&signature[..], &signature].concat()),
            ("zero in front".into(), [&[0][..], &signature].concat()),
            ("halves changed over".into(), [s, r].concat()),
            ("DER".into(), der(r, s)),
            ("r is zero".into(), [&vec![0; half][..], s].concat()),
            ("s is zero".into(), [r, &vec![0; half]].concat()),
            ("r and s are the order".into(), [ORDER_P256, ORDER_P256].concat()),
            ("r and s are one".into(), {
                let one = [vec![0; half - 1], vec![1]].concat();
                [one.clone(), one].concat()
            }),
            ("identity and zero".into(), [vec![1], vec![0; size - 1]].concat()),
            ("s and the order of Ed25519".into(), [r, &plus_order_ed25519(s)].concat()),
            ("another message's".into(), {
                let other = forger.token("{}");
                URL_SAFE_NO_PAD.decode(other.rsplit_once('.').unwrap().1).unwrap()
            }),
        ];
        if algorithm == Algorithm::EdDSA {
            for point in SMALL_ORDER_ED25519 {
                let point: Vec<u8> =
                    (0..64).step_by(2).map(|at| u8::from_str_radix(&point[at..at + 2], 16).unwrap()).collect();
                for s in [&vec![0; half][..], s, &plus_order_ed25519(&[0; 32])] {
                    signatures.push((format!("R is {point:02x?}"), [&point[..], s].concat()));
                }
            }
        }
        for bit in (0..size * 8).step_by(7) {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            signatures.push((format!("bit {bit}"), flipped));
        }
        let token = |(what, signature): (String, Vec<u8>)| (what, format!("{message}.{}", encoded(signature)));
        gate.refuses(named(name, signatures.into_iter().map(token))).await;
    }
}

/// The points of Ed25519 of a small order, and their other spellings (RFC 8032, section 5.1.3, refuses the latter).
const SMALL_ORDER_ED25519: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

/// The order of the group of P-256, from the most significant byte on (FIPS 186-4, D.1.2.3).
const ORDER_P256: &[u8] = &[
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// `s` and the order of the group of Ed25519, from the least significant byte on (RFC 8032, section 5.1).
fn plus_order_ed25519(s: &[u8]) -> Vec<u8> {
    let mut order = [0; 32];
    order[..16].copy_from_slice(&0x14de_f9de_a2f7_9cd6_5812_631a_5cf5_d3ed_u128.to_le_bytes());
    order[31] = 0x10;
    let mut carry = 0_u16;
    let mut sum = Vec::new();
    for (a, b) in s.iter().zip(order) {
        carry += u16::from(*a) + u16::from(b);
        sum.push(carry.to_le_bytes()[0]);
        carry >>= 8;
    }
    sum
}

/// The other signature of an ES256 token: the order of the group less `s` instead of `s`.
fn malleated(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0_i16;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER_P256).rev() {
        let difference = i16::from(*order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{message}.{}", encoded(signature))
}

#[tokio::test]
async fn the_other_signature_of_a_token_does_not_outlive_its_session() {
    let folder = folder_with_keys(&[("ec", "es256")]);
    let server = Server::start_with(Options { folder: Some(folder), ..Options::default() }).await;
    // Whether it is accepted while the session lives is the cryptographic library's affair.
    for seen_before in [false, true] {
        for ends_with_it in [false, true] {
            let mut client = server.admin().await;
            let token = client.cookie.clone().unwrap();
            let other = malleated(&token);
            assert_ne!(other, token);
            assert_eq!(malleated(&other), token);
            let accepted = server.with_cookie(&other).is_somebody().await;
            if !seen_before {
                // Forgets the tokens that were seen.
                server.app.reload_keys(&server.folder().join("keys")).unwrap();
            }
            if ends_with_it && accepted {
                client = server.with_cookie(&other);
            }
            client.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
            assert!(!server.with_cookie(&other).is_somebody().await);
            assert!(!server.with_cookie(&token).is_somebody().await);
        }
    }
}

#[tokio::test]
async fn a_claim_that_is_missing_or_of_another_type_refuses_the_token() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = gate.claims();
    gate.lets_in(&forger.token(Value::Object(claims.clone()).to_string())).await;
    let needed =
        ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "auth_time", "end", "gen", "rev", "epoch", "data"];
    let mut table = Vec::new();
    for name in needed.iter().chain(&["preferred_username"]) {
        table.push((format!("no {name}"), forger.token(without(&claims, name))));
    }
    let others = ["is_staff", "is_superuser", "preferred_username", "groups", "permissions", "expiry"];
    for name in needed.iter().chain(&others) {
        let mut claims = claims.clone();
        claims.entry(*name).or_insert(Value::Null);
        for words in ["null", "true", "\"\"", "\"x\"", "0.5", "-1", "[]", "[1]", "{}", "{\"x\":1}", "[[]]", "1e400"] {
            let same_type = match *name {
                "groups" | "permissions" => words == "[]",
                "data" => words.starts_with('{'),
                "is_staff" | "is_superuser" => words == "true",
                "preferred_username" => words.starts_with('"'),
                // Times before 1970 and the like are judged further down.
                "iat" | "nbf" | "auth_time" => words == "-1",
                _ => false,
            };
            if !same_type {
                table.push((format!("{name} is {words}"), forger.token(reworded(&claims, name, words))));
            }
        }
    }
    for (name, words) in [
        ("sid", "\"0d4JZ1mKSzWcQ3hUj6nE9\""),
        ("sid", "\"0d4JZ1mKSzWcQ3hUj6nE9x\""),
        ("sub", "\"admin\""),
        ("sub", "0"),
        ("gen", "0.0"),
        ("gen", "1e0"),
        ("epoch", "18446744073709551616"),
        ("groups", "[null]"),
        ("groups", "\"staff\""),
        ("permissions", "{\"0\":\"a.b\"}"),
        ("is_superuser", "1"),
        ("is_superuser", "\"true\""),
    ] {
        let mut claims = claims.clone();
        claims.entry(name).or_insert(Value::Null);
        table.push((format!("{name} is {words}"), forger.token(reworded(&claims, name, words))));
    }
    gate.refuses(table).await;
}

#[tokio::test]
async fn a_payload_is_one_json_object_and_each_claim_stands_in_it_once() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = gate.claims();
    let text = Value::Object(claims.clone()).to_string();
    gate.lets_in(&forger.token(&text)).await;
    let mut table = Vec::new();
    // Twice the same claim, also with the same value, also spelled with escapes.
    for (name, value) in &claims {
        let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
        for again in [name.as_str(), &escaped] {
            let body = text.strip_suffix('}').unwrap();
            table.push((format!("twice {again}"), forger.token(format!("{body},\"{again}\":{value}}}"))));
            let body = text.strip_prefix('{').unwrap();
            table.push((format!("twice {again}, in front"), forger.token(format!("{{\"{again}\":{value},{body}"))));
        }
    }
    let list = Value::Array(claims.values().cloned().collect()).to_string();
    // Every field of the claims in its place: what a derived reader would take an array for.
    let every = json!([
        claims["iss"],
        claims["aud"],
        claims["sub"],
        claims["sid"],
        claims["jti"],
        claims["iat"],
        claims["nbf"],
        claims["exp"],
        claims["auth_time"],
        claims["end"],
        claims["gen"],
        claims["rev"],
        claims["epoch"],
        claims["preferred_username"],
        true,
        true,
        [],
        [],
        "default",
        {}
    ]);
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let overlong = text.replace("forged", "for\u{1}ged").into_bytes();
    let overlong: Vec<u8> =
        overlong.into_iter().flat_map(|b| if b == 1 { vec![0xc0, 0x80] } else { vec![b] }).collect();
    for (what, payload) in [
        ("nothing", vec![]),
        ("an empty object", b"{}".to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"1".to_vec()),
        ("a text", Value::String(text.clone()).to_string().into_bytes()),
        ("an array of the values", list.into_bytes()),
        ("an array of all fields", every.to_string().into_bytes()),
        ("an array around it", format!("[{text}]").into_bytes()),
        ("trailing data", format!("{text}{{}}").into_bytes()),
        ("trailing text", format!("{text}x").into_bytes()),
        ("a trailing NUL", format!("{text}\0").into_bytes()),
        ("a byte order mark", format!("\u{feff}{text}").into_bytes()),
        ("UTF-16", utf16),
        ("a comma too many", text.replace(",\"data\"", ",,\"data\"").into_bytes()),
        ("a trailing comma", format!("{},}}", text.strip_suffix('}').unwrap()).into_bytes()),
        ("a comment", text.replace("{\"iss\"", "{/**/\"iss\"").into_bytes()),
        ("single quotes", text.replace('"', "'").into_bytes()),
        ("cut off", text.as_bytes()[..text.len() - 1].to_vec()),
        ("overlong UTF-8", overlong),
        ("a lone surrogate", text.replace("forged", "\\ud800").into_bytes()),
        ("bytes that are no text", {
            let text = with(&claims, json!({ "x": "\u{1}" })).replace("\\u0001", "\u{1}").into_bytes();
            text.into_iter().map(|b| if b == 1 { 0xff } else { b }).collect()
        }),
        ("a control character", text.replace("forged", "for\nged").into_bytes()),
        (
            "nested too deep",
            reworded(&claims, "data", &format!("{{\"a\":{}1{}}}", "[".repeat(900), "]".repeat(900))).into(),
        ),
        ("a number beyond all", with(&claims, json!({ "data": { "n": "N" } })).replace("\"N\"", "1e400").into()),
    ] {
        table.push((what.to_owned(), forger.token(payload)));
    }
    gate.refuses(table).await;
}

#[tokio::test]
async fn a_claim_that_is_not_known_gives_nothing_and_hinders_nothing() {
    let server = Server::start().await;
    server.user("mallory", json!({})).await;
    let mut client = server.log_in("mallory").await;
    let forger = Forger::of(&server);
    let claims = claims_of(client.cookie.as_deref().unwrap());
    let more = json!({ "x": 1, "IS_SUPERUSER": true, "is_superuser ": true, "i\u{17f}_superuser": true, "scope": "*" });
    client = server.with_cookie(&forger.token(with(&claims, more)));
    assert_eq!(client.get("/v1/session").await.is(StatusCode::OK).json()["user"]["is_superuser"], false);
    client.get("/v1/users").await.is(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_is_not_longer_than_any_that_is_issued() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = gate.claims();
    let padded = |n: usize| forger.token(with(&claims, json!({ "data": { "pad": "x".repeat(n) } })));
    let fits = (0..4096).rev().find(|n| padded(*n).len() <= 4096).unwrap();
    gate.lets_in(&padded(fits)).await;
    let mut table: Vec<_> = [fits + 3, fits + 100, 20_000].iter().map(|n| (format!("{n}"), padded(*n))).collect();
    let many = (0..2000).map(|n| format!(",\"c{n}\":0")).collect::<Vec<_>>().concat();
    let text = Value::Object(claims).to_string();
    table.push(("2000 claims".to_owned(), forger.token(format!("{}{many}}}", text.strip_suffix('}').unwrap()))));
    table.push(("dots".to_owned(), ".".repeat(30_000)));
    gate.refuses(named("length", table)).await;
}

#[tokio::test]
async fn times_are_whole_numbers_in_their_order_and_none_is_far_away() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = gate.claims();
    let now = server.now().timestamp();
    let number = |name: &str| claims[name].as_i64().unwrap();
    let (exp, end) = (number("exp"), number("end"));
    let ciphers = "9".repeat(400);
    let mut table = Vec::new();
    let words = [
        "null",
        "\"\"",
        "\"9999999999\"",
        "true",
        "[]",
        "{}",
        "1.5",
        "-0",
        "-1",
        "0",
        "1",
        "1e10",
        "1E10",
        "1e18",
        "1e400",
        "-1e400",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        &ciphers,
        "0x7fffffff",
        "01999999999",
        "+1999999999",
        "NaN",
        "Infinity",
    ];
    for words in words {
        table.push((format!("exp is {words}"), forger.token(reworded(&claims, "exp", words))));
    }
    for name in ["iat", "nbf", "auth_time", "end", "exp"] {
        let value = number(name);
        for words in [format!("{value}.0"), format!("{value}e0"), format!("\"{value}\""), format!("[{value}]")] {
            table.push((format!("{name} is {words}"), forger.token(reworded(&claims, name, &words))));
        }
    }
    for (what, times) in [
        ("over", json!({ "exp": now })),
        ("over for long", json!({ "exp": now - 3600, "iat": now - 7200, "auth_time": now - 7200 })),
        ("exp after end", json!({ "exp": end + 1 })),
        ("end over", json!({ "end": now - 1 })),
        ("not yet", json!({ "nbf": now + 60 })),
        ("never", json!({ "nbf": i64::MAX })),
        ("issued in the future", json!({ "iat": now + 60, "nbf": now })),
        ("issued after its end", json!({ "iat": exp + 1 })),
        ("issued in the year 5138", json!({ "iat": 100_000_000_000_i64 })),
        ("logged in after its issue", json!({ "auth_time": number("iat") + 1 })),
        ("logged in at the end of time", json!({ "auth_time": i64::MAX })),
        // In order, but no server gives so much.
        ("two years", json!({ "exp": now + 63_072_000, "end": now + 63_072_000 })),
        ("400 days and a second", json!({ "end": number("auth_time") + 400 * 86_400 + 1 })),
        ("since 1970", json!({ "auth_time": 0 })),
        ("for ever", json!({ "exp": i64::MAX, "end": i64::MAX })),
        ("since ever", json!({ "iat": i64::MIN, "auth_time": i64::MIN, "nbf": i64::MIN })),
        ("2^53", json!({ "exp": 1_i64 << 53, "end": 1_i64 << 53 })),
        (
            "always",
            json!({ "iat": i64::MIN, "auth_time": i64::MIN, "nbf": i64::MIN, "exp": i64::MAX, "end": i64::MAX }),
        ),
    ] {
        table.push((what.to_owned(), forger.token(with(&claims, times))));
    }
    gate.refuses(named("times", table)).await;
}

#[tokio::test]
async fn a_token_is_valid_to_the_second() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = gate.claims();
    let tokens = server.app.tokens();
    let valid = |token: &str, second: i64| {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        let (anew, remembered) = (tokens.verify_anew(token, at).is_ok(), tokens.verify(token, at).is_ok());
        assert_eq!(anew, remembered, "at {second}");
        anew
    };
    let iat = claims["iat"].as_i64().unwrap();
    let token = forger.token(with(&claims, json!({ "exp": iat + 100 })));
    assert!(valid(&token, iat) && valid(&token, iat + 99));
    assert!(!valid(&token, iat + 100) && !valid(&token, iat + 101), "no leeway after the end");
    // Another node's clock may be a little ahead, and no more.
    assert!(valid(&token, iat - 5));
    assert!(!valid(&token, iat - 6) && !valid(&token, 0) && !valid(&token, -1_000_000_000_000));
    let token = forger.token(with(&claims, json!({ "nbf": iat + 10 })));
    assert!(valid(&token, iat + 5) && !valid(&token, iat + 4));

    // And on the way through the server, for a token that it remembers too.
    let now = server.now().timestamp();
    let token = forger.token(with(&claims, json!({ "iat": now, "nbf": now, "exp": now + 1000 })));
    gate.lets_in(&token).await;
    server.pass(1000);
    assert!(refusal(&server, &token).await.is_some());
    server.pass(3600);
    assert!(refusal(&server, gate.victim.cookie.as_deref().unwrap()).await.is_some());
}

#[tokio::test]
async fn issuer_and_audience_are_one_exact_name_each() {
    let options = || Options {
        issuer: "https://auth.example".to_owned(),
        audience: "https://app.example".to_owned(),
        ..Options::default()
    };
    let server = Server::start_with(options()).await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let claims = gate.claims();
    gate.lets_in(&forger.token(Value::Object(claims.clone()).to_string())).await;
    let mut table = Vec::new();
    for (name, ours) in [("iss", "https://auth.example"), ("aud", "https://app.example")] {
        let others = ["signet", "https://evil.example", "https://auth.example", "https://app.example"];
        let mut values = vec![
            json!(""),
            json!(null),
            json!(1),
            json!({}),
            json!({ "0": ours }),
            json!([]),
            json!([ours]),
            json!([ours, ours]),
            json!([ours, "https://evil.example"]),
            json!(["https://evil.example", ours]),
            json!(format!("{ours}/")),
            json!(format!("{ours}/cookies")),
            json!(format!("{ours}.evil")),
            json!(format!("{ours} ")),
            json!(format!(" {ours}")),
            json!(format!("{ours}\n")),
            json!(format!("{ours}\0")),
            json!(format!("{ours},https://evil.example")),
            json!(ours.to_uppercase()),
            json!(ours.replace("https", "HTTPS")),
            json!(ours.replace("https", "http")),
            json!(ours.replace("example", "EXAMPLE")),
            json!(ours[..ours.len() - 1]),
            json!(ours[1..]),
            json!(ours.replace("://", "://user@")),
            json!("*"),
            json!(true),
        ];
        values.extend(others.iter().filter(|other| **other != ours).map(|other| json!(other)));
        for value in values {
            table.push((format!("{name} {value}"), forger.token(with(&claims, json!({ (name): value })))));
        }
    }
    gate.refuses(table).await;
}

#[tokio::test]
async fn a_token_of_another_issuer_or_audience_is_refused_although_the_keys_are_the_same() {
    let folder = folder_with_keys(&[("shared", "eddsa")]);
    let twin = || {
        let copy = folder_with_keys(&[]);
        let file = |folder: &Path| folder.join("keys").join("shared.pem");
        std::fs::copy(file(folder.path()), file(copy.path())).unwrap();
        Some(copy)
    };
    let ours = Server::start_with(Options { folder: twin(), ..Options::default() }).await;
    let staging =
        Server::start_with(Options { folder: twin(), issuer: "staging".to_owned(), ..Options::default() }).await;
    let tenant =
        Server::start_with(Options { folder: twin(), audience: "tenant".to_owned(), ..Options::default() }).await;
    let gate = Gate::at(&ours).await;
    let mut table = Vec::new();
    for (what, other) in [("issuer", &staging), ("audience", &tenant)] {
        let mut client = other.admin().await;
        let token = client.cookie.clone().unwrap();
        assert_eq!(token.split('.').next(), gate.victim.cookie.as_deref().unwrap().split('.').next());
        table.push((what.to_owned(), token));
        // Nor is ours accepted there.
        assert!(refusal(other, gate.victim.cookie.as_deref().unwrap()).await.is_some(), "{what}");
        // Preference cookies neither.
        let set = client.put("/v1/cookies/lang", json!({ "value": "theirs" })).await;
        let cookie = set.set_cookies()[0].split(';').next().unwrap().to_owned();
        let read =
            ours.anonymous().call(Method::GET, "/v1/cookies/lang", None, &[("cookie", cookie.as_str())]).await.json();
        assert_eq!(read["found"], false, "{what}");
    }
    gate.refuses(table).await;
}

#[tokio::test]
async fn session_and_preference_cookies_cannot_stand_in_for_each_other() {
    let server = Server::start().await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let session = gate.victim.cookie.clone().unwrap();
    let set = server.anonymous().put("/v1/cookies/lang", json!({ "value": "de" })).await.is(StatusCode::OK);
    let line = set.set_cookies()[0].to_owned();
    let preference = line.split(';').next().unwrap().strip_prefix("__Host-signet.lang=").unwrap().to_owned();
    let read = async |name: &str, token: &str| {
        let cookie = format!("__Host-signet.{name}={token}");
        let path = format!("/v1/cookies/{name}");
        server.anonymous().call(Method::GET, &path, None, &[("cookie", &cookie)]).await.is(StatusCode::OK).json()
    };
    assert_eq!(read("lang", &preference).await["value"], "de", "the control");

    // Claims that would do for both kinds, signed as either: only the kind in the header is at fault.
    let mut both = gate.claims();
    both.extend(claims_of(&preference).into_iter().filter(|(name, _)| name == "name" || name == "value"));
    let header = |kind: &str| forger.header().replace("session+jwt", kind);
    let as_session = Value::Object(both.clone()).to_string();
    both.insert("aud".to_owned(), json!("signet/cookies"));
    let as_preference = Value::Object(both).to_string();
    gate.lets_in(&forger.token(&as_session)).await;
    assert_eq!(read("lang", &forger.token_under(header("cookie+jwt"), &as_preference)).await["value"], "de");
    for token in [
        session.clone(),
        forger.token(&as_session),
        forger.token(&as_preference),
        forger.token_under(header("cookie+jwt"), &as_session),
        forger.token_under(header("JWT"), &as_preference),
    ] {
        let value = read("lang", &token).await;
        assert_eq!((&value["found"], &value["value"]), (&json!(false), &json!(null)), "{token}");
    }
    // Nor under another name.
    for name in ["Lang", "lang2", "lan", "user"] {
        assert_eq!(read(name, &preference).await["found"], false, "{name}");
    }
    gate.refuses(vec![
        ("a preference".to_owned(), preference),
        ("session claims, signed as a preference".to_owned(), forger.token_under(header("cookie+jwt"), &as_session)),
        ("preference claims, signed as a session".to_owned(), forger.token(&as_preference)),
    ])
    .await;
}

/// Each kind of token at each place where one is read: only its own place takes it. And the claims of an API token with
/// one fault each.
#[tokio::test]
async fn no_kind_of_token_stands_in_for_another() {
    let server = Server::start_with(Options { throttle: true, ..Options::default() }).await;
    let (gate, forger) = (Gate::at(&server).await, Forger::of(&server));
    let mut victim = gate.victim.clone();
    let id = victim.get("/v1/me").await.text("id").parse().unwrap();
    let (tokens, now) = (server.app.tokens(), server.now());
    let secret = signet::claims::TokenId::random();
    let mail = |kind| tokens.mint_challenge(kind, id, secret, now).unwrap();
    let api = victim.post("/v1/tokens", json!({ "name": "n", "permissions": [] })).await.text("token");
    let get = [("x-forwarded-method", "GET"), ("x-forwarded-host", "signet")];
    let identity = victim.call(Method::GET, "/v1/verify?identity=true", None, &get).await;
    let kinds = [
        ("session", victim.cookie.clone().unwrap()),
        ("cookie", tokens.mint_cookie("n", "v", now, 60).unwrap()),
        ("reset", mail(ChallengeKind::Reset)),
        ("verify", mail(ChallengeKind::Verification)),
        ("device", tokens.mint_device(id, signet::claims::DeviceId::random(), now).unwrap()),
        ("api", api.clone()),
        ("identity", identity.header("x-auth-token").unwrap().to_owned()),
    ];
    let mut nobody = server.anonymous();
    for (kind, token) in &kinds {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        assert!(String::from_utf8(header).unwrap().contains(&format!("\"typ\":\"{kind}+jwt\"")));
        // As they are, and with their claims signed as each other kind: then only the claims are at fault.
        for (place, _) in &kinds {
            let resigned = forger.token_under(
                forger.header().replace("session+jwt", &format!("{place}+jwt")),
                Value::Object(claims_of(token)).to_string(),
            );
            for text in [token, &resigned] {
                let bearer = format!("Bearer {text}");
                let get = [("authorization", bearer.as_str()), ("x-forwarded-method", "GET")];
                let verified = nobody.call(Method::GET, "/v1/verify", None, &get).await;
                let mine = nobody.call(Method::GET, "/v1/me/permissions", None, &get).await;
                let preference = [("cookie", format!("__Host-signet.n={text}"))];
                let preference: Vec<_> = preference.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let read = nobody.call(Method::GET, "/v1/cookies/n", None, &preference).await.json();
                let taken = [
                    ("session", server.with_cookie(text).is_somebody().await),
                    ("cookie", read["found"] == true),
                    ("reset", tokens.verify_challenge(ChallengeKind::Reset, text, now).is_some()),
                    ("verify", tokens.verify_challenge(ChallengeKind::Verification, text, now).is_some()),
                    ("device", tokens.verify_device(text, now).is_some()),
                    ("api", verified.status == StatusCode::NO_CONTENT),
                ];
                assert_eq!(verified.status == StatusCode::NO_CONTENT, mine.status == StatusCode::OK);
                let is_own = *text == *token || place == kind;
                let expected = taken.map(|(place, _)| (place, is_own && place == *kind));
                assert_eq!(taken, expected, "{kind}, signed as {place}");
            }
        }
        let body = json!({ "token": token, "new_password": "another good sentence" });
        nobody.post("/v1/password/reset/confirm", body).await.is_problem("invalid_token");
        nobody.post("/v1/email/verify/confirm", json!({ "token": token })).await.is_problem("invalid_token");
    }

    let claims = claims_of(&api);
    let sign = |claims: String| forger.token_under(forger.header().replace("session+jwt", "api+jwt"), claims);
    let status = async |token: String| {
        let field = format!("Bearer {token}");
        let get = [("authorization", field.as_str()), ("x-forwarded-method", "GET")];
        server.anonymous().call(Method::GET, "/v1/verify", None, &get).await.status
    };
    assert_eq!(status(sign(Value::Object(claims.clone()).to_string())).await, StatusCode::NO_CONTENT, "the control");
    let optional = ["is_superuser", "groups", "permissions"];
    for name in claims.keys().filter(|name| !optional.contains(&name.as_str())) {
        assert_eq!(status(sign(without(&claims, name))).await, StatusCode::UNAUTHORIZED, "no {name}");
        for words in ["null", "[]", "{}", "true", "1.5"] {
            assert_eq!(status(sign(reworded(&claims, name, words))).await, StatusCode::UNAUTHORIZED, "{name}: {words}");
        }
    }
    let now = now.timestamp();
    for others in [
        json!({ "iss": "other" }),
        json!({ "aud": "signet" }),
        json!({ "aud": "signet/cookies" }),
        json!({ "exp": now }),
        json!({ "iat": now + 60, "exp": now + 120 }),
        json!({ "exp": now + 401 * 24 * 3600 }),
        json!({ "epoch": 1 }),
    ] {
        assert_eq!(status(sign(with(&claims, others.clone()))).await, StatusCode::UNAUTHORIZED, "{others}");
    }
    let bare = api.rsplit_once('.').unwrap().0.to_owned();
    assert_eq!(status(format!("{bare}.")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(bare).await, StatusCode::UNAUTHORIZED);
    gate.refuses(named("a token as a session", kinds[1..].to_vec())).await;
}

#[tokio::test]
async fn a_preference_cookie_that_is_forged_or_over_counts_as_none() {
    let server = Server::start().await;
    let forger = Forger::of(&server);
    let header = forger.header().replace("session+jwt", "cookie+jwt");
    let now = server.now().timestamp();
    let claims =
        json!({ "iss": "signet", "aud": "signet/cookies", "name": "n", "value": "v", "iat": now, "exp": now + 60 });
    let claims = claims.as_object().unwrap().clone();
    let found = async |token: String| {
        let cookie = format!("__Host-signet.n={token}");
        let answer = server.anonymous().call(Method::GET, "/v1/cookies/n", None, &[("cookie", &cookie)]).await;
        answer.is(StatusCode::OK).json()["found"].as_bool().unwrap()
    };
    let sign = |claims: String| forger.token_under(&header, claims);
    assert!(found(sign(Value::Object(claims.clone()).to_string())).await, "the control");
    for name in claims.keys() {
        assert!(!found(sign(without(&claims, name))).await, "no {name}");
        for words in ["null", "[]", "{}", "true", "1.5", "\"x\"", "\"\""] {
            if name != "value" || !words.starts_with('"') {
                assert!(!found(sign(reworded(&claims, name, words))).await, "{name} is {words}");
            }
        }
    }
    for (what, others) in [
        ("over", json!({ "exp": now })),
        ("issued in the future", json!({ "iat": now + 60 })),
        ("another audience", json!({ "aud": "signet" })),
        ("another issuer", json!({ "iss": "signet/cookies" })),
        ("another name", json!({ "name": "N" })),
    ] {
        assert!(!found(sign(with(&claims, others))).await, "{what}");
    }
    let array = Value::Array(claims.values().cloned().collect()).to_string();
    assert!(!found(sign(array)).await);
    let good = sign(Value::Object(claims.clone()).to_string());
    assert!(!found(format!("{}.", good.rsplit_once('.').unwrap().0)).await);
    assert!(!found(format!("{good}; __Host-signet.n={good}")).await, "two of one name");
    server.pass(61);
    assert!(!found(good).await);
}

#[tokio::test]
async fn a_token_counts_in_its_cookie_only() {
    let server = Server::start().await;
    let token = server.admin().await.cookie.unwrap();
    let bearer = format!("Bearer {token}");
    let mut nobody = server.anonymous();
    for (name, value) in [
        ("authorization", bearer.clone()),
        ("authorization", format!("Cookie __Host-signet={token}")),
        ("x-auth-token", token.clone()),
        ("cookie2", format!("__Host-signet={token}")),
        ("x-cookie", format!("__Host-signet={token}")),
        ("cookie", format!("signet={token}; session={token}; __Secure-signet={token}; __Host-signet.x={token}")),
    ] {
        let answer = nobody.call(Method::GET, "/v1/me", None, &[(name, &value)]).await;
        answer.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
        let answer = nobody.call(Method::GET, "/v1/session", None, &[(name, &value)]).await;
        assert_eq!(answer.is(StatusCode::OK).json()["id"], json!(null), "{name}");
    }
    for query in ["token", "access_token", "__Host-signet", "cookie", "jwt", "session"] {
        nobody.get(&format!("/v1/me?{query}={token}")).await.is(StatusCode::UNAUTHORIZED);
    }
    // And a token beside the cookie opens no door past the cross-site rule.
    let mut somebody = server.with_cookie(&token);
    for headers in [
        [("authorization", bearer.as_str()), ("origin", "https://evil.example")],
        [("authorization", bearer.as_str()), ("sec-fetch-site", "cross-site")],
        [("x-requested-with", "XMLHttpRequest"), ("origin", "null")],
    ] {
        let answer = somebody.call(Method::POST, "/v1/logout", None, &headers).await;
        answer.is(StatusCode::FORBIDDEN).is_problem("cross_site");
    }
    let wrong = [("authorization", "Bearer nonsense"), ("origin", ORIGIN)];
    somebody.call(Method::GET, "/v1/me", None, &wrong).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_name_that_is_used_again_is_another_user() {
    let server = Server::start().await;
    let (mut old, id) = server.user("phoenix", json!({ "is_superuser": true })).await;
    assert!(old.is_somebody().await);
    let mut admin = server.admin().await;
    admin.delete(&format!("/v1/users/{id}")).await.is(StatusCode::NO_CONTENT);
    let (mut new, other) = server.user("phoenix", json!({})).await;
    assert_ne!(id, other);
    assert!(!old.is_somebody().await);
    assert!(new.is_somebody().await);
    // Not even with a token that says it is of a later generation and has fresh rights.
    let forger = Forger::of(&server);
    let claims = claims_of(old.cookie.as_deref().unwrap());
    let sid = claims_of(new.cookie.as_deref().unwrap())["sid"].clone();
    let later = json!({ "gen": 1000, "rev": 0, "sid": sid });
    let mut forged = server.with_cookie(&forger.token(with(&claims, later)));
    forged.get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
    // The old id is nobody's for ever.
    admin.get(&format!("/v1/users/{id}")).await.is(StatusCode::NOT_FOUND);
    let mut again = server.anonymous();
    again.post("/v1/login", json!({ "username": "phoenix", "password": PASSWORD })).await.is(StatusCode::OK);
    assert_eq!(again.get("/v1/me").await.text("id"), other);
}

#[tokio::test]
async fn a_token_that_a_ring_signs_is_what_a_session_sends() {
    // The other way round: what the library's own signer makes for other payloads is no session either.
    let server = Server::start().await;
    let gate = Gate::at(&server).await;
    let ring = server.app.tokens().keyring();
    let claims = Value::Object(gate.claims()).to_string();
    gate.lets_in(&ring.sign(Kind::Session, claims.as_bytes()).unwrap()).await;
    gate.refuses(named(
        "signed by the ring",
        [
            ("as a preference", ring.sign(Kind::Cookie, claims.as_bytes()).unwrap()),
            ("an empty object", ring.sign(Kind::Session, b"{}").unwrap()),
            ("nothing", ring.sign(Kind::Session, b"").unwrap()),
        ],
    ))
    .await;
}

#[tokio::test]
async fn every_issue_has_a_name_of_its_own_and_every_session_too() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let (mut issues, mut sessions) = (HashSet::new(), HashSet::new());
    for _ in 0..50 {
        client.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
        let claims = claims_of(client.cookie.as_deref().unwrap());
        assert!(issues.insert(claims["jti"].to_string()));
        sessions.insert(claims["sid"].to_string());
        let sid = URL_SAFE_NO_PAD.decode(claims["sid"].as_str().unwrap()).unwrap();
        assert_eq!(sid.len(), 16, "128 bits");
    }
    assert_eq!(sessions.len(), 1);
}

/// Sessions come and go: whoever is here today must not pay for a signature with each request because others were here
/// all of yesterday.
#[test]
fn tokens_in_use_take_the_place_of_those_that_were_in_use() {
    let folder = folder_with_keys(&[("a", "eddsa")]);
    let tokens = Tokens::new("signet", "signet", Keyring::load(&folder.path().join("keys")).unwrap());
    let now = DateTime::from_timestamp(2_000_000_000, 0).unwrap();
    let life = Lifetime { age: 3600, end: 3600 };
    let token = |_| tokens.mint(&Claims::anonymous("signet", "signet", 0, now, life)).unwrap();
    let used = |some: &[String]| some.iter().for_each(|token| drop(tokens.verify(token, now).unwrap()));
    let before: Vec<String> = (0..12_000).map(token).collect();
    before.chunks(100).for_each(|some| (0..3).for_each(|_| used(some)));
    let present: Vec<String> = (0..1_000).map(token).collect();
    (0..4).for_each(|_| used(&present));
    let known = present.iter().filter(|token| tokens.remembered(token, now).is_some()).count();
    assert!(known >= 900, "{known} of 1000");
}
