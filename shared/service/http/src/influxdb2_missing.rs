//! Resources of InfluxDB 2 that Neap does not have. The errors of their paths name what to use instead.

use http::Uri;

use crate::{ApiError, Kind};

const PREFIX: &str = "/api/v2/";

/// The first names of paths below [`PREFIX`], or names of parts of a bucket, with the message for requests to them that
/// have no route.
#[rustfmt::skip]
const MISSING: &[(&[&str], &str)] = &[
    (&["authorizations"],
     "a token can't be changed: create another one, and delete this one"),
    (&["backup", "restore"],
     "Neap has no backups of InfluxDB 2: use neap create backup and neap create restore"),
    (&["checks", "notificationEndpoints", "notificationRules"],
     "Neap has no checks: use Grafana's alerts, or a plugin that a schedule starts"),
    (&["dashboards", "variables"],
     "Neap has no dashboards of InfluxDB 2: use those of its console, or Grafana"),
    (&["dbrps"],
     "mappings follow from names: use ALTER RETENTION POLICY in InfluxQL to set the default"),
    (&["labels"],
     "Neap has no labels: distinguish buckets by their names"),
    (&["legacy"],
     "Neap has no passwords of InfluxDB 1: use a token as the password"),
    (&["me", "users"],
     "users can't be changed here: use /api/v3/users, or neap create user"),
    (&["members", "owners"],
     "Neap has no members of buckets: use the permissions of tokens"),
    (&["orgs"],
     "Neap has one organization, which can't be changed: separate data by databases and tokens"),
    (&["query"],
     "Neap does not analyze queries: send them to /api/v2/query by POST"),
    (&["remotes", "replications"],
     "Neap has no replications: use several processes with one bucket, or neap create backup"),
    (&["scrapers"],
     "Neap has no scrapers: use Telegraf, or remote write of Prometheus"),
    (&["scripts"],
     "Neap has no invokable scripts: send queries with parameters, or use a plugin that a request starts"),
    (&["signin", "signout"],
     "Neap has no sessions of InfluxDB 2: use a token, or /api/v3/authorize"),
    (&["stacks", "templates"],
     "Neap has no templates: use the command neap to create databases, tokens and triggers"),
    (&["tasks"],
     "Neap has no tasks: use a materialized view, a continuous query, or a plugin that a schedule starts"),
    (&["telegraf", "telegrafs"],
     "Neap has no configurations of Telegraf: keep them in files"),
];

/// Returns the error for a path or a method without a route.
pub(crate) async fn no_route(uri: Uri) -> ApiError {
    message(uri.path()).map_or_else(ApiError::no_route, |text| ApiError::v2(Kind::NotFound, text))
}

/// Returns the message for a path of a resource that is missing.
fn message(path: &str) -> Option<&'static str> {
    let mut segments = path.strip_prefix(PREFIX)?.split('/');
    let resource = segments.next()?;
    let part = segments.nth(1);
    let name = part.filter(|_| resource == "buckets").unwrap_or(resource);
    let row = MISSING.iter().find(|(names, _)| names.contains(&name))?;
    Some(row.1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_of_missing_resources_have_a_message() {
        for (path, beginning) in [
            ("/api/v2/tasks", "Neap has no tasks: "),
            ("/api/v2/tasks/1/runs/2/retry", "Neap has no tasks: "),
            ("/api/v2/scripts/1/invoke", "Neap has no invokable scripts: "),
            ("/api/v2/labels/1", "Neap has no labels: "),
            ("/api/v2/buckets/1/labels", "Neap has no labels: "),
            ("/api/v2/buckets/1/owners/2", "Neap has no members of buckets: "),
            ("/api/v2/orgs/1/secrets", "Neap has one organization, "),
            ("/api/v2/query/ast", "Neap does not analyze queries: "),
            ("/api/v2/users/1/password", "users can't be changed here: "),
        ] {
            assert!(message(path).unwrap().starts_with(beginning), "{path}");
        }
    }

    #[test]
    fn other_paths_have_no_message() {
        for path in [
            "/",
            "/api/v2",
            "/api/v2/",
            "/api/v2/buckets",
            "/api/v2/buckets/labels",
            "/api/v2/write",
            "/api/v2/tasks2",
            "/api/v3/tasks",
            "/tasks",
        ] {
            assert_eq!(message(path), None, "{path}");
        }
    }

    #[test]
    fn each_name_stands_once() {
        let mut known = BTreeSet::new();
        for name in MISSING.iter().flat_map(|(names, _)| *names) {
            assert!(known.insert(name), "{name}");
        }
    }
}
