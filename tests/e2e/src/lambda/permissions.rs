//! Every test of this module runs with the policies of the deployment, and nobody is refused anything. Here
//! somebody is.

use serde_json::{Value, json};

use super::Stack;

/// A policy for reading everything, and for nothing else.
fn only_reading() -> Value {
    json!({ "document": {
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::neap/*" },
            { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::neap" },
        ],
    }})
}

#[test]
fn a_writer_that_may_not_write_says_so_and_acknowledges_nothing() {
    let stack = Stack::start_with(|configuration| {
        let functions = &mut configuration["functions"];
        let mut powerless = functions["write"].clone();
        powerless["policy"] = only_reading();
        functions["write"] = powerless;
    });
    let reply = stack.try_write("db", "m v=1i 1", None).unwrap();
    assert!(matches!(reply.status, 500 | 503), "{}", reply.text());
    assert_eq!(
        reply.header("x-lambda-local-failure"),
        None,
        "it is the function that answers"
    );
    assert!(!reply.bytes.is_empty());
    println!("{} {}", reply.status, reply.text());
    let refusals = stack.refusals();
    assert!(!refusals.is_empty());
    for refusal in refusals {
        assert_eq!(refusal["function"], "write", "{refusal}");
        assert_eq!(refusal["operation"], "put", "{refusal}");
    }
}
