//! Serving connections: how many at once, how long one may be of no use, and what HTTP may ask of memory.
//!
//! Owns the loop that accepts and the life of each connection; no address, no TLS, no routes. `server.rs` runs it.
//! The limits of the protocols are hyper's and h2's own; the rest is said here, once.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use poem::http::uri::Scheme;
use poem::listener::{Acceptor as _, BoxAcceptor, BoxIo};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::table::{Serving, Table, Used};

/// Bytes that are held of a request's line and fields, and of an answer that is not sent yet, for one connection: room
/// for the largest header that is not refused, and for the beginning of the next request.
const BUFFER_MAX: usize = 48 * 1024;

/// Bytes of an answer that are given to the HTTP library at once.
const PIECE: usize = 16 * 1024;

/// Streams of one HTTP/2 connection at once: no fewer than 100 are advised (RFC 9113, section 6.5.2).
const STREAMS_MAX: u32 = 128;

/// Streams that a client may have taken back before they were served; then its connection ends ("rapid reset").
const RESETS_MAX: usize = 20;

/// How long nothing is accepted when the system gives no more descriptors or memory: they are not there any sooner.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The share of the connections that are ended at once to make room, so that choosing them costs each newcomer little.
const SHARE_ENDED: usize = 64;

/// How often it is logged, at the most, that room had to be made.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Serving,
    /// Requests that are served are finished; there are no new ones.
    Draining,
    Over,
}

/// Done when the server stands there, or is gone.
async fn until(phases: &mut watch::Receiver<Phase>, wanted: Phase) {
    drop(phases.wait_for(|phase| *phase >= wanted).await);
}

/// Serves the connections, `most` at once, until `stop` is done and those that are in use have ended, or `drain` is over.
///
/// When there are as many as may be and one more comes, those end of which it is longest ago that they were of use: that
/// began, or were answered a request, and have none now. Who only holds connections open displaces nobody who asks.
/// When all of them are being served, the newcomer waits.
pub async fn run<E>(
    mut acceptor: BoxAcceptor,
    endpoint: E,
    most: usize,
    stop: impl Future<Output = ()>,
    drain: Duration,
) where
    E: Endpoint + 'static,
{
    let most = u32::try_from(most).unwrap_or(u32::MAX).clamp(1, 1 << 20);
    let places = Arc::new(Semaphore::new(most as usize));
    let (endpoint, table, protocols) = (Arc::new(endpoint), Arc::new(Table::default()), protocols());
    let (phase, phases) = watch::channel(Phase::Serving);
    let (mut stop, mut said) = (pin!(stop), None::<Instant>);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = acceptor.accept() => accepted,
        };
        let Ok((io, local, remote, scheme)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if places.available_permits() == 0 {
            let ended = table.make_room((most as usize).div_ceil(SHARE_ENDED));
            if said.is_none_or(|said| said.elapsed() > SAY_EVERY) {
                said = Some(Instant::now());
                tracing::warn!(most, ended, "there are as many connections as may be; those longest out of use end");
            }
        }
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let one = One { used: Table::add(&table), local, remote, scheme, _place: place };
        tokio::spawn(one.serve(io, protocols.clone(), Arc::clone(&endpoint), phases.clone()));
    }
    drop(acceptor);
    phase.send_replace(Phase::Draining);
    if timeout(drain, places.acquire_many(most)).await.is_err() {
        phase.send_replace(Phase::Over);
        drop(places.acquire_many(most).await);
    }
}

/// What HTTP/1.1 and HTTP/2 may ask of a connection. What is not said is bounded by h2 itself: frames that continue a
/// header, settings and pings that wait for their answers, streams that broke the protocol.
fn protocols() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(BUFFER_MAX);
    let header = u32::try_from(BUFFER_MAX).unwrap_or(u32::MAX);
    let mut http2 = builder.http2();
    http2.max_concurrent_streams(STREAMS_MAX).max_header_list_size(header);
    http2.max_pending_accept_reset_streams(RESETS_MAX).max_send_buf_size(BUFFER_MAX);
    builder
}

/// A connection.
struct One {
    used: Used,
    local: LocalAddr,
    remote: RemoteAddr,
    scheme: Scheme,
    _place: OwnedSemaphorePermit,
}

impl One {
    async fn serve<E>(
        self,
        io: BoxIo,
        protocols: Builder<TokioExecutor>,
        endpoint: Arc<E>,
        phases: watch::Receiver<Phase>,
    ) where
        E: Endpoint + 'static,
    {
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let serving = self.used.serve();
            let endpoint = Arc::clone(&endpoint);
            let request = (request, self.local.clone(), self.remote.clone(), self.scheme.clone());
            async move {
                let response: Response = endpoint.get_response(request.into()).await;
                let response: hyper::Response<_> = response.into();
                Ok::<_, Infallible>(response.map(|body| Answer::new(body, serving)))
            }
        });
        let mut connection = pin!(protocols.serve_connection(TokioIo::new(io), service));
        let (mut draining, mut over) = (phases.clone(), phases);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.used.is_useless() => {
                connection.as_mut().graceful_shutdown();
                // Says goodbye, if that can be said without waiting.
                drop(timeout(Duration::ZERO, connection).await);
                return;
            }
            () = until(&mut draining, Phase::Draining) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = until(&mut over, Phase::Over) => {}
        }
    }
}

/// An answer's body. A stream is being served for as long as it lasts; of what is whole already only the sending is left.
///
/// It goes out in pieces: the HTTP library copies each one that it takes, and would hold a whole copy of a large page for
/// every client that does not read.
struct Answer<B> {
    body: B,
    /// What was taken from the body and not given on yet.
    rest: Bytes,
    _serving: Option<Serving>,
}

impl<B: Body> Answer<B> {
    fn new(body: B, serving: Serving) -> Self {
        let is_stream = body.size_hint().exact().is_none();
        Self { body, rest: Bytes::new(), _serving: is_stream.then_some(serving) }
    }
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower() + rest);
        if let Some(upper) = left.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_util::future::poll_fn;
    use hyper::body::Body as _;
    use poem::Response;

    use super::super::table::Table;
    use super::{Answer, PIECE};

    #[tokio::test]
    async fn a_large_answer_goes_out_in_pieces_and_whole() {
        let page = Bytes::from(vec![7; 5 * PIECE + 1]);
        let response: hyper::Response<_> = Response::builder().body(page.clone()).into();
        let used = Table::add(&Arc::default());
        let mut answer = Answer::new(response.into_body(), used.serve());
        let mut got = Vec::new();
        while !answer.is_end_stream() {
            assert_eq!(answer.size_hint().exact(), Some((page.len() - got.len()) as u64));
            let frame = poll_fn(|cx| std::pin::Pin::new(&mut answer).poll_frame(cx)).await.unwrap().unwrap();
            let data = frame.into_data().unwrap();
            assert!((1..=PIECE).contains(&data.len()));
            got.extend_from_slice(&data);
        }
        assert!(got == page);
    }
}
