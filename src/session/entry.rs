//! The begin and the end of a session: log in, log out, devices.
//!
//! Unlike the rest of a session's life, all of this is durable before it is answered.

use super::Session;
use super::device::{self, Attempt};
use super::ending::{Ending, conclude, precede};
use super::issue::{begin, identify, issue};
use crate::app::{App, unavailable};
use crate::audit::{Action, Client, Event, Target};
use crate::claims::{Claims, SessionId, UserId, instant};
use crate::error::Error;
use crate::password::Password;
use crate::revocation::Standing;
use crate::store::{Alive, Member, NamedSession, OpenSession, Page, Slice, Witness, Write};
use crate::throttle::Subject;
use crate::user::{User, Username};

/// How often a log-in is made durable anew while its user is changed under it.
const TRIES: usize = 4;

/// Ends the session: every token of it, older or newer, on the very next request. Does nothing for the empty one.
///
/// # Errors
/// `Throttled` after too many anonymous sessions from the client's address; `Unavailable` when this could not be made
/// durable. The session lives on then.
pub async fn end(app: &App, session: &Session, client: &Client) -> Result<(), Error> {
    match session.claims() {
        Some(claims) => finish(app, claims, Action::Flush, client).await,
        None => Ok(()),
    }
}

/// Ends the session of a token, also when the token's own time of inactivity is over, or when the session has gone on
/// with a newer generation since: somebody else may hold a newer token. Does nothing for a token that is none, or whose
/// session has ended.
///
/// # Errors
/// As [`end`]. The session lives on then.
pub async fn log_out(app: &App, token: Option<&str>, client: &Client) -> Result<(), Error> {
    let Some(claims) = token.and_then(|text| app.tokens().read(text, app.now())) else { return Ok(()) };
    // A node that cannot tell ends it: what it does not know of yet may be open everywhere else.
    let is_dead = matches!(app.judge(&claims), Ok(Standing::Dead));
    if is_dead && !goes_on(app, &claims).await? {
        return Ok(());
    }
    finish(app, &claims, Action::LogOut, client).await
}

/// Whether the session of a dead token is open all the same: it was kept when its user's others were ended.
async fn goes_on(app: &App, claims: &Claims) -> Result<bool, Error> {
    let Some(user) = claims.sub else { return Ok(false) };
    Ok(device(app, user, claims.sid).await?.is_some())
}

/// Ends the session of the claims. That of nobody in particular leaves no event: anybody can make any number of them,
/// and the ends of them are counted by address.
async fn finish(app: &App, claims: &Claims, action: Action, client: &Client) -> Result<(), Error> {
    if claims.sub.is_none() {
        app.admit(&[Subject::EndFrom(&client.address)])?;
    }
    let event = claims.sub.zip(claims.preferred_username.as_deref());
    let event = event.map(|(id, name)| Event::new(app.now(), action, client).by(id, name, Some(claims.sid)));
    conclude(app, Ending::of(claims), None, event).await
}

/// A log-in: the user, and a new session for the client to be given. The session that the client had is ended.
///
/// The data of an anonymous session, or of the same user's, is kept; another user's is not (Django's `login`).
/// A fixated session gains nothing: the new one has a new `sid`, and the old one is dead.
/// A password hash that is not of the present kind and cost is made anew in the same commit; nothing else of the user
/// changes by that, and no session ends.
///
/// # Errors
/// `InvalidCredentials`, alike in words and work for an unknown name, a wrong password, a disabled account and
/// one without a usable password; `Throttled`, alike for all of them and before any work, after too many; `Busy` when
/// too many hashes are waiting; `CookieTooLarge` when the kept data does not fit beside the user's rights; `Unavailable`
/// when the log-in could not be made durable.
pub async fn log_in(
    app: &App,
    attempt: Attempt<'_>,
    before: &Session,
    client: &Client,
) -> Result<(User, Session), Error> {
    // Counted before the work, so that guesses made at once are bounded too. Only failures stay counted.
    let (place, known) = device::admit(app, &attempt, client).await?;
    let done = try_log_in(app, attempt, known, before, client).await;
    if matches!(done, Err(Error::InvalidCredentials)) {
        let event = Event::new(app.now(), Action::LogIn, client).to(Target::attempted(attempt.username)).refused();
        app.commit(vec![Write::Record(Box::new(event))]).await?;
    } else {
        app.give_back(place);
    }
    done
}

async fn try_log_in(
    app: &App,
    Attempt { username, password, .. }: Attempt<'_>,
    known: Option<Member>,
    before: &Session,
    client: &Client,
) -> Result<(User, Session), Error> {
    // 1. Who is meant, with rights and names of groups, read together. Names are exact: `U` is not `u`, although both
    // cannot exist.
    let found = match (known, Username::parse(username)) {
        (Some(member), _) => Some(member),
        (None, Ok(name)) => {
            let member = app.store().member_named(&name.key()).await.map_err(unavailable)?;
            member.filter(|member| member.user.username == name)
        }
        (None, Err(_)) => None,
    };
    // 2. The password, at the price of one hash on every path.
    let encoded = found.as_ref().map(|member| member.user.password.clone());
    let admitted = found.as_ref().is_some_and(|member| member.user.is_active);
    let password = Password::new(password);
    let verdict = match password.clone() {
        Some(password) => app.pool().verify(password, encoded, admitted).await?,
        None => app.pool().verify(Password::random()?, None, false).await?,
    };
    // 3. A disabled account is found out after the work, and in the same words.
    let mut member = found.filter(|_| verdict.right).ok_or(Error::InvalidCredentials)?;
    let user = member.user.clone();
    let upgrade = upgrade(app, &user, password.filter(|_| verdict.outdated)).await;
    for _ in 0..TRIES {
        // 4. The session is made durable against what was read: the hash has taken its time.
        match enter(app, member, before, (Action::LogIn, client), upgrade.clone()).await {
            Err(Error::Changed) => {}
            entered => return entered,
        }
        // 5. Rights and names of groups as they are now. The password was judged by this generation, or is the very one
        // that was judged: a log-out everywhere is no reason to refuse it.
        let now = app.store().member(user.id).await.map_err(unavailable)?;
        let is_judged = |now: &User| now.generation == user.generation || now.password == user.password;
        let now = now.filter(|now| is_judged(&now.user) && now.user.is_active);
        member = now.ok_or(Error::InvalidCredentials)?;
    }
    Err(Error::InvalidCredentials)
}

