//! The guard that an API token passes too.
//!
//! Owns what is admitted beside a session, for Signet's own operations and for those of programs that embed it. An
//! operation whose guard is not one of these does not look at the `Authorization` field at all.

use std::marker::PhantomData;
use std::ops::Deref;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::api::caller::{self, Caller, LoginRequired, NamedPermission, PermissionRequired, SCHEME};
use crate::api::problem::Problem;
use crate::api::visit::Visit;
use crate::error::{Error, TokenFault};
use crate::rights::Holder;

/// The name of the security scheme in API documents.
pub const API_SCHEME: &str = "apiToken";

/// A demand that an API token can meet as well as a session.
pub trait Demanding: Send + Sync {
    /// Whether nobody meets it too.
    const IS_OPTIONAL: bool;

    /// Whether the holder meets it.
    ///
    /// # Errors
    /// `NotAuthenticated` for nobody, `Forbidden` for who lacks a right.
    fn demand(holder: &dyn Holder) -> Result<(), Error>;
}

impl Demanding for Caller {
    const IS_OPTIONAL: bool = true;

    fn demand(_: &dyn Holder) -> Result<(), Error> {
        Ok(())
    }
}

impl Demanding for LoginRequired {
    const IS_OPTIONAL: bool = false;

    fn demand(holder: &dyn Holder) -> Result<(), Error> {
        holder.user().map(drop).ok_or(Error::NotAuthenticated(TokenFault::Anonymous))
    }
}

impl<P: NamedPermission> Demanding for PermissionRequired<P> {
    const IS_OPTIONAL: bool = false;

    fn demand(holder: &dyn Holder) -> Result<(), Error> {
        LoginRequired::demand(holder)?;
        if holder.has_permission(P::NAME) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the permission {}", P::NAME)))
    }
}

/// What `G` asks for, by a session or by an API token: `OrToken<Caller>`, `OrToken<LoginRequired>`,
/// `OrToken<PermissionRequired<P>>`. Gives a [`Holder`].
///
/// The cookie comes first: a request with a cookie of ours is judged by it alone, good or dead, and its `Authorization`
/// field is not looked at. Nothing can be written in the name of an API token: what a session is needed for takes the
/// guards of [`crate::api::caller`].
pub struct OrToken<G> {
    visit: Visit,
    guard: PhantomData<fn() -> G>,
}

impl<'a, G: Demanding> ApiExtractor<'a> for OrToken<G> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_schemes(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME, API_SCHEME]
    }

    fn has_security_fallback() -> bool {
        G::IS_OPTIONAL
    }

    async fn from_request(request: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<()>) -> poem::Result<Self> {
        let visit = caller::visit(request).map_err(Problem::from)?.clone();
        visit.admit_holder(request, G::demand).await.map_err(Problem::from)?;
        Ok(Self { visit, guard: PhantomData })
    }
}

impl<G> Deref for OrToken<G> {
    type Target = dyn Holder;

    fn deref(&self) -> &Self::Target {
        // A guard is made when the holder was found.
        self.visit.holder().expect("the holder was found")
    }
}

fn register_schemes(registry: &mut Registry) {
    caller::register_scheme(registry);
    let scheme = MetaSecurityScheme {
        ty: "http",
        description: Some(
            "An API token, for a machine that has no session. `POST /v1/tokens` makes it and shows it once. Not looked \
             at when the request carries a session's cookie.",
        ),
        name: None,
        key_in: None,
        scheme: Some("bearer"),
        bearer_format: Some("JWT"),
        flows: None,
        openid_connect_url: None,
    };
    registry.create_security_scheme(API_SCHEME, scheme);
}

/// Says in the API document that both a session and an API token are looked at, by the operation itself.
pub(crate) struct EitherLookedAt;

impl<'a> ApiExtractor<'a> for EitherLookedAt {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_schemes(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME, API_SCHEME]
    }

    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(_: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<()>) -> poem::Result<Self> {
        Ok(Self)
    }
}
