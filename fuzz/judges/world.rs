//! A Signet without a network, with its routes behind their front, for what has to be called with requests.

use std::cell::RefCell;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use poem::endpoint::BoxEndpoint;
use poem::{Endpoint as _, EndpointExt as _, Request, Response};
use signet::api::front::{Front, Settings};
use signet::app::{App, Parts};
use signet::audit::{Action, Client};
use signet::keys::{self, Keyring};
use signet::mail::{Links, Post, Route};
use signet::password::Cost;
use signet::session::{self, Session};
use signet::store::Slice;
use signet::store::embedded::Embedded;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Inputs that one world sees: what they leave behind is to stay small.
const INPUTS_MAX: usize = 1_000;

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) app: App,
    pub(crate) endpoint: BoxEndpoint<'static, Response>,
    pub(crate) admin: Session,
    pub(crate) folder: TempDir,
    inputs: usize,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Judges in a world in which the superuser `admin` is logged in.
pub(crate) fn with<T>(judge: impl FnOnce(&World) -> T) -> T {
    WORLD.with_borrow_mut(|kept| {
        let mut world = kept.take().filter(|world| world.inputs < INPUTS_MAX).unwrap_or_else(World::new);
        world.inputs += 1;
        if !world.is_in_order() {
            world = World::new();
        }
        let judged = judge(&world);
        // A world in which a judge panicked is not used again.
        *kept = Some(world);
        judged
    })
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_900_000_000)
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        keys::generate(&keys, "eddsa", None, now()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (app, admin) = runtime.block_on(async {
            let links = Links {
                origin: "https://app.example".to_owned(),
                reset_page: "/reset".to_owned(),
                verify_page: "/verify".to_owned(),
            };
            let sender = "Signet <signet@signet.example>".parse().unwrap();
            let post = Post::open(&Route::Folder(folder.path().join("mail")), sender, links).unwrap();
            let store = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
            let app = App::open(Parts {
                hash_workers: 1,
                hash_cost: Cost { memory: 8, passes: 1, lanes: 1 },
                throttle: false,
                post: Some(post),
                ..Parts::new(store, Keyring::load(&keys).unwrap(), Arc::new(now))
            })
            .await
            .unwrap();
            signet::account::first_superuser(&app, Some("correct horse battery")).await.unwrap();
            let first = Slice { limit: 1, ..Slice::default() };
            let user = app.store().users(first).await.unwrap().items.remove(0);
            let member = app.store().member(user.id).await.unwrap().unwrap();
            let nobody = session::authenticate(&app, None).await.unwrap();
            let by = (Action::LogIn, &Client::default());
            let (_, admin) = session::enter(&app, member, &nobody, by, Vec::new()).await.unwrap();
            (app, admin)
        });
        let endpoint = signet::api::routes().with(Front::new(app.clone(), Settings::default())).boxed();
        Self { runtime, app, endpoint, admin, folder, inputs: 0 }
    }

    /// Whether the server is alive and the superuser is still logged in, and still is one.
    fn is_in_order(&self) -> bool {
        let asked = Request::builder().uri_str("/livez").finish();
        let alive = self.runtime.block_on(self.endpoint.call(asked));
        assert!(alive.is_ok_and(|answer| answer.status().is_success()), "the server is not alive any more");
        let found = self.runtime.block_on(session::authenticate(&self.app, self.admin.token()));
        found.is_ok_and(|session| session.claims().is_some_and(|claims| claims.is_superuser))
    }
}
