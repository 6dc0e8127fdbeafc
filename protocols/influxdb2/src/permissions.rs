//! The permissions of InfluxDB 2 as those of Neap, and back.
//!
//! | InfluxDB 2 | Neap |
//! |---|---|
//! | read, write a bucket | `db:NAME:read`, `db:NAME:write` |
//! | read all buckets | `db:*:read` |
//! | write all buckets, which includes their creation and deletion | `db:*:write,create,delete` |
//! | read, write authorizations | `token:*:read`, `token:*:create,delete` |
//! | read, write users | `user:*:read`, `user:*:create,update,delete` |
//! | read and write the instance, or everything | `*:*:*` |
//! | read and write the own user, read the organization | nothing, because everyone may |
//! | all others | refused, because Neap has no such resources |

use neap_bucket::StoreTime;
use neap_catalog::{
    DatabaseAction, InfluxDb2Id, Permission, PermissionRequest, Permissions, ResourceSet,
    RootCatalog, TokenAction, TokenEntry, UserAction,
};
use neap_http::{ApiError, Caller};
use neap_schema::DatabaseId;
use neap_write::WriteService;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    buckets::{Bucket, no_bucket},
    organizations::DEFAULT_NAME,
    requests::{invalid, parse_id},
    users::User,
};

const AUTHORIZATIONS: &str = "authorizations";
const BUCKETS: &str = "buckets";
const INSTANCE: &str = "instance";
const ORGANIZATIONS: &str = "orgs";
const USERS: &str = "users";

/// The types of resources that a token may have permissions for.
pub(crate) const RESOURCE_TYPES: [&str; 4] = [AUTHORIZATIONS, BUCKETS, INSTANCE, USERS];

/// The types for which only administrators have permissions: the instance, and everything.
const ADMINISTRATED: [&str; 2] = [INSTANCE, "any"];

/// An action on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Read,
    Write,
}

impl Action {
    const ALL: [Self; 2] = [Self::Read, Self::Write];

    fn on_database(self) -> DatabaseAction {
        match self {
            Self::Read => DatabaseAction::Read,
            Self::Write => DatabaseAction::Write,
        }
    }
}

/// A permission in a request. Its organization has no effect.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestedPermission {
    action: Action,
    resource: RequestedResource,
}

#[derive(Debug, Deserialize)]
struct RequestedResource {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    name: Option<String>,
}

/// The caller of a request about tokens, who learns only of buckets that it may see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenScope<'a> {
    root: &'a RootCatalog,
    caller: &'a Caller,
    now: Option<StoreTime>,
}

impl<'a> TokenScope<'a> {
    pub(crate) fn new(service: &WriteService, root: &'a RootCatalog, caller: &'a Caller) -> Self {
        let now = service.catalog().bucket().clock().now();
        Self { root, caller, now }
    }

    /// Returns whether a token has not expired.
    pub(crate) fn is_active(&self, token: &TokenEntry) -> bool {
        self.now.is_none_or(|now| token.is_active(now))
    }

    /// Returns the bucket of a database that the caller may see.
    fn bucket(&self, database: DatabaseId) -> Option<Bucket> {
        let bucket = Bucket::find(self.root, database)?;
        self.caller.can_see(database).then_some(bucket)
    }

    /// Returns the permissions of Neap for those of a request.
    ///
    /// # Errors
    /// `Invalid`: Neap has no counterpart of one of them, or they allow nothing. `NotFound`: the caller can't see a bucket.
    pub(crate) fn resolve(
        &self,
        permissions: &[RequestedPermission],
    ) -> Result<Vec<PermissionRequest>, ApiError> {
        if is_administrator(permissions) {
            return Ok(vec![request("*", "*", &["*"])]);
        }
        let mut requests = Vec::new();
        for permission in permissions {
            requests.extend(self.resolve_one(permission)?);
        }
        if requests.is_empty() {
            return Err(invalid("authorization must include permissions"));
        }
        Ok(requests)
    }

