//! Who is calling: from the request's cookie to a session, and the guards that ask for more.
//!
//! The guards are extractors, for Signet's own operations and for those of programs that embed it: put one in
//! front of the body's parameter, and what it asks for is checked before anything else is read.
//!
//! Owns the visit, the record of one request: whoever was authenticated in it, and what the answer has to set.
//! `api/front.rs` opens and closes it.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use poem::http::HeaderValue;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::api::cookie;
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::error::{Error, TokenFault};
use crate::session::{self, Client, Session};

/// The name of the security scheme in API documents.
pub const SCHEME: &str = "sessionCookie";

/// One request, from its arrival to its answer. Clones are the same visit.
#[derive(Clone)]
pub struct Visit {
    app: App,
    outcome: Arc<Mutex<Outcome>>,
}

/// What a visit has come to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The session in force, once somebody asked for it.
    pub(crate) session: Option<Session>,
    /// The session's cookie has to go.
    pub(crate) clear: bool,
    /// Other cookies to set.
    pub(crate) cookies: Vec<HeaderValue>,
}

impl Visit {
    pub(crate) fn new(app: App) -> Self {
        Self { app, outcome: Arc::default() }
    }

    /// Signet.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    fn with<T>(&self, act: impl FnOnce(&mut Outcome) -> T) -> T {
        act(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on with this session: a successful answer gives its cookie to the client.
    pub fn keep(&self, session: Session) {
        self.with(|outcome| outcome.session = Some(session));
    }

    /// Takes the session's cookie away with the answer.
    pub(crate) fn clear(&self) {
        self.with(|outcome| {
            outcome.session = None;
            outcome.clear = true;
        });
    }

    /// Sets another cookie with the answer.
    pub(crate) fn set_cookie(&self, line: HeaderValue) {
        self.with(|outcome| outcome.cookies.push(line));
    }

    pub(crate) fn close(&self) -> Outcome {
        self.with(std::mem::take)
    }

    /// The session of the request's cookie, authenticated once per visit.
    async fn session(&self, request: &Request) -> Result<Session, Error> {
        if let Some(known) = self.with(|outcome| outcome.session.clone()) {
            return Ok(known);
        }
        let token = cookie::find(request.headers(), cookie::SESSION)?;
        let session = session::authenticate(&self.app, token).await?;
        self.keep(session.clone());
        Ok(session)
    }
}

/// Looks at the caller again, after a body has arrived: it may have taken its time, and what was ended or taken away
/// meanwhile must not act.
///
/// # Errors
/// `NotAuthenticated` when the session has ended, `Outdated` when its rights are others than the guard saw.
pub(crate) async fn look_again(request: &Request) -> Result<(), Error> {
    let Some(visit) = request.extensions().get::<Visit>() else { return Ok(()) };
    let Some(before) = visit.with(|outcome| outcome.session.take()) else { return Ok(()) };
    let now = visit.session(request).await?;
    if now.agrees_with(&before) { Ok(()) } else { Err(Error::Outdated) }
}

/// The visit of a request.
fn visit(request: &Request) -> Result<&Visit, Problem> {
    request.extensions().get().ok_or_else(|| {
        tracing::error!("a guard was used outside of Signet's front; wrap the program's routes with `front`");
        Problem::new(Code::Internal)
    })
}

/// Where a request comes from.
pub(crate) fn client(request: &Request) -> Client {
    let address = request.remote_addr().as_socket_addr().map(|a| a.ip().to_string());
    Client { address: address.unwrap_or_default(), agent: request.header("user-agent").unwrap_or_default().to_owned() }
}

/// A guard: how a request becomes one, or is refused.
trait Guard: Sized {
    const OPTIONAL: bool = false;
    fn admit(visit: &Visit, request: &Request) -> impl Future<Output = Result<Self, Error>> + Send;
}

macro_rules! extractor {
    ($name:ident $(<$generic:ident: $bound:ident>)?) => {
        impl<'a $(, $generic: $bound)?> ApiExtractor<'a> for $name $(<$generic>)? {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                register_scheme(registry);
            }

            fn security_schemes() -> Vec<&'static str> {
                vec![SCHEME]
            }

            fn has_security_fallback() -> bool {
                <Self as Guard>::OPTIONAL
            }

            async fn from_request(
                request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let admitted = <Self as Guard>::admit(visit(request)?, request).await;
                admitted.map_err(|error| Problem::from(error).into())
            }
        }
    };
}

