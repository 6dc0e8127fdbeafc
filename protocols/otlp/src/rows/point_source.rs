//! A data point without its values.

use neap_rows::columnar::TableBatch;

use super::{
    ItemError,
    metric_tags::{MetricTags, add_tag, last_first},
};
use crate::messages::KeyValue;

/// A data point without its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct PointSource<'a> {
    /// The name of the metric.
    pub(super) metric: &'a str,
    pub(super) tags: &'a MetricTags<'a>,
    pub(super) attributes: &'a [KeyValue],
    pub(super) time_ns: i64,
    pub(super) start_ns: i64,
}

impl PointSource<'_> {
    /// Adds the tags of a row. The row may have tags already, which override these.
    pub(super) fn add_tags(&self, row: &mut TableBatch) -> Result<(), ItemError> {
        for (key, text) in last_first(self.attributes) {
            add_tag(row, key, &text)?;
        }
        for (key, text) in self.tags.scope.iter().chain(self.tags.resource) {
            add_tag(row, key, text)?;
        }
        Ok(())
    }

    /// Adds the start of the time range that a row sums up, if it is known.
    pub(super) fn add_start(&self, row: &mut TableBatch) -> Result<(), ItemError> {
        match self.start_ns {
            0 => Ok(()),
            start => Ok(row.integer("start_time_unix_nano", start)?),
        }
    }
}
