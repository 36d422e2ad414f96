//! Who is calling: from the request's cookie to a session, and the guards that ask for more.
//!
//! The guards are extractors, for Signet's own operations and for those of programs that embed it: put one in
//! front of the body's parameter, and what it asks for is checked before anything else is read. With
//! [`crate::api::body::Body`] it is checked again when the body has arrived.

use std::marker::PhantomData;
use std::ops::Deref;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::api::cookie;
use crate::api::problem::Problem;
use crate::api::visit::Visit;
use crate::audit::Client;
use crate::error::Error;
use crate::revocation::Standing;
use crate::session::{self, Session};

/// The name of the security scheme in API documents.
pub const SCHEME: &str = "sessionCookie";

/// The visit of a request.
fn visit(request: &Request) -> Result<&Visit, Error> {
    let outside = "a guard was used outside of Signet's front; put the program's routes behind `Front`";
    request.extensions().get().ok_or_else(|| Error::Internal(outside.to_owned()))
}

/// Where a request comes from. The address is the peer's, or what a trusted proxy says; empty for a peer that has none.
pub(crate) fn client(request: &Request) -> Client {
    let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
    let address = peer.map(|peer| match visit(request) {
        Ok(visit) => visit.settings().proxies.client(peer, request.headers()),
        Err(_) => peer.to_canonical(),
    });
    let agent = request.header("user-agent").unwrap_or_default().to_owned();
    Client { address: address.map(|address| address.to_string()).unwrap_or_default(), agent }
}

/// An extractor that reads the cookie, in the words of the API document.
macro_rules! extractor {
    ($name:ident $(<$generic:ident: $bound:ident>)?, optional: $optional:literal, $admit:expr) => {
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
                $optional
            }

            async fn from_request(
                request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let admitted: Result<Self, Error> = $admit(request).await;
                admitted.map_err(|error| Problem::from(error).into())
            }
        }
    };
}

/// A guard that gives the session of the visit, when the demand is met.
macro_rules! guard {
    ($name:ident $(<$generic:ident: $bound:ident>)?, optional: $optional:literal, $demand:expr) => {
        extractor!($name $(<$generic: $bound>)?, optional: $optional, async |request| {
            let visit = visit(request)?;
            visit.admit(request, $demand).await?;
            Ok(Self { visit: visit.clone(), $(permission: PhantomData::<$generic>)? })
        });

        impl$(<$generic>)? Deref for $name $(<$generic>)? {
            type Target = Session;

            fn deref(&self) -> &Session {
                // A guard is made when the session was found.
                self.visit.session().expect("the session was found")
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

fn somebody(session: &Session) -> Result<(), Error> {
    session.id().map(drop)
}

fn staff(session: &Session) -> Result<(), Error> {
    somebody(session)?;
    if session.claims().is_some_and(|claims| claims.is_staff) {
        return Ok(());
    }
    Err(Error::Forbidden("the staff flag".to_owned()))
}

fn with_permission<P: NamedPermission>(session: &Session) -> Result<(), Error> {
    somebody(session)?;
    if session.has_permission(P::NAME) {
        return Ok(());
    }
    Err(Error::Forbidden(format!("the permission {}", P::NAME)))
}

/// Anybody: no cookie is the empty session, a cookie that does not verify is 401.
pub struct Caller {
    visit: Visit,
}

guard!(Caller, optional: true, |_| Ok(()));

/// Somebody: 401 for nobody (Django's `login_required`).
pub struct LoginRequired {
    visit: Visit,
}

guard!(LoginRequired, optional: false, somebody);

/// Staff: 401 for nobody, 403 for others (Django's `staff_member_required`).
pub struct StaffRequired {
    visit: Visit,
}

guard!(StaffRequired, optional: false, staff);

/// The permission to read what has ended.
pub const VIEW_REVOCATIONS: &str = "signet.view_revocations";

fn revocation_reader(session: &Session) -> Result<(), Error> {
    if session.has_permission(VIEW_REVOCATIONS) { somebody(session) } else { staff(session) }
}

/// Staff, or somebody with the permission to read what has ended: 401 for nobody, 403 for others.
pub struct RevocationReader {
    visit: Visit,
}

guard!(RevocationReader, optional: false, revocation_reader);

impl RevocationReader {
    /// Whether nothing that was revoked since covers the session.
    pub(crate) fn is_untouched(&self) -> bool {
        self.claims().is_some_and(|claims| self.visit.app().revocations().judge(claims) == Standing::Live)
    }

    /// Asks again, for an answer that takes its time.
    ///
    /// # Errors
    /// As [`session::authenticate`], and for somebody without the right.
    pub(crate) async fn look_again(&self) -> Result<(), Error> {
        revocation_reader(&session::authenticate(self.visit.app(), self.token()).await?)
    }
}

/// A permission that a guard asks for, by type.
pub trait NamedPermission: Send + Sync {
    /// Its name: `app_label.codename`.
    const NAME: &'static str;
}

/// Somebody with the permission: 401 for nobody, 403 for others (Django's `permission_required`).
pub struct PermissionRequired<P> {
    visit: Visit,
    permission: PhantomData<P>,
}

guard!(PermissionRequired<P: NamedPermission>, optional: false, with_permission::<P>);

/// Anybody, and a cookie that does not verify counts as none: for log-in.
pub struct AnyCaller {
    session: Session,
}

extractor!(AnyCaller, optional: true, async |request| {
    let visit = visit(request)?;
    let session = match visit.authenticate(request).await {
        Err(Error::NotAuthenticated(_)) => session::authenticate(visit.app(), None).await?,
        session => session?,
    };
    visit.keep(session.clone());
    Ok(Self { session })
});

impl Deref for AnyCaller {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// The session's token as it was sent, whatever it is worth: for log-out.
pub struct SentToken {
    /// The token; `None` when there is none, or more than one.
    pub text: Option<String>,
}

extractor!(SentToken, optional: true, async |request: &Request| {
    let found = cookie::find(request.headers(), cookie::SESSION).unwrap_or_default();
    Ok(Self { text: found.map(str::to_owned) })
});
