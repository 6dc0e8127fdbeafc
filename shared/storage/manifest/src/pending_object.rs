//! The names of objects that are put before the commit that references them.

use std::time::Duration;

use neap_bucket::{Bucket, StoreTime, VersionedValue};
use ulid::Ulid;

use crate::{Manifest, ObjectName, condemned::DroppedItem};

/// Maximum time between generating an object's name and reading the base version of the commit that references it (15
/// minutes). A collector may have classified an older object as an orphan.
pub const OBJECT_NAME_AGE: Duration = Duration::from_secs(15 * 60);

/// The name of an object to be put, and the time when the name was drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingObject {
    /// The random name.
    pub ulid: Ulid,
    /// Time of drawing the name, by the store's clock. It is before the first put of the object.
    pub drawn: StoreTime,
}

impl PendingObject {
    /// Draws a name; `None` if the store has not yet sent a time.
    pub fn draw(bucket: &Bucket) -> Option<Self> {
        let drawn = bucket.clock().now()?;
        let ulid = bucket.draw_ulid();
        Some(Self { ulid, drawn })
    }

    /// Returns whether a commit on this base may reference the object: its name is recent, and it is not condemned as
    /// an orphan.
    pub(crate) fn may_be_named(&self, base: &VersionedValue<Manifest>) -> bool {
        let names = [
            ObjectName::Parquet(self.ulid),
            ObjectName::Bundle(self.ulid),
            ObjectName::Page(self.ulid),
        ];
        let is_condemned =
            base.value.condemned.iter().any(
                |entry| matches!(&entry.what, DroppedItem::Object(name) if names.contains(name)),
            );
        !is_condemned && is_young(self.drawn, base)
    }
}

/// Returns whether a commit on this base may reference an object whose name was drawn at this time.
pub(crate) fn is_young(drawn: StoreTime, base: &VersionedValue<Manifest>) -> bool {
    let age = base.current_at.map(|current_at| current_at.since(drawn));
    age.is_some_and(|age| age <= OBJECT_NAME_AGE)
}
