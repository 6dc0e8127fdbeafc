//! Checks the code of plugins. Triggers and uploaded plugins refer to it.

use neap_bucket::{Bucket, CodeHash, Key};

use crate::{Finding, FindingKind, FsckError, messages, store::fetch};

/// Checks that code exists and is intact. `user` names the trigger or plugin that needs it.
pub(crate) async fn check(
    bucket: &Bucket,
    code: CodeHash,
    user: &str,
) -> Result<Option<Finding>, FsckError> {
    let key = Key::PluginCode(code);
    let flaw = match fetch(bucket, &key, None).await? {
        None => Some(Finding::error(FindingKind::Missing, "it is missing").at(&key)),
        Some(object) => key.verify(&object).err().map(|error| messages::format_finding(&error)),
    };
    Ok(flaw.map(|finding| Finding {
        message: format!("{}; {user} can't run without it", finding.message),
        ..finding
    }))
}
