//! Passwords, and the permissions that statements need.

use neap_catalog::{NewRole, NewUser, PermissionRequest, RoleId, SecretToken};
use neap_schema::{ColumnType, OnDuplicate};
use tokio_postgres::Config;

use super::test_bed::{ListenerTestBed, connect, state, texts};
use crate::PostgresSettings;

async fn guarded() -> ListenerTestBed {
    let bed = ListenerTestBed::with(true, PostgresSettings::default()).await;
    bed.catalog.create_database("other", None).await.unwrap();
    bed
}

/// Creates a token with a permission, and returns the options of a client that presents it.
async fn config_with(bed: &ListenerTestBed, permission: &str) -> Config {
    let requested: PermissionRequest = permission.parse().unwrap();
    let catalog = &bed.catalog;
    let requests = [requested];
    let created = catalog.create_resource_token(permission, &requests, None, None);
    let token = created.await.unwrap();
    let mut config = bed.config();
    config.password(token.secret.reveal());
    config
}

async fn create_user(bed: &ListenerTestBed, name: &str, password: &str, role: RoleId) {
    let identity = bed.writes.identity().unwrap();
    let user = NewUser {
        name: name.to_owned(),
        password: Some(identity.hash_password(password).await.unwrap()),
        roles: [role].into(),
        ..NewUser::default()
    };
    bed.catalog.create_user(&user, None).await.unwrap();
}

#[tokio::test]
async fn passwords_of_users_may_have_the_look_of_tokens() {
    let bed = guarded().await;
    for (name, password) in [("bob", "one.two.three"), ("eve", "apiv3_is_my_password")] {
        create_user(&bed, name, password, RoleId::ADMIN).await;
        let mut config = bed.config();
        let client = connect(config.user(name).password(password)).await.unwrap();
        assert_eq!(texts(&client, "SELECT count(*) FROM cpu").await, [["3"]]);
        let error = connect(config.password(format!("{password}."))).await.unwrap_err();
        assert_eq!(state(&error), "28P01", "{name}");
    }
}

#[tokio::test]
async fn tokens_of_any_form_and_those_of_sessions_are_passwords() {
    let bed = guarded().await;
    let chosen = SecretToken::new("my.own.token");
    assert!(bed.catalog.install_admin_token(chosen.hash(), None).await.unwrap());
    create_user(&bed, "ann", "correct horse", RoleId::ADMIN).await;
    let identity = bed.writes.identity().unwrap();
    let session = identity.sign_in("ann", "correct horse", "client").await.unwrap();
    for token in [chosen.reveal(), session.access_token.as_str()] {
        let client = connect(bed.config().password(token)).await.unwrap();
        assert_eq!(texts(&client, "SELECT count(*) FROM cpu").await, [["3"]]);
    }
}

#[tokio::test]
async fn the_password_is_a_token() {
    let bed = guarded().await;
    let error = connect(bed.config().password("apiv3_wrong")).await.unwrap_err();
    assert_eq!(state(&error), "28P01");
    let client = connect(&config_with(&bed, "db:home:read").await).await.unwrap();
    assert_eq!(texts(&client, "SELECT count(*) FROM cpu").await, [["3"]]);
    assert!(bed.metrics.render().contains("reason=\"unauthenticated\"} 1"));
}

#[tokio::test]
async fn a_token_reads_and_writes_what_it_permits() {
    let bed = guarded().await;
    let reader = connect(&config_with(&bed, "db:home:read").await).await.unwrap();
    for sql in [
        "INSERT INTO cpu (time, usage) VALUES (now(), 1)",
        "DELETE FROM cpu",
        "CREATE TABLE t (v DOUBLE)",
        "DROP TABLE cpu",
        "ALTER TABLE cpu RENAME TO cpus",
        "CREATE DATABASE mine",
        "DROP DATABASE other",
        "DROP DATABASE missing",
        "COPY cpu (time, usage) FROM STDIN",
    ] {
        let error = reader.simple_query(sql).await.unwrap_err();
        assert_eq!(state(&error), "42501", "{sql}");
    }
    let writer = connect(&config_with(&bed, "db:home:write").await).await.unwrap();
    let error = writer.simple_query("SELECT * FROM cpu").await.unwrap_err();
    assert_eq!(state(&error), "42501");
}

#[tokio::test]
async fn a_token_that_appends_inserts_rows_and_deletes_none() {
    let bed = guarded().await;
    let kept = bed.catalog.create_database("kept", None).await.unwrap();
    bed.catalog.set_on_duplicate(kept, OnDuplicate::Keep).await.unwrap();
    let usage = [("usage".to_owned(), ColumnType::Float)];
    bed.catalog.create_table(kept, "cpu", &[], &usage).await.unwrap();
    let mut config = config_with(&bed, "db:home,kept:read,append").await;
    let insert = "INSERT INTO cpu (time, usage) VALUES (now(), 1)";
    let replacing = connect(&config).await.unwrap();
    let error = replacing.simple_query(insert).await.unwrap_err();
    assert_eq!(state(&error), "42501");
    let appender = connect(config.dbname("kept")).await.unwrap();
    appender.batch_execute(insert).await.unwrap();
    for sql in [
        "DELETE FROM cpu",
        "CREATE TABLE t (v DOUBLE)",
        "DROP TABLE cpu",
        "ALTER TABLE cpu RENAME TO cpus",
    ] {
        let error = appender.simple_query(sql).await.unwrap_err();
        assert_eq!(state(&error), "42501", "{sql}");
    }
    assert_eq!(texts(&appender, "SELECT count(*) FROM cpu").await, [["1"]]);
}

#[tokio::test]
async fn rows_of_a_user_without_the_permission_to_write_are_not_stored_at_commit() {
    let bed = guarded().await;
    let permissions = |actions: &str| -> Vec<PermissionRequest> {
        vec![format!("db:home:{actions}").parse().unwrap()]
    };
    let writer = NewRole {
        name: "writer".to_owned(),
        description: None,
        permissions: permissions("read,write"),
    };
    let role = bed.catalog.create_role(&writer, None).await.unwrap().id;
    let password = "correct horse";
    create_user(&bed, "ann", password, role).await;
    let client = connect(bed.config().password(password)).await.unwrap();
    let insert = "BEGIN; INSERT INTO cpu (time, usage) VALUES (now(), 1)";
    client.batch_execute(insert).await.unwrap();
    let reading = permissions("read");
    bed.catalog.set_role_permissions(role, &reading, None).await.unwrap();
    let error = client.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(state(&error), "42501");
    assert_eq!(texts(&client, "SELECT count(*) FROM cpu").await, [["3"]]);
}

#[tokio::test]
async fn databases_without_permission_and_unknown_ones_are_refused() {
    let bed = guarded().await;
    let mut config = config_with(&bed, "db:home:read").await;
    for database in ["other", "missing"] {
        let error = connect(config.dbname(database)).await.unwrap_err();
        assert_eq!(state(&error), "42501", "{database}");
    }
    let open = ListenerTestBed::new().await;
    let error = connect(open.config().dbname("missing")).await.unwrap_err();
    assert_eq!(state(&error), "3D000");
}
