//! What has ended, for services that verify tokens by themselves: a snapshot in pages, and a stream of what follows.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use poem::web::Data;
use poem::web::sse;
use poem_openapi::param::{Header, Query};
use poem_openapi::payload::{EventStream, Json};
use poem_openapi::types::{Example, ToJSON as _};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use tokio::time::{Instant, Interval};

use crate::api::Group;
use crate::api::caller::RevocationReader;
use crate::api::json::Time;
use crate::api::problem::{Code, Problem};
use crate::api::visit::Visit;
use crate::app::App;
use crate::claims::instant;
use crate::error::Error;
use crate::revocation::feed::{Follower, News, Position};
use crate::store::Revocation;

/// How often a stream says that it lives, and its reader's right is judged again.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum RevocationKind {
    /// Every token of the session `id` is dead.
    Session,
    /// Tokens of the user `id` with an older generation are dead, with an older rights version stale.
    User,
    /// Tokens of another epoch are dead.
    Epoch,
    /// Nothing new: everything up to the event's id was told.
    Heartbeat,
    /// What was missed is not known any more: load the snapshot again. The stream goes on after the event's id.
    Reset,
}

/// Something that ended, or a word about the stream.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct RevocationEvent {
    /// What it is about.
    kind: RevocationKind,
    /// The session or the user.
    id: Option<String>,
    /// The lowest generation that lives.
    generation: Option<u64>,
    /// The lowest rights version that is fresh.
    rights_version: Option<u64>,
    /// The present epoch.
    epoch: Option<u64>,
    /// No token that it covers is valid from then on.
    until: Option<Time>,
    #[oai(skip)]
    position: String,
}

impl RevocationEvent {
    fn new(kind: RevocationKind, position: Position) -> Self {
        let position = position.to_string();
        Self { kind, id: None, generation: None, rights_version: None, epoch: None, until: None, position }
    }

    fn of((position, revocation): (Position, Revocation)) -> Self {
        match revocation {
            Revocation::Session { id, until } => Self {
                id: Some(id.to_string()),
                until: Some(Time(until)),
                ..Self::new(RevocationKind::Session, position)
            },
            Revocation::User { id, generation, rights_version, until } => Self {
                id: Some(id.to_string()),
                generation: Some(generation),
                rights_version: Some(rights_version),
                until: Some(Time(until)),
                ..Self::new(RevocationKind::User, position)
            },
            Revocation::Epoch(epoch) => Self { epoch: Some(epoch), ..Self::new(RevocationKind::Epoch, position) },
        }
    }
}

impl Example for RevocationEvent {
    fn example() -> Self {
        Self {
            kind: RevocationKind::Session,
            id: Some("0d4JZ1mKSzWcQ3hUj6nE9w".to_owned()),
            generation: None,
            rights_version: None,
            epoch: None,
            until: Some(Time(instant(1_900_000_000))),
            position: String::new(),
        }
    }
}

/// A session that ended.
#[derive(Debug, Object)]
pub struct RevokedSession {
    /// The session (`sid`).
    id: String,
    /// No token of it is valid from then on.
    until: Time,
}

/// A user with tokens that count no more.
#[derive(Debug, Object)]
pub struct RevokedUser {
    /// The user (`sub`).
    id: String,
    /// The lowest generation (`gen`) that lives.
    generation: u64,
    /// The lowest rights version (`rev`) that is fresh.
    rights_version: u64,
    /// No token that it covers is valid from then on.
    until: Time,
}

/// A page of what has ended. Merge pages and events by the greatest number of each.
#[derive(Debug, Object)]
pub struct RevocationPage {
    /// The present epoch: tokens of another one are dead.
    epoch: u64,
    /// Sessions that ended, in no order.
    sessions: Vec<RevokedSession>,
    /// Users whose older tokens are dead or stale, in no order.
    users: Vec<RevokedUser>,
    /// Where the stream goes on without a gap; the same on every page.
    position: String,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    next: Option<String>,
}

type Events = Pin<Box<dyn Stream<Item = RevocationEvent> + Send>>;

