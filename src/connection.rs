//! Connections: how they are accepted, encrypted with rustls, and ended when they are silent; and a certificate for
//! localhost for trying things out.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::{
    Acceptor, AcceptorExt as _, BoxAcceptor, IntoTlsConfigStream as _, RustlsCertificate, RustlsConfig, TcpAcceptor,
};
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;

use crate::config::Tls;
use crate::keys::place;
use crate::metrics::{Gauge, Held};

mod room;
mod serving;
mod table;

pub use room::{USUAL, room};
pub use serving::run;

/// How long a connection may be silent, also in the middle of a message.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// How long somebody may go on sending a request that has no answer yet. A body is given less; this is for the line and
/// the fields, which could come one byte at a time for ever.
const REQUEST_TIME_MAX: Duration = Duration::from_mins(1);

/// What accepts connections for the listener, and counts those that are open.
///
/// With [`Tls::Dev`] the certificate lies in `tls/localhost.pem` in the folder of the keys, made once; clients
/// that trust that file trust the server.
///
/// # Errors
/// What is wrong with the certificate or its key, and how to mend it.
pub fn acceptor(
    listener: tokio::net::TcpListener,
    tls: &Tls,
    keys: &Path,
    open: &Gauge,
) -> Result<BoxAcceptor, String> {
    let plain = TcpAcceptor::from_tokio(listener).map_err(|e| e.to_string())?;
    let plain = Patient { inner: plain, asked: false, request_time: REQUEST_TIME_MAX, open: open.clone() };
    let (cert, key) = match tls {
        Tls::Off => return Ok(plain.boxed()),
        Tls::Dev => localhost(keys)?,
        Tls::Files { cert, key } => (cert.clone(), key.0.clone()),
    };
    let config = RustlsConfig::new().fallback(RustlsCertificate::new().cert(cert).key(key));
    let stream = config.into_stream();
    let stream = stream.map_err(|e| format!("--tls: {e}; name a certificate chain and its key, both in PEM"))?;
    Ok(plain.rustls(stream).boxed())
}

/// Accepts connections, and ends those that stay silent.
///
/// The first time that it is asked it accepts nothing: with TLS the framework takes whichever comes first, its
/// certificate or a connection, and drops a connection that comes first.
struct Patient {
    inner: TcpAcceptor,
    asked: bool,
    request_time: Duration,
    open: Gauge,
}

impl Acceptor for Patient {
    type Io = Heard;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> std::io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        if !std::mem::replace(&mut self.asked, true) {
            tokio::task::yield_now().await;
        }
        let (stream, local, remote, scheme) = self.inner.accept().await?;
        // Answers are small: waiting to fill a packet would only delay them.
        stream.set_nodelay(true)?;
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(SILENCE_MAX));
        stream.set_write_timeout(Some(SILENCE_MAX));
        let (request_time, open) = (self.request_time, Held::new(&self.open));
        let heard = Heard { stream: Box::pin(stream), request_time, asked_since: None, _open: open };
        Ok((heard, local, remote, scheme))
    }
}

/// A connection that ends when it is silent in both directions: whoever takes what is written is there, though nothing
/// comes from there, as from somebody who follows a stream. And that ends when it goes on sending for too long without
/// having asked anything that could be answered.
struct Heard {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    request_time: Duration,
    /// When the first byte came that is not answered yet.
    asked_since: Option<Instant>,
    _open: Held,
}

impl Heard {
    fn wrote(&mut self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(done, Poll::Ready(Ok(1..))) {
            // Begins the time of silence anew.
            self.asked_since = None;
            self.stream.as_mut().set_read_timeout_pinned(Some(SILENCE_MAX));
        }
        done
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let done = self.stream.as_mut().poll_read(cx, buffer);
        if matches!(done, Poll::Ready(Ok(()))) && buffer.filled().len() > before {
            let request_time = self.request_time;
            let since = self.asked_since.get_or_insert_with(Instant::now);
            if since.elapsed() > request_time {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        done
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = self.stream.as_mut().poll_write(cx, bytes);
        self.wrote(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = self.stream.as_mut().poll_write_vectored(cx, bytes);
        self.wrote(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

/// Certificate and key for localhost and 127.0.0.1, in PEM.
fn localhost(keys: &Path) -> Result<(Vec<u8>, Vec<u8>), String> {
    let folder = keys.join("tls");
    let (cert, key) = (folder.join("localhost.pem"), folder.join("localhost.key"));
    let said = |e: std::io::Error| format!("{}: {e}; remove the folder to have it made anew", folder.display());
    if !cert.exists() || !key.exists() {
        std::fs::create_dir_all(&folder).map_err(said)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names).map_err(|e| format!("--tls dev: {e}"))?;
        place(&key, made.signing_key.serialize_pem().as_bytes(), 0o600).map_err(said)?;
        place(&cert, made.cert.pem().as_bytes(), 0o644).map_err(said)?;
    }
    Ok((std::fs::read(&cert).map_err(said)?, std::fs::read(&key).map_err(said)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use poem::listener::{Acceptor as _, TcpAcceptor};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::Patient;
    use crate::metrics::gauge;

    /// Bytes that came, one each 20 ms, before the connection was given up; at most 100. With an answer after every `n`th.
    async fn heard(answered: Option<usize>) -> usize {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = TcpAcceptor::from_tokio(listener).unwrap();
        let mut acceptor =
            Patient { inner, asked: false, request_time: Duration::from_millis(400), open: gauge("open", "open") };
        let sending = tokio::spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let (mut stream, ..) = acceptor.accept().await.unwrap();
        let (mut bytes, mut count) = ([0; 1], 0);
        while count < 100 && stream.read_exact(&mut bytes).await.is_ok() {
            count += 1;
            if answered.is_some_and(|n| count % n == 0) {
                stream.write_all(b"y").await.unwrap();
            }
        }
        sending.abort();
        count
    }

    #[tokio::test]
    async fn a_request_that_comes_byte_by_byte_is_given_up_and_one_that_is_answered_is_not() {
        let (endless, answered) = tokio::join!(heard(None), heard(Some(5)));
        assert!((2..60).contains(&endless), "{endless} bytes");
        assert_eq!(answered, 100);
    }
}
