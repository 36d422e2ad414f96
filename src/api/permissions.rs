//! Administration of the catalogue of permissions.

use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::administration::Staff;
use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{StaffRequired, client};
use crate::api::list::{self, Made, Tagged, slice, version};
use crate::api::problem::Problem;
use crate::api::session::Done;
use crate::api::visit::Visit;
use crate::app::unavailable;
use crate::error::Error;
use crate::rights::{Permission, PermissionEntry};

/// A permission.
#[derive(Object)]
#[oai(example, rename = "Permission")]
pub struct PermissionShown {
    /// Its name: `app_label.codename`.
    name: String,
    /// What it allows, for people.
    description: String,
}

impl PermissionShown {
    fn of(entry: &PermissionEntry) -> Self {
        Self { name: entry.name.as_str().to_owned(), description: entry.description.clone() }
    }
}

impl Example for PermissionShown {
    fn example() -> Self {
        Self { name: "polls.vote".to_owned(), description: "Can vote in polls".to_owned() }
    }
}

/// A page of permissions.
#[derive(Object)]
pub struct PermissionList {
    /// In the order of their names.
    items: Vec<PermissionShown>,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    next: Option<String>,
}

/// A permission to add.
#[derive(Object)]
#[oai(example)]
pub struct NewPermission {
    /// Its name: `app_label.codename`, each half of 1 to 100 letters, digits, `_` or `-`.
    name: String,
    /// What it allows, for people.
    description: Option<String>,
}

impl Example for NewPermission {
    fn example() -> Self {
        Self { name: "polls.vote".to_owned(), description: Some("Can vote in polls".to_owned()) }
    }
}

/// A change of a permission. Its name stays.
#[derive(Object)]
#[oai(example)]
pub struct PermissionPatch {
    /// What it allows, for people.
    description: String,
}

impl Example for PermissionPatch {
    fn example() -> Self {
        Self { description: "Can vote in polls that are open".to_owned() }
    }
}

/// Permission operations.
pub struct PermissionsApi;

fn parse(name: &str) -> Result<Permission, Error> {
    Permission::parse("name", name).map_err(|_| Error::NotFound("permission"))
}

#[OpenApi(tag = "Group::Permissions")]
impl PermissionsApi {
    /// List permissions
    ///
    /// In pages, by name: `next` is the `cursor` of the page that follows, null on the last.
    #[oai(path = "/v1/permissions", method = "get", operation_id = "list_permissions")]
    async fn list_permissions(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// Only permissions whose name or description contains this.
        search: Query<Option<String>>,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Permissions on a page: 1 to 200; 50 when it is left out.
        limit: Query<Option<u32>>,
    ) -> Result<Json<PermissionList>, Problem> {
        let slice = slice(search.as_deref(), cursor.as_deref(), limit.0)?;
        let page = visit.app().store().permissions(slice).await.map_err(unavailable)?;
        let items = page.items.iter().map(PermissionShown::of).collect();
        Ok(Json(PermissionList { items, next: list::cursor(page.next) }))
    }

    /// Add a permission
    ///
    /// Grants nothing to anybody. Only a superuser may.
    #[oai(path = "/v1/permissions", method = "post", operation_id = "create_permission")]
    async fn create_permission(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        Body(new): Body<NewPermission>,
    ) -> Result<Made<PermissionShown>, Problem> {
        let description = new.description.unwrap_or_default();
        let entry =
            Staff::new(visit.app(), &staff, &client(request)).create_permission(&new.name, &description).await?;
        Ok(Made::of(PermissionShown::of(&entry), entry.version))
    }

    /// Show a permission
    ///
    /// With its description. The `ETag` goes into `If-Match` of a change.
    #[oai(path = "/v1/permissions/:name", method = "get", operation_id = "get_permission")]
    async fn get_permission(
        &self,
        visit: Data<&Visit>,
        _staff: StaffRequired,
        /// The permission.
        name: Path<String>,
    ) -> Result<Tagged<PermissionShown>, Problem> {
        let name = parse(&name)?;
        let entry = visit.app().store().permission(&name).await.map_err(unavailable)?;
        let entry = entry.ok_or(Error::NotFound("permission"))?;
        Ok(Tagged::of(PermissionShown::of(&entry), entry.version))
    }

    /// Describe a permission
    ///
    /// Only a superuser may.
    #[oai(path = "/v1/permissions/:name", method = "patch", operation_id = "update_permission")]
    async fn update_permission(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The permission.
        name: Path<String>,
        /// The entity tag of the state that the change was made from.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(patch): Body<PermissionPatch>,
    ) -> Result<Tagged<PermissionShown>, Problem> {
        let wanted = version(if_match.as_deref())?;
        let from = client(request);
        let staff = Staff::new(visit.app(), &staff, &from);
        let entry = staff.describe_permission(&parse(&name)?, &patch.description, wanted).await?;
        Ok(Tagged::of(PermissionShown::of(&entry), entry.version))
    }

    /// Delete a permission
    ///
    /// Takes it from every user and group that has it. Only a superuser may.
    #[oai(path = "/v1/permissions/:name", method = "delete", operation_id = "delete_permission")]
    async fn delete_permission(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        /// The permission.
        name: Path<String>,
    ) -> Result<Done, Problem> {
        Staff::new(visit.app(), &staff, &client(request)).delete_permission(&parse(&name)?).await?;
        Ok(Done::Gone)
    }
}
