//! Checks the responses to recorded events with random mutations.

use std::{fs, path::PathBuf};

use neap_lambda::{http::HttpSource, write::WriteProgram};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json, value::RawValue};
use tokio::runtime::Runtime;

use crate::instance::{EVENT_TIME, SharedDirectory};

/// Placeholder for half of a surrogate pair, which a [`Value`] can't contain.
const HALF_SURROGATE: &str = "half of a character";

/// A change at one position of an event.
#[derive(Clone, Debug)]
enum EventMutation {
    Remove,
    Rename(&'static str),
    Replace(Value),
    /// Replaces the value by the value at another position.
    Copy(Index),
}

fn mutations() -> impl Strategy<Value = Vec<(Index, EventMutation)>> {
    let odd = proptest::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5),
        json!(u64::MAX),
        json!(""),
        json!("ü"),
        json!("\0"),
        json!("%"),
        json!("\r\nx: y"),
        json!("?a=b#c"),
        json!("//"),
        json!("x".repeat(70_000)),
        json!(HALF_SURROGATE),
        json!([]),
        json!([null]),
        json!([[]]),
        json!({}),
        json!({"a": null}),
        json!({"": ""}),
        json!({HALF_SURROGATE: HALF_SURROGATE}),
    ]);
    let mutation = prop_oneof![
        2 => Just(EventMutation::Remove),
        6 => odd.prop_map(EventMutation::Replace),
        1 => proptest::sample::select(vec!["x", " ", "\n", "ü", HALF_SURROGATE]).prop_map(EventMutation::Rename),
        1 => any::<Index>().prop_map(EventMutation::Copy),
    ];
    proptest::collection::vec((any::<Index>(), mutation), 1..4)
}

/// Collects all positions of an event as JSON pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    let mut add = |name: &str, inner: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        let place = format!("{at}/{name}");
        all.push(place.clone());
        places(inner, &place, all);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| add(name, inner)),
        Value::Array(list) => {
            for (number, inner) in list.iter().enumerate() {
                add(&number.to_string(), inner);
            }
        }
        _ => {}
    }
}

fn mutate(event: &mut Value, place: Index, mutation: &EventMutation) {
    let mut all: Vec<String> = Vec::new();
    places(event, "", &mut all);
    if all.is_empty() {
        return;
    }
    let place: &String = place.get(&all);
    let suffix = match mutation {
        EventMutation::Replace(value) => {
            *event.pointer_mut(place).unwrap() = value.clone();
            return;
        }
        EventMutation::Copy(other) => {
            let other: &String = other.get(&all);
            let value = event.pointer(other).unwrap().clone();
            *event.pointer_mut(place).unwrap() = value;
            return;
        }
        EventMutation::Remove => None,
        EventMutation::Rename(suffix) => Some(suffix),
    };
    let (parent, name) = place.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    if let Some(Value::Object(parent)) = event.pointer_mut(parent) {
        let value = parent.remove(&name).unwrap();
        parent.extend(suffix.map(|suffix| (format!("{name}{suffix}"), value)));
    }
}

/// Returns all recorded events that are HTTP requests.
fn requests() -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    texts
        .filter(|text| HttpSource::of_event(text).is_some())
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

#[test]
fn every_mutated_request_gets_a_response_that_its_source_accepts() {
    let runtime = Runtime::new().unwrap();
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(&["--without-auth"]);
    let requests = requests();
    assert!(requests.len() > 20);
    let config = ProptestConfig::with_cases(neap_test_inputs::cases(256));
    proptest!(config, |(event in proptest::sample::select(requests), mutations in mutations())| {
        let mut event = event;
        for (place, mutation) in &mutations {
            mutate(&mut event, *place, mutation);
        }
        let text = event.to_string().replace(HALF_SURROGATE, "\\ud800");
        let source = HttpSource::of_event(&text);
        let event = RawValue::from_string(text).unwrap();
        let answer = runtime.block_on(writes.try_invoke_raw(&event, EVENT_TIME));
        prop_assert_eq!(answer.is_ok(), source.is_some(), "{:?}", answer);
        if let Ok(answer) = answer {
            let status = answer["statusCode"].as_u64().unwrap();
            prop_assert!((200..500).contains(&status), "{}", answer);
            for (name, value) in answer["headers"].as_object().into_iter().flatten() {
                prop_assert!(value.is_string(), "{}: {}", name, answer);
            }
        }
    });
}
