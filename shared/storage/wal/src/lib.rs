//! Encodes rows and row deletes into segments, the objects of a database's tail, and reads them back.
//!
//! ```text
//! request ── encode its rows (EncodedRows, in parallel)
//!    │ 1     a crash here: nothing is in the bucket, the client has no answer
//!    ▼
//! group commit (TailWriter): wait for the PUT in progress and for the budget of PUTs, join the next one
//!    │ 2     the same
//!    ▼
//! if a request of the batch has strict order: list the tail, follow its newest stamp (rule O)
//!    │       the same
//!    ▼
//! take the stamp, THEN check (W1, proof, mark)
//!    │ 3     the same; a stamp without a segment leaves a gap, and gaps have no meaning
//!    ▼
//! one PUT of one segment under a key of its own
//!    │ 4     a crash here: the segment may exist, now or later, but the write was not acknowledged. A query may
//!    │       show it; a flush includes it, or it appears below the low-water mark and is void
//!    ▼
//! acknowledge, if the store's Date is close enough to the stamp (W2)
//!    │ 5     a crash here: the segment exists and every later snapshot has it; the client sends the
//!    ▼       same points again, which changes nothing
//! answer
//! ```
//!
//! | type | purpose |
//! |---|---|
//! | [`EncodedRows`] | the encoded rows of one request for one table |
//! | [`Segment`] | one object of the tail: a directory and the row streams that it lists, or row deletes |
//! | [`ImportProgress`] | the number of stored rows of an import job, or of parts of a site, in their segments |
//! | [`SiteProgress`] | the progress of the sites that ship their rows to a database |
//! | [`StampSource`] | issues an instance's stamps, the positions of its writes in the order of all writes |
//! | [`TailWriter`] | group commit and the commit rules |
//! | [`TailState`] | the length of the tail, published by flushers for writers |
//! | [`TailReader`] | lists and fetches the segments above a low-water mark |
//! | [`TriggerCheckpoint`] | the progress of a trigger of the processing engine |

mod backpressure;
mod batch;
mod checkpoint;
mod commit;
mod encode_error;
mod error;
mod import_progress;
mod narrow_columns;
mod put_budget;
mod rows;
mod segment;
mod site_progress;
mod stamp_source;
mod stream_dictionaries;
mod stream_messages;
mod stream_reader;
mod stream_schema;
mod tail;
#[cfg(test)]
mod test_world;
mod writer;

pub use backpressure::{Backpressure, BackpressureLimits, DeleteBytes, DeleteLimits, TailState};
pub use batch::{DeleteRequest, FreshnessProof, WriteReceipt, WriteRequest};
pub use checkpoint::{TRIGGER_RETENTION, TriggerCheckpoint, TriggerLease, trigger_floor};
pub use commit::{SegmentObserver, TailWriterSettings, TailWriterStats};
pub use encode_error::EncodeError;
pub use error::{NotAcknowledged, WriteError, WriteErrorKind};
pub use import_progress::ImportProgress;
pub use rows::EncodedRows;
pub use segment::{MAX_SEGMENT_BYTES, Segment, SegmentError, StreamEntry, TableSummary};
pub use site_progress::{
    MAX_POSITION_BYTES, MAX_SITES, PartRefusal, SETTLING_TIME, SettledPart, SitePart, SiteProgress,
    SiteState, StartedPart,
};
pub use stamp_source::{StampError, StampSource};
pub use tail::{
    FetchedSegments, ListedSegment, TailError, TailListing, TailReader, TailReaderSettings,
};
pub use writer::{InFlightRoom, TailWriter};
