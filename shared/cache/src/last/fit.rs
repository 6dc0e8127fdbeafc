//! A layer in the shape that its table has by now.

use std::sync::Arc;

use neap_points::conform;

use crate::{CacheError, LastRows, LastShape};

impl LastRows {
    /// The same rows with the columns of `shape`: those that the table got since are null.
    ///
    /// # Errors
    /// A column has another type.
    pub fn fitted(&self, shape: &LastShape) -> Result<Self, CacheError> {
        let found = self.batch().schema_ref();
        if Arc::ptr_eq(found, shape.schema()) || found == shape.schema() {
            return Ok(self.clone());
        }
        // A tag that came since is missing in all rows, and the last one of the series key: the order stays.
        let rows = conform(self.batch(), shape.schema())?;
        Ok(self.with(rows, self.complete_from()))
    }
}
