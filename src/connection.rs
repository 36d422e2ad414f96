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
use tokio_io_timeout::TimeoutStream;

use crate::config::Tls;
use crate::keys::place;
use crate::metrics::{Gauge, Held};

/// How long a connection may be silent, also in the middle of a message.
const SILENCE_MAX: Duration = Duration::from_secs(75);

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
    let plain = Patient { inner: plain, asked: false, open: open.clone() };
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
        Ok((Heard(Box::pin(stream), Held::new(&self.open)), local, remote, scheme))
    }
}

/// A connection that ends when it is silent in both directions: whoever takes what is written is there, though nothing
/// comes from there, as from somebody who follows a stream.
struct Heard(Pin<Box<TimeoutStream<TcpStream>>>, #[expect(dead_code, reason = "held until it is dropped")] Held);

impl Heard {
    fn wrote(&mut self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(done, Poll::Ready(Ok(1..))) {
            // Begins the time of silence anew.
            self.0.as_mut().set_read_timeout_pinned(Some(SILENCE_MAX));
        }
        done
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = self.0.as_mut().poll_write(cx, bytes);
        self.wrote(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = self.0.as_mut().poll_write_vectored(cx, bytes);
        self.wrote(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
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
