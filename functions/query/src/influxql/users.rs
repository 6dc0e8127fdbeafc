//! Statements about users: `CREATE USER`, `GRANT`, `SHOW USERS` and others.
//!
//! The users are those who sign in. A privilege for a database is a grant to the user, and `ALL PRIVILEGES` is the role of
//! administrators. The rules are those of the endpoints for users.

use std::{collections::BTreeSet, sync::Arc};

use arrow::array::{ArrayRef, BooleanArray, StringArray};
use neap_catalog::{
    CatalogError, DatabaseAction, NewUser, RoleId, UserAction, UserChange, UserEntry, UserId,
};
use neap_identity::IdentityService;
use neap_influxql::{Password, Privilege, UserPrivilege, UserStatement};

use super::{
    error::InfluxqlError,
    server_statements::answer,
    session::{InfluxqlSession, StatementAnswer},
};
use crate::QueryError;

type ChangeResult = Result<(), InfluxqlError>;

impl InfluxqlSession {
    /// Executes a statement that changes a user.
    pub(super) async fn change_user(
        &self,
        statement: &UserStatement,
    ) -> Result<StatementAnswer, InfluxqlError> {
        self.caller.require_users(match statement {
            UserStatement::Create { .. } => UserAction::Create,
            UserStatement::Drop { .. } => UserAction::Delete,
            UserStatement::SetPassword { .. }
            | UserStatement::Grant(_)
            | UserStatement::Revoke(_) => UserAction::Update,
        })?;
        let Some(identity) = self.engine.identity() else {
            let text = "there are no users: Neap was started without user auth";
            return Err(InfluxqlError::Invalid(text.to_owned()));
        };
        let changed = match statement {
            UserStatement::Create { user, password, is_admin } => {
                self.create_user(identity, user, password, *is_admin).await
            }
            UserStatement::Drop { user } => self.drop_user(user).await,
            UserStatement::SetPassword { user, password } => {
                self.set_password(identity, user, password).await
            }
            UserStatement::Grant(privilege) => self.change_privilege(privilege, true).await,
            UserStatement::Revoke(privilege) => self.change_privilege(privilege, false).await,
        };
        match changed {
            Ok(()) => Ok(StatementAnswer::done(None)),
            Err(InfluxqlError::Catalog(
                error @ (CatalogError::Forbidden | CatalogError::Revoked),
            )) => Err(InfluxqlError::Forbidden(error.into())),
            Err(InfluxqlError::Catalog(CatalogError::UserExists { .. })) => {
                Err(InfluxqlError::Invalid("user already exists".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a user, who must replace the password at the first sign-in, because another one has chosen it.
    async fn create_user(
        &self,
        identity: &IdentityService,
        name: &str,
        password: &Password,
        is_admin: bool,
    ) -> ChangeResult {
        let role = if is_admin {
            RoleId::ADMIN
        } else {
            RoleId::MEMBER
        };
        let new = NewUser {
            name: name.to_owned(),
            password: Some(identity.hash_password(password.reveal()).await?),
            requires_reset: true,
            roles: [role].into(),
            ..NewUser::default()
        };
        self.engine.catalog().create_user(&new, self.caller.actor()).await?;
        Ok(())
    }

    async fn drop_user(&self, name: &str) -> ChangeResult {
        let (id, _) = self.find_user(name).await?;
        Ok(self.engine.catalog().delete_user(id, self.caller.actor()).await?)
    }

    async fn set_password(
        &self,
        identity: &IdentityService,
        name: &str,
        password: &Password,
    ) -> ChangeResult {
        let (id, _) = self.find_user(name).await?;
        let change = UserChange {
            password: Some(identity.hash_password(password.reveal()).await?),
            ..UserChange::default()
        };
        self.engine.catalog().update_user(id, &change, self.caller.actor()).await?;
        Ok(())
    }

    async fn change_privilege(&self, privilege: &UserPrivilege, is_grant: bool) -> ChangeResult {
        let (id, entry) = self.find_user(&privilege.user).await?;
        let Some(database) = &privilege.database else {
            return self.set_administrator(id, &entry, is_grant).await;
        };
        let actions: &[DatabaseAction] = match privilege.privilege {
            Privilege::Read => &[DatabaseAction::Read],
            Privilege::Write => &[DatabaseAction::Write],
            Privilege::All => &[DatabaseAction::Read, DatabaseAction::Write],
        };
        let (catalog, by) = (self.engine.catalog(), self.caller.actor());
        let changed = if is_grant {
            catalog.grant_actions(id, database, actions, by).await
        } else {
            catalog.revoke_actions(id, database, actions, by).await
        };
        match changed {
            Err(CatalogError::NotFound { name }) if name == *database => {
                Err(QueryError::DatabaseNotFound(name).into())
            }
            changed => Ok(changed?),
        }
    }

    /// Gives the role of administrators to a user, or takes it away.
    async fn set_administrator(
        &self,
        id: UserId,
        entry: &UserEntry,
        is_administrator: bool,
    ) -> ChangeResult {
        let mut roles = entry.roles.clone();
        if is_administrator {
            roles.insert(RoleId::ADMIN);
        } else {
            roles.remove(&RoleId::ADMIN);
            if roles.is_empty() {
                roles.insert(RoleId::MEMBER);
            }
            self.check_no_administrator(entry, &roles).await?;
        }
        if roles != entry.roles {
            let catalog = self.engine.catalog();
            catalog.set_user_roles(id, &roles, self.caller.actor()).await?;
        }
        Ok(())
    }

    /// Refuses other roles of a user that allow everything.
    async fn check_no_administrator(
        &self,
        entry: &UserEntry,
        roles: &BTreeSet<RoleId>,
    ) -> ChangeResult {
        let root = self.seen.root(self.engine.catalog()).await?;
        let mut others = roles.union(&entry.group_roles).filter_map(|id| root.role(*id));
        match others.find(|role| role.entry.permissions.is_admin()) {
            None => Ok(()),
            Some(role) => Err(InfluxqlError::Invalid(format!(
                "the role '{}' of the user '{}' allows everything",
                role.entry.name, entry.name
            ))),
        }
    }

    async fn find_user(&self, name: &str) -> Result<(UserId, UserEntry), InfluxqlError> {
        let root = self.seen.root(self.engine.catalog()).await?;
        let user = root.user_by_name(name).map(|(id, entry)| (id, entry.clone()));
        user.ok_or_else(|| InfluxqlError::Invalid("user not found".to_owned()))
    }

    /// Answers `SHOW USERS`.
    pub(super) async fn users(&self) -> Result<StatementAnswer, InfluxqlError> {
        self.caller.require_users(UserAction::Read)?;
        let root = self.seen.root(self.engine.catalog()).await?;
        let users = root.users().values();
        let names: StringArray = users.clone().map(|user| Some(&user.name)).collect();
        let is_admin = users.map(|user| Some(root.user_permissions(user).is_admin()));
        let columns: Vec<(_, ArrayRef)> = vec![
            ("user", Arc::new(names)),
            ("admin", Arc::new(is_admin.collect::<BooleanArray>())),
        ];
        answer(None, columns)
    }

    /// Answers `SHOW GRANTS`: what a user may do with each database. A retention policy is shown only if the user may do more
    /// with it than with its database.
    pub(super) async fn grants(&self, user: &str) -> Result<StatementAnswer, InfluxqlError> {
        self.caller.require_users(UserAction::Read)?;
        let (_, entry) = self.find_user(user).await?;
        let root = self.seen.root(self.engine.catalog()).await?;
        let permissions = root.user_permissions(&entry);
        let privilege = |id| {
            let may = |action| permissions.allow(action, Some(id));
            match (may(DatabaseAction::Read), may(DatabaseAction::Write)) {
                (true, true) => Some("ALL PRIVILEGES"),
                (true, false) => Some("READ"),
                (false, true) => Some("WRITE"),
                (false, false) => None,
            }
        };
        let shown = root.live_databases().filter_map(|(id, database)| {
            let of_parent = database.name.split_once('/').and_then(|(name, _)| root.database(name));
            let privilege_of_parent = of_parent.and_then(privilege);
            let own = privilege(id).filter(|own| privilege_of_parent != Some(*own));
            Some((database.name.as_str(), own?))
        });
        let mut rows: Vec<_> = shown.collect();
        rows.sort_unstable();
        let names: StringArray = rows.iter().map(|(name, _)| Some(*name)).collect();
        let privileges: StringArray = rows.iter().map(|(_, shown)| Some(*shown)).collect();
        let columns: Vec<(_, ArrayRef)> =
            vec![("database", Arc::new(names)), ("privilege", Arc::new(privileges))];
        answer(None, columns)
    }
}
