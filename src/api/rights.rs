//! Asking for rights.

use std::collections::BTreeMap;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::api::Group;
use crate::api::bearer::OrToken;
use crate::api::body::Body;
use crate::api::caller::{Caller, LoginRequired};
use crate::api::problem::Problem;
use crate::api::visit::Visit;
use crate::session;

/// Permissions to ask for.
#[derive(Object)]
#[oai(example)]
pub struct PermissionQuestion {
    /// Their names; a name that is none, or of no permission, is answered with false.
    #[oai(validator(max_items = 200))]
    permissions: Vec<String>,
    /// Names of applications, to ask for any permission of theirs.
    #[oai(validator(max_items = 200))]
    modules: Option<Vec<String>>,
}

impl Example for PermissionQuestion {
    fn example() -> Self {
        Self { permissions: vec!["polls.vote".to_owned(), "polls.close".to_owned()], modules: None }
    }
}

/// Which of the permissions the caller has.
#[derive(Object)]
#[oai(example)]
pub struct PermissionAnswer {
    /// Each name, and whether the caller has it.
    results: BTreeMap<String, bool>,
    /// Whether the caller has all of them; true for none (Django's `has_perms`).
    all: bool,
    /// Each application that was asked for, and whether the caller has any permission of its (Django's
    /// `has_module_perms`). Left out when none was asked for.
    #[oai(skip_serializing_if_is_none)]
    modules: Option<BTreeMap<String, bool>>,
}

impl Example for PermissionAnswer {
    fn example() -> Self {
        let results = BTreeMap::from([("polls.vote".to_owned(), true), ("polls.close".to_owned(), false)]);
        Self { results, all: false, modules: None }
    }
}

/// All permissions of somebody.
#[derive(Object)]
pub struct PermissionNames {
    /// Their names, sorted.
    items: Vec<String>,
    /// Always null: all of them are here.
    #[oai(nullable)]
    next: Option<String>,
}

/// Rights operations.
pub struct RightsApi;

#[OpenApi(tag = "Group::Rights")]
impl RightsApi {
    /// Check permissions
    ///
    /// Answered from the session's claims, without the store; nobody has none. A superuser has all of them, also
    /// those that do not exist. An API token has those that are in its scope and that its owner has.
    #[oai(path = "/v1/permissions/check", method = "post", operation_id = "check_permissions")]
    async fn check_permissions(
        &self,
        caller: OrToken<Caller>,
        Body(question): Body<PermissionQuestion>,
    ) -> Json<PermissionAnswer> {
        let has = |name: String| {
            let answer = caller.has_permission(&name);
            (name, answer)
        };
        let results: BTreeMap<_, _> = question.permissions.into_iter().map(has).collect();
        let all = results.values().all(|has| *has);
        let touches = |label: String| {
            let answer = caller.has_module_permissions(&label);
            (label, answer)
        };
        let modules = question.modules.map(|labels| labels.into_iter().map(touches).collect());
        Json(PermissionAnswer { results, all, modules })
    }

    /// List my permissions
    ///
    /// What is granted directly and through groups; for a superuser, the whole catalogue; for an API token, what it
    /// has of its scope.
    #[oai(path = "/v1/me/permissions", method = "get", operation_id = "list_my_permissions")]
    async fn list_my_permissions(
        &self,
        visit: Data<&Visit>,
        caller: OrToken<LoginRequired>,
    ) -> Result<Json<PermissionNames>, Problem> {
        let items = session::permissions(visit.app(), &*caller).await?;
        Ok(Json(PermissionNames { items, next: None }))
    }
}
