use super::*;

#[tokio::test]
async fn values_are_kept_unpickled_until_they_expire_or_are_deleted() {
    let stage = WorkerFixture::of_body(
        r#"
cache = local.cache
step = cache.get("step", 0)
cache.put("step", step + 1)
if step == 0:
    cache.put("function", lambda x: x + 1)
    cache.put("list", [1])
    cache.put("none", None)
    cache.put("over", 1, ttl=0)
    cache.put("soon", 1, 0.05)
    cache.put("late", 1, 3600)
    cache.put("for ever", 1, 1e19)
    return "put"
import time
time.sleep(0.06)
cache.get("list").append(2)
return [
    cache.get("function")(1), cache.get("list"), cache.get("none", "default"), cache.get("over", "default"),
    cache.get("soon"), cache.get("late"), cache.get("for ever"), cache.get("nothing"),
    cache.delete("late"), cache.delete("late"), cache.delete("nothing"), cache.get("late"),
    cache.get("list", use_global=True), cache.get("list", None, False) is cache.get("list"),
]
"#,
    );
    assert_eq!(stage.text().await, "put");
    let expected =
        r#"[2, [1, 2], null, "default", null, 1, 1, null, true, false, false, null, null, true]"#;
    assert_eq!(stage.text().await, expected);
}

#[tokio::test]
async fn the_global_cache_is_one_for_all_triggers() {
    let mut stage = WorkerFixture::of_body(
        r#"
cache = local.cache
if args["do"] == "put":
    cache.put("a", {"k": (1, b"2", {3})}, use_global=True)
    cache.put("mine", "mine")
    cache.put("lambda", lambda: 7, None, True)
    cache.put("over", 1, 0.0, True)
    return [cache.get("lambda", use_global=True)(), cache.get("over", None, True)]
return repr([
    cache.get("a", use_global=True), cache.get("mine"), cache.get("lambda", "can't be had", True),
    cache.delete("a", True), cache.delete("a", use_global=True), cache.get("a", 0, True),
])
"#,
    );
    let mut with = |number, action: &str| {
        stage.run.trigger = trigger(number);
        stage.run.arguments = Some(BTreeMap::from([("do".to_owned(), action.to_owned())]));
        stage.run.clone()
    };
    let (put, get) = (with(1, "put"), with(2, "get"));
    let body =
        |finished: CompletedRun| String::from_utf8(finished.response.unwrap().body.into()).unwrap();
    assert_eq!(body(stage.workers.run(put).await.unwrap()), "[7, null]");
    let expected = "[{'k': (1, b'2', {3})}, None, \"can't be had\", True, False, 0]";
    assert_eq!(body(stage.workers.run(get).await.unwrap()), expected);
}

#[tokio::test]
async fn runs_that_overlap_share_a_cache() {
    let source = r#"
import os, time
class Own:
    def __init__(self, value):
        self.value = value
def process_request(local, query, headers, body, args=None):
    seen = local.cache.get("seen", [])
    local.cache.put("class", Own(5))
    local.cache.put("seen", seen + [os.getpid()])
    time.sleep(0.3)
    return [os.getpid(), local.cache.get("class").value, seen]
"#;
    let mut stage = WorkerFixture::new(source);
    stage.run.is_async = true;
    let (one, two) = tokio::join!(stage.run(), stage.run());
    let pid = |finished: Result<CompletedRun, RunError>| {
        let body = finished.unwrap().response.unwrap().body;
        let values: (u32, u32, Vec<u32>) = serde_json::from_slice(&body).unwrap();
        assert_eq!(values.1, 5);
        (values.0, values.2)
    };
    let (one, two) = (pid(one), pid(two));
    assert_ne!(one.0, two.0, "each has a process of its own");
    let (_, seen) = pid(stage.run().await);
    assert!(seen.contains(&one.0) || seen.contains(&two.0));
}

#[tokio::test]
async fn wrong_arguments_raise() {
    let stage = WorkerFixture::of_body(
        r#"
cache = local.cache
errors = []
for call in (
    lambda: cache.put("k", 1, ttl=-1),
    lambda: cache.put("k", 1, ttl=-0.001),
    lambda: cache.put("k", 1, ttl=float("-inf")),
    lambda: cache.put("k", 1, ttl=float("nan")),
    lambda: cache.put("k", 1, ttl=float("inf")),
    lambda: cache.put("k", 1, ttl=1e20, use_global=True),
    lambda: cache.put("k", 1, ttl="1"),
    lambda: cache.put(1, 1),
    lambda: cache.get(None),
    lambda: cache.get("k", None, "yes"),
    lambda: cache.delete("k", 1),
):
    try:
        call()
        errors.append("nothing")
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
return "\n".join(errors)
"#,
    );
    insta::assert_snapshot!(stage.text().await);
}

#[tokio::test]
async fn dry_runs_have_caches_of_their_own_by_name() {
    let mut stage = WorkerFixture::of_body(
        r#"
found = [local.cache.get("k"), local.cache.get("k", use_global=True)]
local.cache.put("k", "local")
local.cache.put("k", "global", use_global=True)
return found
"#,
    );
    let nothing = "[null, null]";
    let both = r#"["local", "global"]"#;
    assert_eq!(stage.text().await, nothing);
    assert_eq!(stage.text().await, both);
    stage.run.trigger = TriggerKey::DryRun("one".into());
    assert_eq!(stage.text().await, nothing);
    assert_eq!(stage.text().await, both);
    stage.run.trigger = TriggerKey::DryRun("two".into());
    assert_eq!(stage.text().await, nothing);
}

#[tokio::test]
async fn a_forgotten_trigger_has_lost_its_cache_but_not_the_global_one() {
    let mut stage = WorkerFixture::of_body(
        r#"
found = [local.cache.get("k"), local.cache.get("k", use_global=True)]
local.cache.put("k", 1)
local.cache.put("k", 2, use_global=True)
return found
"#,
    );
    for (number, is_async) in [(1, false), (2, true)] {
        stage.run.trigger = trigger(number);
        stage.run.is_async = is_async;
        stage.text().await;
        assert_eq!(stage.text().await, "[1, 2]");
        stage.workers.forget(&stage.run.trigger);
        assert_eq!(stage.text().await, "[null, 2]");
    }
}

#[tokio::test]
async fn values_over_the_cache_limit_are_rejected() {
    let settings = WorkerSettings { cache_bytes: 100_000, ..settings() };
    let source = request_function(
        r#"
local.cache.put("a", bytes(60_000), use_global=True)
try:
    local.cache.put("b", bytes(60_000), use_global=True)
except Exception as error:
    return str(error)
"#,
    );
    let stage = WorkerFixture::with(settings, &source);
    assert_eq!(stage.text().await, "the cache is full: its values may take up 100000 bytes");
}
