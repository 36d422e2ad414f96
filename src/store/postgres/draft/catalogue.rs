//! Groups and permissions in a commit: the catalogue from which users are granted.

use tokio_postgres::types::Type;

use super::{Draft, Outcome, Value, id};
use crate::claims::{GroupId, UserId};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::postgres::rows;
use crate::store::{StoreError, Write};

impl Draft<'_> {
    /// Locks the groups that are changed or deleted, before any of their members: nobody joins one meanwhile.
    pub(super) async fn lock_groups(&self, writes: &[Write]) -> Outcome<()> {
        let group = |write: &Write| match write {
            Write::ChangeGroup { group, .. } => Some(group.id),
            Write::DeleteGroup { id, .. } => Some(*id),
            _ => None,
        };
        let mut groups: Vec<GroupId> = writes.iter().filter_map(group).collect();
        groups.sort_unstable();
        for group in groups {
            let lock = "select id from groups where id = $1 for update";
            self.rows(lock, &[(&id(group.bytes()), Type::BYTEA)]).await?;
        }
        Ok(())
    }

    pub(super) async fn create_group(&self, group: &Group) -> Outcome<()> {
        let version = group.version.cast_signed();
        let values: [Value; 5] = [
            (&id(group.id.bytes()), Type::BYTEA),
            (&group.name, Type::TEXT),
            (&group.created, Type::TIMESTAMPTZ),
            (&version, Type::INT8),
            (&group.name.to_lowercase(), Type::TEXT),
        ];
        let text = "insert into groups (id, name, created, version, mentions) values ($1, $2, $3, $4, $5)";
        self.run(text, &values).await?;
        self.grant_to_group(group).await?;
        self.count_group_change().await
    }

    /// Tells nodes that follow that some group is another one.
    async fn count_group_change(&self) -> Outcome<()> {
        self.run("update facts set value = value + 1 where name = 'groups'", &[]).await?;
        Ok(())
    }

    async fn grant_to_group(&self, group: &Group) -> Outcome<()> {
        for permission in &group.permissions {
            let values: [Value; 2] = [(&id(group.id.bytes()), Type::BYTEA), (&permission.as_str(), Type::TEXT)];
            self.run("insert into group_permissions (group_id, permission) values ($1, $2)", &values).await?;
        }
        Ok(())
    }

    pub(super) async fn change_group(&self, group: &Group, was: u64) -> Outcome<()> {
        let key = id(group.id.bytes());
        let found = self.rows("select name, version from groups where id = $1", &[(&key, Type::BYTEA)]).await?;
        let old = found.first().ok_or(StoreError::Changed)?;
        if rows::number(old, 1)? != was {
            return Err(StoreError::Changed.into());
        }
        if rows::at::<&str>(old, 0)? != group.name {
            let members = "select user_id from memberships where group_id = $1";
            for member in self.rows(members, &[(&key, Type::BYTEA)]).await? {
                if !self.changed.contains(&UserId::from_bytes(rows::bytes(&member, 0)?)) {
                    return Err(StoreError::Changed.into());
                }
            }
        }
        let version = (was + 1).cast_signed();
        let values: [Value; 5] = [
            (&key, Type::BYTEA),
            (&group.name, Type::TEXT),
            (&group.created, Type::TIMESTAMPTZ),
            (&version, Type::INT8),
            (&group.name.to_lowercase(), Type::TEXT),
        ];
        let text = "update groups set name = $2, created = $3, version = $4, mentions = $5 where id = $1";
        self.run(text, &values).await?;
        self.run("delete from group_permissions where group_id = $1", &[(&key, Type::BYTEA)]).await?;
        self.grant_to_group(group).await?;
        self.count_group_change().await
    }

    pub(super) async fn delete_group(&self, group: GroupId, was: u64) -> Outcome<()> {
        let values: [Value; 2] = [(&id(group.bytes()), Type::BYTEA), (&was.cast_signed(), Type::INT8)];
        some(self.run("delete from groups where id = $1 and version = $2", &values).await?)?;
        self.count_group_change().await
    }

    pub(super) async fn create_permission(&self, permission: &PermissionEntry) -> Outcome<()> {
        let version = permission.version.cast_signed();
        let values: [Value; 4] = [
            (&permission.name.as_str(), Type::TEXT),
            (&permission.description, Type::TEXT),
            (&version, Type::INT8),
            (&mentions(permission), Type::TEXT),
        ];
        let text = "insert into permissions (name, description, version, mentions) values ($1, $2, $3, $4)";
        self.run(text, &values).await?;
        Ok(())
    }

    pub(super) async fn change_permission(&self, permission: &PermissionEntry, was: u64) -> Outcome<()> {
        let text = "update permissions set description = $2, version = $3 + 1, mentions = $4 \
            where name = $1 and version = $3";
        let was = was.cast_signed();
        let values: [Value; 4] = [
            (&permission.name.as_str(), Type::TEXT),
            (&permission.description, Type::TEXT),
            (&was, Type::INT8),
            (&mentions(permission), Type::TEXT),
        ];
        some(self.run(text, &values).await?)
    }

    pub(super) async fn delete_permission(&self, name: &Permission, was: u64) -> Outcome<()> {
        let values: [Value; 2] = [(&name.as_str(), Type::TEXT), (&was.cast_signed(), Type::INT8)];
        some(self.run("delete from permissions where name = $1 and version = $2", &values).await?)
    }
}

/// What a search looks at, in lower case: no text runs over the end of a line.
fn mentions(permission: &PermissionEntry) -> String {
    format!("{}\n{}", permission.name, permission.description).to_lowercase()
}

/// `Changed` when the record is not there at the version.
fn some(found: u64) -> Outcome<()> {
    if found == 0 { Err(StoreError::Changed.into()) } else { Ok(()) }
}
