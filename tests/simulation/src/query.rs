//! A query: a snapshot, its sections, and the fold of everything; checked against what must be in it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use neap_bucket::{Get, GetOptions};
use neap_manifest::{Snapshot, SnapshotOptions};
use neap_points::fold;

use crate::{
    ghost::{Decoded, Invariant, Observed},
    instance::{DATABASE, Instance},
    rows::{Rows, plain, take_in},
    write::TABLE,
};

impl Instance {
    /// Queries everything, with every write that was acknowledged before; `None` when there is no answer.
    pub(crate) async fn query(&self) -> Option<Rows> {
        let acknowledged = self.world.truth.ghost(|ghost| ghost.acknowledged());
        self.query_with(SnapshotOptions::default(), acknowledged)
            .await
    }

    /// Queries what may be a minute old, but has the write that was acknowledged last.
    pub(crate) async fn query_stale(&self) -> Option<Rows> {
        let last = self.world.truth.ghost(|ghost| ghost.last_acknowledged());
        let options = SnapshotOptions {
            max_staleness: Duration::from_secs(60),
            at_least: last.map(|(_, stamp)| stamp),
        };
        let acknowledged = last.into_iter().map(|(request, _)| request);
        self.query_with(options, acknowledged.collect()).await
    }

    async fn query_with(
        &self,
        options: SnapshotOptions,
        acknowledged: BTreeSet<u64>,
    ) -> Option<Rows> {
        let snapshot = match self.snapshots.read(DATABASE, options).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.trace(format_args!("no snapshot: {error}"));
                return None;
            }
        };
        let sections = self.sections(&snapshot).await?;
        let answer = self.answer(&snapshot, &sections);
        let observed = Observed {
            acknowledged,
            manifest_version: snapshot.manifest.version,
            mark: snapshot.mark(),
            tail: snapshot.tail_names().collect(),
            answer: answer.clone(),
        };
        self.trace(format_args!(
            "query: mark {}, {} sections, tail {:?}, {} points",
            observed.mark,
            sections.len(),
            observed.tail,
            answer.len(),
        ));
        self.world.truth.ghost(|ghost| {
            let columns = ghost.columns(&observed.tail, &sections);
            let table = snapshot.catalog.value.table(TABLE);
            let unknown = columns
                .iter()
                .find(|column| table.is_none_or(|table| table.column(column).is_none()));
            if let Some(column) = unknown {
                ghost.fail(Invariant::CatalogKnowsData, format!("column {column}"));
            }
            ghost.check_answer(&observed);
        });
        Some(answer)
    }

    /// The sections' rows, each read from its bundle.
    async fn sections(&self, snapshot: &Snapshot) -> Option<Vec<Arc<Decoded>>> {
        let mut sections = Vec::new();
        for section in &snapshot.manifest.value.sections {
            let options = GetOptions {
                range: Some(section.range()),
                if_none_match: None,
            };
            let answer = self
                .bucket
                .get(&section.key(DATABASE), options)
                .await
                .ok()?;
            let decoded = self.world.truth.ghost(|ghost| match answer.value {
                Get::Found(object) if object.bytes.len() as u64 == section.length => {
                    ghost.section(section)
                }
                _ => {
                    let text = format!("a query misses {section:?}");
                    ghost.fail(Invariant::ObjectsExist, text);
                    None
                }
            });
            sections.push(decoded?);
        }
        Some(sections)
    }

    fn answer(&self, snapshot: &Snapshot, sections: &[Arc<Decoded>]) -> Rows {
        let Some(table) = snapshot.catalog.value.table(TABLE) else {
            return Rows::new();
        };
        let mut batches: Vec<RecordBatch> = sections
            .iter()
            .flat_map(|section| section.batches.iter().cloned())
            .collect();
        for segment in snapshot.tail.iter() {
            batches.extend(segment.rows(table.id()).unwrap());
        }
        let tags = table.tag_names();
        let folded = fold(&tags, &table.arrow_schema(), &batches).unwrap();
        let mut answer = Rows::new();
        take_in(&mut answer, &plain(&folded));
        answer
    }
}
