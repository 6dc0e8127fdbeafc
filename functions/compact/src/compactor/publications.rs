//! Publishes tables after their merges.

use futures::{StreamExt, stream};
use neap_schema::DatabaseId;

use super::Compactor;
use crate::{CompactError, CompactionReport, time_limit::TimeLimit};

impl Compactor {
    /// Publishes the tables of several databases in parallel.
    pub(super) async fn publish_all(
        &self,
        databases: Vec<DatabaseId>,
        time: &TimeLimit<'_>,
    ) -> CompactionReport {
        if self.maintainer.publisher().is_none() {
            return CompactionReport::default();
        }
        let reports = stream::iter(databases)
            .map(|database| async move {
                let mut report = CompactionReport::default();
                let published = self.publish(database, time, &mut report).await;
                report.note(database, published);
                report
            })
            .buffer_unordered(self.slots.total());
        let sum = |sum: CompactionReport, report| std::future::ready(sum.and(report));
        reports.fold(CompactionReport::default(), sum).await
    }

    /// Publishes the tables of a database, if there is time left.
    pub(super) async fn publish(
        &self,
        database: DatabaseId,
        time: &TimeLimit<'_>,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        let Some(publisher) = self.maintainer.publisher() else {
            return Ok(());
        };
        if time.is_over() {
            report.unfinished = true;
            return Ok(());
        }
        let published = publisher.publish(database).await;
        let Some(published) = report.settled(database, published)? else {
            return Ok(());
        };
        report.published.extend(published.tables);
        report.postponed += usize::from(published.is_overtaken);
        for failure in published.failures {
            report.record_failure(database, failure);
        }
        Ok(())
    }
}