macro_rules! gives_session {
    ($name:ident $(<$generic:ident>)?) => {
        impl$(<$generic>)? Deref for $name $(<$generic>)? {
            type Target = Session;

            fn deref(&self) -> &Session {
                &self.session
            }
        }
    };
}

fn register_scheme(registry: &mut Registry) {
    let scheme = MetaSecurityScheme {
        ty: "apiKey",
        description: Some(
            "The session's cookie. `POST /v1/login` sets it; a browser on the same origin sends it by itself.",
        ),
        name: Some(cookie::SESSION),
        key_in: Some("cookie"),
        scheme: None,
        bearer_format: None,
        flows: None,
        openid_connect_url: None,
    };
    registry.create_security_scheme(SCHEME, scheme);
}

/// Anybody: no cookie is the empty session, a cookie that does not verify is 401.
pub struct Caller {
    session: Session,
}

extractor!(Caller);
gives_session!(Caller);

impl Guard for Caller {
    const OPTIONAL: bool = true;

    async fn admit(visit: &Visit, request: &Request) -> Result<Self, Error> {
        Ok(Self { session: visit.session(request).await? })
    }
}

/// Anybody, and a cookie that does not verify counts as none: for log-in.
pub struct AnyCaller {
    session: Session,
}

extractor!(AnyCaller);
gives_session!(AnyCaller);

impl Guard for AnyCaller {
    const OPTIONAL: bool = true;

    async fn admit(visit: &Visit, request: &Request) -> Result<Self, Error> {
        let session = match visit.session(request).await {
            Err(Error::NotAuthenticated(_)) => session::authenticate(&visit.app, None).await?,
            session => session?,
        };
        Ok(Self { session })
    }
}

/// The session's token as it was sent, whatever it is worth: for log-out.
pub struct SentToken {
    /// The token; `None` when there is none, or more than one.
    pub text: Option<String>,
}

extractor!(SentToken);

impl Guard for SentToken {
    const OPTIONAL: bool = true;

    async fn admit(_: &Visit, request: &Request) -> Result<Self, Error> {
        let found = cookie::find(request.headers(), cookie::SESSION).unwrap_or_default();
        Ok(Self { text: found.map(str::to_owned) })
    }
}

/// Somebody: 401 for nobody (Django's `login_required`).
pub struct LoginRequired {
    session: Session,
}

extractor!(LoginRequired);
gives_session!(LoginRequired);

impl Guard for LoginRequired {
    async fn admit(visit: &Visit, request: &Request) -> Result<Self, Error> {
        let session = visit.session(request).await?;
        match session.user() {
            Some(_) => Ok(Self { session }),
            None => Err(Error::NotAuthenticated(TokenFault::Anonymous)),
        }
    }
}

/// Staff: 401 for nobody, 403 for others (Django's `staff_member_required`).
pub struct StaffRequired {
    session: Session,
}

extractor!(StaffRequired);
gives_session!(StaffRequired);

impl Guard for StaffRequired {
    async fn admit(visit: &Visit, request: &Request) -> Result<Self, Error> {
        let LoginRequired { session } = LoginRequired::admit(visit, request).await?;
        if session.claims().is_some_and(|claims| claims.is_staff) {
            Ok(Self { session })
        } else {
            Err(Error::Forbidden("the staff flag".to_owned()))
        }
    }
}

/// A permission that a guard asks for, by type.
pub trait NamedPermission: Send + Sync {
    /// Its name: `app_label.codename`.
    const NAME: &'static str;
}

/// Somebody with the permission: 401 for nobody, 403 for others (Django's `permission_required`).
pub struct PermissionRequired<P> {
    session: Session,
    permission: PhantomData<P>,
}

extractor!(PermissionRequired<P: NamedPermission>);
gives_session!(PermissionRequired<P>);

impl<P: NamedPermission> Guard for PermissionRequired<P> {
    async fn admit(visit: &Visit, request: &Request) -> Result<Self, Error> {
        let LoginRequired { session } = LoginRequired::admit(visit, request).await?;
        if session.has_permission(P::NAME) {
            Ok(Self { session, permission: PhantomData })
        } else {
            Err(Error::Forbidden(format!("the permission {}", P::NAME)))
        }
    }
}
