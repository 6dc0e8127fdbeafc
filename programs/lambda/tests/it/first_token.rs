//! The first token of a cluster: no client gets it, unless the operator says so.

use neap_bucket::World;
use neap_catalog::SecretToken;
use neap_lambda::{
    engine::EngineProgram,
    options,
    query::QueryProgram,
    runtime::Program,
    write::{WriteFunctionOptions, WriteProgram},
};
use serde_json::{Value, json};

use crate::instance::{FunctionUnderTest, SharedDirectory, request};

const TOKEN: &str = "apiv3_chosen-by-an-operator-0000000000";

fn create_token() -> Value {
    request("POST", "/api/v3/configure/token/admin", "", "")
}

fn set_up() -> Value {
    let body = json!({ "username": "eve", "org": "o", "bucket": "b" }).to_string();
    request("POST", "/api/v2/setup", "", &body)
}

fn create_user() -> Value {
    let body = json!({ "username": "eve", "password": "correct horse" }).to_string();
    request("POST", "/api/v3/configure/user", "", &body)
}

async fn status(function: &FunctionUnderTest, event: &Value) -> Value {
    function.say(event).await["statusCode"].clone()
}

#[tokio::test]
async fn a_client_gets_no_first_token_and_creates_no_first_user() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(&["--user-auth-type", "basic"]);
    for event in [create_token(), set_up(), create_user()] {
        assert_eq!(status(&writes, &event).await, 403, "{event}");
    }
    let refused = writes.say(&create_token()).await;
    assert!(refused["body"].as_str().unwrap().contains("NEAP_ADMIN_TOKEN_HASH"), "{refused}");
    let offered = writes.say(&request("GET", "/api/v2/setup", "", "")).await;
    assert_eq!(offered["body"], r#"{"allowed":false}"#);
}

#[tokio::test]
async fn the_operator_may_leave_the_first_token_to_the_first_client() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(&["--allow-first-token"]);
    assert_eq!(status(&writes, &create_token()).await, 201);
    assert_eq!(status(&writes, &create_token()).await, 409);
}

#[tokio::test]
async fn whichever_function_is_asked_first_installs_the_token_of_the_operator() {
    let hash = SecretToken::new(TOKEN).hash().to_hex();
    let flags = ["--admin-token-hash", hash.as_str()];
    let authorized = |mut event: Value, token: &str| {
        event["headers"]["authorization"] = format!("Bearer {token}").into();
        event
    };
    let query = || request("GET", "/api/v3/configure/database", "format=json", "");
    let plugin = || request("GET", "/api/v3/engine/none", "", "");
    for is_engine in [false, true] {
        let place = SharedDirectory::new();
        let (function, event) = if is_engine {
            (place.open::<EngineProgram>(&flags), plugin())
        } else {
            (place.open::<QueryProgram>(&flags), query())
        };
        let unknown = authorized(event, "apiv3_unknown-0000000000000000000000");
        assert_eq!(status(&function, &unknown).await, 401);
        let writes = place.open::<WriteProgram>(&flags);
        assert_eq!(status(&writes, &create_token()).await, 409);
        let queries = place.open::<QueryProgram>(&[]);
        assert_eq!(status(&queries, &authorized(query(), TOKEN)).await, 200);
    }
}

#[test]
fn a_token_instead_of_its_hash_is_refused_and_not_quoted() {
    let place = SharedDirectory::new();
    let flags = place.flags();
    let mut arguments = vec!["neap", "--admin-token-hash", TOKEN];
    arguments.extend(flags.iter().map(String::as_str));
    let options: WriteFunctionOptions = options::parse(&arguments).unwrap();
    let error = WriteProgram::open(&options, &World::system()).err().unwrap().to_string();
    assert_eq!(error, "--admin-token-hash: not a SHA-512 in hexadecimal");
}
