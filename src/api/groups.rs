//! Administration of groups.

use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::administration::{GroupChange, Staff};
use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{StaffRequired, client};
use crate::api::json::Time;
use crate::api::list::{self, Made, Tagged, slice, version};
use crate::api::problem::Problem;
use crate::api::session::Done;
use crate::api::shown::names;
use crate::api::visit::Visit;
use crate::app::unavailable;
use crate::claims::{GroupId, instant};
use crate::error::Error;
use crate::rights;

/// A group: permissions that all its members have.
#[derive(Object)]
#[oai(example, rename = "Group")]
pub struct GroupShown {
    /// Its identifier, which outlives a change of name.
    id: String,
    /// Its name.
    name: String,
    /// What it grants.
    permissions: Vec<String>,
    /// When it was made.
    created_at: Time,
}

impl GroupShown {
    fn of(group: &rights::Group) -> Self {
        Self {
            id: group.id.to_string(),
            name: group.name.clone(),
            permissions: names(&group.permissions),
            created_at: Time(group.created),
        }
    }
}

impl Example for GroupShown {
    fn example() -> Self {
        Self {
            id: "Vw3mEr9xQ0uYt2aZbC4dfg".to_owned(),
            name: "editors".to_owned(),
            permissions: vec!["polls.close".to_owned(), "polls.vote".to_owned()],
            created_at: Time(instant(1_890_000_000)),
        }
    }
}

/// A page of groups.
#[derive(Object)]
pub struct GroupList {
    /// In the order of their names.
    items: Vec<GroupShown>,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    next: Option<String>,
}

/// A group to make.
#[derive(Object)]
#[oai(example)]
pub struct NewGroup {
    /// Its name: 1 to 150 characters.
    name: String,
    /// What it grants; nothing when it is left out.
    #[oai(validator(max_items = 2000))]
    permissions: Option<Vec<String>>,
}

impl Example for NewGroup {
    fn example() -> Self {
        Self { name: "editors".to_owned(), permissions: Some(Vec::new()) }
    }
}

/// A change of a group. What is left out stays as it is.
#[derive(Object)]
#[oai(example)]
pub struct GroupPatch {
    /// Its name.
    name: Option<String>,
    /// All that it grants.
    #[oai(validator(max_items = 2000))]
    permissions: Option<Vec<String>>,
}

impl Example for GroupPatch {
    fn example() -> Self {
        Self { name: Some("authors".to_owned()), permissions: None }
    }
}

/// Group operations.
pub struct GroupsApi;

fn parse(id: &str) -> Result<GroupId, Error> {
    id.parse().map_err(|_| Error::NotFound("group"))
}

#[OpenApi(tag = "Group::Groups")]
impl GroupsApi {
    /// List groups
    ///
    /// In pages, by name: `next` is the `cursor` of the page that follows, null on the last.
    #[oai(path = "/v1/groups", method = "get", operation_id = "list_groups")]
    async fn list_groups(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// Only groups whose name contains this.
        search: Query<Option<String>>,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Groups on a page: 1 to 200; 50 when it is left out.
        limit: Query<Option<u32>>,
    ) -> Result<Json<GroupList>, Problem> {
        let slice = slice(search.as_deref(), cursor.as_deref(), limit.0)?;
        let page = visit.app().store().groups(slice).await.map_err(unavailable)?;
        let items = page.items.iter().map(GroupShown::of).collect();
        Ok(Json(GroupList { items, next: list::cursor(page.next) }))
    }

    /// Make a group
    ///
    /// Nobody puts more into a group than the own rights.
    #[oai(path = "/v1/groups", method = "post", operation_id = "create_group")]
    async fn create_group(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        Body(new): Body<NewGroup>,
    ) -> Result<Made<GroupShown>, Problem> {
        let permissions = new.permissions.unwrap_or_default();
        let group = Staff::new(visit.app(), &staff, &client(request)).create_group(&new.name, &permissions).await?;
        Ok(Made::of(GroupShown::of(&group), group.version))
    }

    /// Show a group
    ///
    /// With its permissions. The `ETag` goes into `If-Match` of a change.
    #[oai(path = "/v1/groups/:id", method = "get", operation_id = "get_group")]
    async fn get_group(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// The group.
        id: Path<String>,
    ) -> Result<Tagged<GroupShown>, Problem> {
        let group = visit.app().store().group(parse(&id)?).await.map_err(unavailable)?;
        let group = group.ok_or(Error::NotFound("group"))?;
        Ok(Tagged::of(GroupShown::of(&group), group.version))
    }

    /// Change a group
    ///
    /// Acts at once on everybody in it. Another name takes a superuser.
    #[oai(path = "/v1/groups/:id", method = "patch", operation_id = "update_group")]
    async fn update_group(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The group.
        id: Path<String>,
        /// The entity tag of the state that the change was made from.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(patch): Body<GroupPatch>,
    ) -> Result<Tagged<GroupShown>, Problem> {
        let GroupPatch { name, permissions } = patch;
        let change = GroupChange { name, permissions };
        let wanted = version(if_match.as_deref())?;
        let group =
            Staff::new(visit.app(), &staff, &client(request)).change_group(parse(&id)?, &change, wanted).await?;
        Ok(Tagged::of(GroupShown::of(&group), group.version))
    }

    /// Delete a group
    ///
    /// Its members lose what it granted.
    #[oai(path = "/v1/groups/:id", method = "delete", operation_id = "delete_group")]
    async fn delete_group(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The group.
        id: Path<String>,
    ) -> Result<Done, Problem> {
        Staff::new(visit.app(), &staff, &client(request)).delete_group(parse(&id)?).await?;
        Ok(Done::Gone)
    }
}
