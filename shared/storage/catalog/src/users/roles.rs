//! Roles: names for permissions.

use derive_more::Display;
use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

use crate::{
    DatabaseAction, Permission, Permissions, ResourceSet, SystemEndpoint, TokenAction, UserAction,
};

/// The id of a role. Ids are never reused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Display,
)]
#[serde(transparent)]
pub struct RoleId(u64);

impl RoleId {
    /// The built-in role `Admin`: everything.
    pub const ADMIN: Self = Self(1);
    /// The built-in role `Auditor`: reads everything and changes nothing.
    pub const AUDITOR: Self = Self(2);
    /// The built-in role `Member`: what the other roles of the user grant.
    pub const MEMBER: Self = Self(3);

    /// The first id that is not that of a built-in role.
    pub(super) const FIRST_OWN: Self = Self(100);

    /// Creates the id with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns whether it is the id of a built-in role.
    pub fn is_built_in(self) -> bool {
        self < Self::FIRST_OWN
    }
}

/// The entry of a role in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleEntry {
    /// The name, unique among the existing roles.
    pub name: String,
    /// The description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The permissions.
    pub permissions: Permissions,
    /// When it was created, by the store's clock. Built-in roles have the time 0.
    pub created: StoreTime,
    /// When it was last changed.
    pub updated: StoreTime,
}

/// A role with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The id.
    pub id: RoleId,
    /// The entry.
    pub entry: RoleEntry,
}

/// Returns the built-in roles, by id.
pub(super) fn built_in_roles() -> [Role; 3] {
    let all = |actions: &[DatabaseAction]| Permission::Database {
        databases: ResourceSet::All,
        actions: actions.iter().copied().collect(),
    };
    let auditor = vec![
        all(&[DatabaseAction::Read, DatabaseAction::Describe]),
        Permission::System { endpoints: ResourceSet::All },
        Permission::Token { actions: [TokenAction::Read].into() },
        Permission::User { actions: [UserAction::Read].into() },
        Permission::Audit,
    ];
    let endpoints = [SystemEndpoint::Health, SystemEndpoint::Ping, SystemEndpoint::Ready];
    let member = vec![Permission::System { endpoints: ResourceSet::Of(endpoints.into()) }];
    let role = |id, name: &str, description: &str, permissions| Role {
        id,
        entry: RoleEntry {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            permissions,
            created: StoreTime::from_micros(0),
            updated: StoreTime::from_micros(0),
        },
    };
    [
        role(RoleId::ADMIN, "Admin", "Everything", Permissions::Admin),
        role(
            RoleId::AUDITOR,
            "Auditor",
            "Reads everything, changes nothing",
            Permissions::Of(auditor),
        ),
        role(
            RoleId::MEMBER,
            "Member",
            "What the other roles of the user grant",
            Permissions::Of(member),
        ),
    ]
}
