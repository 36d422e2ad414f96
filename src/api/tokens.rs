//! My API tokens: made, listed and ended by whoever is logged in, and never by an API token.

use poem::Request;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::administration::Staff;
use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{LoginRequired, StaffRequired, client};
use crate::api::json::Time;
use crate::api::problem::Problem;
use crate::api::session::Done;
use crate::api::shown::names;
use crate::api::visit::Visit;
use crate::api_token::{self, NewToken};
use crate::claims::{UserId, instant};
use crate::error::Error;
use crate::store;

/// An API token to make.
#[derive(Object)]
#[oai(example)]
pub struct NewApiToken {
    /// What to call it: 1 to 150 characters.
    name: String,
    /// The permissions that it is limited to, each of which you have now; none is fine too.
    #[oai(validator(max_items = 200))]
    permissions: Vec<String>,
    /// Seconds that it lives: 60 to 34,560,000; 90 days when it is left out.
    expires_in: Option<u32>,
}

impl Example for NewApiToken {
    fn example() -> Self {
        Self { name: "nightly report".to_owned(), permissions: Vec::new(), expires_in: Some(30 * 24 * 3600) }
    }
}

/// An API token, without its text, which is kept nowhere.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct ApiToken {
    /// Names the API token.
    id: String,
    /// What its owner calls it.
    name: String,
    /// The permissions that it is limited to. It has those of them that its owner has at the moment.
    permissions: Vec<String>,
    /// When it was made.
    created_at: Time,
    /// When it ends.
    expires_at: Time,
}

impl ApiToken {
    fn of(token: &store::ApiToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            permissions: names(&token.scope),
            created_at: Time(token.created),
            expires_at: Time(token.ends),
        }
    }
}

impl Example for ApiToken {
    fn example() -> Self {
        Self {
            id: "Zk3vT9wQxUmYc0aRb7dLpg".to_owned(),
            name: "nightly report".to_owned(),
            permissions: vec!["polls.vote".to_owned()],
            created_at: Time(instant(1_900_000_000)),
            expires_at: Time(instant(1_902_592_000)),
        }
    }
}

/// A new API token.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct MadeApiToken {
    /// Names the API token.
    id: String,
    /// What its owner calls it.
    name: String,
    /// The permissions that it is limited to. It has those of them that its owner has at the moment.
    permissions: Vec<String>,
    /// When it was made.
    created_at: Time,
    /// When it ends.
    expires_at: Time,
    /// The text to send, as `Authorization: Bearer` and this. It is shown this once.
    token: String,
}

impl MadeApiToken {
    fn of(made: ApiToken, token: String) -> Self {
        let ApiToken { id, name, permissions, created_at, expires_at } = made;
        Self { id, name, permissions, created_at, expires_at, token }
    }
}

impl Example for MadeApiToken {
    fn example() -> Self {
        Self::of(ApiToken::example(), "eyJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.eyJpc3MiOiIuLi4ifQ.c2lnbmF0dXJl".to_owned())
    }
}

/// API tokens.
#[derive(Object)]
pub struct ApiTokenList {
    /// The newest first.
    items: Vec<ApiToken>,
    /// Always null: all of them are here.
    #[oai(nullable)]
    next: Option<String>,
}

impl ApiTokenList {
    fn of(tokens: &[store::ApiToken]) -> Json<Self> {
        Json(Self { items: tokens.iter().map(ApiToken::of).collect(), next: None })
    }
}

/// An API token that was just made.
#[derive(ApiResponse)]
pub enum MadeToken {
    /// The new API token, with its text.
    #[oai(status = 201)]
    Created(Json<MadeApiToken>),
}

/// Operations on API tokens.
pub struct TokensApi;

#[OpenApi]
impl TokensApi {
    /// Make an API token
    ///
    /// For a machine that acts in your name, as `Authorization: Bearer`: at most 100 at a time. It has those of its
    /// permissions that you have at the moment of each request. A new password, "log out everywhere", a disabled account
    /// and "log everybody out" end it, as they end sessions.
    #[oai(path = "/v1/tokens", method = "post", operation_id = "create_token", tag = "Group::Tokens")]
    async fn create_token(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        request: &Request,
        Body(new): Body<NewApiToken>,
    ) -> Result<MadeToken, Problem> {
        let wish = NewToken { name: &new.name, permissions: &new.permissions, expires_in: new.expires_in };
        let (made, text) = api_token::make(visit.app(), &caller, &wish, &client(request)).await?;
        Ok(MadeToken::Created(Json(MadeApiToken::of(ApiToken::of(&made), text))))
    }

    /// List my API tokens
    ///
    /// Those that live, without their texts.
    #[oai(path = "/v1/tokens", method = "get", operation_id = "list_tokens", tag = "Group::Tokens")]
    async fn list_tokens(&self, visit: Data<&Visit>, caller: LoginRequired) -> Result<Json<ApiTokenList>, Problem> {
        Ok(ApiTokenList::of(&api_token::list(visit.app(), caller.id()?).await?))
    }

    /// End an API token
    ///
    /// It is dead from the next request on. Somebody else's is as good as none: 404.
    #[oai(path = "/v1/tokens/:id", method = "delete", operation_id = "delete_token", tag = "Group::Tokens")]
    async fn delete_token(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        request: &Request,
        /// The API token.
        id: Path<String>,
    ) -> Result<Done, Problem> {
        let id = id.parse().map_err(|_| Error::NotFound("API token"))?;
        api_token::end(visit.app(), &caller, id, &client(request)).await?;
        Ok(Done::Gone)
    }

    /// List a user's API tokens
    ///
    /// Those that live, without their texts.
    #[oai(path = "/v1/users/:id/tokens", method = "get", operation_id = "list_user_tokens", tag = "Group::Users")]
    async fn list_user_tokens(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// The user.
        id: Path<String>,
    ) -> Result<Json<ApiTokenList>, Problem> {
        let user = visit.app().user(parse(&id)?).await?;
        Ok(ApiTokenList::of(&api_token::list(visit.app(), user.id).await?))
    }

    /// End a user's API tokens
    ///
    /// All of them. The user's sessions go on.
    #[oai(path = "/v1/users/:id/tokens", method = "delete", operation_id = "delete_user_tokens", tag = "Group::Users")]
    async fn delete_user_tokens(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The user.
        id: Path<String>,
    ) -> Result<Done, Problem> {
        Staff::new(visit.app(), &staff, &client(request)).end_tokens(parse(&id)?).await?;
        Ok(Done::Gone)
    }

    /// End one of a user's API tokens
    ///
    /// It is dead from the next request on. One that is not the user's is as good as none: 404.
    #[oai(
        path = "/v1/users/:id/tokens/:token_id",
        method = "delete",
        operation_id = "delete_user_token",
        tag = "Group::Users"
    )]
    async fn delete_user_token(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The user.
        id: Path<String>,
        /// The API token.
        token_id: Path<String>,
    ) -> Result<Done, Problem> {
        let token = token_id.parse().map_err(|_| Error::NotFound("API token"))?;
        Staff::new(visit.app(), &staff, &client(request)).end_token(parse(&id)?, token).await?;
        Ok(Done::Gone)
    }
}

fn parse(id: &str) -> Result<UserId, Error> {
    id.parse().map_err(|_| Error::NotFound("user"))
}
