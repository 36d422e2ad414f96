//! How a session is ended for good: one by one, or, of a user who has ended very many, all of them at once.
//!
//! Owns that choice; every way out of a session comes here. A user who logs in and out without end would otherwise
//! fill the list of what has ended. A new generation covers all that was listed of the user, and takes its place.

use chrono::{DateTime, Utc};

use super::Session;
use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Event, Target};
use crate::claims::{Claims, SessionId, UserId, instant};
use crate::error::Error;
use crate::revocation::endings::Kind;
use crate::store::{Revocation, Witness, Write};

/// How often a new generation is tried while others change the user.
const TRIES: usize = 8;

/// A session that is to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) user: Option<UserId>,
    pub(super) id: SessionId,
    pub(super) until: DateTime<Utc>,
}

impl Ending {
    /// The end of the session of the claims.
    pub(super) fn of(claims: &Claims) -> Self {
        Self { user: claims.sub, id: claims.sid, until: instant(claims.end) }
    }

    /// The writes that end this session alone.
    fn alone(&self) -> Vec<Write> {
        let mut writes = vec![Write::Revoke(Revocation::Session { id: self.id, until: self.until })];
        writes.extend(self.user.map(|user| Write::CloseSession { user, id: self.id }));
        writes
    }
}

/// Ends the session, and records the event: with all others of its user, API tokens too, when as many of them were
/// ended one by one as may be. In somebody else's name it is done at the state that the witness tells of.
///
/// # Errors
/// `Unavailable` when this could not be made durable; `NotAuthenticated` or `Outdated` when the witness is none any more.
/// The session lives on then.
pub(super) async fn conclude(
    app: &App,
    ending: Ending,
    witness: Option<Witness>,
    event: Option<Event>,
) -> Result<(), Error> {
    if all(app, ending, witness, event.as_ref()).await?.is_some() {
        return Ok(());
    }
    let mut writes: Vec<Write> = witness.map(Write::InNameOf).into_iter().collect();
    writes.extend(ending.alone());
    writes.extend(event.map(|event| Write::Record(Box::new(event))));
    app.commit(writes).await
}

/// The writes that end the session that a client had, for the commit of the one that follows it; and the generations
/// of its user before and after, when all of the user's sessions had to be ended instead: they have ended already.
///
/// # Errors
/// `Unavailable` when this could not be made durable.
pub(super) async fn precede(app: &App, before: &Session) -> Result<(Vec<Write>, Option<Raised>), Error> {
    let Some(ending) = before.claims().map(Ending::of) else { return Ok((Vec::new(), None)) };
    match all(app, ending, None, None).await? {
        Some(raised) => Ok((Vec::new(), Some(raised))),
        None => Ok((ending.alone(), None)),
    }
}

/// A user who went from one generation to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raised {
    pub(super) user: UserId,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Ends all of the user's sessions, if as many were ended one by one as may be; `None` when the one is to be ended
/// alone.
async fn all(
    app: &App,
    ending: Ending,
    witness: Option<Witness>,
    cause: Option<&Event>,
) -> Result<Option<Raised>, Error> {
    let endings = app.revocations().endings();
    let Some(id) = ending.user else { return Ok(None) };
    for _ in 0..TRIES {
        if !endings.are_full(id, Kind::Session, app.now()) {
            return Ok(None);
        }
        let Some(mut user) = app.store().user(id).await.map_err(unavailable)? else { return Ok(None) };
        let (was, from) = (user.version, user.generation);
        user.generation += 1;
        let event = Event::new(app.now(), Action::EndSessions, &Client::default());
        // By its own user, unless it is known to be another one who ends it.
        let event = match cause.and_then(|cause| cause.actor.as_ref()).filter(|actor| actor.id != id) {
            Some(actor) => event.by(actor.id, &actor.name, actor.session).to(Target::user(id, user.username.as_str())),
            None => event.by(id, user.username.as_str(), Some(ending.id)),
        };
        let mut writes: Vec<Write> = witness.map(Write::InNameOf).into_iter().collect();
        writes.extend(app.marks(&user));
        let to = user.generation;
        writes.push(Write::ChangeUser { user: Box::new(user), was });
        writes.push(Write::CloseSessions { user: id, keep: None });
        writes.extend(cause.cloned().into_iter().chain([event]).map(|event| Write::Record(Box::new(event))));
        match app.commit(writes).await {
            Ok(()) => return Ok(Some(Raised { user: id, from, to })),
            Err(Error::Changed) => {}
            Err(error) => return Err(error),
        }
    }
    // Others were faster every time. One more on the list is better than a session that lives on.
    Ok(None)
}
