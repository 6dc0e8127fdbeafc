//! The bodies of answers about users and roles. Times are in seconds since 1970.

use neap_bucket::StoreTime;
use neap_catalog::{
    DatabaseAction, Permission, Permissions, ResourceSet, Role, RootCatalog, TokenAction,
    UserAction, UserEntry, UserId,
};
use serde::Serialize;

fn seconds(time: StoreTime) -> i64 {
    time.micros() / 1_000_000
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserAnswer<'a> {
    user_id: UserId,
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_password_reset: Option<bool>,
    created_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth_id: Option<&'a str>,
    /// Names of roles.
    roles: Vec<String>,
    /// Only in the answer to the creation of the first user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operator_token: Option<&'a str>,
}

impl<'a> UserAnswer<'a> {
    pub(super) fn new(root: &RootCatalog, id: UserId, user: &'a UserEntry) -> Self {
        let roles = user.all_roles().filter_map(|id| root.role(id));
        Self {
            user_id: id,
            username: &user.name,
            display_name: user.display_name.as_deref(),
            requires_password_reset: user.password.as_ref().map(|_| user.requires_reset),
            created_at: seconds(user.created),
            updated_at: seconds(user.updated),
            expires_at: user.expiry.map(seconds),
            disabled: user.disabled,
            oauth_id: user.oauth_id.as_deref(),
            roles: roles.map(|role| role.entry.name).collect(),
            operator_token: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoleAnswer {
    id: u64,
    name: String,
    is_required_role: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl From<Role> for RoleAnswer {
    fn from(role: Role) -> Self {
        Self {
            id: role.id.get(),
            is_required_role: role.id.is_built_in(),
            name: role.entry.name,
            description: role.entry.description,
            created_at: seconds(role.entry.created),
            updated_at: seconds(role.entry.updated),
        }
    }
}

/// A list of users or roles.
#[derive(Serialize)]
pub(super) struct ListAnswer<T> {
    pub(super) items: Vec<T>,
}

/// A permission in the terms of InfluxDB 3 Enterprise.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PermissionAnswer {
    resource_type: &'static str,
    actions: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifiers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    all_resources: Option<bool>,
}

impl PermissionAnswer {
    fn without_names(resource_type: &'static str, actions: Vec<&'static str>) -> Self {
        Self {
            resource_type,
            actions,
            identifiers: None,
            all_resources: None,
        }
    }
}

/// The permissions of a role.
#[derive(Serialize)]
pub(super) struct PermissionsAnswer {
    /// Those that the terms of Enterprise can express.
    permissions: Vec<PermissionAnswer>,
    /// All, in the grammar of tokens.
    text: String,
}

impl PermissionsAnswer {
    pub(super) fn new(root: &RootCatalog, permissions: &Permissions) -> Self {
        let shown = match permissions {
            Permissions::Admin => all_permissions(),
            Permissions::Of(permissions) => {
                permissions.iter().flat_map(|permission| shown(root, permission)).collect()
            }
        };
        Self { permissions: shown, text: permissions.named(root) }
    }
}

fn all_permissions() -> Vec<PermissionAnswer> {
    let databases: Vec<_> = DatabaseAction::ALL.iter().map(|it| it.as_str()).collect();
    let tokens: Vec<_> = TokenAction::ALL.iter().map(|it| it.as_str()).collect();
    let users: Vec<_> = UserAction::ALL.iter().map(|it| it.as_str()).collect();
    vec![
        PermissionAnswer {
            resource_type: "database",
            actions: databases,
            identifiers: Some(Vec::new()),
            all_resources: Some(true),
        },
        PermissionAnswer::without_names("token", tokens.clone()),
        PermissionAnswer::without_names("user", users.clone()),
        PermissionAnswer::without_names("role", users),
        PermissionAnswer::without_names("admin_token", tokens),
    ]
}

fn shown(root: &RootCatalog, permission: &Permission) -> Vec<PermissionAnswer> {
    match permission {
        Permission::Database { databases, actions } => {
            let names = match databases {
                ResourceSet::All => Vec::new(),
                ResourceSet::Of(ids) => {
                    let entries = ids.iter().filter_map(|id| root.databases().get(id));
                    entries.map(|entry| entry.name.clone()).collect()
                }
            };
            vec![PermissionAnswer {
                resource_type: "database",
                actions: actions.iter().map(|action| action.as_str()).collect(),
                identifiers: Some(names),
                all_resources: Some(*databases == ResourceSet::All),
            }]
        }
        Permission::Token { actions } => {
            let actions = actions.iter().map(|action| action.as_str()).collect();
            vec![PermissionAnswer::without_names("token", actions)]
        }
        Permission::User { actions } => {
            let actions: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
            let of_users = PermissionAnswer::without_names("user", actions.clone());
            vec![of_users, PermissionAnswer::without_names("role", actions)]
        }
        Permission::System { .. } | Permission::Audit | Permission::Site { .. } => Vec::new(),
    }
}
