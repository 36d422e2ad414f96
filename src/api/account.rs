//! Registering, logging in and out, one's own profile and password.

use poem::Request;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::account::{self, Profile, Registration};
use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{AnyCaller, LoginRequired, SentToken, client};
use crate::api::cookie;
use crate::api::problem::{Problem, ProblemError};
use crate::api::shown::{LoggedIn, Session, User};
use crate::api::visit::Visit;
use crate::claims::UserId;
use crate::error::Error;
use crate::password::policy::About;
use crate::session::{self, Attempt};
use crate::throttle::Subject;

/// What somebody who registers says.
#[derive(Object)]
#[oai(example)]
pub struct NewAccount {
    /// The wished name: 1 to 150 letters, digits and `@ . + - _`.
    username: String,
    /// At least 8 characters.
    password: String,
    /// An address.
    email: Option<String>,
}

impl Example for NewAccount {
    fn example() -> Self {
        Self {
            username: "alice".to_owned(),
            password: "a short sentence".to_owned(),
            email: Some("alice@example.com".to_owned()),
        }
    }
}

/// A name and a password.
#[derive(Object)]
#[oai(example)]
pub struct Credentials {
    /// The name.
    username: String,
    /// The password.
    password: String,
}

impl Example for Credentials {
    fn example() -> Self {
        Self { username: "alice".to_owned(), password: "a short sentence".to_owned() }
    }
}

/// A change of the own profile. What is left out stays as it is.
#[derive(Object)]
#[oai(example)]
pub struct ProfilePatch {
    /// Given name.
    first_name: Option<String>,
    /// Family name.
    last_name: Option<String>,
    /// Address; empty for none.
    email: Option<String>,
    /// The present password; needed when the address is another one.
    old_password: Option<String>,
}

impl Example for ProfilePatch {
    fn example() -> Self {
        let name = |text: &str| Some(text.to_owned());
        Self { first_name: name("Alice"), last_name: name("Archer"), email: None, old_password: None }
    }
}

/// A change of the own password.
#[derive(Object)]
#[oai(example)]
pub struct PasswordChange {
    /// The present password.
    old_password: String,
    /// The new one, of at least 8 characters.
    new_password: String,
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self { old_password: "a short sentence".to_owned(), new_password: "another short sentence".to_owned() }
    }
}

/// A password to be judged before it is set, and what is known about its owner.
#[derive(Object)]
#[oai(example)]
pub struct PasswordQuestion {
    /// The password.
    password: String,
    /// The name that a log-in takes.
    username: Option<String>,
    /// Given name.
    first_name: Option<String>,
    /// Family name.
    last_name: Option<String>,
    /// Address.
    email: Option<String>,
}

impl Example for PasswordQuestion {
    fn example() -> Self {
        Self {
            password: "alice2026".to_owned(),
            username: Some("alice".to_owned()),
            first_name: None,
            last_name: None,
            email: Some("alice@example.com".to_owned()),
        }
    }
}

/// What the rules say about a password.
#[derive(Object)]
pub struct PasswordVerdict {
    /// Whether it would be accepted.
    acceptable: bool,
    /// Each rule that it breaks.
    faults: Vec<ProblemError>,
    /// How hard it is to guess, from 0 (at once) to 4 (very hard).
    score: u8,
}

/// The account is made.
#[derive(ApiResponse)]
pub enum Registered {
    /// The account, and its first session.
    #[oai(status = 201)]
    Created(Json<LoggedIn>),
}

/// The session is over.
#[derive(ApiResponse)]
pub enum LoggedOut {
    /// Nobody is logged in any more, and the cookie is gone.
    #[oai(status = 204)]
    Gone,
}

/// The device's token that a request carries. Two of them leave no telling which is ours: none is.
fn sent_device(request: &Request) -> Option<&str> {
    cookie::find(request.headers(), cookie::DEVICE).unwrap_or_default()
}

/// Lets the device be known to the user's next log-in.
fn remember(visit: &Visit, request: &Request, user: UserId) -> Result<(), Error> {
    if let Some(token) = session::remember(visit.app(), sent_device(request), user)? {
        visit.set_cookie(cookie::set_device(&token, visit.app().now())?);
    }
    Ok(())
}

/// Account operations.
pub struct AccountApi;

#[OpenApi(tag = "Group::Account")]
impl AccountApi {
    /// Register
    ///
    /// Makes an account without rights and logs in to it. The data of an anonymous session is kept.
    #[oai(path = "/v1/register", method = "post", operation_id = "register_account")]
    async fn register_account(
        &self,
        visit: Data<&Visit>,
        before: AnyCaller,
        request: &Request,
        Body(new): Body<NewAccount>,
    ) -> Result<Registered, Problem> {
        let registration = Registration {
            username: &new.username,
            password: &new.password,
            email: new.email.as_deref().unwrap_or_default(),
        };
        let (user, session) = account::register(visit.app(), registration, &before, &client(request)).await?;
        remember(&visit, request, user.id)?;
        visit.keep(session.clone());
        Ok(Registered::Created(Json(LoggedIn::of(visit.app(), &user, &session))))
    }

