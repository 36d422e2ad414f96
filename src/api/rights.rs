//! Asking for rights.

use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use std::collections::BTreeMap;

use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::Caller;

/// Permissions to ask for.
#[derive(Object)]
#[oai(example)]
pub struct PermissionQuestion {
    /// Their names; a name that is none, or of no permission, is answered with false.
    #[oai(validator(max_items = 200))]
    permissions: Vec<String>,
}

impl Example for PermissionQuestion {
    fn example() -> Self {
        Self { permissions: vec!["polls.vote".to_owned(), "polls.close".to_owned()] }
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
}

impl Example for PermissionAnswer {
    fn example() -> Self {
        let results = BTreeMap::from([("polls.vote".to_owned(), true), ("polls.close".to_owned(), false)]);
        Self { results, all: false }
    }
}

/// Rights operations.
pub struct RightsApi;

#[OpenApi(tag = "Group::Rights")]
impl RightsApi {
    /// Check permissions
    ///
    /// Answered from the session's claims, without the store; nobody has none. A superuser has all of them, also
    /// those that do not exist.
    #[oai(path = "/v1/permissions/check", method = "post", operation_id = "check_permissions")]
    async fn check_permissions(
        &self,
        caller: Caller,
        Body(question): Body<PermissionQuestion>,
    ) -> Json<PermissionAnswer> {
        let has = |name: String| {
            let answer = caller.has_permission(&name);
            (name, answer)
        };
        let results: BTreeMap<_, _> = question.permissions.into_iter().map(has).collect();
        let all = results.values().all(|has| *has);
        Json(PermissionAnswer { results, all })
    }
}
