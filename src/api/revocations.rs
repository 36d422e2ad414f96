//! What has ended, for services that verify tokens by themselves: a snapshot in pages, and a stream of what follows.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use poem::Request;
use poem::web::{Data, sse};
use poem_openapi::param::{Header, Query};
use poem_openapi::payload::{EventStream, Json};
use poem_openapi::types::{Example, ToJSON as _};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::api::Group;
use crate::api::bearer::{Demanding, OrToken};
use crate::api::caller::LoginRequired;
use crate::api::json::Time;
use crate::api::problem::{Code, Problem};
use crate::api::visit::Visit;
use crate::claims::instant;
use crate::error::Error;
use crate::revocation::feed::{Follower, News, Position};
use crate::rights::Holder;
use crate::store::Revocation;

/// The permission to read what has ended, for those who are not staff, such as the API token of a service.
pub const VIEW_REVOCATIONS: &str = "signet.view_revocations";

/// How often a stream says that it lives, and its reader's right is judged again.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The longest time that a stream can be asked to last; without a time it lasts for as long as its reader may listen.
pub(crate) const STREAM_SECONDS_MAX: u32 = 86_400;

/// Staff, or somebody with the permission to read what has ended: 401 for nobody, 403 for others.
pub struct RevocationReader;

impl Demanding for RevocationReader {
    const IS_OPTIONAL: bool = false;

    fn demand(holder: &dyn Holder) -> Result<(), Error> {
        LoginRequired::demand(holder)?;
        if holder.is_staff() || holder.has_permission(VIEW_REVOCATIONS) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the staff flag or the permission {VIEW_REVOCATIONS}")))
    }
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum RevocationKind {
    /// Every token of the session or API token `id` is dead.
    Session,
    /// Tokens of the user `id` with an older generation are dead, and with an older rights version stale.
    User,
    /// Tokens of another epoch are dead.
    Epoch,
    /// In the stream: nothing new. Everything up to the event's id was told.
    Heartbeat,
    /// In the stream: what was missed is not known any more. Load the list again; the stream goes on after the event's
    /// id.
    Reset,
}

/// Something that ended, or a word about the stream. Of two about one thing the greater numbers count.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Revocation", example, skip_serializing_if_is_none)]
pub struct Entry {
    /// What it is about: `session`, `user` or `epoch`; in the stream also `heartbeat` and `reset`.
    kind: RevocationKind,
    /// The session (`sid`), the API token (`jti`) or the user (`sub`).
    id: Option<String>,
    /// The lowest generation (`gen`) that lives.
    generation: Option<u64>,
    /// The lowest rights version (`rev`) that is fresh.
    rights_version: Option<u64>,
    /// The present epoch (`epoch`).
    epoch: Option<u64>,
    /// No token that it covers is valid from then on.
    until: Option<Time>,
    /// The place in the stream, which stands beside the data.
    #[oai(skip)]
    position: Position,
}

impl Entry {
    fn new(kind: RevocationKind) -> Self {
        let position = Position::default();
        Self { kind, id: None, generation: None, rights_version: None, epoch: None, until: None, position }
    }

