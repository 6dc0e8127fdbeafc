//! Routing of requests to functions, by the routes of the deployment.

use crate::deployment::Deployment;

/// All routes and their functions.
#[derive(Clone, Debug)]
pub struct GatewayRoutes(Vec<(String, String)>);

impl GatewayRoutes {
    /// Returns the routes of a deployment.
    pub fn from_deployment(deployment: &Deployment) -> Self {
        let routes = deployment.routes();
        Self(routes.map(|(key, function)| (key.to_owned(), function.to_owned())).collect())
    }

    /// Returns the function for a request. The most specific route wins, as with API Gateway: exact paths before
    /// `{proxy+}`, a method before `ANY`, and all of them before `$default`.
    pub fn function_for(&self, method: &str, path: &str) -> Option<&str> {
        let matching = self
            .0
            .iter()
            .filter_map(|(key, function)| Some((rank(key, method, path)?, function)));
        let best = matching.max_by_key(|(rank, _)| *rank);
        best.map(|(_, function)| function.as_str())
    }
}

/// Returns the specificity of a route for a request; `None` if the route does not match.
fn rank(key: &str, method: &str, path: &str) -> Option<(bool, usize, bool)> {
    let Some((wanted, pattern)) = key.split_once(' ') else {
        return (key == "$default").then_some((false, 0, false));
    };
    let is_method = wanted == method;
    if !is_method && wanted != "ANY" {
        return None;
    }
    match pattern.strip_suffix("{proxy+}") {
        None => (pattern == path).then_some((true, pattern.len(), is_method)),
        Some(prefix) => {
            let rest = path.strip_prefix(prefix)?;
            (!rest.is_empty()).then_some((false, prefix.len(), is_method))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_the_function_of_the_most_specific_route() {
        let routes = GatewayRoutes::from_deployment(&Deployment::read().unwrap());
        for (method, path, function) in [
            ("POST", "/api/v3/write_lp", "write"),
            ("POST", "/api/v2/write", "write"),
            ("GET", "/api/v3/query_sql", "query"),
            ("POST", "/query", "query"),
            ("GET", "/api/v3/configure/database", "query"),
            ("POST", "/api/v3/configure/database", "write"),
            ("DELETE", "/api/v3/configure/table", "write"),
            ("GET", "/api/v3/engine/a/b", "engine"),
            (
                "POST",
                "/api/v3/configure/processing_engine_trigger",
                "engine",
            ),
        ] {
            let found = routes.function_for(method, path);
            assert_eq!(found, Some(function), "{method} {path}");
        }
        let default = routes.0.iter().find(|(key, _)| key == "$default").unwrap();
        assert_eq!(routes.function_for("GET", "/nope"), Some(&*default.1));
        assert_eq!(
            routes.function_for("GET", "/api/v3/engine/"),
            Some(&*default.1)
        );
    }
}
