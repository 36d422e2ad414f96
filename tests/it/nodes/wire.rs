//! The way from a node to a database: one that can be cut, slow, or dead without anybody being told.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Whatever goes over it takes so long, in each direction.
    Slow(Duration),
    /// Connections end, and none is made.
    Cut,
    /// Connections stay and are made, and nothing comes through: half of them is gone.
    Dead,
}

/// Forwards connections to a port.
pub(crate) struct Wire {
    pub(crate) port: u16,
    way: watch::Sender<Way>,
}

impl Wire {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().port();
        let (way, ways) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *ways.borrow() != Way::Cut {
                    tokio::spawn(connect(near, port, ways.clone()));
                }
            }
        });
        Self { port: here, way }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn connect(near: TcpStream, port: u16, mut ways: watch::Receiver<Way>) {
    // Over a dead way nobody finds out that there is nobody.
    if ways.wait_for(|way| *way != Way::Dead).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _set = (near.set_nodelay(true), far.set_nodelay(true));
    let ((asks, answers), (reads, writes)) = (near.into_split(), far.into_split());
    let mut cut = ways.clone();
    tokio::select! {
        _ = carry(asks, writes, ways.clone()) => {}
        _ = carry(reads, answers, ways) => {}
        _ = cut.wait_for(|way| *way == Way::Cut) => {}
    }
}

/// Carries what comes in one direction, to its end.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut ways: watch::Receiver<Way>) -> Option<()> {
    let mut bytes = vec![0; 65536];
    loop {
        let read = from.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
        let way = *ways.wait_for(|way| *way != Way::Dead).await.ok()?;
        if let Way::Slow(takes) = way {
            tokio::time::sleep(takes).await;
        }
        to.write_all(&bytes[..read]).await.ok()?;
    }
}
