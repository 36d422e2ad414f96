//! The audit log, for staff to read.

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::api::Group;
use crate::api::caller::StaffRequired;
use crate::api::json::Time;
use crate::api::list::{self, slice};
use crate::api::problem::{Code, Problem};
use crate::api::visit::Visit;
use crate::app::unavailable;
use crate::audit::{self, Action, Filter, Outcome};
use crate::claims::instant;

/// Somebody who acted.
#[derive(Debug, Clone, Object)]
pub struct Actor {
    /// The user.
    id: String,
    /// The user's name at that moment.
    name: String,
    /// The session in whose name it was done; null when there was none.
    #[oai(nullable)]
    session: Option<String>,
}

/// What something was done to.
#[derive(Debug, Clone, Object)]
pub struct Target {
    /// `user`, `group`, `permission`, `session` or `token`.
    kind: String,
    /// Its identifier; empty when it has none, such as a name that nobody has.
    id: String,
    /// Its name at that moment; empty when it has none.
    name: String,
}

/// Something that was done, or refused.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct Event {
    /// Names the event.
    id: String,
    /// When it was.
    at: Time,
    /// What was done, such as `login` or `change_user`.
    action: String,
    /// `done` or `refused`.
    outcome: String,
    /// Who did it; null for nobody in particular.
    #[oai(nullable)]
    actor: Option<Actor>,
    /// What it was done to; null for nothing else than the actor.
    #[oai(nullable)]
    target: Option<Target>,
    /// The network address that it came from.
    address: String,
    /// The client's own description of itself.
    agent: String,
    /// What was changed: names of members, and groups and permissions with a sign in front. Where staff has ended one
    /// session or API token of the user: which.
    details: Vec<String>,
}

const fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Refused => "refused",
    }
}

impl Event {
    fn of(event: audit::Event) -> Self {
        let actor = |actor: audit::Actor| Actor {
            id: actor.id.to_string(),
            name: actor.name,
            session: actor.session.map(|session| session.to_string()),
        };
        Self {
            id: event.id.to_string(),
            at: Time(event.at),
            action: event.action.name().to_owned(),
            outcome: name(event.outcome).to_owned(),
            actor: event.actor.map(actor),
            target: event.target.map(|audit::Target { kind, id, name }| Target { kind, id, name }),
            address: event.address,
            agent: event.agent,
            details: event.details,
        }
    }
}

impl Example for Event {
    fn example() -> Self {
        Self {
            id: "Zk1mW0cQ3hUj6nE9w0d4JQ".to_owned(),
            at: Time(instant(1_900_000_000)),
            action: Action::ChangeUser.name().to_owned(),
            outcome: name(Outcome::Done).to_owned(),
            actor: Some(Actor {
                id: "q3bXcK0aTn2vSgYkPzq1bA".to_owned(),
                name: "alice".to_owned(),
                session: Some("0d4JZ1mKSzWcQ3hUj6nE9w".to_owned()),
            }),
            target: Some(Target {
                kind: "user".to_owned(),
                id: "u3bXcK0aTn2vSgYkPzq1bA".to_owned(),
                name: "bob".to_owned(),
            }),
            address: "192.0.2.7".to_owned(),
            agent: "curl/8.5.0".to_owned(),
            details: vec!["+editors".to_owned(), "is_staff=true".to_owned()],
        }
    }
}

/// A page of events.
#[derive(Object)]
pub struct EventList {
    /// The newest first.
    items: Vec<Event>,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    next: Option<String>,
}

fn wrong(parameter: &str, how: &str) -> Problem {
    Problem::with_detail(Code::InvalidParameter, format!("The parameter `{parameter}` {how}."))
}

fn time(parameter: &str, text: Option<&str>) -> Result<Option<DateTime<Utc>>, Problem> {
    let parse = |text| DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    text.map(parse).transpose().map_err(|_| wrong(parameter, "has to be a time such as 2030-01-31T12:00:00Z"))
}

/// Audit operations.
pub struct AuditApi;

#[OpenApi(tag = "Group::Audit")]
impl AuditApi {
    /// List what was done
    ///
    /// Log-ins and log-outs, ended sessions, changes of passwords, rights and accounts, and what was refused. A page
    /// of a narrow search may be empty and still have a next one.
    #[oai(path = "/v1/audit", method = "get", operation_id = "list_audit")]
    #[expect(clippy::too_many_arguments, reason = "each parameter of the query is one")]
    async fn list_audit(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// Only this action, such as `login`.
        action: Query<Option<String>>,
        /// Only what was `done`, or `refused`.
        outcome: Query<Option<String>>,
        /// Only what was done by or to the user of this id or name.
        user: Query<Option<String>>,
        /// Only what came from this address.
        address: Query<Option<String>>,
        /// Only from this time on.
        since: Query<Option<String>>,
        /// Only before this time.
        until: Query<Option<String>>,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Events on a page: 1 to 200; 50 when it is left out.
        limit: Query<Option<u32>>,
    ) -> Result<Json<EventList>, Problem> {
        let action = match action.as_deref().map(Action::parse) {
            Some(None) => {
                let known: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
                return Err(wrong("action", &format!("has to be one of {}", known.join(", "))));
            }
            known => known.flatten(),
        };
        let outcome = match outcome.as_deref() {
            None => None,
            Some("done") => Some(Outcome::Done),
            Some("refused") => Some(Outcome::Refused),
            Some(_) => return Err(wrong("outcome", "has to be done or refused")),
        };
        let filter = Filter {
            action,
            outcome,
            user: user.0,
            address: address.0,
            since: time("since", since.as_deref())?,
            until: time("until", until.as_deref())?,
        };
        let slice = slice(None, cursor.as_deref(), limit.0)?;
        let page = visit.app().store().events(filter, slice).await.map_err(unavailable)?;
        let items = page.items.into_iter().map(Event::of).collect();
        Ok(Json(EventList { items, next: list::cursor(page.next) }))
    }
}
