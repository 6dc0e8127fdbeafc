//! The format level of a cluster.

use std::time::Duration;

use neap_bucket::{Bucket, FormatLevel, FormatLevels};

use crate::{Catalog, CatalogError, RootCatalog};

impl RootCatalog {
    /// Returns the format level, which says which formats the programs of the cluster write.
    pub fn format_level(&self) -> FormatLevel {
        self.format_level
    }

    /// Verifies that a program with these levels reads and writes the formats of the cluster.
    ///
    /// # Errors
    /// `OtherFormatLevel` if it does not.
    pub(crate) fn verify_format_level(&self, known: FormatLevels) -> Result<(), CatalogError> {
        let recorded = self.format_level;
        if known.includes(recorded) {
            Ok(())
        } else {
            Err(CatalogError::OtherFormatLevel { recorded, known })
        }
    }

    /// Verifies that a process with this bucket reads all objects of the cluster.
    ///
    /// # Errors
    /// `OtherFormatLevel` or `OtherTail` if it does not.
    pub fn verify_reader(&self, bucket: &Bucket) -> Result<(), CatalogError> {
        self.verify_format_level(bucket.format_levels())?;
        self.tail.verify(bucket.tail_locations())
    }
}

impl Catalog {
    /// Raises the format level. Returns after every process has read it: those that do not know it refuse all requests. There
    /// is no way back, because objects are then written that earlier levels do not have.
    ///
    /// # Errors
    /// `InvalidFormatLevel` if this program does not know the level, or if the present one is higher, `OtherFormatLevel`, or
    /// an error of the commit.
    pub async fn raise_format_level(&self, level: FormatLevel) -> Result<(), CatalogError> {
        let invalid = |reason: String| CatalogError::InvalidFormatLevel { level, reason };
        let known = self.bucket.format_levels();
        if !known.includes(level) {
            let reason = format!(
                "this program reads and writes {known}; first replace all programs by a release that knows level {level}"
            );
            return Err(invalid(reason));
        }
        let root = self.root(Duration::ZERO).await?;
        self.change_known_root(root, |root| {
            let present = root.format_level;
            if level < present {
                return Err(invalid(format!("it is {present}, and is never lowered")));
            }
            root.format_level = level;
            if level > present {
                let detail = Some(format!("from {present}"));
                root.note(self.now()?, "raise format level", &level.to_string(), detail);
            }
            Ok((level > present, ()))
        })
        .await?;
        self.settle().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use bytes::Bytes;
    use neap_bucket::{
        FormatError, Get, GetOptions, Key, MemoryStore, ObjectFormat, PausedClock, ProtocolMargins,
        PutMode, Store, World,
    };

    use super::*;
    use crate::ANY_AGE;

    const ONE: FormatLevel = FormatLevel::first();
    const TWO: FormatLevel = FormatLevel::new(2);

    /// The levels of a program that knows the first two.
    const UP_TO_TWO: FormatLevels = FormatLevels { newest: TWO, ..FormatLevels::SUPPORTED };

    /// A bucket, and programs of several releases that use it.
    struct UpgradeFixture {
        clock: Arc<PausedClock>,
        store: Arc<dyn Store>,
        programs: AtomicU64,
    }

    impl UpgradeFixture {
        fn new() -> Self {
            let clock = Arc::new(PausedClock::new(1_757_510_705_000_000));
            let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
            let programs = AtomicU64::new(0);
            Self { clock, store, programs }
        }

        fn program(&self, levels: FormatLevels) -> Catalog {
            let seed = self.programs.fetch_add(1, Ordering::Relaxed);
            let world = World::seeded(Arc::clone(&self.clock) as _, seed);
            let bucket = Bucket::new(Arc::clone(&self.store), world).with_format_levels(levels);
            Catalog::new(bucket, ProtocolMargins::LOCAL, None)
        }

        fn old_program(&self) -> Catalog {
            self.program(FormatLevels::SUPPORTED)
        }

        fn new_program(&self) -> Catalog {
            self.program(UP_TO_TWO)
        }
    }

    const OBJECT: Key = Key::RowDeletes;

    /// A format that has version 2 from level 2 on.
    fn format(newest: FormatLevel) -> ObjectFormat {
        ObjectFormat {
            magic: *b"TEST",
            kind: "test",
            version: if newest >= TWO { 2 } else { 1 },
        }
    }

    async fn write(program: &Catalog, payload: &'static [u8]) -> Result<(), CatalogError> {
        let level = program.root(program.max_age()).await?.value.format_level();
        let object = format(level).encode(1, payload);
        program.bucket.put(&OBJECT, object, PutMode::Overwrite).await?;
        Ok(())
    }

    async fn read_object(program: &Catalog) -> Result<Bytes, CatalogError> {
        let Get::Found(object) = program.bucket.get(&OBJECT, GetOptions::default()).await?.value
        else {
            panic!("there is no object");
        };
        let known = format(program.bucket.format_levels().newest);
        let (_, payload) = known.decode("k", &object.bytes)?;
        Ok(payload)
    }

    async fn read(program: &Catalog) -> Result<Bytes, CatalogError> {
        program.root(program.max_age()).await?;
        read_object(program).await
    }

    fn is_refused<T>(result: Result<T, CatalogError>) -> bool {
        matches!(result, Err(CatalogError::OtherFormatLevel { recorded: TWO, .. }))
    }

    #[tokio::test(start_paused = true)]
    async fn programs_of_two_releases_read_each_other_until_the_level_is_raised() {
        let fixture = UpgradeFixture::new();
        let (old, new) = (fixture.old_program(), fixture.new_program());
        write(&old, b"of the old program").await.unwrap();
        assert_eq!(read(&new).await.unwrap(), "of the old program");
        write(&new, b"of the new program").await.unwrap();
        assert_eq!(read(&old).await.unwrap(), "of the new program");

        let forgotten = fixture.old_program();
        forgotten.root(ANY_AGE).await.unwrap();
        new.raise_format_level(TWO).await.unwrap();
        write(&new, b"of level 2").await.unwrap();
        // Running processes have read the level when it is raised, those that start read it first.
        assert!(is_refused(read(&old).await));
        assert!(is_refused(read(&fixture.old_program()).await));
        assert!(is_refused(write(&old, b"of level 1").await));
        assert!(is_refused(forgotten.create_database("db", None).await));
        // A reader between two reads of the root catalog does not take the object for one of its own version.
        let unread = read_object(&old).await.unwrap_err();
        let is_newer = matches!(unread, CatalogError::Format(FormatError::Newer { found: 2, .. }));
        assert!(is_newer, "{unread}");
        assert_eq!(read(&new).await.unwrap(), "of level 2");
        assert!(new.create_database("db", None).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_names_both_levels_and_what_to_do() {
        let fixture = UpgradeFixture::new();
        fixture.new_program().raise_format_level(TWO).await.unwrap();
        let error = fixture.old_program().root(ANY_AGE).await.unwrap_err();
        let expected = "the cluster has format level 2, but this program reads and writes level 1: replace it by a release that \
                        knows level 2";
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_level_is_raised_to_known_ones_and_never_lowered() {
        let fixture = UpgradeFixture::new();
        let (old, new) = (fixture.old_program(), fixture.new_program());
        for (program, level) in
            [(&old, TWO), (&new, FormatLevel::new(3)), (&new, FormatLevel::new(0))]
        {
            let raised = program.raise_format_level(level).await;
            let is_invalid = matches!(raised, Err(CatalogError::InvalidFormatLevel { .. }));
            assert!(is_invalid, "{level}: {raised:?}");
        }
        new.raise_format_level(ONE).await.unwrap();
        assert!(old.root(Duration::ZERO).await.unwrap().value.audit().next().is_none());
        new.raise_format_level(TWO).await.unwrap();
        new.raise_format_level(TWO).await.unwrap();
        let lowered = new.raise_format_level(ONE).await.unwrap_err();
        let expected = "the format level can't be set to 1: it is 2, and is never lowered";
        assert_eq!(lowered.to_string(), expected);
        let root = new.root(Duration::ZERO).await.unwrap().value;
        assert_eq!(root.format_level(), TWO);
        assert_eq!(root.audit().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_cluster_has_the_level_of_its_creator_and_a_catalog_without_one_the_first() {
        for (initial, stored) in [(ONE, serde_json::Value::Null), (TWO, 2.into())] {
            let fixture = UpgradeFixture::new();
            let creator = fixture.program(FormatLevels { initial, ..UP_TO_TWO });
            let root = creator.root(ANY_AGE).await.unwrap().value;
            assert_eq!(serde_json::to_value(&*root).unwrap()["format_level"], stored);
            let other = fixture.new_program().root(ANY_AGE).await.unwrap().value;
            assert_eq!(other.format_level(), initial);
        }
    }
}
