//! Statistics of a section for the manifest, collected while its rows are written.

use std::collections::BTreeMap;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, RecordBatch, TimestampNanosecondArray, cast::AsArray,
    types::Int32Type,
};
use neap_manifest::TagRange;
use neap_points::{PointsError, times};
use neap_section::SeriesDigest;

/// Number of rows, range of times, ranges of tag values, and series.
#[derive(Debug)]
pub(super) struct SectionStatsBuilder {
    pub(super) rows: u64,
    times: Option<(i64, i64)>,
    tags: Vec<(String, TagRange)>,
    pub(super) series: SeriesDigest,
}

impl SectionStatsBuilder {
    pub(super) fn new(tags: &[String]) -> Self {
        let tags = tags.iter().map(|tag| (tag.clone(), TagRange::default()));
        Self {
            rows: 0,
            times: None,
            tags: tags.collect(),
            series: SeriesDigest::default(),
        }
    }

    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<(), PointsError> {
        self.add_times(times(rows)?);
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            self.add_tag(field.name(), column);
        }
        self.series.end_rows();
        Ok(())
    }

    /// Adds the times of rows, and counts the rows.
    pub(super) fn add_times(&mut self, times: &TimestampNanosecondArray) {
        for time in times.values() {
            let (min, max) = self.times.get_or_insert((*time, *time));
            (*min, *max) = ((*min).min(*time), (*max).max(*time));
        }
        self.rows += times.len() as u64;
    }

    /// Adds a column of rows, if it is one of the tags.
    pub(super) fn add_tag(&mut self, name: &str, column: &ArrayRef) {
        let of_tag = self.tags.iter_mut().find(|(tag, _)| tag == name);
        if let Some((_, range)) = of_tag {
            add_values(column, range);
            self.series.add_tag(name, column);
        }
    }

    pub(super) fn min_time(&self) -> i64 {
        self.times.map_or(0, |(min, _)| min)
    }

    pub(super) fn max_time(&self) -> i64 {
        self.times.map_or(0, |(_, max)| max)
    }

    /// Returns the range of each tag that has a value in some row, and the digest of the series; `None` if it is unknown.
    pub(super) fn into_tags_and_series(self) -> (BTreeMap<String, TagRange>, Option<String>) {
        let tags = self.tags.into_iter();
        let with_value = tags.filter(|(_, range)| range.min.is_some());
        (with_value.collect(), self.series.finish())
    }
}

fn add_values(column: &ArrayRef, range: &mut TagRange) {
    let Some(column) = column.as_dictionary_opt::<Int32Type>() else {
        range.has_null |= !column.is_empty();
        return;
    };
    range.has_null |= column.null_count() > 0;
    let Some(values) = column.values().as_string_opt::<i32>() else {
        return;
    };
    let used = used_values(column);
    let seen = used.iter().zip(values).filter(|(used, _)| **used);
    for value in seen.filter_map(|(_, value)| value) {
        if range.min.as_deref().is_none_or(|min| value < min) {
            range.min = Some(value.to_owned());
        }
        if range.max.as_deref().is_none_or(|max| value > max) {
            range.max = Some(value.to_owned());
        }
    }
}

/// Returns which values of a dictionary occur in the rows, because the dictionary may be shared with other rows.
fn used_values(column: &DictionaryArray<Int32Type>) -> Vec<bool> {
    let mut used = vec![false; column.values().len()];
    let mut last = None;
    for key in column.keys().iter().flatten() {
        // Sorted rows mostly repeat the previous value.
        if last == Some(key) {
            continue;
        }
        last = Some(key);
        if let Some(slot) = usize::try_from(key).ok().and_then(|key| used.get_mut(key)) {
            *slot = true;
        }
    }
    used
}

/// Returns the size of the different texts of a tag in bytes, as a dictionary stores them; `None` for other columns.
pub(super) fn text_bytes(column: &ArrayRef) -> Option<usize> {
    let dictionary = column.as_dictionary_opt::<Int32Type>()?;
    let texts = dictionary.values().as_string_opt::<i32>()?;
    let used = used_values(dictionary);
    let used_texts = used.iter().zip(texts).filter(|(used, _)| **used);
    Some(used_texts.map(|(_, text)| size_of::<u32>() + text.map_or(0, str::len)).sum())
}

/// Returns the number of distinct values of a tag.
pub(super) fn distinct_values(column: &ArrayRef) -> usize {
    let dictionary = column.as_dictionary_opt::<Int32Type>();
    dictionary.map_or(0, |dictionary| {
        let used = used_values(dictionary);
        used.iter().filter(|used| **used).count()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::TimestampNanosecondArray;
    use arrow_schema::Schema;
    use neap_schema::ColumnType;

    use super::*;

    fn rows(tags: &[Option<&str>], first_time: i64) -> RecordBatch {
        let schema = Schema::new(vec![
            ColumnType::Tag.arrow_field("host"),
            ColumnType::Time.arrow_field("time"),
        ]);
        let host: DictionaryArray<Int32Type> = tags.iter().copied().collect();
        let time = TimestampNanosecondArray::from_iter_values((first_time..).take(tags.len()));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(host), Arc::new(time)]).unwrap()
    }

    #[test]
    fn ranges_grow_with_every_batch_and_count_only_values_that_occur() {
        let mut extent = SectionStatsBuilder::new(&["host".to_owned(), "zone".to_owned()]);
        let all = rows(&[Some("a"), Some("m"), Some("z")], 5);
        extent.add(&all.slice(1, 1)).unwrap();
        let range = &extent.tags[0].1;
        assert_eq!((range.min.as_deref(), range.has_null), (Some("m"), false));
        extent.add(&rows(&[Some("b"), None], -3)).unwrap();
        assert_eq!((extent.rows, extent.min_time(), extent.max_time()), (3, -3, 6));
        let (ranges, _) = extent.into_tags_and_series();
        assert_eq!(ranges.len(), 1, "a tag without a value has no range");
        let host = &ranges["host"];
        assert_eq!((host.min.as_deref(), host.max.as_deref()), (Some("b"), Some("m")));
        assert!(host.has_null);
    }
}
