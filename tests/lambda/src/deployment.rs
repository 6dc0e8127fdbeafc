//! The routes and permissions of the functions in the Terraform configuration. They are read from the summary that the
//! tests of that configuration keep up to date, so that this crate can't differ from it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::runtime::{ACCOUNT, REGION};

const SUMMARY: &str = include_str!("../../terraform/deployment.json");

/// The deployed functions by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployment {
    bucket: String,
    functions: BTreeMap<String, DeployedFunction>,
}

#[derive(Clone, Debug, Deserialize)]
struct DeployedFunction {
    routes: Vec<String>,
    policy: Value,
}

impl Deployment {
    /// Reads the summary.
    ///
    /// # Errors
    /// The summary is invalid.
    pub fn read() -> Result<Self, serde_json::Error> {
        serde_json::from_str(SUMMARY)
    }

    /// Returns the routes in API Gateway's syntax, and their functions.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.functions.iter().flat_map(|(name, function)| {
            let routes = function.routes.iter();
            routes.map(move |route| (route.as_str(), name.as_str()))
        })
    }

    /// Returns the permissions of a function as an IAM policy for this bucket and the functions of the emulator; no
    /// permissions if there is no such function.
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

/// Returns the name in the emulator for the resource name of a deployed function; `None` for any other text.
fn emulated_function(text: &str) -> Option<String> {
    let (_, name) = text.strip_prefix("arn:aws:lambda:")?.split_once(":function:")?;
    let (name, version) = match name.split_once(':') {
        Some((name, version)) => (name, format!(":{version}")),
        None => (name, String::new()),
    };
    // The name of the deployment comes first.
    let name = name.rsplit('-').next()?;
    Some(format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}{version}"))
}

/// Replaces the name of a bucket in all values that start with it, and the names of functions.
fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => {
            if let Some(rest) = text.strip_prefix(from) {
                *text = format!("{to}{rest}");
            } else if let Some(function) = emulated_function(text) {
                *text = function;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, from, to)),
        Value::Object(fields) => fields.values_mut().for_each(|value| rename(value, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use neap_s3_server::Policy;

    use super::*;

    #[test]
    fn deployed_functions_have_the_names_of_the_emulator() {
        let deployed = "arn:aws:lambda:eu-central-1:1:function:neap-query";
        let emulated = "arn:aws:lambda:us-east-1:000000000000:function:query";
        for version in ["", ":*"] {
            let emulated = format!("{emulated}{version}");
            let deployed = format!("{deployed}{version}");
            assert_eq!(emulated_function(&deployed), Some(emulated));
        }
        assert_eq!(emulated_function("arn:aws:s3:::b"), None);
    }

    #[test]
    fn a_function_has_the_deployed_permissions() {
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