    /// Log in
    ///
    /// Opens a new session and sets its cookie; the session of the request is ended. The data of an anonymous
    /// session, or of the same user's, is kept. Every failure of name, password or account looks alike.
    ///
    /// After too many failures the answer is 429 for a while, whether the password is right or not. A device that
    /// the user has logged in from before is known by a second cookie, `__Host-signet-device`: its failures are
    /// counted by themselves, and those of others do not hold it up. That cookie gives no right and outlives log-outs.
    #[oai(path = "/v1/login", method = "post", operation_id = "login_account")]
    async fn login_account(
        &self,
        visit: Data<&Visit>,
        before: AnyCaller,
        request: &Request,
        Body(credentials): Body<Credentials>,
    ) -> Result<Json<LoggedIn>, Problem> {
        let Credentials { username, password } = &credentials;
        let attempt = Attempt { username, password, device: sent_device(request) };
        let (user, session) = session::log_in(visit.app(), attempt, &before, &client(request)).await?;
        remember(&visit, request, user.id)?;
        visit.keep(session.clone());
        Ok(Json(LoggedIn::of(visit.app(), &user, &session)))
    }

    /// Log out
    ///
    /// Ends the session: every token of it is dead from the next request on. Succeeds without a valid cookie too,
    /// and always takes the cookie away.
    #[oai(path = "/v1/logout", method = "post", operation_id = "logout_account")]
    async fn logout_account(
        &self,
        visit: Data<&Visit>,
        sent: SentToken,
        request: &Request,
    ) -> Result<LoggedOut, Problem> {
        session::log_out(visit.app(), sent.text.as_deref(), &client(request)).await?;
        visit.clear();
        Ok(LoggedOut::Gone)
    }

    /// Show my account
    ///
    /// Who the session says is logged in, as the store has it now. 401 for nobody.
    #[oai(path = "/v1/me", method = "get", operation_id = "get_me")]
    async fn get_me(&self, visit: Data<&Visit>, caller: LoginRequired) -> Result<Json<User>, Problem> {
        let app = visit.app();
        let user = session::own_user(app, &caller).await?;
        Ok(Json(User::of(&user, &app.groups())))
    }

    /// Change my profile
    ///
    /// Names and address; members that are left out stay as they are. Another address counts as unproven, and takes the
    /// present password as `old_password`: a link for a new password is sent to whoever has the address.
    #[oai(path = "/v1/me", method = "patch", operation_id = "update_me")]
    async fn update_me(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        request: &Request,
        Body(patch): Body<ProfilePatch>,
    ) -> Result<Json<User>, Problem> {
        let app = visit.app();
        let ProfilePatch { first_name, last_name, email, old_password } = patch;
        let profile = Profile { first_name, last_name, email };
        let old = old_password.as_deref();
        let user = account::change_profile(app, &caller, &profile, old, &client(request)).await?;
        Ok(Json(User::of(&user, &app.groups())))
    }

    /// Change my password
    ///
    /// All other sessions of the account end; this one goes on with a new cookie.
    #[oai(path = "/v1/password", method = "post", operation_id = "change_password")]
    async fn change_password(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        request: &Request,
        Body(change): Body<PasswordChange>,
    ) -> Result<Json<Session>, Problem> {
        let PasswordChange { old_password, new_password } = &change;
        let from = client(request);
        let session = account::change_password(visit.app(), &caller, old_password, new_password, &from).await?;
        visit.keep(session.clone());
        Ok(Json(Session::of(&session)))
    }

    /// Check a password
    ///
    /// Says what is wrong with a password before it is set: all of it, in the codes that setting it would give. When
    /// nothing is told about its owner, it is judged as the caller's own. Nothing is kept.
    #[oai(path = "/v1/password/check", method = "post", operation_id = "check_password")]
    async fn check_password(
        &self,
        visit: Data<&Visit>,
        caller: AnyCaller,
        request: &Request,
        Body(question): Body<PasswordQuestion>,
    ) -> Result<Json<PasswordVerdict>, Problem> {
        visit.app().admit(&[Subject::CheckFrom(&client(request).address)])?;
        let PasswordQuestion { password, username, first_name, last_name, email } = &question;
        let told = [username, first_name, last_name, email];
        let [username, first_name, last_name, email] = told.map(|text| text.as_deref().unwrap_or_default());
        let about = About { username, first_name, last_name, email };
        let told = told.iter().any(|text| text.is_some()).then_some(about);
        let found = account::check_password(visit.app(), &caller, password, told).await?;
        Ok(Json(PasswordVerdict {
            acceptable: found.faults.is_empty(),
            faults: found.faults.into_iter().map(ProblemError::from).collect(),
            score: found.score,
        }))
    }
}
