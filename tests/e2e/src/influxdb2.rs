//! Resources of InfluxDB 2 as its tools request them: the requests of the `influx` command, of Home Assistant and of
//! Node-RED, as in their sources.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture};

const INFLUX: &str =
    "influx/2.7.5 (linux) Sha/a79a2a1b825867421d320428538f76a4c90aa34c Date/2024-04-16T14:34:12Z";

/// The `influx` command with its configuration after `influx setup`.
struct Influx<'a> {
    server: &'a ServerClient,
    token: Option<String>,
}

impl Influx<'_> {
    /// Sends a request, and returns its status and answer, which the command reads only if it is JSON.
    fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .server
            .request(method, path)
            .header("user-agent", INFLUX)
            .header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Token {token}"));
        }
        if let Some(body) = body {
            let text = format!("{body}\n");
            request = request.header("content-type", "application/json").body(text);
        }
        let reply = Reply::receive(request).unwrap();
        if reply.bytes.is_empty() {
            return (reply.status, Value::Null);
        }
        let content_type = reply.header("content-type").unwrap_or_default();
        assert!(content_type.starts_with("application/json"), "{path}: {content_type}");
        (reply.status, serde_json::from_slice(&reply.bytes).unwrap())
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send("POST", path, Some(body));
        assert_eq!(status, 201, "{path}: {answer}");
        answer
    }

    fn delete(&self, path: &str) {
        assert_eq!(self.send("DELETE", path, None), (204, Value::Null), "{path}");
    }

    /// Returns the id of the organization, as each command looks it up by its name.
    fn organization(&self) -> String {
        text(&self.get("/api/v2/orgs?org=works")["orgs"][0], "id")
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}")).to_owned()
}

/// The request of `influx setup`.
fn setup() -> Value {
    json!({
        "bucket": "home",
        "org": "works",
        "password": "correct horse",
        "retentionPeriodSeconds": 0,
        "username": "ann",
    })
}

/// Sets a server up as `influx setup` does.
fn set_up(server: &ServerClient) -> Influx<'_> {
    let influx = Influx { server, token: None };
    assert_eq!(influx.get("/api/v2/setup"), json!({ "allowed": true }));
    let answer = influx.post("/api/v2/setup", setup());
    assert_eq!(text(&answer["org"], "name"), "works");
    assert_eq!(text(&answer["bucket"], "name"), "home");
    let token = Some(text(&answer["auth"], "token"));
    Influx { server, token }
}

#[test]
fn influx_sets_a_server_up_and_administers_buckets_and_tokens() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let influx = set_up(&neap);
    let (status, again) = influx.send("POST", "/api/v2/setup", Some(setup()));
    let message = "onboarding has already been completed";
    assert_eq!((status, again), (422, json!({ "code": "conflict", "message": message })));
    assert_eq!(influx.get("/health")["status"], "pass");
    // influx bucket create
    let new = json!({
        "name": "garden",
        "orgID": influx.organization(),
        "retentionRules": [{ "everySeconds": 259_200, "type": "expire" }],
        "schemaType": "implicit",
    });
    let garden = influx.post("/api/v2/buckets", new.clone());
    assert_eq!(garden["retentionRules"][0]["everySeconds"], 259_200);
    let (status, twice) = influx.send("POST", "/api/v2/buckets", Some(new));
    assert_eq!((status, text(&twice, "code")), (422, "conflict".to_owned()));
    // influx bucket list, with and without a name
    let list = influx.get("/api/v2/buckets?limit=20&org=works");
    let names: Vec<_> = list["buckets"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["home", "garden"]);
    let one = influx.get("/api/v2/buckets?name=garden&org=works");
    assert_eq!(one["buckets"], json!([garden]));
    let (status, missing) = influx.send("GET", "/api/v2/buckets?name=nope&org=works", None);
    let message = "bucket \"nope\" not found";
    assert_eq!((status, missing), (404, json!({ "code": "not found", "message": message })));
    // influx bucket update
    let path = format!("/api/v2/buckets/{}", text(&garden, "id"));
    let change = json!({ "retentionRules": [{ "everySeconds": 3_600, "type": "expire" }] });
    let (status, changed) = influx.send("PATCH", &path, Some(change));
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["retentionRules"][0]["everySeconds"], 3_600);
    // influx auth create --read-bucket … --write-bucket …
    let user = text(&influx.get("/api/v2/users?name=")["users"][0], "id");
    let permission = |action: &str| {
        let id = text(&garden, "id");
        let resource = json!({ "id": id, "orgID": influx.organization(), "type": "buckets" });
        json!({ "action": action, "resource": resource })
    };
    let new = json!({
        "description": "sensors",
        "orgID": influx.organization(),
        "permissions": [permission("read"), permission("write")],
        "userID": user,
    });
    let created = influx.post("/api/v2/authorizations", new);
    let sensors = neap.with_token(&text(&created, "token"));
    sensors.write("garden", "soil,bed=herbs moisture=38.5 1");
    let refused =
        Reply::receive(sensors.request("POST", "/api/v2/write?bucket=home").body("m v=1"));
    assert_eq!(refused.unwrap().status, 403);
    // influx auth create --operator
    let resources = influx.get("/api/v2/resources");
    let permissions: Vec<_> = resources
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|kind| {
            ["read", "write"]
                .map(|action| json!({ "action": action, "resource": { "type": kind } }))
        })
        .collect();
    let organization = influx.organization();
    let new = json!({ "orgID": organization, "permissions": permissions, "userID": user });
    let operator = influx.post("/api/v2/authorizations", new);
    let operator = neap.with_token(&text(&operator, "token"));
    assert_eq!(operator.get("/api/v3/enterprise/backup").status, 200);
    // influx auth list, influx auth delete
    let list = influx.get("/api/v2/authorizations");
    assert_eq!(list["authorizations"].as_array().unwrap().len(), 3);
    let path_of_token = format!("/api/v2/authorizations/{}", text(&created, "id"));
    assert_eq!(influx.get(&path_of_token)["description"], "sensors");
    influx.delete(&path_of_token);
    assert_eq!(sensors.get("/api/v2/me").status, 401);
    // influx bucket delete, by its name
    influx.get("/api/v2/buckets?name=garden&org=works");
    influx.delete(&path);
    let (status, _) = influx.send("GET", &path, None);
    assert_eq!(status, 404);
    // influx task list
    let (status, no_tasks) = influx.send("GET", "/api/v2/tasks?org=works", None);
    assert_eq!((status, text(&no_tasks, "code")), (404, "not found".to_owned()));
}

