//! The audit log's nouns: what was done, by whom, to what, from where, when, and with what result.
//!
//! Pure. One event for one action; the rooms that act make it and put it into the same commit, so that an action
//! and its event are durable together. Nothing secret is in an event: names of members and rights, never a value
//! that somebody typed, but the name of a log-in that failed.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::claims::{EventId, GroupId, SessionId, UserId};

/// The longest name of a failed log-in that is kept, in characters.
const ATTEMPT_MAX: usize = 150;

/// Where a request comes from.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// The network address.
    pub address: String,
    /// The client's description of itself.
    pub agent: String,
}

impl Client {
    /// The description as it is kept: at most 200 characters, none of them a control character.
    #[must_use]
    pub fn short_agent(&self) -> String {
        self.agent.chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $action:ident $name:literal;)*) => {
        /// What was done. The list is closed: a new action is a line in the list of changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Action {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $action,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$action,)*];

            /// The name that programs know it by.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$action => $name,)* }
            }

            /// The action of a name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|action| action.name() == name)
            }
        }
    };
}

actions! {
    /// Somebody made an account.
    Register "register";
    /// Somebody logged in, or tried to.
    LogIn "login";
    /// Somebody logged out.
    LogOut "logout";
    /// Somebody flushed the session.
    Flush "flush";
    /// One session of a user was ended.
    EndSession "end_session";
    /// All sessions of a user were ended.
    EndSessions "end_sessions";
    /// Somebody made an API token.
    CreateToken "create_token";
    /// One API token of a user was ended.
    EndToken "end_token";
    /// All API tokens of a user were ended.
    EndTokens "end_tokens";
    /// Every session of everybody was ended.
    EndEverything "end_everything";
    /// Somebody changed the own password, or tried to.
    ChangePassword "change_password";
    /// Somebody set a new password by a mail, or tried to.
    ResetPassword "reset_password";
    /// Somebody proved an address by a mail, or tried to.
    VerifyEmail "verify_email";
    /// Somebody changed the own profile.
    ChangeProfile "change_profile";
    /// A user was made.
    CreateUser "create_user";
    /// A user was changed.
    ChangeUser "change_user";
    /// A user was deleted.
    DeleteUser "delete_user";
    /// Accounts, groups and permissions were taken over from elsewhere.
    Import "import";
    /// What could be saved of a damaged store was put into a new one.
    Repair "repair";
    /// A group was made.
    CreateGroup "create_group";
    /// A group was changed.
    ChangeGroup "change_group";
    /// A group was deleted.
    DeleteGroup "delete_group";
    /// A permission was added to the catalogue.
    CreatePermission "create_permission";
    /// A permission's description was changed.
    ChangePermission "change_permission";
    /// A permission was taken out of the catalogue.
    DeletePermission "delete_permission";
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

/// Somebody who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user.
    pub id: UserId,
    /// The user's name at that moment.
    pub name: String,
    /// The session in whose name it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

/// What an action is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `user`, `group`, `permission`, `session` or `token`.
    pub kind: String,
    /// Its identifier, or its name when it has no other; empty when there is none.
    pub id: String,
    /// Its name at that moment, when it has one.
    pub name: String,
}

impl Target {
    /// A user.
    #[must_use]
    pub fn user(id: UserId, name: &str) -> Self {
        Self { kind: "user".to_owned(), id: id.to_string(), name: name.to_owned() }
    }

    /// Somebody who may not exist: the name of a log-in that failed.
    #[must_use]
    pub fn attempted(name: &str) -> Self {
        Self { kind: "user".to_owned(), id: String::new(), name: name.chars().take(ATTEMPT_MAX).collect() }
    }

    /// A group.
    #[must_use]
    pub fn group(id: GroupId, name: &str) -> Self {
        Self { kind: "group".to_owned(), id: id.to_string(), name: name.to_owned() }
    }

    /// A permission.
    #[must_use]
    pub fn permission(name: &str) -> Self {
        Self { kind: "permission".to_owned(), id: name.to_owned(), name: name.to_owned() }
    }

    /// A session.
    #[must_use]
    pub fn session(id: SessionId) -> Self {
        Self { kind: "session".to_owned(), id: id.to_string(), name: String::new() }
    }

    /// An API token.
    #[must_use]
    pub fn token(id: SessionId, name: &str) -> Self {
        Self { kind: "token".to_owned(), id: id.to_string(), name: name.to_owned() }
    }
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Names the event.
    pub id: EventId,
    /// When it was.
    pub at: DateTime<Utc>,
    /// What was done.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Who did it; `None` for nobody in particular.
    pub actor: Option<Actor>,
    /// What it was done to.
    pub target: Option<Target>,
    /// The network address that it came from; empty for the server's own command line.
    pub address: String,
    /// The client's own description of itself; at most 200 characters.
    pub agent: String,
    /// What was changed: names of members, and rights with a sign in front; or which session or API token of the user.
    pub details: Vec<String>,
}

impl Event {
    /// An action that is done by nobody in particular.
    #[must_use]
    pub fn new(at: DateTime<Utc>, action: Action, client: &Client) -> Self {
        Self {
            id: EventId::random(),
            at,
            action,
            outcome: Outcome::Done,
            actor: None,
            target: None,
            address: client.address.clone(),
            agent: client.short_agent(),
            details: Vec::new(),
        }
    }

    /// The same, done by somebody.
    #[must_use]
    pub fn by(mut self, id: UserId, name: &str, session: Option<SessionId>) -> Self {
        self.actor = Some(Actor { id, name: name.to_owned(), session });
        self
    }

    /// The same, done to something.
    #[must_use]
    pub fn to(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The same, refused.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.outcome = Outcome::Refused;
        self
    }

    /// The same, with what was changed.
    #[must_use]
    pub fn with(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }
}

/// Where events go beside the store.
pub type Sink = Arc<dyn Fn(&Event) + Send + Sync>;

/// What becomes of events.
#[derive(Clone)]
pub struct Log {
    /// How long the store keeps them.
    pub keep: TimeDelta,
    /// Told of each event once it is durable.
    pub sink: Option<Sink>,
}

impl Default for Log {
    /// The store keeps them for 90 days.
    fn default() -> Self {
        Self { keep: TimeDelta::days(90), sink: None }
    }
}

/// Which events are wanted; `None` for any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this action.
    pub action: Option<Action>,
    /// That ended so.
    pub outcome: Option<Outcome>,
    /// By or to the user of this identifier or exact name.
    pub user: Option<String>,
    /// From this address.
    pub address: Option<String>,
    /// At this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Before this instant.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    /// Whether the event is wanted.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let about = |user: &String| {
            let actor = event.actor.as_ref().is_some_and(|actor| actor.name == *user || actor.id.to_string() == *user);
            let target = event.target.as_ref().filter(|target| target.kind == "user");
            actor || target.is_some_and(|target| target.name == *user || target.id == *user)
        };
        self.action.is_none_or(|action| action == event.action)
            && self.outcome.is_none_or(|outcome| outcome == event.outcome)
            && self.address.as_ref().is_none_or(|address| *address == event.address)
            && self.since.is_none_or(|since| since <= event.at)
            && self.until.is_none_or(|until| event.at < until)
            && self.user.as_ref().is_none_or(about)
    }
}
