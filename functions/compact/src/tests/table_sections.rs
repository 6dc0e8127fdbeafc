//! Sections of a table are the same however many of its fields are decoded at a time.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc, time::Duration};

use neap_bucket::{Get, GetOptions, Key, Store};
use neap_catalog::Table;
use neap_row_delete::Condition;
use neap_wal::Segment;

use super::test_bed::{CompactTestBed, DAY, NOW};
use crate::{
    caches::{IntervalLayers, MaterializedCaches},
    table_sections::TableRows,
};

impl CompactTestBed {
    /// Returns the segments of the tail, from the oldest to the newest.
    async fn segments(&self) -> Vec<Arc<Segment>> {
        let mut segments = Vec::new();
        for key in self.keys("tail/").await {
            let Ok(Key::Segment(database, name)) = key.parse() else {
                panic!("{key}");
            };
            let found = self.store.get(&key, GetOptions::default()).await.unwrap();
            let Get::Found(object) = found.value else {
                panic!("{key} is gone");
            };
            let segment = Segment::decode(database, name, object.bytes).unwrap();
            segments.push(Arc::new(segment));
        }
        segments.sort_by_key(|segment| segment.name().stamp);
        segments
    }
}

/// Returns the days, the number of rows and the file of each section.
fn sections(
    table: &Table,
    segments: &[Arc<Segment>],
    fields_bytes: u64,
) -> Vec<(RangeInclusive<i32>, u64, Vec<u8>)> {
    let mut rows = TableRows::new(table, segments, 10_000);
    rows.fields_bytes = fields_bytes;
    let kept = MaterializedCaches::default();
    let encoded = rows.encode(&kept, &mut IntervalLayers::default()).unwrap();
    let sections = encoded.into_iter();
    sections.map(|(days, section)| (days, section.rows, section.bytes)).collect()
}

#[tokio::test]
async fn fields_that_are_decoded_one_by_one_give_the_sections_of_whole_rows() {
    let fixture = CompactTestBed::new().await;
    let (mut points, mut before_delete) = (BTreeSet::new(), 0);
    for round in 0..4 {
        // Segments of so many rows have narrow integers.
        let lines: Vec<String> = (0..600)
            .map(|row| {
                let time = NOW - row % 3 * DAY + row / 7 + i64::from(round == 3);
                let tags = match round {
                    1 => format!("host=h{},zone=z{}", row % 7, row % 2),
                    2 => format!("zone=z{}", row % 7),
                    _ => format!("host=h{}", row % 7),
                };
                let fields = match round {
                    0 => format!("a={row},b={row}i"),
                    1 => format!("b={}i,c=\"t{row}\"", row % 100),
                    2 => format!("d={},e={row}u", row % 2 == 0),
                    _ => format!("a={},f=1", -row),
                };
                let line = format!("m,{tags} {fields} {time}");
                points.insert((time, tags));
                line
            })
            .collect();
        fixture.write("db", &lines.join("\n")).await;
        if round == 2 {
            before_delete = points.len();
            let gone = NOW - DAY..=NOW - DAY + 3;
            points.retain(|(time, _)| !gone.contains(time));
            let condition = Condition::between(*gone.start(), *gone.end());
            fixture.delete("db", condition).await;
        }
    }
    let id = fixture.id("db").await;
    let catalog = fixture.catalog.database(id, Duration::ZERO).await.unwrap();
    let table = catalog.value.table("m").unwrap();
    let segments = fixture.segments().await;
    assert_eq!(segments.len(), 5);
    for (segments, points) in [(&segments[..3], before_delete), (&segments, points.len())] {
        let whole = sections(table, segments, u64::MAX);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole.iter().map(|(_, rows, _)| *rows).sum::<u64>(), points as u64);
        for fields_bytes in [0, 2_500, 5_000] {
            let divided = sections(table, segments, fields_bytes);
            assert!(divided == whole, "{fields_bytes} bytes of fields at a time");
        }
    }
}
