//! Adapts a layer to the current shape of its table.

use std::sync::Arc;

use neap_points::conform_to_schema;

use crate::{CacheError, LastCacheShape, LastRows};

impl LastRows {
    /// Returns the same rows with the columns of `shape`. Columns that the table got since are null.
    ///
    /// # Errors
    /// A column has another type.
    pub fn conform_to(&self, shape: &LastCacheShape) -> Result<Self, CacheError> {
        let found = self.batch().schema_ref();
        if Arc::ptr_eq(found, shape.schema()) || found == shape.schema() {
            return Ok(self.clone());
        }
        // A tag that was added since is missing in all rows and is the last one of the series key, so the order stays
        // the same.
        let rows = conform_to_schema(self.batch(), shape.schema())?;
        Ok(self.with(rows, self.complete_from()))
    }
}
