//! Installs the admin token of a new cluster, from a file or by its hash, so that no request to a server is needed to create it.

use std::path::Path;

use neap_bucket::{Secret, StoreTime, World};
use neap_catalog::{ANY_AGE, Catalog, OPERATOR_TOKEN_NAME, SecretToken, TokenHash};
use serde::Deserialize;

use super::{ServeError, private_file};
use crate::console::Console;

/// Prefix of all tokens.
const PREFIX: &str = "apiv3_";

/// Minimum length of a token in characters, because short tokens can be guessed; `neap create token` generates 92.
const MIN_CHARS: usize = 32;

/// The file format of InfluxDB 3 `create token --admin --offline`.
#[derive(Deserialize)]
struct AdminTokenFile {
    token: String,
    name: Option<String>,
    /// Milliseconds since the Unix epoch.
    expiry_millis: Option<i64>,
}

/// Creates the admin token of the cluster from the file, unless there is an admin token already.
///
/// # Errors
///
/// The file can't be read or holds no valid token, or the store does not answer.
pub(super) async fn install(
    path: &Path,
    catalog: &Catalog,
    world: &World,
    console: &mut Console,
) -> Result<(), ServeError> {
    let refused =
        |reason: String| ServeError::AdminToken { path: path.display().to_string(), reason };
    let text = private_file::read_secret(path).map_err(|error| refused(error.to_string()))?;
    private_file::warn("--admin-token-file", path, console);
    let file: AdminTokenFile = serde_json::from_str(text.reveal()).map_err(|error| {
        // Don't include the error's text, because it may quote the token.
        let (line, column) = (error.line(), error.column());
        refused(format!("not a JSON object with a token, at line {line}, column {column}"))
    })?;
    file.check().map_err(refused)?;
    let expiry = file
        .expiry_millis
        .map(|millis| StoreTime::from_micros(millis.saturating_mul(1000)));
    let now = StoreTime::from_micros(world.clock.wall_micros());
    let is_needed = catalog.root(ANY_AGE).await?.value.tokens().is_empty();
    // If the cluster already has tokens, an expired file is not an error.
    if is_needed && expiry.is_some_and(|expiry| expiry <= now) {
        let reason =
            "the token has expired; make another with `neap create token --admin --offline`";
        return Err(refused(reason.to_owned()));
    }
    let hash = SecretToken::new(file.token.trim()).hash();
    if !catalog.install_admin_token(hash, expiry).await? {
        tracing::info!("an admin token exists, the one in the file is ignored");
        return Ok(());
    }
    if let Some(name) = file.name.filter(|name| name != OPERATOR_TOKEN_NAME) {
        let path = path.display();
        console.report(format_args!(
            "warning: --admin-token-file {path}: the first token is called {OPERATOR_TOKEN_NAME}, not {name:?}"
        ));
    }
    Ok(())
}

/// Installs an admin token by its hash, unless there is an admin token already.
///
/// # Errors
///
/// The text is not a hash, or the store does not answer.
pub(super) async fn install_hash(hash: &Secret, catalog: &Catalog) -> Result<(), ServeError> {
    let text = hash.reveal().trim();
    if text.is_empty() {
        return Ok(());
    }
    let parsed: TokenHash = text.parse()?;
    if !catalog.root(ANY_AGE).await?.value.has_admin_token() {
        catalog.install_admin_token(parsed, None).await?;
    }
    Ok(())
}