    fn at(self, position: Position) -> Self {
        Self { position, ..self }
    }
}

impl From<Revocation> for Entry {
    fn from(revocation: Revocation) -> Self {
        match revocation {
            Revocation::Session { id, until } => {
                Self { id: Some(id.to_string()), until: Some(Time(until)), ..Self::new(RevocationKind::Session) }
            }
            Revocation::User { id, generation, rights_version, until } => Self {
                id: Some(id.to_string()),
                generation: Some(generation),
                rights_version: Some(rights_version),
                until: Some(Time(until)),
                ..Self::new(RevocationKind::User)
            },
            Revocation::Epoch(epoch) => Self { epoch: Some(epoch), ..Self::new(RevocationKind::Epoch) },
        }
    }
}

impl Example for Entry {
    fn example() -> Self {
        Self {
            id: Some("0d4JZ1mKSzWcQ3hUj6nE9w".to_owned()),
            until: Some(Time(instant(1_780_000_000))),
            ..Self::new(RevocationKind::Session)
        }
    }
}

/// A page of what has ended.
#[derive(Debug, Object)]
pub struct RevocationList {
    /// What has ended, in no order. The present epoch is on the first page.
    items: Vec<Entry>,
    /// Where the stream goes on without a gap; the same on every page.
    position: String,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    next: Option<String>,
}

type Events = Pin<Box<dyn Stream<Item = Entry> + Send>>;

/// A stream of events.
#[derive(ApiResponse)]
pub enum StreamReply {
    /// Server-sent events, each with its position as `id` and an entry of the list as `data`.
    #[oai(status = 200)]
    Ok(EventStream<Events>),
}

/// Operations about what has ended.
pub struct RevocationsApi;

#[OpenApi(tag = "Group::Machine")]
impl RevocationsApi {
    /// List what has ended
    ///
    /// For services that verify tokens by themselves: a token is dead when its session, its user's generation or its
    /// epoch is here. In pages: `next` is the `cursor` of the page that follows. For staff, and for whoever has the
    /// permission `signet.view_revocations`, also by an API token.
    #[oai(path = "/v1/revocations", method = "get", operation_id = "list_revocations")]
    async fn list_revocations(
        &self,
        visit: Data<&Visit>,
        _reader: OrToken<RevocationReader>,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<RevocationList>, Problem> {
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
        let epoch = (shard == 0).then(|| Revocation::Epoch(revocations.epoch()));
        let (found, next) = revocations.page(shard);
        let items = epoch.into_iter().chain(found).map(Entry::from).collect();
        let next = next.map(|shard| format!("{shard}-{position}"));
        Ok(Json(RevocationList { items, position: position.to_string(), next }))
    }

    /// Follow what ends
    ///
    /// Server-sent events: what ends from now on, or after `Last-Event-ID` or `position`, each event when it acts here.
    /// A heartbeat comes every five seconds: whoever hears nothing for longer cannot know what ended. A `reset` asks to
    /// load the list again. The stream ends with the reader's session, API token or right.
    #[oai(path = "/v1/revocations/stream", method = "get", operation_id = "stream_revocations")]
    async fn stream_revocations(
        &self,
        visit: Data<&Visit>,
        _reader: OrToken<RevocationReader>,
        request: &Request,
        /// The id of the last event that was received.
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
        /// The same, or the `position` of a list, for clients that cannot set the header.
        position: Query<Option<String>>,
        /// Ends the stream after so many seconds, 0 when it has told what is there; without it the stream goes on.
        seconds: Query<Option<u32>>,
    ) -> Result<StreamReply, Problem> {
        if seconds.is_some_and(|seconds| seconds > STREAM_SECONDS_MAX) {
            let detail = format!("The parameter `seconds` has to be from 0 to {STREAM_SECONDS_MAX}.");
            return Err(Problem::with_detail(Code::InvalidParameter, detail));
        }
        // What is no position at all is one that is not known.
        let from = last.0.or(position.0).map(|text| text.parse().unwrap_or_default());
        let full = || Error::Unavailable("too many streams are open, or the server is stopping".to_owned());
        let follower = visit.app().revocations().feed().follow(from).ok_or_else(full)?;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let following = Following {
            reader: Reader::of(&visit, request),
            follower,
            heartbeat,
            until: seconds.0.map(|seconds| Instant::now() + Duration::from_secs(seconds.into())),
            waiting: VecDeque::new(),
        };
        let events = stream::unfold(following, Following::next).boxed();
        let spoken = |entry: Entry| sse::Event::message(entry.to_json_string()).id(entry.position.to_string());
        Ok(StreamReply::Ok(EventStream::new(events).to_event(spoken)))
    }
}

/// Who reads a stream, to be asked again.
struct Reader {
    visit: Visit,
    /// What the request came with.
    request: Request,
}

impl Reader {
    fn of(visit: &Visit, request: &Request) -> Self {
        let mut kept = Request::default();
        *kept.headers_mut() = request.headers().clone();
        Self { visit: visit.clone(), request: kept }
    }

    async fn look_again(&self) -> Result<(), Error> {
        self.visit.afresh().admit_holder(&self.request, RevocationReader::demand).await
    }
}

/// An open stream.
struct Following {
    reader: Reader,
    follower: Follower,
    heartbeat: Interval,
    until: Option<Instant>,
    waiting: VecDeque<Entry>,
}

impl Following {
    /// The next event; `None` ends the stream.
    async fn next(mut self) -> Option<(Entry, Self)> {
        loop {
            // Nothing is told to somebody who may not hear it any more, the own end included.
            self.reader.look_again().await.ok()?;
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
                biased;
                // Before a heartbeat, which says that everything up to its position was told.
                news = self.follower.next(self.reader.visit.app().revocations().feed()) => match news {
                    News::Learned(learned) => {
                        self.waiting.extend(learned.into_iter().map(|(at, revocation)| Entry::from(revocation).at(at)));
                    }
                    News::Lost(at) => self.waiting.push_back(Entry::new(RevocationKind::Reset).at(at)),
                    News::Over => return None,
                },
                _ = self.heartbeat.tick() => {
                    self.waiting.push_back(Entry::new(RevocationKind::Heartbeat).at(self.follower.position()));
                }
                // Last, so that no time at all is enough for what is there.
                () = over => return None,
            }
        }
    }
}
