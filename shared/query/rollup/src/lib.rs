//! Materialized views: keeps the rows of a query over windows of time in a table, right when data come late.
//!
//! ```text
//!   manifest of the source                      db/<id>/views                     table of the view
//!   | changes since the last refresh |--------> | windows to compute |
//!                                               | claim, until a time | --------> | rows of the windows |
//! ```
//!
//! A window is computed from flushed rows by the query of the view, and its rows are replaced as a whole: rows that the
//! query no longer returns are deleted, and rows that have changed are written. So repeats give the same rows.
//!
//! | rule | statement | where |
//! |---|---|---|
//! | V1 | A window stays listed until its rows are stored, as of the mark up to which changes are recorded. | `refresh` |
//! | V2 | One refresher at a time has the claim of a view, and its writes have stamps before the end of the claim. | `claim` |
//! | V3 | Windows of a claim that ended without a result are deleted and written whole, with later stamps. | `refresh` |
//! | V4 | A window that begins before the retention period of the source is never changed. | `changes` |
//! | V5 | A query reads only windows whose rows equal the result at its snapshot. | `current_windows` |
//!
//! V3 covers writes of a frozen refresher that the store gets late: by V2 their stamps are before those of the new rows.
//!
//! | item | purpose |
//! |---|---|
//! | [`ViewRefresher`] | finds changes, and refreshes views |
//! | [`ViewData`] | computes, reads and writes the rows of views |
//! | [`ViewProgress`], [`ViewState`] | the register |
//! | [`CurrentWindows`] | the windows that a query may read |
//! | [`WindowSet`] | sets of windows |

mod changes;
mod claim;
mod current_windows;
mod data;
mod difference;
mod error;
mod progress;
mod refresh;
mod windows;

pub use claim::HeldClaim;
pub use current_windows::{CurrentWindows, DividedTimes};
pub use data::{StoredViewRows, ViewData, ViewDataError, ViewRows};
pub use difference::{RowDifference, normalize};
pub use error::RefreshError;
pub use progress::{ViewClaim, ViewFailure, ViewProgress, ViewState, view_progress};
pub use refresh::{RefreshOutcome, RefreshReport, ViewRefresher, ViewSource};
pub use windows::WindowSet;