impl AdminTokenFile {
    /// Validates the token. The error does not quote it.
    fn check(&self) -> Result<(), String> {
        let token = self.token.trim();
        if token.is_empty() {
            return Err("the token is empty".to_owned());
        }
        if !token.starts_with(PREFIX) || token.chars().count() < MIN_CHARS {
            return Err(format!(
                "a token begins with {PREFIX} and has at least {MIN_CHARS} characters"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use neap_bucket::{Bucket, ProtocolMargins};

    use super::*;
    use crate::console::testing::console;

    fn catalog() -> Catalog {
        Catalog::new(Bucket::in_memory(World::system()), ProtocolMargins::LOCAL, None)
    }

    /// Installs a file with this text and mode, and returns the messages and the outcome.
    async fn run(catalog: &Catalog, text: &str, mode: u32) -> (String, Result<(), String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.json");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let (mut console, _, err) = console("");
        let outcome = install(&path, catalog, &World::system(), &mut console).await;
        let short = |text: String| text.replace(&folder.path().display().to_string(), "");
        (short(err.text()), outcome.map_err(|error| short(error.to_string())))
    }

    #[tokio::test]
    async fn the_token_file_is_used_only_by_a_cluster_without_tokens() {
        let catalog = catalog();
        let token = format!("apiv3_first{:021}", 0);
        let first = format!(r#"{{"token":"{token}","name":"_admin"}}"#);
        let (said, outcome) = run(&catalog, &first, 0o600).await;
        assert_eq!((said.as_str(), outcome), ("", Ok(())));
        // The file has expired; the start succeeds, because the token is not needed.
        let second = format!(r#"{{"token":"apiv3_second{:020}","expiry_millis":1}}"#, 0);
        let (said, outcome) = run(&catalog, &second, 0o644).await;
        assert_eq!(outcome, Ok(()));
        insta::assert_snapshot!(said, @"warning: --admin-token-file /token.json: users other than its owner may read it; chmod 600 /token.json");
        let root = catalog.root(ANY_AGE).await.unwrap();
        let hashes: Vec<_> = root.value.tokens().values().map(|entry| &entry.hash).collect();
        assert_eq!(hashes, [&SecretToken::new(&token).hash()]);
    }

    #[tokio::test]
    async fn the_hash_of_a_token_is_installed_in_a_cluster_without_tokens() {
        let catalog = catalog();
        let secret = |text: &str| text.parse::<Secret>().unwrap();
        let [first, second] = ["first", "second"].map(|token| SecretToken::new(token).hash());
        install_hash(&secret(&first.to_hex()), &catalog).await.unwrap();
        install_hash(&secret(&second.to_hex()), &catalog).await.unwrap();
        let root = catalog.root(ANY_AGE).await.unwrap();
        let hashes: Vec<_> = root.value.tokens().values().map(|entry| &entry.hash).collect();
        assert_eq!(hashes, [&first]);
    }

    #[tokio::test]
    async fn a_text_that_is_no_hash_is_refused_even_if_a_token_exists() {
        let catalog = catalog();
        let token = "apiv3_secret".parse::<Secret>().unwrap();
        for _ in 0..2 {
            let refused = install_hash(&token, &catalog).await.unwrap_err();
            insta::allow_duplicates! {
                insta::assert_snapshot!(refused, @"--admin-token-hash: not a SHA-512 in hexadecimal");
            }
            let hash = SecretToken::new("first").hash();
            catalog.install_admin_token(hash, None).await.unwrap();
        }
    }

    #[tokio::test]
    async fn invalid_token_files_are_refused_and_not_quoted() {
        let catalog = catalog();
        let (_, outcome) = run(&catalog, "apiv3_secret", 0o600).await;
        insta::assert_snapshot!(outcome.unwrap_err(), @"--admin-token-file /token.json: not a JSON object with a token, at line 1, column 1");
        let (_, outcome) = run(&catalog, r#"{"token": " "}"#, 0o600).await;
        insta::assert_snapshot!(outcome.unwrap_err(), @"--admin-token-file /token.json: the token is empty");
        let (_, outcome) = run(&catalog, &" ".repeat(1 << 20), 0o600).await;
        insta::assert_snapshot!(outcome.unwrap_err(), @"--admin-token-file /token.json: the file has more than 16384 bytes");
    }

    #[tokio::test]
    async fn a_token_that_can_be_guessed_or_has_expired_is_refused() {
        let catalog = catalog();
        let long = "x".repeat(MIN_CHARS);
        let short = long.get(PREFIX.len() + 1..).unwrap();
        for (token, rest, reason) in [
            (
                format!("{PREFIX}{short}"),
                "",
                "a token begins with apiv3_ and has at least 32 characters",
            ),
            (long.clone(), "", "a token begins with apiv3_ and has at least 32 characters"),
            (
                format!("{PREFIX}{long}"),
                r#","expiry_millis":1"#,
                "the token has expired; make another with `neap create token --admin --offline`",
            ),
        ] {
            let text = format!(r#"{{"token":"{token}"{rest}}}"#);
            let (_, outcome) = run(&catalog, &text, 0o600).await;
            let expected = format!("--admin-token-file /token.json: {reason}");
            assert_eq!(outcome, Err(expected), "{rest}");
        }
        let root = catalog.root(ANY_AGE).await.unwrap();
        assert!(root.value.tokens().is_empty());
    }

    #[tokio::test]
    async fn the_first_token_is_the_operator_token_regardless_of_its_name_in_the_file() {
        let catalog = catalog();
        let text = format!(r#"{{"token":"apiv3_{:026}","name":"ops"}}"#, 0);
        let (said, outcome) = run(&catalog, &text, 0o600).await;
        assert_eq!(outcome, Ok(()));
        insta::assert_snapshot!(said, @r#"warning: --admin-token-file /token.json: the first token is called _admin, not "ops""#);
    }
}
