//! Administration of users.

use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};

use crate::account::Profile;
use crate::administration::{Staff, UserChange};
use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{StaffRequired, client};
use crate::api::list::{self, Made, Tagged, slice, version};
use crate::api::problem::{Code, Problem};
use crate::api::session::Done;
use crate::api::shown::{DeviceList, OpenSessionList, User};
use crate::api::visit::Visit;
use crate::app::{App, unavailable};
use crate::claims::UserId;
use crate::error::Error;
use crate::rights::Permission;
use crate::session;
use crate::store::{Holding, UserFilter, UserOrder, UserQuery};
use crate::user;

/// A page of users.
#[derive(Object)]
pub struct UserList {
    /// In the order of their names.
    items: Vec<User>,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    next: Option<String>,
}

/// A user to make.
#[derive(Object)]
#[oai(example)]
pub struct NewUser {
    /// The name that a log-in takes: 1 to 150 letters, digits and `@ . + - _`.
    username: String,
    /// At least 8 characters. Without one nobody can log in to the account.
    password: Option<String>,
    /// Given name.
    first_name: Option<String>,
    /// Family name.
    last_name: Option<String>,
    /// Address.
    email: Option<String>,
    /// Whether the user may log in; true when it is left out.
    is_active: Option<bool>,
    /// Whether administration is open to the user. Only a superuser may set it.
    is_staff: Option<bool>,
    /// Whether the user has every permission. Only a superuser may set it.
    is_superuser: Option<bool>,
    /// Names of groups.
    #[oai(validator(max_items = 2000))]
    groups: Option<Vec<String>>,
    /// Names of permissions to grant directly.
    #[oai(validator(max_items = 2000))]
    user_permissions: Option<Vec<String>>,
}

impl Example for NewUser {
    fn example() -> Self {
        Self {
            username: "bob".to_owned(),
            password: Some("a short sentence".to_owned()),
            first_name: None,
            last_name: None,
            email: Some("bob@example.com".to_owned()),
            is_active: None,
            is_staff: None,
            is_superuser: None,
            groups: None,
            user_permissions: None,
        }
    }
}

/// A change of a user. What is left out stays as it is. A password is not set here: only its owner does that.
#[derive(Object)]
#[oai(example)]
pub struct UserPatch {
    /// The name that a log-in takes.
    username: Option<String>,
    /// Given name.
    first_name: Option<String>,
    /// Family name.
    last_name: Option<String>,
    /// Address; empty for none.
    email: Option<String>,
    /// Whether the user may log in. False ends all of the user's sessions, for good.
    is_active: Option<bool>,
    /// Whether administration is open to the user. Only a superuser may change it.
    is_staff: Option<bool>,
    /// Whether the user has every permission. Only a superuser may change it.
    is_superuser: Option<bool>,
    /// Names of all groups.
    #[oai(validator(max_items = 2000))]
    groups: Option<Vec<String>>,
    /// Names of all permissions to grant directly.
    #[oai(validator(max_items = 2000))]
    user_permissions: Option<Vec<String>>,
}

impl Example for UserPatch {
    fn example() -> Self {
        Self {
            username: None,
            first_name: Some("Robert".to_owned()),
            last_name: None,
            email: None,
            is_active: Some(true),
            is_staff: None,
            is_superuser: None,
            groups: Some(Vec::new()),
            user_permissions: None,
        }
    }
}

/// An order of users; with a minus in front, turned round.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "UserOrder")]
pub enum Order {
    /// By name.
    #[oai(rename = "username")]
    Username,
    /// By name, from the end.
    #[oai(rename = "-username")]
    UsernameDown,
    /// The oldest account first.
    #[oai(rename = "date_joined")]
    Joined,
    /// The newest account first.
    #[oai(rename = "-date_joined")]
    JoinedDown,
    /// Who never logged in first, then the log-in that is longest ago.
    #[oai(rename = "last_login")]
    LoggedIn,
    /// The latest log-in first.
    #[oai(rename = "-last_login")]
    LoggedInDown,
}

impl Order {
    const fn of(self) -> (UserOrder, bool) {
        match self {
            Self::Username => (UserOrder::Username, false),
            Self::UsernameDown => (UserOrder::Username, true),
            Self::Joined => (UserOrder::DateJoined, false),
            Self::JoinedDown => (UserOrder::DateJoined, true),
            Self::LoggedIn => (UserOrder::LastLogin, false),
            Self::LoggedInDown => (UserOrder::LastLogin, true),
        }
    }
}

/// User operations.
pub struct UsersApi;

