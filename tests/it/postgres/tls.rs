//! TLS on the way to the store: proven by an authority and a name, or nothing is said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use signet::store::postgres::{Address, Postgres, migrate};
use signet::store::{SharedStore, StoreError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::Server;
use super::outages::create;

const SECRET: &str = "correct-horse-battery";

/// An authority: the file of its certificate, and a certificate of its for `localhost` with the key.
fn authority(folder: &TempDir, name: &str) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    (file.to_str().unwrap().to_owned(), certificate.pem(), key.serialize_pem())
}

async fn refusal(url: &str) -> String {
    let address = Address::parse(url).unwrap();
    let opened = Postgres::open(&address).await.err().unwrap().to_string();
    let migrated = migrate(&address).await.unwrap_err().to_string();
    for said in [&opened, &migrated] {
        assert!(!said.contains(SECRET) && !said.contains("app:"), "{said}");
    }
    assert_eq!(opened, migrated);
    opened
}

/// What is said to a server that answers the first request with one letter, and nothing else. Gives its port.
async fn listener(letter: u8, heard: Arc<Mutex<Vec<Vec<u8>>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0; 8];
            if stream.read_exact(&mut first).await.is_err() || stream.write_all(&[letter]).await.is_err() {
                continue;
            }
            let (mut all, mut more) = (first.to_vec(), [0; 4096]);
            while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut more)).await {
                if read == 0 {
                    break;
                }
                all.extend_from_slice(&more[..read]);
            }
            heard.lock().unwrap().push(all);
        }
    });
    port
}

#[tokio::test]
async fn the_store_is_proven_before_anything_is_said_to_it() {
    let folder = TempDir::new().unwrap();
    let (right, certificate, key) = authority(&folder, "right.pem");
    let (wrong, ..) = authority(&folder, "wrong.pem");
    let server = Server::start();
    drop(server.store("secret").await);
    let client = server.client("secret").await;
    let role = format!(
        "create role app login password '{SECRET}'; \
         grant select, insert, update, delete on all tables in schema public to app; \
         grant create on schema public to app; alter table signet_migrations owner to app"
    );
    client.batch_execute(&role).await.unwrap();
    server.put("server.crt", &certificate);
    server.put("server.key", &key);
    let hba = "host all signet 127.0.0.1/32 trust\nhostssl all app 127.0.0.1/32 scram-sha-256\n";
    server.put("pg_hba.conf", hba);
    let set = async |to: &str| {
        client.batch_execute(&format!("alter system set ssl = {to}")).await.unwrap();
        client.batch_execute("select pg_reload_conf()").await.unwrap();
        super::until("the setting does not change", async || {
            let new = server.client("secret").await;
            new.query_one("show ssl", &[]).await.unwrap().get::<_, &str>(0) == to
        })
        .await;
    };
    set("on").await;
    let url = |host: &str, port: u16, password: &str, authority: &str| {
        format!("postgres://app:{password}@{host}:{port}/secret?sslmode=verify-full&sslrootcert={authority}")
    };

    // By the right authority and name. That is also what an address says that leaves the mode out.
    let good = url("localhost", server.port, SECRET, &right);
    for good in [good.clone(), good.replace("sslmode=verify-full&", "")] {
        let store: SharedStore = Arc::new(Postgres::open(&Address::parse(&good).unwrap()).await.unwrap());
        let made = create(&store, "somebody").await;
        assert!(made.is_ok() || made == Err(StoreError::Taken("user")));
        let ways = "select count(*), count(*) filter (where ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
            where application_name = 'signet'";
        let ways = client.query_one(ways, &[]).await.unwrap();
        assert!(ways.get::<_, i64>(0) > 0 && ways.get::<_, i64>(0) == ways.get::<_, i64>(1), "all of them");
    }
    // What nobody waits for is cancelled on the same way.
    {
        let store: SharedStore = Arc::new(Postgres::open(&Address::parse(&good).unwrap()).await.unwrap());
        let mut holder = server.client("secret").await;
        let lock = holder.transaction().await.unwrap();
        lock.batch_execute("lock table users in access exclusive mode").await.unwrap();
        let job = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.user_named("a").await }
        });
        let is_waiting = async || {
            let waiting =
                "select 1 from pg_stat_activity where application_name = 'signet' and wait_event_type = 'Lock'";
            !client.query(waiting, &[]).await.unwrap().is_empty()
        };
        super::until("it does not wait", is_waiting).await;
        job.abort();
        super::until("the server goes on", async || !is_waiting().await).await;
    }

    // Each refusal says what to mend.
    for (why, how, url) in [
        ("another authority", "sslrootcert=FILE", url("localhost", server.port, SECRET, &wrong)),
        ("another name", "name the host in the address as", url("127.0.0.1", server.port, SECRET, &right)),
        ("another password", "check the user and the password", url("localhost", server.port, "wrong-one", &right)),
    ] {
        let said = refusal(&url).await;
        assert!(said.contains(how), "{why}: {said}");
    }
    set("off").await;
    let said = refusal(&good).await;
    assert!(said.contains("switch TLS on there (ssl = on)"), "{said}");

    // Nothing goes out in clear: only the request for TLS, and what begins it.
    let request = [0, 0, 0, 8, 4, 210, 22, 47];
    let heard = Arc::new(Mutex::new(Vec::new()));
    for letter in [b'N', b'S'] {
        let port = listener(letter, Arc::clone(&heard)).await;
        Postgres::open(&Address::parse(&url("localhost", port, SECRET, &right)).unwrap()).await.err().unwrap();
        super::until("nothing is heard", async || !heard.lock().unwrap().is_empty()).await;
        for all in heard.lock().unwrap().drain(..) {
            let (first, rest) = all.split_at(request.len());
            assert_eq!(first, request);
            assert!(rest.is_empty() || letter == b'S' && rest[0] == 0x16, "no handshake: {rest:?}");
            for word in [SECRET, "app", "secret", "signet"] {
                assert!(!rest.windows(word.len()).any(|part| part == word.as_bytes()), "{word} is sent in clear");
            }
        }
    }
}
