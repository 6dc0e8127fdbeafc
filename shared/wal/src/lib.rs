//! The tail of a database: how rows and row deletes become segments in the bucket, and how they are read back.
//!
//! ```text
//! request ── encode its rows (EncodedRows, in parallel)
//!    │ 1     a crash here: nothing is in the bucket, the client has no answer
//!    ▼
//! group commit (TailWriter): wait for the put under way, join the next
//!    │ 2     the same
//!    ▼
//! if a request of the batch is of strict order: list the tail, follow its newest stamp (rule O)
//!    │       the same
//!    ▼
//! take the stamp, THEN check (W1, proof, mark)
//!    │ 3     the same; a stamp that is never put leaves a gap, and gaps mean nothing
//!    ▼
//! one PUT of one segment under a key of its own
//!    │ 4     a crash here: the segment may exist, now or later, and nobody was told that it does. A query may
//!    │       show it; a flush takes it in, or it turns up below the mark and is void
//!    ▼
//! acknowledge, if the store's Date fits the stamp (W2)
//!    │ 5     a crash here: the segment exists and every later snapshot has it; the client sends the
//!    ▼       same points again, which changes nothing
//! answer
//! ```
//!
//! | piece | what it is |
//! |---|---|
//! | [`EncodedRows`] | the rows of one request for one table, ready to be put |
//! | [`Segment`] | one object of the tail: a directory and the streams of rows that it names, or row deletes |
//! | [`StampSource`] | an instance's places in the order of all writes |
//! | [`TailWriter`] | group commit and the rules of a put |
//! | [`TailState`] | the length of the tail, as flushers publish it for writers |
//! | [`TailReader`] | listing and fetching what lies above a mark |
//! | [`Checkpoint`] | what a trigger of the processing engine has seen |

mod batch;
mod checkpoint;
mod commit;
mod error;
mod pressure;
mod rows;
mod segment;
mod stamps;
mod tail;
#[cfg(test)]
mod test_world;
mod writer;

pub use batch::{Acknowledged, DeleteRequest, Proof, WriteRequest};
pub use checkpoint::{Checkpoint, Lease, TRIGGER_PATIENCE, floor_of};
pub use commit::{SegmentObserver, WriterSettings, WriterStats};
pub use error::{Doubt, WriteError, WriteErrorKind};
pub use pressure::{Pressure, PressureLimits, TailState};
pub use rows::{EncodeError, EncodedRows};
pub use segment::{Entry, MAX_SEGMENT_BYTES, Segment, SegmentError, TableRows};
pub use stamps::{StampError, StampSource};
pub use tail::{Fetched, ListedSegment, TailError, TailListing, TailReader, TailSettings};
pub use writer::TailWriter;
