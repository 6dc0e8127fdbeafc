//! Tells registers that were never created apart from registers that are lost, as [`neap_bucket::AbsencePolicy`] says.
//!
//! ```text
//!   first flush                                     store
//!     |-- PUT the manifest ------------------------>  |   crash after: the next plan of merges records it
//!     |-- PUT the catalog: a manifest was created ->  |   from now on, a missing manifest is lost
//! ```
//!
//! A register that is lost before it is recorded is not noticed. Segments are deleted two minutes after their flush at the
//! earliest, so that queries find the rows of a first flush in the tail during this time.

use std::time::Duration;

use bytes::Bytes;
use neap_bucket::{
    FormatError, Key, MissingObject, Register, RegisterRead, VersionedValue, rewrite_register,
};
use neap_schema::DatabaseId;

use crate::{Catalog, CatalogError, DatabaseCatalog, RecordedRegister, RootCatalog};

impl Catalog {
    /// Returns the catalog of a database as [`database`](Self::database) does, and verifies that an absent one was never
    /// created: 2 LISTs.
    ///
    /// # Errors
    /// `Missing` if objects exist that need the catalog, or it can't be read.
    pub async fn verified_database(
        &self,
        database: DatabaseId,
        max_age: Duration,
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        let catalog = self.database(database, max_age).await?;
        if catalog.version > 0 {
            return Ok(catalog);
        }
        Ok(self.register(database).verify_unused(catalog).await?)
    }

    /// Returns the catalog of a database as [`database`](Self::database) does, if an object needs it. A copy from before
    /// its creation is read again.
    ///
    /// # Errors
    /// `Missing` if it does not exist, or it can't be read.
    pub async fn needed_database(
        &self,
        database: DatabaseId,
        max_age: Duration,
        dependent: &Key,
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        for age in [max_age, Duration::ZERO] {
            let catalog = self.database(database, age).await?;
            if catalog.version > 0 {
                return Ok(catalog);
            }
        }
        Err(MissingObject::needed_by(&Key::DatabaseCatalog(database), dependent).into())
    }

    /// Verifies that a register that was read and is absent was never created. Returns its value, which may have been
    /// committed since. Costs nothing if the register exists.
    ///
    /// # Errors
    /// `Missing` if a catalog records the register, or it can't be read.
    pub async fn verify_absence<T: RegisterRead>(
        &self,
        register: &Register<T>,
        read: VersionedValue<T>,
    ) -> Result<VersionedValue<T>, CatalogError> {
        if read.version > 0 || !self.is_recorded(register.key()).await? {
            return Ok(read);
        }
        // It may have been created and recorded since it was read.
        let current = register.read(None).await?;
        if current.version > 0 {
            return Ok(current);
        }
        Err(MissingObject::recorded(register.key()).into())
    }

    async fn is_recorded(&self, key: &Key) -> Result<bool, CatalogError> {
        let Some(register) = RecordedRegister::from_key(key) else {
            return Ok(false);
        };
        Ok(match key.database() {
            Some(database) => {
                let catalog = self.database(database, Duration::ZERO).await?;
                catalog.value.registers.contains(register)
            }
            None => self.root(Duration::ZERO).await?.value.registers.contains(register),
        })
    }

    /// Records that a register was created, unless that is known: 1 PUT.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn record_register(&self, key: &Key) -> Result<(), CatalogError> {
        let Some(register) = RecordedRegister::from_key(key) else {
            return Ok(());
        };
        match key.database() {
            Some(database) => {
                let record =
                    |catalog: &mut DatabaseCatalog| Ok((catalog.registers.insert(register), ()));
                self.change(database, None, record).await?;
            }
            None if self.known_root().is_some_and(|it| it.value.registers.contains(register)) => {}
            None => self.change_root(|root| Ok((root.registers.insert(register), ()))).await?,
        }
        Ok(())
    }

    /// Forgets that a register was created, because an operator accepts its loss.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn forget_register(&self, key: &Key) -> Result<(), CatalogError> {
        let Some(register) = RecordedRegister::from_key(key) else {
            return Ok(());
        };
        match key.database() {
            Some(database) => {
                let forget =
                    |catalog: &mut DatabaseCatalog| Ok((catalog.registers.remove(register), ()));
                self.change(database, None, forget).await?;
            }
            None => self.change_root(|root| Ok((root.registers.remove(register), ()))).await?,
        }
        Ok(())
    }
}

/// Returns the object of a catalog without the records of these registers, for a copy of the cluster that lacks them.
///
/// # Errors
/// The object is damaged or too new.
pub fn without_records(
    catalog: &Key,
    object: Bytes,
    registers: &[Key],
) -> Result<Bytes, FormatError> {
    let forgotten = || registers.iter().filter_map(RecordedRegister::from_key);
    let rewritten = match catalog {
        Key::RootCatalog => rewrite_register(catalog, &object, |root: &mut RootCatalog| {
            forgotten().filter(|register| root.registers.remove(*register)).count() > 0
        })?,
        Key::DatabaseCatalog(_) => {
            rewrite_register(catalog, &object, |database: &mut DatabaseCatalog| {
                forgotten().filter(|register| database.registers.remove(*register)).count() > 0
            })?
        }
        _ => None,
    };
    Ok(rewritten.unwrap_or(object))
}

#[cfg(test)]
mod tests {
    use neap_bucket::PutMode;

    use super::*;
    use crate::{ANY_AGE, tests::CatalogFixture};

    #[tokio::test(start_paused = true)]
    async fn a_catalog_created_since_it_was_read_is_not_lost() {
        let stage = CatalogFixture::new();
        let (one, other) = (stage.instance(), stage.instance());
        let id = other.create_database("db", None).await.unwrap();
        let absent = one.verified_database(id, ANY_AGE).await.unwrap();
        assert_eq!(absent.version, 0);
        other.create_table(id, "m", &[], &[]).await.unwrap();
        let bundle = Key::Bundle(id, ulid::Ulid(1));
        stage.bucket.put(&bundle, Bytes::new(), PutMode::Create).await.unwrap();
        let current = one.register(id).verify_unused(absent).await.unwrap();
        assert_eq!(current.version, 1);

        let key = Key::DatabaseCatalog(id);
        stage.bucket.delete(&[key.to_string()]).await.unwrap();
        let cold = stage.instance();
        let lost = cold.verified_database(id, ANY_AGE).await.unwrap_err();
        let text = format!("'{key}' is missing, although '{bundle}' needs it");
        assert!(lost.to_string().starts_with(&text), "{lost}");
        let created = cold.create_table(id, "other", &[], &[]).await.unwrap_err();
        assert_eq!(created.to_string(), lost.to_string());
    }

    #[tokio::test(start_paused = true)]
    async fn a_manifest_that_is_recorded_once_stays_recorded() {
        let (stage, catalog) = CatalogFixture::with_instance();
        let id = catalog.create_database("db", None).await.unwrap();
        let key = Key::Manifest(id);
        stage.taken();
        for puts in [1, 0] {
            catalog.record_register(&key).await.unwrap();
            assert_eq!(stage.taken().puts, puts);
        }
        let recorded = stage.instance().database(id, ANY_AGE).await.unwrap().value;
        assert!(recorded.registers.contains(RecordedRegister::Manifest));
        assert!(!recorded.registers.contains(RecordedRegister::Documents));
    }
}