/// The write that stores the right password under a hash of the present kind. Nothing when the hash workers are busy:
/// the next log-in does it.
async fn upgrade(app: &App, user: &User, password: Option<Password>) -> Vec<Write> {
    let Some(password) = password else { return Vec::new() };
    match app.pool().hash(password).await {
        Ok(now) => vec![Write::UpgradePassword { user: user.id, was: user.password.clone(), now }],
        Err(Error::Busy) => Vec::new(),
        Err(why) => {
            tracing::warn!(%why, "a password hash was not made anew");
            Vec::new()
        }
    }
}

/// Opens a session for a user who has proved who they are by an action, and ends the one before, in one commit with
/// `others`.
///
/// # Errors
/// `Changed` when the user was changed since the member was read; otherwise as
/// [`log_in`].
pub async fn enter(
    app: &App,
    member: Member,
    before: &Session,
    (action, client): (Action, &Client),
    mut others: Vec<Write>,
) -> Result<(User, Session), Error> {
    // What was ended since the request arrived has left nothing behind.
    let kept = before.claims().filter(|old| before.is_alive(app) && old.sub.is_none_or(|id| id == member.user.id));
    let (ended, raised) = precede(app, before).await?;
    others.extend(ended);
    let member = match raised.filter(|raised| raised.user == member.user.id) {
        // The user's own generation: the password was judged by the one before it, and this is the next one.
        Some(raised) if raised.from == member.user.generation => {
            let now = app.store().member(raised.user).await.map_err(unavailable)?;
            now.filter(|now| now.user.generation == raised.to).ok_or(Error::Changed)?
        }
        Some(_) => return Err(Error::Changed),
        None => member,
    };
    let Member { mut user, groups } = member;
    let now = app.now();
    let mut claims = begin(app)?;
    identify(&mut claims, &user, groups);
    if let Some(old) = kept {
        claims.data.clone_from(&old.data);
    }
    let open = OpenSession {
        id: claims.sid,
        user: user.id,
        created: now,
        ends: instant(claims.end),
        epoch: claims.epoch,
        address: client.address.clone(),
        agent: client.short_agent(),
    };
    let session = issue(app, &Session::empty(app), claims)?;
    others.push(Write::Record(Box::new(session.event(app, action, client))));
    others.push(Write::OpenSession { session: open, was: user.version });
    app.commit(others).await?;
    user.last_login = Some(now);
    Ok((user, session))
}

/// A page of the user's open sessions, the newest first, without those that have ended. One that was left without a
/// log-out is there until its absolute end, as nothing tells when its last use was.
///
/// # Errors
/// `Unavailable` when the store failed.
pub async fn devices(app: &App, user: UserId, slice: Slice) -> Result<Page<OpenSession>, Error> {
    app.store().sessions(user, alive(app), slice).await.map_err(unavailable)
}

/// One of the user's open sessions, if it has not ended.
async fn device(app: &App, user: UserId, id: SessionId) -> Result<Option<OpenSession>, Error> {
    let open = app.store().session(user, id).await.map_err(unavailable)?;
    Ok(open.filter(|open| alive(app).has(open)))
}

/// A page of the open sessions of everybody, as [`devices`], in an order of the store's own.
///
/// # Errors
/// `Unavailable` when the store failed.
pub async fn all_devices(app: &App, slice: Slice) -> Result<Page<NamedSession>, Error> {
    app.store().open_sessions(alive(app), slice).await.map_err(unavailable)
}

fn alive(app: &App) -> Alive {
    Alive { now: app.now(), epoch: app.revocations().epoch() }
}

/// Ends one of the open sessions of the session's own user.
///
/// # Errors
/// `NotFound` when it is not one of the user's; `Unavailable` when this could not be made durable.
pub async fn end_one(app: &App, session: &Session, id: SessionId, client: &Client) -> Result<(), Error> {
    let event = session.event(app, Action::EndSession, client).to(Target::session(id));
    end_listed(app, session.id()?, id, None, event).await
}

/// Ends one of the open sessions of a user, in the name of somebody else who may.
///
/// # Errors
/// As [`end_one`]; `NotAuthenticated` or `Outdated` when the witness is none any more.
pub async fn end_one_of(app: &App, user: UserId, id: SessionId, by: Witness, event: Event) -> Result<(), Error> {
    end_listed(app, user, id, Some(by), event).await
}

async fn end_listed(
    app: &App,
    user: UserId,
    id: SessionId,
    witness: Option<Witness>,
    event: Event,
) -> Result<(), Error> {
    let session = device(app, user, id).await?.ok_or(Error::NotFound("session"))?;
    let ending = Ending { user: Some(user), id, until: session.ends };
    conclude(app, ending, witness, Some(event)).await
}
