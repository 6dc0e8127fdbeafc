//! The records in the lists of a manifest.

mod cache_entry;
mod claim;
mod damage_record;
mod imported_rows;
mod job_record;
mod mark_record;
mod publication;
mod recorded_delete;
mod shipping_hold;
mod table_expiry;
mod version_pin;

pub use cache_entry::CacheEntry;
pub use claim::Claim;
pub use damage_record::{DamageRecord, DamagedPart, LostRows, Quarantine};
pub use imported_rows::ImportedRows;
pub use job_record::{JobKind, JobRecord};
pub use mark_record::MarkRecord;
pub use publication::Publication;
pub use recorded_delete::RecordedDelete;
pub use shipping_hold::ShippingHold;
pub use table_expiry::TableExpiry;
pub use version_pin::VersionPin;