#[test]
fn influx_writes_and_deletes_by_the_id_of_a_bucket() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let influx = set_up(&neap);
    let id = text(&influx.get("/api/v2/buckets?name=home&org=works")["buckets"][0], "id");
    let admin = neap.with_token(influx.token.as_deref().unwrap());
    let write = format!("/api/v2/write?bucket={id}&org=works&precision=s");
    let lines = admin.request("POST", &write).body("soil,bed=herbs moisture=38.5 1");
    assert_eq!(Reply::receive(lines).unwrap().status, 204);
    let rows = "SELECT count(*) AS n FROM soil";
    assert_eq!(admin.query("home", rows), [json!({ "n": 1 })]);
    let range = json!({ "start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z" });
    let delete = format!("/api/v2/delete?bucketID={id}&org=works");
    assert_eq!(influx.send("POST", &delete, Some(range)), (204, Value::Null));
    assert_eq!(admin.query("home", rows), [json!({ "n": 0 })]);
}

#[test]
fn a_setup_creates_the_first_user_if_users_sign_in_by_password() {
    let flags = ["--user-auth-type", "basic"];
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &flags);
    let influx = Influx { server: &neap, token: None };
    let mut with_token = setup();
    with_token["token"] = "x".repeat(88).into();
    assert_eq!(influx.send("POST", "/api/v2/setup", Some(with_token)).0, 400);
    let answer = influx.post("/api/v2/setup", setup());
    assert_eq!(text(&answer["user"], "name"), "ann");
    let credentials = json!({ "username": "ann", "password": "correct horse" });
    let (status, tokens) = influx.send("POST", "/api/v3/authorize", Some(credentials));
    assert_eq!(status, 200, "{tokens}");
    let ann = neap.with_token(&text(&tokens, "accessToken"));
    let me: Value = serde_json::from_slice(&ann.get("/api/v2/me").bytes).unwrap();
    assert_eq!(me, answer["user"]);
    let operator = neap.with_token(&text(&answer["auth"], "token"));
    let users: Value = serde_json::from_slice(&operator.get("/api/v2/users").bytes).unwrap();
    let names: Vec<_> = users["users"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["_admin", "ann"]);
}

#[test]
fn a_server_without_authentication_has_buckets_but_no_tokens() {
    let neap = NeapProcess::serve(&StoreFixture::memory());
    let influx = Influx { server: &neap, token: None };
    influx.post("/api/v2/buckets", json!({ "name": "home" }));
    let list = influx.get("/api/v2/buckets");
    assert_eq!(list["buckets"].as_array().unwrap().len(), 1);
    let off = "endpoint disabled, started without auth";
    let off = json!({ "code": "method not allowed", "message": off });
    for path in ["/api/v2/setup", "/api/v2/authorizations"] {
        assert_eq!(influx.send("GET", path, None), (405, off.clone()), "{path}");
    }
}

/// The write of a client, and its headers.
fn write(server: &ServerClient, path: &str, user_agent: &str, token: &str, body: &str) -> Reply {
    let request = server
        .request("POST", path)
        .header("user-agent", user_agent)
        .header("authorization", format!("Token {token}"))
        .header("content-type", "text/plain; charset=utf-8")
        .body(body.to_owned());
    Reply::receive(request).unwrap()
}

#[test]
fn home_assistant_and_node_red_connect_and_write() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let token = set_up(&neap).token.unwrap();
    // Home Assistant writes nothing when it starts, and expects 400 if the token and the bucket are right.
    let agent = "influxdb-client-python/1.50.0";
    let path = "/api/v2/write?org=ea7c5d3f9b1e2a40&bucket=home&precision=ns";
    assert_eq!(write(&neap, path, agent, &token, "").status, 400);
    assert_eq!(write(&neap, path, agent, "wrong", "").status, 401);
    let state = "%,domain=sensor,entity_id=humidity value=41.5,friendly_name_str=\"Humidity\" 1726000000000000000";
    assert_eq!(write(&neap, path, agent, &token, state).status, 204);
    let agent = "influxdb-client-js/1.33.2";
    let path = "/api/v2/write?org=works&bucket=home&precision=ms";
    let flow = "boiler,room=cellar temp=61.2 1726000000000";
    assert_eq!(write(&neap, path, agent, &token, flow).status, 204);
    let admin = neap.with_token(&token);
    let rows = admin.query("home", "SELECT temp FROM boiler");
    assert_eq!(rows, [json!({ "temp": 61.2 })]);
    let rows = admin.query("home", "SELECT \"value\" FROM \"%\"");
    assert_eq!(rows, [json!({ "value": 41.5 })]);
}
