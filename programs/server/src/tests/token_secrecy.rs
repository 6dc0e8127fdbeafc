//! Tests that tokens and their hashes are shown only to the client that creates them.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use neap_catalog::{ANY_AGE, SecretToken};
use tracing_subscriber::fmt::MakeWriter;

use super::access::AuthTestServer;

/// Captures the log.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl LogBuffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogBuffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Texts that must not appear anywhere: a token, its hash, and encodings of them.
struct Secrets(Vec<String>);

impl Secrets {
    fn new<'a>(tokens: impl Iterator<Item = &'a str>) -> Self {
        let all = tokens.flat_map(|token| {
            let secret = token.trim_start_matches("apiv3_");
            let hash = SecretToken::new(token).hash().to_hex();
            let encoded = STANDARD.encode(format!("any:{token}"));
            [secret.get(..20), hash.get(..20), encoded.get(20..40)]
                .map(|part| part.unwrap().to_owned())
        });
        Self(all.collect())
    }

    fn assert_absent(&self, from: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret), "a secret is in {from}");
        }
    }
}

#[tokio::test]
async fn tokens_and_hashes_are_in_no_log_error_metric_or_debug_output() {
    let log = LogBuffer::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut guarded = AuthTestServer::new().await;
    guarded.tokens.insert("wrong".to_owned(), format!("apiv3_{}", "w".repeat(88)));
    let mut said = Vec::new();
    for (method, path, body) in [
        ("POST", "/api/v3/write_lp?db=own", "m v=1 1"),
        ("POST", "/api/v3/write_lp?db=own", "m v="),
        ("POST", "/api/v3/query_sql", r#"{"db":"own","q":"SELECT * FROM missing"}"#),
        ("GET", "/api/v3/query_sql", ""),
        ("GET", "/nope", ""),
        ("GET", "/ping", ""),
        ("GET", "/metrics", ""),
        ("DELETE", "/api/v3/configure/token?token_name=missing", ""),
        ("POST", "/api/v3/configure/token", "{}"),
        (
            "POST",
            "/api/v3/query_sql",
            r#"{"db":"_internal","q":"SELECT * FROM system.queries"}"#,
        ),
    ] {
        let tokens: Vec<_> = guarded.tokens.keys().cloned().collect();
        for token in tokens {
            said.push(guarded.send(Some(&token), method, path, body).await.1);
            let secret = guarded.tokens[&token].clone();
            let basic = format!("Basic {}", STANDARD.encode(format!("any:{secret}")));
            let malformed = format!("{basic} {secret}");
            for header in [basic, malformed, format!("bearer {secret}"), secret.clone()] {
                let headers = [("authorization", header.as_str())];
                said.push(guarded.served.send(method, path, &headers, body).await.1);
            }
            let password = secret.replace('+', "%2B").replace('=', "%3D");
            for v1 in ["/query?q=SHOW+DATABASES", "/query?q=nonsense", "/write?db=own"] {
                let path = format!("{v1}&u=any&p={password}");
                said.push(guarded.served.send("POST", &path, &[], "m v=1 1").await.1);
            }
        }
    }
    let created = [
        ("/api/v3/configure/token/named_admin", r#"{"token_name":"another"}"#),
        ("/api/v3/configure/token/admin/regenerate", ""),
    ];
    for (path, body) in created {
        let (status, answer) = guarded.send(Some("named"), "POST", path, body).await;
        assert_eq!(status, 201);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let token = answer["token"].as_str().unwrap().to_owned();
        guarded.tokens.insert(path.to_owned(), token);
    }
    let secrets = Secrets::new(guarded.tokens.values().map(String::as_str));
    let log = log.text();
    assert!(log.contains("neap::audit") && log.contains("http"), "the log is there");
    secrets.assert_absent("the log", &log);
    secrets.assert_absent("the metrics", &guarded.served.metrics.render());
    let root = guarded.served.app.catalog.root(ANY_AGE).await.unwrap();
    secrets.assert_absent("the root catalog", &format!("{root:?}"));
    secrets.assert_absent("the catalog", &format!("{:?}", guarded.served.app.catalog));
    secrets.assert_absent("answers", &said.join("\n"));
}
