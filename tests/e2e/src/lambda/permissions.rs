//! Denied requests. All tests of these modules run with the policies of the deployment and cause no denials; this
//! module tests a denial.

use serde_json::{Value, json};

use super::LambdaStack;

/// Returns a policy that allows reading everything and nothing else.
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
fn a_writer_without_write_permission_returns_errors() {
    let stack = LambdaStack::start_with(|configuration| {
        let functions = &mut configuration["functions"];
        let mut powerless = functions["write"].clone();
        powerless["policy"] = only_reading();
        functions["write"] = powerless;
    });
    let reply = stack.try_write("db", "m v=1i 1", None).unwrap();
    assert!(matches!(reply.status, 500 | 503), "{}", reply.text());
    assert_eq!(reply.header("x-lambda-local-failure"), None, "it is the function that answers");
    assert!(!reply.bytes.is_empty());
    println!("{} {}", reply.status, reply.text());
    let refusals = stack.refusals();
    assert!(!refusals.is_empty());
    for refusal in refusals {
        assert_eq!(refusal["function"], "write", "{refusal}");
        assert_eq!(refusal["operation"], "put", "{refusal}");
    }
}
