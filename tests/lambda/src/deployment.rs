//! What the Terraform configuration makes of the functions: the routes, and what each may do with the bucket.
//! It is read from the summary that the tests of that configuration keep, so that this crate can't differ.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// The summary.
const SUMMARY: &str = include_str!("../../terraform/deployment.json");

/// The functions as they are deployed, by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployment {
    bucket: String,
    functions: BTreeMap<String, Deployed>,
}

/// A function as it is deployed.
#[derive(Clone, Debug, Deserialize)]
struct Deployed {
    routes: Vec<String>,
    policy: Value,
}

impl Deployment {
    /// Reads the summary.
    ///
    /// # Errors
    /// It is none.
    pub fn read() -> Result<Self, serde_json::Error> {
        serde_json::from_str(SUMMARY)
    }

    /// The routes as API Gateway writes them, and the functions behind them.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.functions.iter().flat_map(|(name, function)| {
            let routes = function.routes.iter();
            routes.map(move |route| (route.as_str(), name.as_str()))
        })
    }

    /// What a function may do, as an IAM policy for this bucket; nothing if there is no such function.
    pub fn policy(&self, function: &str, bucket: &str) -> Value {
        let mut policy = match self.functions.get(function) {
            Some(found) => found.policy.clone(),
            None => json!({ "Statement": [] }),
        };
        let deployed = format!("arn:aws:s3:::{}", self.bucket);
        rename(&mut policy, &deployed, &format!("arn:aws:s3:::{bucket}"));
        policy
    }
}

/// Puts one bucket in the place of another, wherever it is named.
fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => {
            if let Some(rest) = text.strip_prefix(from) {
                *text = format!("{to}{rest}");
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, from, to)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|value| rename(value, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use neap_s3_server::Policy;

    use super::*;

    #[test]
    fn a_function_may_do_what_it_is_deployed_with() {
        let deployment = Deployment::read().unwrap();
        let policy = deployment.policy("write", "b").to_string();
        let policy = Policy::parse(&policy).unwrap();
        for (action, resource, allowed) in [
            ("s3:PutObject", "arn:aws:s3:::b/tail/1/x.wal", true),
            ("s3:GetObject", "arn:aws:s3:::b/catalog", true),
            ("s3:GetObject", "arn:aws:s3:::b/catalog2", false),
            ("s3:DeleteObject", "arn:aws:s3:::b/tail/1/x.wal", false),
            ("s3:ListBucket", "arn:aws:s3:::b", true),
        ] {
            let is_allowed = policy.allows(action, resource, None);
            assert_eq!(is_allowed, allowed, "{action} {resource}");
        }
    }
}
