//! Statements about users.

use neap_identity::IdentityError;
use serde_json::json;

use super::{
    QueryTestInstance, home,
    permissions::{AuthenticatedInstance, DONE},
};
use crate::tests::instance::assert_answers;

/// Tries to sign in, and returns why a user can't.
async fn refusal(one: &QueryTestInstance, name: &str, password: &str) -> IdentityError {
    let identity = one.engine.identity().unwrap();
    identity.sign_in(name, password, "192.0.2.1").await.unwrap_err()
}

#[tokio::test]
async fn users_are_created_changed_and_dropped() {
    let one = home().await;
    one.changes("CREATE USER ann WITH PASSWORD 'correct horse' WITH ALL PRIVILEGES")
        .await;
    one.changes("CREATE USER bob WITH PASSWORD 'battery staple'").await;
    insta::assert_snapshot!(one.ask("SHOW USERS").await, @r#""series":[{"columns":["user","admin"],"values":[["ann",true],["bob",false]]}]"#);
    // Another user has chosen the password.
    let refused = refusal(&one, "bob", "battery staple").await;
    assert!(matches!(refused, IdentityError::ResetRequired), "{refused}");
    one.changes("SET PASSWORD FOR bob = 'purple monkey'").await;
    let refused = refusal(&one, "bob", "battery staple").await;
    assert!(matches!(refused, IdentityError::WrongCredentials), "{refused}");
    let refused = refusal(&one, "bob", "purple monkey").await;
    assert!(matches!(refused, IdentityError::ResetRequired), "{refused}");
    one.changes("GRANT ALL PRIVILEGES TO bob").await;
    one.changes("REVOKE ALL PRIVILEGES FROM ann").await;
    insta::assert_snapshot!(one.ask("SHOW USERS").await, @r#""series":[{"columns":["user","admin"],"values":[["ann",false],["bob",true]]}]"#);
    one.changes("DROP USER ann").await;
    insta::assert_snapshot!(one.ask("SHOW USERS").await, @r#""series":[{"columns":["user","admin"],"values":[["bob",true]]}]"#);
}

#[tokio::test]
async fn privileges_are_granted_for_databases() {
    let one = home().await;
    for name in ["other", "other/week"] {
        one.catalog.create_database(name, None).await.unwrap();
    }
    one.changes("CREATE USER bob WITH PASSWORD 'battery staple'").await;
    assert_eq!(one.ask("SHOW GRANTS FOR bob").await, "");
    one.changes("GRANT ALL ON db TO bob").await;
    one.changes("GRANT READ ON other TO bob").await;
    insta::assert_snapshot!(one.ask("SHOW GRANTS FOR bob").await, @r#""series":[{"columns":["database","privilege"],"values":[["db","ALL PRIVILEGES"],["other","READ"]]}]"#);
    one.changes("REVOKE READ ON db FROM bob").await;
    one.changes("GRANT WRITE ON \"other/week\" TO bob").await;
    insta::assert_snapshot!(one.ask("SHOW GRANTS FOR bob").await, @r#""series":[{"columns":["database","privilege"],"values":[["db","WRITE"],["other","READ"],["other/week","ALL PRIVILEGES"]]}]"#);
    one.changes("REVOKE ALL PRIVILEGES ON other FROM bob").await;
    insta::assert_snapshot!(one.ask("SHOW GRANTS FOR bob").await, @r#""series":[{"columns":["database","privilege"],"values":[["db","WRITE"],["other/week","WRITE"]]}]"#);
}

#[tokio::test]
async fn wrong_statements_about_users_are_refused_with_reasons() {
    let one = home().await;
    one.changes("CREATE USER bob WITH PASSWORD 'battery staple'").await;
    let change = async |q: &str| {
        let (status, body) = one.change(q).await;
        format!("{status} {body}")
    };
    let answers = r#"
    CREATE USER bob WITH PASSWORD 'purple monkey'
        200 {"results":[{"statement_id":0,"error":"user already exists"}]}
    CREATE USER ann WITH PASSWORD 'short'
        200 {"results":[{"statement_id":0,"error":"a password has 8 to 1024 bytes"}]}
    SET PASSWORD FOR bob = 'short'
        200 {"results":[{"statement_id":0,"error":"a password has 8 to 1024 bytes"}]}
    SET PASSWORD FOR ann = 'purple monkey'
        200 {"results":[{"statement_id":0,"error":"user not found"}]}
    DROP USER ann
        200 {"results":[{"statement_id":0,"error":"user not found"}]}
    GRANT READ ON db TO ann
        200 {"results":[{"statement_id":0,"error":"user not found"}]}
    GRANT READ ON nowhere TO bob
        200 {"results":[{"statement_id":0,"error":"database not found: nowhere"}]}
    REVOKE ALL PRIVILEGES FROM ann
        200 {"results":[{"statement_id":0,"error":"user not found"}]}
    SHOW GRANTS FOR ann
        200 {"results":[{"statement_id":0,"error":"user not found"}]}
    SHOW USERS; DROP USER bob; SHOW USERS
        200 {"results":[{"statement_id":0,"series":[{"columns":["user","admin"],"values":[["bob",false]]}]},{"statement_id":1},{"statement_id":2}]}
    "#;
    assert_answers(answers, change).await;
    insta::assert_snapshot!(one.ask("CREATE USER ann WITH PASSWORD 'purple monkey'").await, @r#""error":"CREATE USER requires a POST request""#);
    let (status, body) = one
        .v3(json!({"db": "db", "q": "CREATE USER ann WITH PASSWORD 'purple monkey'"}))
        .await;
    insta::assert_snapshot!(format!("{status} {body}"), @"405 This feature is not implemented: CREATE USER");
}

#[tokio::test]
async fn passwords_are_in_no_log() {
    let one = home().await;
    one.changes("CREATE USER bob WITH PASSWORD 'purple monkey'").await;
    one.changes("SET PASSWORD FOR bob = 'purple monkey 2'").await;
    let statement = "CREATE USER ann WITH PASSWORD 'purple monkey'";
    one.v3(json!({"db": "db", "q": statement})).await;
    one.post(json!({"db": "db", "q": statement})).await;
    one.post(json!({"db": "db", "q": format!("SELECT 1; -- {statement}")})).await;
    let queries = one.sql("SELECT query_text FROM system.queries").await;
    assert!(!queries.contains("monkey"), "{queries}");
    let audit = one.catalog.root(std::time::Duration::ZERO).await.unwrap().value;
    let noted: Vec<_> = audit.audit().map(|entry| format!("{entry:?}")).collect();
    assert!(noted.iter().any(|entry| entry.contains("create user")));
    assert!(noted.iter().all(|entry| !entry.contains("monkey")));
}

#[tokio::test]
async fn a_caller_gives_only_permissions_that_it_has() {
    let guarded = AuthenticatedInstance::new().await;
    let manager = [
        "user:*:read,create,update,delete",
        "system:health,ping,ready:read",
        "db:db:read",
    ];
    let token = guarded.token_with("manager", &manager).await;
    let post = async |q: &str| guarded.post(&token, q).await;
    assert_eq!(post("CREATE USER bob WITH PASSWORD 'battery staple'").await, DONE);
    assert_eq!(post("GRANT READ ON db TO bob").await, DONE);
    for refused in [
        "CREATE USER ann WITH PASSWORD 'battery staple' WITH ALL PRIVILEGES",
        "GRANT WRITE ON db TO bob",
        "GRANT READ ON other TO bob",
        "GRANT READ ON nowhere TO bob",
        "GRANT ALL PRIVILEGES TO bob",
    ] {
        let answer = post(refused).await;
        assert!(answer.starts_with("403 "), "{refused}: {answer}");
    }
    assert_eq!(post("SET PASSWORD FOR bob = 'purple monkey'").await, DONE);
    assert_eq!(post("REVOKE READ ON db FROM bob").await, DONE);
    assert_eq!(post("DROP USER bob").await, DONE);
    let reader = guarded.token_with("reader", &["user:*:read", "db:db:read"]).await;
    assert!(guarded.post(&reader, "SHOW USERS").await.starts_with("200 "));
    let refused = guarded.post(&reader, "DROP USER bob").await;
    assert!(refused.starts_with("403 "), "{refused}");
}
