//! Connections: how they are made, lent out and given back.
//!
//! Owns the order of the hosts, and what becomes of a connection whose work was given up. What runs on a connection is
//! none of its business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, PoolError, RecycleError, RecycleResult, Timeouts};
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Socket};

use super::Address;
use super::fault::{Fault, failed};
use crate::store::StoreError;

/// Connections of one node.
const CONNECTIONS: usize = 16;

/// How long one host may take to accept a connection: one that hangs must not keep the next one from being asked.
const HOST_PATIENCE: Duration = Duration::from_secs(3);

/// How long it may take to have a connection: shorter than a call may take, which tells what has failed.
const LEASE_PATIENCE: Duration = Duration::from_secs(12);

/// How long it may take to tell the server that nobody waits any more.
const CANCEL_PATIENCE: Duration = Duration::from_secs(4);

/// The connections of a node.
pub(super) struct Pool(deadpool::managed::Pool<Hosts>);

/// Makes connections to the host that takes writes, beginning with the one that did last.
pub(super) struct Hosts {
    address: Address,
    first: AtomicUsize,
    /// Told when a server calls over a connection, and when one ends.
    called: Option<Arc<Notify>>,
}

/// A connection and what drives it, which ends with it whatever is still to be answered.
pub(super) struct Connection {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection of its own, to the first host that takes writes.
///
/// # Errors
/// `Failed`, as the last host that was asked says.
pub(super) async fn connect(address: &Address) -> Result<Connection, StoreError> {
    Hosts::of(address, None).create().await
}

impl Hosts {
    pub(super) fn of(address: &Address, called: Option<Arc<Notify>>) -> Self {
        Self { address: address.clone(), first: AtomicUsize::new(0), called }
    }
}

/// Drives a connection to its end. What it says there was said by what ran on it.
async fn drive(
    mut connection: tokio_postgres::Connection<Socket, impl AsyncRead + AsyncWrite + Unpin>,
    called: Option<Arc<Notify>>,
) {
    let mut messages = poll_fn(|context| connection.poll_message(context));
    let call = || called.iter().for_each(|called| called.notify_one());
    while let Some(Ok(message)) = messages.next().await {
        if matches!(message, AsyncMessage::Notification(_)) {
            call();
        }
    }
    call();
}

impl Manager for Hosts {
    type Type = Connection;
    type Error = StoreError;

    async fn create(&self) -> Result<Connection, StoreError> {
        let hosts = self.address.hosts();
        let first = self.first.load(Ordering::Relaxed);
        let mut said = StoreError::Failed("the address names no host".to_owned());
        for at in (first..hosts.len()).chain(0..first) {
            // Whoever gives up meanwhile begins with the next one.
            self.first.store((at + 1) % hosts.len(), Ordering::Relaxed);
            let connected = Box::pin(hosts[at].connect(self.address.tls()));
            let connected = tokio::time::timeout(HOST_PATIENCE, connected);
            match connected.await {
                Ok(Ok((client, connection))) => {
                    self.first.store(at, Ordering::Relaxed);
                    let driver = tokio::spawn(drive(connection, self.called.clone()));
                    return Ok(Connection { client, driver });
                }
                Ok(Err(e)) => said = failed(&e),
                Err(_) => said = StoreError::Failed("PostgreSQL: a host did not answer in time".to_owned()),
            }
        }
        Err(said)
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<StoreError> {
        if connection.client.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

impl Pool {
    /// Connects nowhere yet.
    pub(super) fn to(address: &Address) -> Option<Self> {
        let hosts = Hosts::of(address, None);
        let patience = Some(LEASE_PATIENCE);
        let timeouts = Timeouts { wait: patience, create: patience, recycle: patience };
        let pool = deadpool::managed::Pool::builder(hosts).max_size(CONNECTIONS).timeouts(timeouts);
        pool.runtime(Runtime::Tokio1).build().ok().map(Self)
    }

    /// A connection to a host that took writes when it was made.
    ///
    /// # Errors
    /// `Down`.
    pub(super) async fn lease(&self) -> Result<Lease, Fault> {
        let late = || StoreError::Failed("no connection to PostgreSQL was to be had in time".to_owned());
        match self.0.get().await {
            Ok(connection) => Ok(Lease { connection: Some(connection), is_busy: AtomicBool::new(true) }),
            Err(PoolError::Backend(e)) => Err(Fault::Down(e)),
            Err(_) => Err(Fault::Down(late())),
        }
    }

    /// Closes the connections that nobody uses: their server is not the one that is wanted.
    pub(super) fn forget(&self) {
        drop(self.0.retain(|_, _| false));
    }
}

impl Connection {
    /// Tells the server that nobody waits for what runs here, and ends it.
    pub(super) async fn cancel(&self, address: &Address) {
        let token = self.client.cancel_token();
        if !matches!(tokio::time::timeout(CANCEL_PATIENCE, token.cancel_query(address.tls())).await, Ok(Ok(()))) {
            tracing::debug!("PostgreSQL could not be told that nobody waits for a statement any more");
        }
    }
}

/// A connection that goes back to the pool only when it was given back. Otherwise it is closed, and the server ends what
/// it had begun: a statement that still runs is cancelled before, as the server would go on with it.
pub(super) struct Lease {
    connection: Option<Object<Hosts>>,
    is_busy: AtomicBool,
}

impl Lease {
    pub(super) fn client(&self) -> Result<&Client, StoreError> {
        let gone = || StoreError::Failed("a connection is gone".to_owned());
        self.connection.as_ref().map(|connection| &connection.client).ok_or_else(gone)
    }

    /// Nothing that could be cancelled runs from here on.
    pub(super) fn rests(&self) {
        self.is_busy.store(false, Ordering::Relaxed);
    }

    pub(super) fn give_back(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let is_busy = self.is_busy.load(Ordering::Relaxed) && !connection.client.is_closed();
        let Some(runtime) = Handle::try_current().ok().filter(|_| is_busy) else {
            drop(Object::take(connection));
            return;
        };
        // The place in the pool is free when the server knows: it has no more connections than it was told to expect.
        runtime.spawn(async move {
            let address = Object::pool(&connection).map(|pool| pool.manager().address.clone());
            if let Some(address) = address {
                connection.cancel(&address).await;
            }
            drop(Object::take(connection));
        });
    }
}