fn parse(id: &str) -> Result<UserId, Error> {
    id.parse().map_err(|_| Error::NotFound("user"))
}

fn reply(app: &App, user: &user::User) -> Tagged<User> {
    Tagged::of(User::of(user, &app.groups()), user.version)
}

#[OpenApi(tag = "Group::Users")]
impl UsersApi {
    /// List users
    ///
    /// In pages: `next` is the `cursor` of the page that follows, null on the last. Filters can be combined. What few are
    /// like is looked for among so many users at a time: a page may be empty and still have a next one.
    #[oai(path = "/v1/users", method = "get", operation_id = "list_users")]
    #[expect(clippy::too_many_arguments, reason = "each parameter of the query is one")]
    async fn list_users(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// Only users whose name, address or person names contain this.
        search: Query<Option<String>>,
        /// Only members of the group of this name.
        group: Query<Option<String>>,
        /// Only who has this permission, directly, by a group or as a superuser. Of active users, unless `is_active`
        /// says otherwise.
        permission: Query<Option<String>>,
        /// Only users with this flag so.
        is_active: Query<Option<bool>>,
        /// Only users with this flag so.
        is_staff: Query<Option<bool>>,
        /// Only users with this flag so.
        is_superuser: Query<Option<bool>>,
        /// The order: by name when it is left out.
        order: Query<Option<Order>>,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Users on a page: 1 to 200; 50 when it is left out.
        limit: Query<Option<u32>>,
    ) -> Result<Json<UserList>, Problem> {
        let app = visit.app();
        let slice = slice(search.as_deref(), cursor.as_deref(), limit.0)?;
        let groups = app.groups();
        // A group or a permission that does not exist has no members and no holders but superusers.
        let known = |name: String| groups.id(&name).ok_or(());
        let Ok(group) = group.0.map(known).transpose() else {
            return Ok(Json(UserList { items: Vec::new(), next: None }));
        };
        let holding = |name: String| {
            let permission = Permission::parse("permission", &name).map_err(|fault| Error::Invalid(vec![fault]))?;
            Ok(Holding { granted_by: groups.granting(permission.as_str()), permission })
        };
        let holds = permission.0.map(holding).transpose().map_err(|_: Error| {
            Problem::with_detail(Code::InvalidParameter, "The parameter `permission` has to be as app_label.codename.")
        })?;
        let is_active = is_active.0.or(holds.as_ref().map(|_| true));
        let (order, descending) = order.0.unwrap_or(Order::Username).of();
        let (is_staff, is_superuser) = (is_staff.0, is_superuser.0);
        let filter = UserFilter { group, holds, is_active, is_staff, is_superuser };
        let page = app.store().find_users(UserQuery { slice, order, descending, filter }).await.map_err(unavailable)?;
        let items = page.items.iter().map(|user| User::of(user, &groups)).collect();
        Ok(Json(UserList { items, next: list::cursor(page.next) }))
    }

    /// Make a user
    ///
    /// Without a password nobody can log in to the account, and no mail lets its owner set one. Only a superuser gives flags.
    #[oai(path = "/v1/users", method = "post", operation_id = "create_user")]
    async fn create_user(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        Body(new): Body<NewUser>,
    ) -> Result<Made<User>, Problem> {
        let app = visit.app();
        let change = UserChange {
            username: None,
            profile: Profile { first_name: new.first_name, last_name: new.last_name, email: new.email },
            is_active: new.is_active,
            is_staff: new.is_staff,
            is_superuser: new.is_superuser,
            groups: new.groups,
            permissions: new.user_permissions,
        };
        let user = Staff::new(app, &staff, &client(request))
            .create_user(&new.username, new.password.as_deref(), &change)
            .await?;
        Ok(Made::of(User::of(&user, &app.groups()), user.version))
    }

    /// Show a user
    ///
    /// With groups and direct permissions. The `ETag` goes into `If-Match` of a change.
    #[oai(path = "/v1/users/:id", method = "get", operation_id = "get_user")]
    async fn get_user(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// The user.
        id: Path<String>,
    ) -> Result<Tagged<User>, Problem> {
        let user = visit.app().user(parse(&id)?).await?;
        Ok(reply(visit.app(), &user))
    }