/// A stream of events.
#[derive(ApiResponse)]
pub enum StreamReply {
    /// Server-sent events, each with its position as `id`.
    #[oai(status = 200)]
    Ok(
        EventStream<Events>,
        /// Never kept.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

/// Operations about what has ended.
pub struct RevocationsApi;

#[OpenApi(tag = "Group::Machine")]
impl RevocationsApi {
    /// List what has ended
    ///
    /// For staff, and whoever has the permission `signet.view_revocations`. Follow the stream from the `position`.
    #[oai(path = "/v1/revocations", method = "get", operation_id = "list_revocations")]
    async fn list_revocations(
        &self,
        visit: Data<&Visit>,
        _reader: RevocationReader,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<RevocationPage>, Problem> {
        let revocations = visit.app().revocations();
        let parse = |text: &str| {
            let (shard, position) = text.split_once('-')?;
            Some((shard.parse::<u8>().ok()?, position.parse::<Position>().ok()?))
        };
        // The position is taken before the first page is read: what is learned later is in the stream.
        let (shard, position) = match cursor.as_deref().map(parse) {
            None => (0, revocations.feed().position()),
            Some(Some(at)) => at,
            Some(None) => {
                let detail = "The parameter `cursor` has to be the `next` of the page before.";
                return Err(Problem::with_detail(Code::InvalidParameter, detail));
            }
        };
        let epoch = revocations.epoch();
        let (found, next) = revocations.page(shard);
        let (mut sessions, mut users) = (Vec::new(), Vec::new());
        for revocation in found {
            match revocation {
                Revocation::Session { id, until } => {
                    sessions.push(RevokedSession { id: id.to_string(), until: Time(until) });
                }
                Revocation::User { id, generation, rights_version, until } => {
                    users.push(RevokedUser { id: id.to_string(), generation, rights_version, until: Time(until) });
                }
                Revocation::Epoch(_) => {}
            }
        }
        let next = next.map(|shard| format!("{shard}-{position}"));
        Ok(Json(RevocationPage { epoch, sessions, users, position: position.to_string(), next }))
    }

    /// Follow what ends
    ///
    /// Server-sent events, and a heartbeat every five seconds. Goes on after `Last-Event-ID` or `position`. A
    /// `reset` asks to load the snapshot again. Ends with the reader's session or right.
    #[oai(path = "/v1/revocations/stream", method = "get", operation_id = "stream_revocations")]
    async fn stream_revocations(
        &self,
        visit: Data<&Visit>,
        reader: RevocationReader,
        /// The id of the last event that was received.
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
        /// The same, or the `position` of a snapshot, for clients that cannot set the header.
        position: Query<Option<String>>,
        /// Ends the stream after so many seconds; without it the stream goes on.
        seconds: Query<Option<u32>>,
    ) -> Result<StreamReply, Problem> {
        let app = visit.app().clone();
        // What is no position at all is one that is not known.
        let from = last.0.or(position.0).map(|text| text.parse().unwrap_or_default());
        let full = || Error::Unavailable("too many streams are open, or the server is stopping".to_owned());
        let follower = app.revocations().feed().follow(from).ok_or_else(full)?;
        let until = seconds.0.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
        let heartbeat = tokio::time::interval(HEARTBEAT);
        let following = Following { app, reader, follower, heartbeat, until, waiting: VecDeque::new() };
        let events = stream::unfold(following, Following::next).boxed();
        let spoken = |event: RevocationEvent| sse::Event::message(event.to_json_string()).id(event.position);
        Ok(StreamReply::Ok(EventStream::new(events).to_event(spoken), "no-store".to_owned()))
    }
}

/// An open stream.
struct Following {
    app: App,
    reader: RevocationReader,
    follower: Follower,
    heartbeat: Interval,
    until: Option<Instant>,
    waiting: VecDeque<RevocationEvent>,
}

impl Following {
    /// The next event; `None` ends the stream.
    async fn next(mut self) -> Option<(RevocationEvent, Self)> {
        loop {
            if !self.reader.is_untouched() {
                self.reader.look_again().await.ok()?;
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            let until = self.until;
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                news = self.follower.next(self.app.revocations().feed()) => match news {
                    News::Learned(learned) => self.waiting.extend(learned.into_iter().map(RevocationEvent::of)),
                    News::Lost(at) => self.waiting.push_back(RevocationEvent::new(RevocationKind::Reset, at)),
                    News::Over => return None,
                },
                _ = self.heartbeat.tick() => {
                    self.reader.look_again().await.ok()?;
                    let at = self.follower.position();
                    self.waiting.push_back(RevocationEvent::new(RevocationKind::Heartbeat, at));
                }
                () = over => return None,
            }
        }
    }
}