    /// Returns the permission of Neap; `None`: everyone has the permission.
    fn resolve_one(
        &self,
        permission: &RequestedPermission,
    ) -> Result<Option<PermissionRequest>, ApiError> {
        let RequestedPermission { action, resource } = permission;
        let for_all = |resource_type: &str, read: &[&str], write: &[&str]| {
            let actions = match action {
                Action::Read => read,
                Action::Write => write,
            };
            Ok(Some(request(resource_type, "*", actions)))
        };
        match (resource.kind.as_str(), resource.id.as_deref()) {
            (BUCKETS, Some(id)) => {
                let bucket = parse_id(id)?.database().and_then(|id| self.bucket(id));
                let name = bucket.ok_or_else(no_bucket)?.name;
                let action = action.on_database().as_str();
                Ok(Some(request("db", &name, &[action])))
            }
            (BUCKETS, None) if resource.name.is_some() => Err(invalid(
                "a permission names its bucket by id; without an id, it is for all buckets",
            )),
            (BUCKETS, None) => for_all("db", &["read"], &["write", "create", "delete"]),
            (AUTHORIZATIONS, None) => for_all("token", &["read"], &["create", "delete"]),
            (USERS, None) => for_all("user", &["read"], &["create", "update", "delete"]),
            (USERS, Some(id)) if parse_id(id)? == User::from_caller(self.caller).id => Ok(None),
            (AUTHORIZATIONS | USERS, Some(_)) => {
                let kind = &resource.kind;
                Err(invalid(format!("a permission for {kind} is for all of them")))
            }
            (ORGANIZATIONS, _) if *action == Action::Read => Ok(None),
            (ORGANIZATIONS, _) => Err(invalid("the organization can't be changed")),
            (kind, _) if ADMINISTRATED.contains(&kind) => Err(invalid(format!(
                "permissions for type {kind} are those of an administrator: read and write"
            ))),
            (kind, _) => Err(invalid(format!(
                "Neap has no {kind}, so a token can't have permissions for them"
            ))),
        }
    }

    /// Returns the permissions of a token in an answer, as far as InfluxDB 2 has them.
    pub(crate) fn show(&self, permissions: &Permissions) -> Vec<Value> {
        let Permissions::Of(permissions) = permissions else {
            return RESOURCE_TYPES.iter().flat_map(|kind| shown(kind, true, true)).collect();
        };
        let all = permissions.iter().flat_map(|permission| match permission {
            Permission::Database { databases, actions } => {
                let [read, write] = Action::ALL.map(|it| actions.contains(&it.on_database()));
                match databases {
                    ResourceSet::All => shown(BUCKETS, read, write),
                    ResourceSet::Of(ids) => {
                        let of_bucket = |id| self.show_bucket(id, shown(BUCKETS, read, write));
                        ids.iter().copied().flat_map(of_bucket).collect()
                    }
                }
            }
            Permission::Token { actions } => {
                let write = actions.iter().any(|action| *action != TokenAction::Read);
                shown(AUTHORIZATIONS, actions.contains(&TokenAction::Read), write)
            }
            Permission::User { actions } => {
                let write = actions.iter().any(|action| *action != UserAction::Read);
                shown(USERS, actions.contains(&UserAction::Read), write)
            }
            Permission::System { .. } | Permission::Audit | Permission::Site { .. } => Vec::new(),
        });
        all.collect()
    }

    /// Adds the id of a bucket, and its name if the caller may see it.
    fn show_bucket(&self, database: DatabaseId, mut permissions: Vec<Value>) -> Vec<Value> {
        let name = self.bucket(database).map(|bucket| bucket.name);
        for permission in &mut permissions {
            let resource = permission.get_mut("resource");
            if let Some(resource) = resource.and_then(Value::as_object_mut) {
                let id = InfluxDb2Id::from(database).to_string();
                resource.insert("id".to_owned(), id.into());
                resource.extend(name.clone().map(|name| ("name".to_owned(), name.into())));
            }
        }
        permissions
    }
}

/// Returns whether permissions are those of an administrator.
fn is_administrator(permissions: &[RequestedPermission]) -> bool {
    ADMINISTRATED.iter().any(|kind| {
        Action::ALL.iter().all(|action| {
            let mut all = permissions.iter();
            all.any(|it| it.action == *action && it.resource.kind == *kind)
        })
    })
}

fn request(resource_type: &str, name: &str, actions: &[&str]) -> PermissionRequest {
    PermissionRequest {
        resource_type: resource_type.to_owned(),
        resource_names: vec![name.to_owned()],
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
    }
}

/// Returns the permissions for all resources of a type.
fn shown(kind: &str, is_read: bool, is_write: bool) -> Vec<Value> {
    let allowed = [(Action::Read, is_read), (Action::Write, is_write)];
    let actions = allowed
        .into_iter()
        .filter_map(|(action, is_allowed)| is_allowed.then_some(action));
    let permissions = actions.map(|action| {
        json!({
            "action": action,
            "resource": { "type": kind, "orgID": InfluxDb2Id::ORGANIZATION, "org": DEFAULT_NAME },
        })
    });
    permissions.collect()
}
