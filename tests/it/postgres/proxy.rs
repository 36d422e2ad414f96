//! What stands between a store and its server, to cut the way where a test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Where the next transaction is cut; once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Nowhere,
    /// What is asked with these words does not arrive.
    Before(&'static str),
    /// It arrives, and the answer does not.
    After(&'static str),
}

/// Forwards connections to the port.
pub(super) struct Proxy {
    pub(super) port: u16,
    cut: Arc<std::sync::Mutex<Cut>>,
    /// How often it has cut.
    pub(super) cuts: Arc<AtomicU8>,
}

impl Proxy {
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().port();
        let (cut, cuts) = (Arc::new(std::sync::Mutex::new(Cut::Nowhere)), Arc::new(AtomicU8::new(0)));
        tokio::spawn({
            let (cut, cuts) = (Arc::clone(&cut), Arc::clone(&cuts));
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        tokio::spawn(forward(client, server, Arc::clone(&cut), Arc::clone(&cuts)));
                    }
                }
            }
        });
        Self { port: here, cut, cuts }
    }

    pub(super) fn cut(&self, at: Cut) {
        *self.cut.lock().unwrap() = at;
    }
}

/// Until one of them is done, or the way is cut: then both are closed.
async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    cut: Arc<std::sync::Mutex<Cut>>,
    cuts: Arc<AtomicU8>,
) -> Option<()> {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let asked = &asked[..read.ok().filter(|read| *read > 0)?];
                let holds = |words: &str| asked.windows(words.len()).any(|part| part == words.as_bytes());
                let at = *cut.lock().unwrap();
                let (is_cut, arrives) = match at {
                    Cut::Before(words) => (holds(words), false),
                    Cut::After(words) => (holds(words), true),
                    Cut::Nowhere => (false, true),
                };
                if !is_cut || arrives {
                    server.write_all(asked).await.ok()?;
                }
                if is_cut {
                    if arrives {
                        // The server has done it when it answers.
                        let _heard = server.read(&mut answered).await.ok()?;
                    }
                    *cut.lock().unwrap() = Cut::Nowhere;
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
            }
            read = server.read(&mut answered) => {
                client.write_all(&answered[..read.ok().filter(|read| *read > 0)?]).await.ok()?;
            }
        }
    }
}