    /// Change a user
    ///
    /// Rights that are taken away are gone on the user's next request; nobody has to log in again. Staff gives what it
    /// has itself, permissions and groups; a superuser anything.
    #[oai(path = "/v1/users/:id", method = "patch", operation_id = "update_user")]
    async fn update_user(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The user.
        id: Path<String>,
        /// The entity tag of the state that the change was made from.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(patch): Body<UserPatch>,
    ) -> Result<Tagged<User>, Problem> {
        let change = UserChange {
            username: patch.username,
            profile: Profile { first_name: patch.first_name, last_name: patch.last_name, email: patch.email },
            is_active: patch.is_active,
            is_staff: patch.is_staff,
            is_superuser: patch.is_superuser,
            groups: patch.groups,
            permissions: patch.user_permissions,
        };
        let wanted = version(if_match.as_deref())?;
        let user = Staff::new(visit.app(), &staff, &client(request)).change_user(parse(&id)?, &change, wanted).await?;
        Ok(reply(visit.app(), &user))
    }

    /// Delete a user
    ///
    /// For good: the id is never used again, and all of the user's sessions end.
    #[oai(path = "/v1/users/:id", method = "delete", operation_id = "delete_user")]
    async fn delete_user(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The user.
        id: Path<String>,
    ) -> Result<Done, Problem> {
        Staff::new(visit.app(), &staff, &client(request)).delete_user(parse(&id)?).await?;
        Ok(Done::Gone)
    }

    /// Take a user's password away
    ///
    /// Nobody can log in to the account with a password any more, and no mail sets a new one; all of its sessions end.
    /// What gives it one again is the command `signet user password`.
    #[oai(path = "/v1/users/:id/password", method = "delete", operation_id = "delete_user_password")]
    async fn delete_user_password(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The user.
        id: Path<String>,
    ) -> Result<Done, Problem> {
        Staff::new(visit.app(), &staff, &client(request)).remove_password(parse(&id)?).await?;
        Ok(Done::Gone)
    }

    /// List a user's devices
    ///
    /// The sessions in which the user is logged in, the newest first. In pages, as the own ones are.
    #[oai(path = "/v1/users/:id/sessions", method = "get", operation_id = "list_user_sessions")]
    async fn list_user_sessions(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        /// The user.
        id: Path<String>,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Sessions on a page: 1 to 200; 50 when it is left out.
        limit: Query<Option<u32>>,
    ) -> Result<Json<DeviceList>, Problem> {
        let slice = slice(None, cursor.as_deref(), limit.0)?;
        let user = visit.app().user(parse(&id)?).await?;
        let page = session::devices(visit.app(), user.id, slice).await?;
        Ok(Json(DeviceList::of(page, &staff)))
    }

    /// List everybody's devices
    ///
    /// The sessions in which somebody is logged in, in an order of the store's own. In pages: `next` is the `cursor` of
    /// the page that follows, null on the last. A page may be empty and still have a next one.
    #[oai(path = "/v1/open-sessions", method = "get", operation_id = "list_open_sessions")]
    async fn list_open_sessions(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Sessions on a page: 1 to 200; 50 when it is left out.
        limit: Query<Option<u32>>,
    ) -> Result<Json<OpenSessionList>, Problem> {
        let page = session::all_devices(visit.app(), slice(None, cursor.as_deref(), limit.0)?).await?;
        Ok(Json(OpenSessionList::of(page, &staff)))
    }

    /// Log a user out everywhere
    ///
    /// All sessions and API tokens of the user end.
    #[oai(path = "/v1/users/:id/sessions", method = "delete", operation_id = "delete_user_sessions")]
    async fn delete_user_sessions(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The user.
        id: Path<String>,
    ) -> Result<Done, Problem> {
        Staff::new(visit.app(), &staff, &client(request)).end_sessions(parse(&id)?).await?;
        Ok(Done::Gone)
    }

    /// Log a user out of one device
    ///
    /// The session is dead from the next request on. One that is not the user's is as good as none: 404.
    #[oai(path = "/v1/users/:id/sessions/:sid", method = "delete", operation_id = "delete_user_session")]
    async fn delete_user_session(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The user.
        id: Path<String>,
        /// The session.
        sid: Path<String>,
    ) -> Result<Done, Problem> {
        let session = sid.parse().map_err(|_| Error::NotFound("session"))?;
        Staff::new(visit.app(), &staff, &client(request)).end_session(parse(&id)?, session).await?;
        if staff.claims().is_some_and(|claims| claims.sid == session) {
            visit.clear();
        }
        Ok(Done::Gone)
    }

    /// Log everybody out
    ///
    /// Ends every session and API token of everybody, the own ones included. Only a superuser may.
    #[oai(path = "/v1/epoch", method = "post", operation_id = "advance_epoch")]
    async fn advance_epoch(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
    ) -> Result<Done, Problem> {
        Staff::new(visit.app(), &staff, &client(request)).end_everything().await?;
        visit.clear();
        Ok(Done::Gone)
    }
}
