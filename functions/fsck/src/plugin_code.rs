//! Checks the code of plugins. Triggers and uploaded plugins refer to it.

use neap_bucket::{Bucket, CodeHash, Key, verify_checksum};

use crate::{Finding, FindingKind, FsckError, store::fetch};

/// Checks that code exists and is intact. `user` names the trigger or plugin that needs it.
pub(crate) async fn check(
    bucket: &Bucket,
    code: CodeHash,
    user: &str,
) -> Result<Option<Finding>, FsckError> {
    let key = Key::PluginCode(code);
    let flaw = match fetch(bucket, &key, None).await? {
        None => Some((FindingKind::Missing, "it is gone".to_owned())),
        Some(object) => verify_checksum(&object).err().map(|reason| (FindingKind::Damaged, reason)),
    };
    Ok(flaw.map(|(kind, reason)| {
        Finding::error(kind, format!("{reason}; {user} can't run without it")).at(key)
    }))
}
