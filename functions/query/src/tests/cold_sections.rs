//! Queries of cold sections.

use std::sync::Arc;

use neap_bucket::{CommitOutcome, RegisterChange, StorageClass, VersionedValue};
use neap_manifest::Manifest;

use super::instance::{DATABASE, QueryTestInstance};

impl QueryTestInstance {
    /// Records that all sections are cold.
    async fn freeze(&self) {
        let base = self.manifests.read(DATABASE, None).await.unwrap();
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            for section in &mut next.sections {
                Arc::make_mut(section).class = Some(StorageClass::GlacierIr);
            }
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        let register = self.manifests.register(DATABASE);
        let commit = register.commit(Some(base), change).await.unwrap();
        assert!(matches!(commit, CommitOutcome::Committed { .. }));
    }
}

#[tokio::test]
async fn bytes_of_cold_sections_count_for_the_query_that_reads_them_from_the_store() {
    let one = QueryTestInstance::with_rows("m v=1 1\nm v=2 2").await;
    one.flush().await;
    one.freeze().await;
    for _ in 0..2 {
        assert_eq!(one.sql("SELECT v FROM m").await, "v\n1.0\n2.0\n");
    }
    let counted = "SELECT cold_bytes > 0 AS counted FROM system.queries \
                   WHERE query_text = 'SELECT v FROM m'";
    assert_eq!(one.sql(counted).await, "counted\ntrue\nfalse\n");
    let classes = "SELECT storage_class FROM system.parquet_files";
    assert_eq!(one.sql(classes).await, "storage_class\nGLACIER_IR\n");
}

#[tokio::test]
async fn other_sections_are_not_cold() {
    let one = QueryTestInstance::with_rows("m v=1 1").await;
    one.flush().await;
    one.sql("SELECT v FROM m").await;
    let counted = "SELECT cold_bytes FROM system.queries WHERE query_text = 'SELECT v FROM m'";
    assert_eq!(one.sql(counted).await, "cold_bytes\n0\n");
    let classes = "SELECT storage_class IS NULL AS warm FROM system.parquet_files";
    assert_eq!(one.sql(classes).await, "warm\ntrue\n");
}
