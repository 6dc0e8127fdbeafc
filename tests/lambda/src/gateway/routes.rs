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

    /// Returns the function for a request; `None` if there is no such route. The most specific route wins, as with API
    /// Gateway: paths with the most exact parts, any of them before `{proxy+}`, and a method before `ANY`.
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
    let (wanted, pattern) = key.split_once(' ')?;
    let is_method = wanted == method;
    if !is_method && wanted != "ANY" {
        return None;
    }
    match pattern.strip_suffix("{proxy+}") {
        None => Some((true, exact_parts(pattern, path)?, is_method)),
        Some(prefix) => {
            let rest = path.strip_prefix(prefix)?;
            (!rest.is_empty()).then_some((false, prefix.len(), is_method))
        }
    }
}

/// Returns the number of parts of a path that a pattern has; the others are parameters such as `{id}`. `None` if the
/// pattern does not match.
fn exact_parts(pattern: &str, path: &str) -> Option<usize> {
    let is_parameter = |part: &str| part.starts_with('{') && part.ends_with('}');
    let mut parts = path.split('/');
    let mut exact = 0;
    for wanted in pattern.split('/') {
        match parts.next()? {
            part if part == wanted => exact += 1,
            part if is_parameter(wanted) && !part.is_empty() => {}
            _ => return None,
        }
    }
    parts.next().is_none().then_some(exact)
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
            ("DELETE", "/api/v2/buckets/0a1b", "write"),
            ("GET", "/api/v1/label/host/values", "query"),
            ("POST", "/api/v3/configure/processing_engine_trigger", "engine"),
        ] {
            let found = routes.function_for(method, path);
            assert_eq!(found, Some(function), "{method} {path}");
        }
        for unknown in ["/nope", "/api/v3/engine/", "/api/v2/buckets/", "/api/v2/buckets/a/b"] {
            assert_eq!(routes.function_for("GET", unknown), None, "{unknown}");
        }
    }
}
