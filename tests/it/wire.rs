//! A bare connection: exactly these bytes out, and what came back. For what a client library would tidy up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// An answer as it stood on the wire.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case, in their order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let text = || String::from_utf8_lossy(bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no whole answer: {}", text()));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Self { status, fields: lines.map(field).collect(), body: bytes[end + 4..].to_vec() }
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The body's code when it is a problem, checked for its shape.
    pub(crate) fn problem(&self) -> String {
        let text = || String::from_utf8_lossy(&self.body);
        assert_eq!(self.all("content-type"), ["application/problem+json"], "{}: {}", self.status, text());
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{}", text());
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// Sends the bytes to the server of this base address, and reads its one answer.
pub(crate) async fn exchange(base: &str, request: impl Into<Vec<u8>>) -> Reply {
    let (address, request) = (base.strip_prefix("http://").unwrap().to_owned(), request.into());
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A server that has seen enough may close before it has read everything.
        let _ = stream.write_all(&request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Reply::parse(&answer)
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

/// Sends a request without a body, with these lines in its header and no others, but for `Host`.
pub(crate) async fn call(base: &str, line: &str, fields: &[&[u8]]) -> Reply {
    let mut request = format!("{line} HTTP/1.1\r\nHost: signet.example\r\nConnection: close\r\n").into_bytes();
    for field in fields {
        request.extend_from_slice(field);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    exchange(base, request).await
}
