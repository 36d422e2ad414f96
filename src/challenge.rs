//! Challenges: what a user is asked by mail, and what such a mail says.
//!
//! Owns who is asked, the words (`challenge/letter.rs`), and that only the newest mail of its kind counts.
//! `recovery.rs` owns what an answer does. Everything here that depends on whether an address is known happens in an
//! errand beside the request: what its caller sees, and when, is the same for every address (OWASP ASVS 6.3.8).

use crate::app::{App, unavailable};
use crate::claims::{ChallengeKind, TokenId, UserId};
use crate::error::Error;
use crate::keys::digest;
use crate::store::{Challenge, Write};
use crate::throttle::Subject;
use crate::user::{self, User};

mod letter;

/// Users at one address who are looked at.
const LOOK_MAX: usize = 100;

/// Users at one address who are sent a mail for one wish: it shall not be a means to fill somebody's mailbox.
const MAILS_MAX: usize = 5;

/// Has everybody asked who may want a new password for an account at this address: active users with a usable
/// password whose stored address is the same without regard to case and width. The mail goes to the stored address.
///
/// # Errors
/// A fault of `email` when it is not an address. Nothing else is told.
pub fn ask_reset(app: &App, address: &str) -> Result<(), Error> {
    let address = user::email(address).map_err(|fault| Error::Invalid(vec![fault]))?;
    if address.is_empty() {
        return Err(Error::invalid("email", "email", "name the address of the account"));
    }
    let key = user::address_key(&address);
    // Told to nobody: whether a mail is sent is nobody's business but the mailbox's.
    if app.admit(&[Subject::ResetOf(&key)]).is_err() {
        tracing::info!("no mail: this mailbox was asked for too often");
        return Ok(());
    }
    errand(app, move |app| async move { ask_reset_at(&app, &key).await });
    Ok(())
}

async fn ask_reset_at(app: &App, key: &str) -> Result<(), Error> {
    let users = app.store().users_at(key, LOOK_MAX).await.map_err(unavailable)?;
    let wanted = users.iter().filter(|user| user.is_active && user.has_usable_password());
    for user in wanted.take(MAILS_MAX) {
        ask(app, user, ChallengeKind::Reset).await?;
    }
    Ok(())
}

/// Has the user asked whether the present address is theirs, unless there is none or they have shown it already.
pub(crate) fn ask_verification(app: &App, id: UserId) {
    errand(app, move |app| async move {
        let user = app.store().user(id).await.map_err(unavailable)?;
        match user.filter(|user| user.is_active && !user.email.is_empty() && !user.email_verified) {
            Some(user) => ask(&app, &user, ChallengeKind::Verification).await,
            None => Ok(()),
        }
    });
}

/// Runs what is to be done beside the request. A failure is for the log: it would tell the caller too much.
fn errand<F>(app: &App, work: impl FnOnce(App) -> F)
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let Some(post) = app.post() else {
        tracing::warn!("a mail was asked for, and there is no way to send one");
        return;
    };
    let work = work(app.clone());
    let placed = post.run(async move {
        if let Err(why) = work.await {
            tracing::error!(%why, "a mail that was asked for was not written");
        }
    });
    if !placed {
        tracing::warn!("a mail that was asked for was dropped: too many are on their way");
    }
}

/// Writes down the challenge, which ends the one before, and sends its token to the user's address.
async fn ask(app: &App, user: &User, kind: ChallengeKind) -> Result<(), Error> {
    let Some(post) = app.post() else { return Ok(()) };
    let (now, secret) = (app.now(), TokenId::random());
    let challenge = Challenge { digest: digest(secret.bytes()), address: user.email.clone(), asked: now };
    match app.commit(vec![Write::Challenge { user: user.id, kind, challenge }]).await {
        // The address was changed or the account disabled a moment ago: there is nobody to ask.
        Err(Error::Changed) => return Ok(()),
        done => done?,
    }
    let token = app.tokens().mint_challenge(kind, user.id, secret, now)?;
    post.deliver(&letter::write(post.links(), user, kind, &token, now)).await;
    Ok(())
}
