//! The progress of import jobs and sites in the tail and the manifest of a database.

use std::time::Duration;

use neap_bucket::{
    CommitOutcome, Key, RECENT_PUT_IDS, Register, RegisterChange, Stamp, VersionedValue, WriteOrder,
};
use neap_catalog::{CatalogError, DatabaseCatalog};
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
        Ok(SettledImport { mark: head.low_water_mark, rows: head.imported_rows(job) })
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
        let mut current = revalidate(&self.catalog, &self.marks, database, self.max_age).await?;
        if current.catalog.version == 0 && current.root.value.database(name) == Some(database) {
            self.create_catalog(database).await?;
            current = revalidate(&self.catalog, &self.marks, database, Duration::ZERO).await?;
        }
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
            progress: Some(ImportProgress { job, rows: 0, is_permanent: false }),
        };
        self.writer.write(database, request).await?;
        Ok(())
    }

    /// Creates the catalog of a database that has no table yet. With a segment and without a catalog, it would count as lost.
    async fn create_catalog(&self, database: DatabaseId) -> Result<(), CatalogError> {
        if self.catalog.verified_database(database, Duration::ZERO).await?.version > 0 {
            return Ok(());
        }
        let bucket = self.catalog.bucket().clone();
        let register = Register::new(bucket, Key::DatabaseCatalog(database), RECENT_PUT_IDS);
        let create = |base: &VersionedValue<DatabaseCatalog>| {
            Ok::<_, CatalogError>(match base.version {
                0 => RegisterChange::Put(DatabaseCatalog::default(), ()),
                _ => RegisterChange::Keep(()),
            })
        };
        match register.commit(None, create).await? {
            CommitOutcome::Committed { .. } => Ok(()),
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => Err(CatalogError::Unknown { reason }),
        }
    }
}
