//! Tokens at the gateway: every instance of every function requires them, and refuses revoked ones within a bounded
//! time.

use std::time::Duration;

use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

use crate::{
    golden,
    harness::{Reply, ServerClient, pause},
};

use super::LambdaStack;

/// Maximum time for which an instance may use its copy of the tokens.
const SYNC: Duration = Duration::from_secs(2);
/// The number of requests of a kind, so that each instance receives some.
const TURNS: usize = 4;

/// Returns a stack that requires tokens.
fn stack(sync: &str) -> LambdaStack {
    LambdaStack::start_with(|configuration| {
        for name in ["write", "query", "compact", "engine"] {
            let environment = &mut configuration["functions"][name]["environment"];
            environment.as_object_mut().unwrap().remove("NEAP_WITHOUT_AUTH");
            environment["NEAP_CATALOG_SYNC_INTERVAL"] = json!(sync);
            environment["NEAP_ALLOW_FIRST_TOKEN"] = json!("true");
        }
        configuration["functions"]["engine"]["limits"]["max_instances"] = json!(2);
    })
}

fn status(request: RequestBuilder) -> u16 {
    Reply::receive(request).unwrap().status
}

fn write(server: &ServerClient, database: &str) -> RequestBuilder {
    let path = format!("/api/v3/write_lp?db={database}&precision=second");
    server.request("POST", &path).body("m v=1i 1")
}

fn query(server: &ServerClient, database: &str) -> RequestBuilder {
    let path = format!("/api/v3/query_sql?db={database}&q=SELECT%20v%20FROM%20m");
    server.request("GET", &path)
}

fn plugin(server: &ServerClient) -> RequestBuilder {
    server.request("GET", "/api/v3/engine/none")
}

/// Returns the distinct statuses of requests that are sent several times, so that each instance receives some.
fn statuses(requests: impl Fn() -> Vec<RequestBuilder>) -> Vec<Vec<u16>> {
    let mut seen: Vec<Vec<u16>> =
        (0..TURNS).map(|_| requests().into_iter().map(status).collect()).collect();
    seen.dedup();
    seen
}

/// Creates a token with a request as a client sends it.
fn create(stack: &LambdaStack, admin: &str, path: &str, body: &Value) -> String {
    let request = stack
        .request("POST", path)
        .bearer_auth(admin)
        .header("content-type", "application/json");
    let reply = Reply::receive(request.body(body.to_string())).unwrap();
    assert_eq!(reply.status, 201, "{}", reply.text());
    let created: Value = serde_json::from_slice(&reply.bytes).unwrap();
    created["token"].as_str().unwrap().to_owned()
}

#[test]
fn requests_without_a_token_are_refused_and_all_forms_of_tokens_accepted() {
    let stack = stack("2s");
    let all =
        |server: &ServerClient| vec![write(server, "home"), query(server, "home"), plugin(server)];
    assert_eq!(statuses(|| all(&stack)), [[401, 401, 401]]);
    let admin = stack.first_token();
    let again = Reply::receive(stack.request("POST", "/api/v3/configure/token/admin")).unwrap();
    assert_eq!(again.status, 409, "{}", again.text());
    // The copies of the instances may be this old.
    pause(SYNC);
    let encoded = admin.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert_eq!(statuses(|| vec![write(&stack, "home").bearer_auth(&admin)]), [[204]]);
    let with = |header: &str| -> Vec<RequestBuilder> {
        let requests = all(&stack).into_iter();
        requests.map(|request| request.header("authorization", header)).collect()
    };
    assert_eq!(statuses(|| with(&format!("Bearer {admin}"))), [[204, 200, 404]]);
    assert_eq!(statuses(|| with(&format!("Token {admin}"))), [[204, 200, 404]]);
    let basic = || -> Vec<RequestBuilder> {
        let requests = all(&stack).into_iter();
        requests.map(|request| request.basic_auth("anybody", Some(&admin))).collect()
    };
    assert_eq!(statuses(basic), [[204, 200, 404]]);
    let v1 = |token: &str| {
        let write = format!("/write?db=home&u=anybody&p={token}");
        let query = format!("/query?db=home&q=SELECT%20v%20FROM%20m&u=anybody&p={token}");
        vec![stack.request("POST", &write).body("m v=1i 1"), stack.request("GET", &query)]
    };
    assert_eq!(statuses(|| v1(&encoded)), [[204, 200]]);
    assert_eq!(statuses(|| v1("apiv3_wrong")), [[401, 401]]);
    for wrong in ["Bearer apiv3_wrong", "Token apiv3_wrong", "Basic eDp5"] {
        assert_eq!(statuses(|| with(wrong)), [[401, 401, 401]], "{wrong}");
    }
    assert_eq!(statuses(|| with("Digest x")), [[400, 400, 400]]);
    for function in ["write", "query", "engine"] {
        let log = stack.log(function);
        assert!(!log.contains(&admin) && !log.contains(&encoded), "{function}");
    }
    stack.finish();
}

#[test]
fn a_token_has_its_permissions_until_every_instance_detects_its_revocation() {
    let stack = stack("2s");
    let admin = stack.first_token();
    pause(SYNC);
    let server = stack.with_token(&admin);
    for database in ["home", "other"] {
        assert_eq!(status(write(&server, database)), 204);
    }
    let permissions = json!([{
        "resource_type": "db",
        "resource_names": ["home"],
        "actions": ["read"],
    }]);
    let body = json!({ "token_name": "reader", "permissions": permissions });
    let reader = create(&stack, &admin, "/api/v3/enterprise/configure/token", &body);
    let body = json!({ "token_name": "deputy" });
    let deputy = create(&stack, &admin, "/api/v3/configure/token/named_admin", &body);
    let [reader, deputy] = [reader, deputy].map(|token| stack.with_token(&token));
    // An instance looks up an unknown token at once.
    let all = |server: &ServerClient| {
        vec![query(server, "home"), query(server, "other"), write(server, "home")]
    };
    assert_eq!(statuses(|| all(&reader)), [[200, 403, 403]]);
    assert_eq!(statuses(|| all(&deputy)), [[200, 200, 204]]);

    // One instance of a function revokes the tokens, and the others detect it.
    for name in ["reader", "deputy"] {
        let path = format!("/api/v3/configure/token?token_name={name}");
        let status = status(server.request("DELETE", &path));
        assert!(matches!(status, 200 | 204), "{status}");
    }
    pause(SYNC);
    assert_eq!(statuses(|| all(&reader)), [[401, 401, 401]]);
    assert_eq!(statuses(|| all(&deputy)), [[401, 401, 401]]);
    assert_eq!(statuses(|| vec![query(&server, "home")]), [[200]]);
    stack.finish();
}

#[test]
fn answers_about_tokens_are_those_recorded() {
    let stack = LambdaStack::start_with(|configuration| {
        for name in ["write", "query", "engine"] {
            let function = &mut configuration["functions"][name];
            function["limits"]["max_instances"] = json!(1);
            let environment = function["environment"].as_object_mut().unwrap();
            environment.remove("NEAP_WITHOUT_AUTH");
            environment.insert("NEAP_CATALOG_SYNC_INTERVAL".to_owned(), json!("0s"));
            environment.insert("NEAP_ALLOW_FIRST_TOKEN".to_owned(), json!("true"));
        }
    });
    golden::compare_on("auth", &["auth, gateway"], &["--url", stack.url()]);
    stack.finish();
}
