//! The progress of the views of a database, in a register.

use std::collections::BTreeMap;

use neap_bucket::{
    Bucket, Key, ObjectFormat, RECENT_PUT_IDS, Register, RegisterValue, Stamp, StoreTime, formats,
};
use neap_manifest::ManifestPoint;
use neap_schema::{DatabaseId, TableId, ViewId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::WindowSet;

/// Maximum bytes of the message of a failure.
const MAX_MESSAGE_BYTES: usize = 512;

/// The exclusive right of a process to write the rows of a view, or the results of the rules of a database, until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewClaim {
    /// A random number, unique to the claim.
    pub id: Ulid,
    /// The end, by the store's clock. No write of the process has a later stamp.
    pub until: StoreTime,
}

/// A refresh that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewFailure {
    /// The time of the failure, by the store's clock.
    pub time: StoreTime,
    /// The message for users.
    pub message: String,
}

impl ViewFailure {
    pub(crate) fn new(time: StoreTime, message: &str) -> Self {
        let mut end = message.len().min(MAX_MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            time,
            message: message.get(..end).unwrap_or_default().to_owned(),
        }
    }
}

/// The progress of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewState {
    /// The source. A table of the same name with another id is another source.
    pub source: TableId,
    /// All changes of the source up to this point are in `pending` or in the rows of the view.
    pub recorded: ManifestPoint,
    /// When `recorded` was set, by the store's clock.
    pub recorded_at: StoreTime,
    /// The windows that differ from the source.
    #[serde(default, skip_serializing_if = "WindowSet::is_empty")]
    pub pending: WindowSet,
    /// Windows of claims that ended without a result: writes with stamps up to `unfinished_until` may still appear.
    #[serde(default, skip_serializing_if = "WindowSet::is_empty")]
    pub unfinished: WindowSet,
    /// The latest end of these claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished_until: Option<StoreTime>,
    /// The bounds of all windows that were computed.
    #[serde(default, skip_serializing_if = "WindowSet::is_empty")]
    pub computed: WindowSet,
    /// The database of that table, if it is not the database of the view. Another one may lack rows, because it was
    /// restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_database: Option<DatabaseId>,
    /// The table that got the rows. Another table of the same name lacks rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TableId>,
    /// The newest stamp of acknowledged writes and deletes of the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_write: Option<Stamp>,
    /// Windows that begin before this time, in nanoseconds since the Unix epoch, may differ from the source although
    /// they are not in `pending`, because rows of the source or of the view had expired (rule V4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_before: Option<i64>,
    /// The claim of the process that refreshes the view, and the windows that it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ViewClaim>,
    /// The windows of the claim.
    #[serde(default, skip_serializing_if = "WindowSet::is_empty")]
    pub claimed: WindowSet,
    /// When rows were last computed, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed: Option<StoreTime>,
    /// The last refresh, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<ViewFailure>,
}

/// The progress of all views of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewProgress {
    /// The views that were refreshed.
    pub views: BTreeMap<ViewId, ViewState>,
}

impl RegisterValue for ViewProgress {
    const FORMAT: ObjectFormat = formats::VIEW_PROGRESS;
}

/// Returns the register with the progress of the views of a database.
pub fn view_progress(bucket: &Bucket, database: DatabaseId) -> Register<ViewProgress> {
    Register::new(bucket.clone(), Key::ViewProgress(database), RECENT_PUT_IDS)
}

#[cfg(test)]
mod tests {
    use neap_catalog::ViewWindows;
    use neap_manifest::TimeRange;

    use super::*;

    #[test]
    fn the_format_is_json() {
        let windows = ViewWindows { length_ns: 10, origin_ns: 0 };
        let mut pending = WindowSet::default();
        pending.add(windows, TimeRange { first: 0, last: 25 });
        let time = StoreTime::from_micros(5);
        let state = ViewState {
            source: TableId::new(2),
            recorded: ManifestPoint { version: 7, mark: Stamp::from_u64(9) },
            recorded_at: time,
            claimed: pending.clone(),
            pending,
            unfinished: WindowSet::default(),
            unfinished_until: None,
            computed: WindowSet::default(),
            target_database: Some(DatabaseId::new(6)),
            target: Some(TableId::new(4)),
            newest_write: Some(Stamp::from_u64(11)),
            expired_before: Some(-1),
            claim: Some(ViewClaim { id: Ulid(1), until: time }),
            refreshed: None,
            failure: Some(ViewFailure::new(time, "no")),
        };
        let progress = ViewProgress { views: BTreeMap::from([(ViewId::new(3), state)]) };
        let expected = serde_json::json!({"views": {"3": {
            "source": 2, "recorded": {"version": 7, "mark": 9}, "recorded_at": 5,
            "pending": [[0, 29]], "target_database": 6, "target": 4, "newest_write": 11,
            "expired_before": -1, "claim": {"id": "00000000000000000000000001", "until": 5},
            "claimed": [[0, 29]], "failure": {"time": 5, "message": "no"},
        }}});
        assert_eq!(serde_json::to_value(progress).unwrap(), expected);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = ViewFailure::new(StoreTime::from_micros(0), &"ü".repeat(1_000));
        assert!(failure.message.len() <= MAX_MESSAGE_BYTES);
        assert!(failure.message.chars().all(|char| char == 'ü'));
    }
}
