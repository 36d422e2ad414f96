//! A program of its own that embeds Signet: polls, on which only some may vote.
//!
//! Signet's operations and the polls are served side by side, behind one front. The polls know nothing of tokens
//! or cookies: they name a guard, and are given a session.
//!
//! ```sh
//! cargo run --example polls -- 127.0.0.1:8080 /tmp/polls
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use poem::listener::TcpListener;
use poem::{EndpointExt as _, Route};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};
use signet::api::bearer::OrToken;
use signet::api::caller::{Caller, LoginRequired, NamedPermission, PermissionRequired, StaffRequired};
use signet::api::front::{Front, Settings};
use signet::app::{App, Parts};
use signet::keys::{self, Keyring};
use signet::store::embedded::Embedded;

/// The right to vote, as it stands in the catalogue of permissions.
struct Vote;

impl NamedPermission for Vote {
    const NAME: &'static str = "polls.vote";
}

#[derive(Default)]
struct Polls {
    votes: AtomicU32,
}

#[OpenApi]
impl Polls {
    /// Greet
    #[oai(path = "/", method = "get", operation_id = "greet")]
    async fn greet(&self, caller: Caller) -> PlainText<String> {
        let name = caller.claims().and_then(|claims| claims.preferred_username.as_deref());
        PlainText(format!("hello, {}", name.unwrap_or("stranger")))
    }

    /// Show the count (`login_required`)
    #[oai(path = "/count", method = "get", operation_id = "get_count")]
    async fn get_count(&self, _user: LoginRequired) -> PlainText<String> {
        PlainText(self.votes.load(Ordering::Relaxed).to_string())
    }

    /// Vote (`permission_required("polls.vote")`), also for a machine that has an API token with this permission
    #[oai(path = "/vote", method = "post", operation_id = "cast_vote")]
    async fn cast_vote(&self, _voter: OrToken<PermissionRequired<Vote>>) -> PlainText<String> {
        PlainText((self.votes.fetch_add(1, Ordering::Relaxed) + 1).to_string())
    }

    /// Begin anew (`is_staff`)
    #[oai(path = "/reset", method = "post", operation_id = "reset_count")]
    async fn reset_count(&self, _staff: StaffRequired) -> PlainText<String> {
        self.votes.store(0, Ordering::Relaxed);
        PlainText("0".to_owned())
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge of the program reads the clock")]
fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "polls-data".to_owned()));

    // Signet: a store, keys, a clock.
    let key_folder = folder.join("keys");
    std::fs::create_dir_all(&key_folder)?;
    if keys::is_empty(&key_folder)? {
        keys::generate(&key_folder, "eddsa", None, now())?;
    }
    let store = Arc::new(Embedded::open(&folder.join("data"))?);
    let parts = Parts {
        issuer: "polls".to_owned(),
        audience: "polls".to_owned(),
        ..Parts::new(store, Keyring::load(&key_folder)?, Arc::new(now))
    };
    let app = App::open(parts).await?;
    if let Some(password) = signet::account::first_superuser(&app, None).await? {
        println!("made the superuser admin with the password {}", password.reveal());
    }

    // The polls beside Signet's own operations, behind the front.
    let polls = OpenApiService::new(Polls::default(), "Polls", "1.0").url_prefix("/polls");
    let routes = signet::api::routes().nest("/polls", polls);
    let routes = Route::new().nest("/", routes).with(Front::new(app.clone(), Settings::default()));

    let acceptor = poem::listener::Listener::into_acceptor(TcpListener::bind(address)).await?;
    for address in poem::listener::Acceptor::local_addr(&acceptor) {
        println!("listening on {}", address.to_string().replace("socket://", "http://"));
    }
    tokio::spawn(app.tend());
    poem::Server::new_with_acceptor(acceptor).run(routes).await?;
    Ok(())
}
