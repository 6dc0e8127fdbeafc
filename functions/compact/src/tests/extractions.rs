//! Sections that leave the bundles of flushes, and become Parquet files of their own.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use neap_bucket::{Get, GetOptions, KeyClass, Operation};
use neap_schema::TableId;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::test_bed::{CompactTestBed, DAY, NOW};

const HOUR: Duration = Duration::from_secs(3_600);
const THREE_DAYS: Duration = Duration::from_secs(3 * 24 * 3_600);

/// More tables than merges that have an object each for that reason alone.
const TABLES: usize = 70;

/// Returns a database with one flush of all tables, each with rows of one day. All sections are large.
async fn database_with_a_bundle() -> CompactTestBed {
    let mut bed = CompactTestBed::new().await;
    bed.policy.small_bytes = 1;
    let time = NOW - 20 * DAY;
    let mut lines = String::new();
    for table in 0..TABLES {
        for host in ["a", "b"] {
            writeln!(lines, "m{table},host={host} v={table} {time}").unwrap();
        }
    }
    bed.write("db", &lines).await;
    bed.flush("db").await;
    bed
}

/// Returns the number of sections in bundles, and the rows of each table as text.
async fn contents(bed: &CompactTestBed) -> (usize, BTreeMap<TableId, Vec<String>>) {
    let id = bed.id("db").await;
    let manifest = bed.manifest("db").await;
    let (mut bundled, mut tables) = (0, BTreeMap::<_, Vec<_>>::new());
    for section in &manifest.sections {
        bundled += usize::from(section.in_bundle);
        // An object that is not a bundle is a Parquet file as a whole.
        let options = GetOptions {
            range: section.in_bundle.then(|| section.range()),
            ..GetOptions::default()
        };
        let found = bed.bucket.get(&section.key(id), options).await.unwrap();
        let Get::Found(object) = found.value else {
            panic!("{section:?} is gone");
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(object.bytes).unwrap();
        let rows = tables.entry(section.table).or_default();
        let format = FormatOptions::default();
        for batch in reader.build().unwrap().map(Result::unwrap) {
            for row in 0..batch.num_rows() {
                let columns = batch.schema_ref().fields().iter().zip(batch.columns());
                let mut values: Vec<String> = columns
                    .map(|(field, column)| {
                        let shown = ArrayFormatter::try_new(column, &format).unwrap();
                        format!("{}={}", field.name(), shown.value(row))
                    })
                    .collect();
                values.sort();
                rows.push(values.join(","));
            }
        }
    }
    (bundled, tables)
}

#[tokio::test]
async fn sections_of_a_bulk_write_become_parquet_files_once() {
    let bed = database_with_a_bundle().await;
    let (bundled, rows) = contents(&bed).await;
    assert_eq!((bundled, rows.len()), (TABLES, TABLES));
    // The days are settled, but may become part of a range.
    assert_eq!(bed.look(HOUR).await.merges, 0);
    let (report, counts) = bed.counted(bed.look(THREE_DAYS)).await;
    assert_eq!(report.merges, TABLES);
    let of = |operation| usize::try_from(counts.of(operation, KeyClass::Data).requests).unwrap();
    assert_eq!((of(Operation::Get), of(Operation::Put)), (TABLES, TABLES));
    assert_eq!(contents(&bed).await, (0, rows.clone()));
    for _ in 0..4 {
        let (report, counts) = bed.counted(bed.look(THREE_DAYS)).await;
        assert_eq!(report.merges, 0);
        assert_eq!(counts.of(Operation::Put, KeyClass::Data).requests, 0);
    }
    assert_eq!(contents(&bed).await, (0, rows));
    let keys = bed.keys("data/").await;
    assert!(!keys.iter().any(|key| key.ends_with(".bundle")), "{keys:?}");
}

#[tokio::test]
async fn sections_that_become_part_of_a_range_are_written_once() {
    let bed = database_with_a_bundle().await;
    // Other days of the same range.
    for day in 21..23 {
        let time = NOW - day * DAY;
        bed.write("db", &format!("m0,host=a v=1 {time}\nm1,host=a v=1 {time}")).await;
        bed.flush("db").await;
    }
    let (report, counts) = bed.counted(bed.look(THREE_DAYS)).await;
    assert_eq!(report.merges, TABLES);
    let puts = counts.of(Operation::Put, KeyClass::Data).requests;
    assert_eq!(usize::try_from(puts).unwrap(), TABLES);
    let (bundled, rows) = contents(&bed).await;
    assert_eq!((bundled, rows.len()), (0, TABLES));
    assert_eq!(bed.manifest("db").await.section_count(), TABLES as u64);
}

#[tokio::test]
async fn small_sections_stay_in_their_bundle() {
    let mut bed = database_with_a_bundle().await;
    bed.policy.small_bytes = 1 << 20;
    assert_eq!(bed.look(THREE_DAYS).await.merges, 0);
    assert_eq!(contents(&bed).await.0, TABLES);
}
