//! Writes the file with an admin token for `neap serve --admin-token-file`.

use std::{io, path::Path, time::Duration};

use neap_bucket::World;
use neap_catalog::generate_token;
use serde::Serialize;

use super::{CommandError, CommandResult};
use crate::owner_only;

/// The file's JSON (InfluxDB 3 `create token --admin --offline`).
#[derive(Serialize)]
struct TokenFile<'a> {
    token: &'a str,
    name: &'a str,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_millis: Option<i64>,
}

/// Writes a new token into a new file.
///
/// # Errors
///
/// The file already exists, or can't be written.
pub(super) fn write(
    path: &Path,
    name: &str,
    expiry: Option<Duration>,
    world: &World,
) -> CommandResult {
    let token = generate_token(world);
    let file = TokenFile {
        token: token.reveal(),
        name,
        expiry_millis: expiry.map(|expiry| expires_at(expiry, world)),
    };
    write_new(path, &file).map_err(|error| CommandError::of_file(path, error))
}

fn expires_at(expiry: Duration, world: &World) -> i64 {
    let now = world.clock.wall_micros() / 1000;
    let expiry = i64::try_from(expiry.as_millis()).unwrap_or(i64::MAX);
    now.saturating_add(expiry)
}

fn write_new(path: &Path, file: &TokenFile<'_>) -> io::Result<()> {
    let mut text = serde_json::to_string(file)?;
    text.push('\n');
    // Don't overwrite a token that may be in use.
    owner_only::write_new_file(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_file_is_for_its_owner_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.json");
        let world = World::system();
        let day = Some(Duration::from_hours(24));
        write(&path, "_admin", day, &world).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("}\n"), "{text}");
        let file: Value = serde_json::from_str(&text).unwrap();
        assert!(file["token"].as_str().unwrap().starts_with("apiv3_"));
        assert_eq!(file["name"], "_admin");
        let left = file["expiry_millis"].as_i64().unwrap() - world.clock.wall_micros() / 1000;
        assert!((86_000_000..=86_400_000).contains(&left), "{left}");
        let error = write(&path, "_admin", None, &world).unwrap_err().to_string();
        assert!(error.ends_with("File exists (os error 17)"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
