//! The progress of import jobs and sites in the tail and the manifest of a database.

use std::time::Duration;

use neap_bucket::{Stamp, WriteOrder};
use neap_catalog::CatalogError;
use neap_schema::DatabaseId;
use neap_wal::{ImportProgress, WriteRequest};
use ulid::Ulid;

use crate::{WriteFailure, WriteService, freshness::revalidate};

/// The number of rows of an import job, or of the last part of a site, in segments up to a low-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledImport {
    /// The low-water mark.
    pub mark: Stamp,
    /// The number of rows, from the first row of the file.
    pub rows: u64,
}

impl WriteService {
    /// Returns the rows of an import job, or the last part of a site, at the current low-water mark. They are all of its rows
    /// if no segment of the job has a stamp above the mark, now or later.
    ///
    /// # Errors
    /// The manifest can't be read.
    pub async fn imported_rows(
        &self,
        database: DatabaseId,
        job: Ulid,
    ) -> Result<SettledImport, WriteFailure> {
        let head = self
            .marks
            .head(database, Duration::ZERO)
            .await
            .map_err(CatalogError::from)?
            .value;
        Ok(SettledImport {
            mark: head.low_water_mark,
            rows: head.imported_rows(job),
        })
    }

    /// Writes a segment without rows of an import job or site, so that the next flush raises the low-water mark above the present
    /// time.
    ///
    /// # Errors
    /// The database does not have this name, or the segment is not acknowledged.
    pub async fn mark_import(
        &self,
        name: &str,
        database: DatabaseId,
        job: Ulid,
    ) -> Result<(), WriteFailure> {
        let (arrived, _) = self.arrival();
        let current = revalidate(&self.catalog, &self.marks, database, self.max_age).await?;
        if current.root.value.database(name) != Some(database) {
            return Err(CatalogError::Forbidden.into());
        }
        let request = WriteRequest {
            arrived,
            rows: Vec::new(),
            proof: current.proof(&current.catalog),
            after: None,
            order: WriteOrder::default(),
            depth: 0,
            progress: Some(ImportProgress {
                job,
                rows: 0,
                is_permanent: false,
            }),
        };
        self.writer.write(database, request).await?;
        Ok(())
    }
}
