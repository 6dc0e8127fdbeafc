//! Recognizes clients of InfluxDB 1 and 2 by their headers. At the paths that clients of all versions request, each expects
//! the answer of its version.

use http::{
    HeaderMap, HeaderName,
    header::{ACCEPT, USER_AGENT},
};

/// The starts of `User-Agent` of clients that expect the answers of InfluxDB 1, in lower case. QuestDB's clients are
/// among them, because their server answers `/ping` as InfluxDB 1 does.
const V1_AGENTS: [&str; 6] = [
    "influxdbclient",
    "influxdbshell",
    "kapacitorinfluxdbclient",
    "homeassistant/",
    "k6",
    "questdb/",
];

/// The starts of `User-Agent` of clients of InfluxDB 2, in lower case: its libraries, and the command `influx`.
const V2_AGENTS: [&str; 2] = ["influxdb-client-", "influx/"];

/// The library `influxdb` for Python before version 5.3 accepts text only. Later versions accept MessagePack.
const OLD_PYTHON_AGENT: &str = "python-requests/";

/// Returns whether a client shows that it expects the answers of InfluxDB 1.
pub(crate) fn is_v1_client(headers: &HeaderMap) -> bool {
    let is_old_python = has_agent(headers, &[OLD_PYTHON_AGENT])
        && headers.get(ACCEPT).is_some_and(|accept| accept == "text/plain");
    is_old_python || has_agent(headers, &V1_AGENTS) || accepts(headers, "application/x-msgpack")
}

/// Returns whether a client expects the JSON of InfluxDB 2 at `/health` and `/ready`: it is one of InfluxDB 2, or names
/// JSON among the types that it accepts. Clients of InfluxDB 3 do neither.
pub fn expects_v2_json(headers: &HeaderMap) -> bool {
    accepts(headers, "application/json")
        || has_agent(headers, &V2_AGENTS)
        || text(headers, USER_AGENT).any(|agent| agent == "influx")
}

/// Returns whether `User-Agent` starts with one of these texts in lower case.
fn has_agent(headers: &HeaderMap, starts: &[&str]) -> bool {
    text(headers, USER_AGENT).any(|agent| {
        let agent = agent.to_ascii_lowercase();
        starts.iter().any(|start| agent.starts_with(start))
    })
}

/// Returns whether `Accept` lists a media type. Wildcards list none.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut ranges = text(headers, ACCEPT).flat_map(|value| value.split(','));
    ranges.any(|range| {
        let listed = range.split(';').next().unwrap_or_default();
        listed.trim().eq_ignore_ascii_case(media_type)
    })
}

/// Returns the values of a header that are text.
fn text(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(agent: &'static str, accept: Option<&'static str>) -> HeaderMap {
        let accept = accept.map(|accept| (ACCEPT, accept.parse().unwrap()));
        [(USER_AGENT, agent.parse().unwrap())].into_iter().chain(accept).collect()
    }

    #[test]
    fn clients_of_influxdb_1_are_recognized() {
        for (agent, accept) in [
            ("python-requests/2.34.2", Some("application/x-msgpack")),
            ("python-requests/2.20.0", Some("text/plain")),
            ("anything", Some("application/json, application/x-msgpack;q=0.5")),
            ("InfluxDBClient", None),
            ("InfluxDBShell/1.8.10", None),
            ("KapacitorInfluxDBClient", None),
            ("HomeAssistant/2026.11.1 aiohttp/3.13.2 Python/3.13", Some("*/*")),
            ("k6", None),
            ("QuestDB/java/8.2.1", None),
            ("questdb/python/6.0.0", Some("*/*")),
        ] {
            assert!(is_v1_client(&headers(agent, accept)), "{agent}");
        }
        for (agent, accept) in [
            ("influxdb3-python/0.21.0", None),
            ("influxdb3-go/2.10.0 (linux; amd64)", None),
            ("influxdb-client-python/1.50.0", Some("application/json")),
            ("Telegraf/1.36.1 Go/1.25.1", None),
            ("python-requests/2.34.2", Some("*/*")),
            ("curl/8.5.0", Some("text/plain")),
            ("Go-http-client/1.1", None),
        ] {
            assert!(!is_v1_client(&headers(agent, accept)), "{agent}");
        }
        assert!(!is_v1_client(&HeaderMap::new()));
    }

    #[test]
    fn clients_of_influxdb_2_are_recognized() {
        for (agent, accept) in [
            ("influxdb-client-python/1.50.0", None),
            ("influxdb-client-go/2.14.0 (linux; amd64)", Some("*/*")),
            ("influx/2.7.5 (linux; amd64) Sha/a79a2a1 Date/2024-04-16", None),
            ("influx", None),
            ("curl/8.5.0", Some("application/json; charset=utf-8, text/plain, */*")),
            ("curl/8.5.0", Some("text/plain, application/json")),
        ] {
            assert!(expects_v2_json(&headers(agent, accept)), "{agent}");
        }
        for (agent, accept) in [
            ("influxdb3-python/0.21.0", None),
            ("InfluxDBClient", None),
            ("curl/8.5.0", Some("*/*")),
            ("Mozilla/5.0", Some("text/html, */*;q=0.8")),
        ] {
            assert!(!expects_v2_json(&headers(agent, accept)), "{agent}");
        }
        assert!(!expects_v2_json(&HeaderMap::new()));
    }
}
