//! Selects the rows of a section by its footer: row groups, and pages of them, that may have rows with the keys that a query
//! selects.

use std::{fmt, ops::Bound};

use neap_manifest::Section;
use neap_points::TagFilter;
use neap_schema::TIME_COLUMN;
use parquet::{
    arrow::arrow_reader::{RowSelection, RowSelector},
    file::{
        metadata::{ParquetMetaData, RowGroupMetaData},
        page_index::column_index::ColumnIndexMetaData,
        statistics::Statistics,
    },
};

use crate::regions::TimeInterval;

/// Maximum number of values of a condition that a plan shows.
const MAX_SHOWN_VALUES: usize = 8;

/// The keys of the rows that a query selects.
#[derive(Clone, Debug)]
pub(crate) struct SelectedKeys {
    /// Conditions on tags, all of which are met.
    pub(crate) tags: Vec<TagFilter>,
    /// The range of time.
    pub(crate) time: TimeInterval,
}

/// The rows of a row group that may be selected.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SelectedRowGroup<'a> {
    /// The number of the row group in the section.
    pub(super) number: usize,
    rows: usize,
    /// `None`: all rows.
    selection: Option<RowSelection>,
    /// The conditions on tags whose values may be in more than one page, so that a bloom filter is worth its read, with the
    /// columns of the tags in the section.
    pub(super) bloom_conditions: Vec<(&'a TagFilter, usize)>,
}

impl fmt::Display for SelectedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TagFilter { tag, values } in &self.tags {
            write!(f, "{tag} IN (")?;
            for (at, value) in values.iter().take(MAX_SHOWN_VALUES).enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(f, "{comma}{value}")?;
            }
            if let Some(more @ 1..) = values.len().checked_sub(MAX_SHOWN_VALUES) {
                write!(f, " and {more} more")?;
            }
            f.write_str("), ")?;
        }
        let TimeInterval { min, max } = self.time;
        write!(f, "{TIME_COLUMN} BETWEEN {min} AND {max}")
    }
}

/// A column of a section on which there is a condition.
enum KeyColumn<'a> {
    Tag(&'a TagFilter),
    Time(TimeInterval),
}

impl SelectedKeys {
    /// Whether a section may have selected rows, by its record in the manifest.
    pub(crate) fn may_be_in(&self, section: &Section) -> bool {
        let may_have = |condition: &TagFilter| match section.tags.get(&condition.tag) {
            // Without the tag, no row has a value of it.
            None => false,
            Some(range) => match (&range.min, &range.max) {
                (Some(min), Some(max)) => {
                    has_value_between(condition, min.as_bytes(), max.as_bytes())
                }
                _ => true,
            },
        };
        overlaps(self.time, section.min_time, section.max_time) && self.tags.iter().all(may_have)
    }

    /// Returns the row groups of a section that may have selected rows. Row groups and pages without statistics may.
    pub(super) fn row_groups(&self, metadata: &ParquetMetaData) -> Vec<SelectedRowGroup<'_>> {
        let schema = metadata.file_metadata().schema_descr();
        let index_of = |name: &str| {
            let mut columns = schema.columns().iter();
            columns.position(|column| column.name() == name)
        };
        let mut columns = Vec::with_capacity(self.tags.len() + 1);
        for condition in &self.tags {
            match index_of(&condition.tag) {
                Some(at) => columns.push((at, KeyColumn::Tag(condition))),
                None => return Vec::new(),
            }
        }
        if self.time != TimeInterval::ALL {
            let time = index_of(TIME_COLUMN).map(|at| (at, KeyColumn::Time(self.time)));
            columns.extend(time);
        }
        let groups = 0..metadata.num_row_groups();
        groups.filter_map(|number| select_rows(metadata, number, &columns)).collect()
    }
}

/// Whether one of the values is between `min` and `max`, both included. If `min` is not UTF-8, the answer is yes.
fn has_value_between(condition: &TagFilter, min: &[u8], max: &[u8]) -> bool {
    let Ok(min) = str::from_utf8(min) else {
        return true;
    };
    let from = (Bound::Included(min), Bound::Unbounded);
    let first = condition.values.range::<str, _>(from).next();
    first.is_some_and(|value| value.as_bytes() <= max)
}

impl KeyColumn<'_> {
    /// Whether a column chunk with these statistics may have selected rows.
    fn may_be_in_chunk(&self, statistics: &Statistics, rows: usize) -> bool {
        match (self, statistics) {
            (Self::Tag(condition), Statistics::ByteArray(values)) => {
                match (values.min_bytes_opt(), values.max_bytes_opt()) {
                    (Some(min), Some(max)) => has_value_between(condition, min, max),
                    // Statistics of no values have no bounds.
                    _ => values.null_count_opt() != Some(rows as u64),
                }
            }
            (Self::Time(time), Statistics::Int64(values)) => {
                match (values.min_opt(), values.max_opt()) {
                    (Some(min), Some(max)) => overlaps(*time, *min, *max),
                    _ => true,
                }
            }
            _ => true,
        }
    }

    /// Whether a page may have selected rows.
    fn may_be_in_page(&self, index: &ColumnIndexMetaData, page: usize) -> bool {
        match (self, index) {
            (Self::Tag(condition), ColumnIndexMetaData::BYTE_ARRAY(pages)) => {
                match (pages.min_value(page), pages.max_value(page)) {
                    (Some(min), Some(max)) => has_value_between(condition, min, max),
                    // A page without values.
                    _ => false,
                }
            }
            (Self::Time(time), ColumnIndexMetaData::INT64(pages)) => {
                match (pages.min_value(page), pages.max_value(page)) {
                    (Some(min), Some(max)) => overlaps(*time, *min, *max),
                    _ => false,
                }
            }
            _ => true,
        }
    }
}

fn overlaps(time: TimeInterval, min: i64, max: i64) -> bool {
    time.intersection(TimeInterval { min, max }).is_some()
}

/// Returns the rows of a row group that may be selected; `None` if there are none.
fn select_rows<'a>(
    metadata: &ParquetMetaData,
    number: usize,
    columns: &[(usize, KeyColumn<'a>)],
) -> Option<SelectedRowGroup<'a>> {
    let group = metadata.row_groups().get(number)?;
    let rows = usize::try_from(group.num_rows()).ok()?;
    let in_chunk = |(at, column): &(usize, KeyColumn<'_>)| {
        let chunk = statistics(group, *at);
        chunk.is_none_or(|statistics| column.may_be_in_chunk(statistics, rows))
    };
    if !columns.iter().all(in_chunk) {
        return None;
    }
    let mut selection: Option<RowSelection> = None;
    let mut bloom_conditions = Vec::new();
    for (at, column) in columns {
        let pages = select_pages(metadata, (number, *at), column, rows);
        let (of_pages, is_in_one) = pages.unwrap_or_default();
        if let (false, KeyColumn::Tag(condition)) = (is_in_one, column) {
            bloom_conditions.push((*condition, *at));
        }
        selection = match (selection, of_pages) {
            (Some(one), Some(other)) => Some(one.intersection(&other)),
            (one, other) => one.or(other),
        };
        if selection.as_ref().is_some_and(|rows| !rows.selects_any()) {
            return None;
        }
    }
    Some(SelectedRowGroup { number, rows, selection, bloom_conditions })
}

fn statistics(group: &RowGroupMetaData, column: usize) -> Option<&Statistics> {
    group.columns().get(column)?.statistics()
}

/// Returns the rows of the pages of a column chunk that may have selected rows (`None`: all), and whether it is one page at
/// most. Returns `None` if the section has no page index.
fn select_pages(
    metadata: &ParquetMetaData,
    (group, at): (usize, usize),
    column: &KeyColumn<'_>,
    rows: usize,
) -> Option<(Option<RowSelection>, bool)> {
    let index = metadata.column_index()?.get(group)?.get(at)?;
    let locations = metadata.offset_index()?.get(group)?.get(at)?.page_locations();
    if matches!(index, ColumnIndexMetaData::NONE) || index.num_pages() != locations.len() as u64 {
        return None;
    }
    let first_rows: Vec<usize> = locations
        .iter()
        .map(|page| page.first_row_index)
        .map(usize::try_from)
        .collect::<Result<_, _>>()
        .ok()
        .filter(|first_rows: &Vec<usize>| {
            first_rows.is_sorted() && first_rows.last().is_none_or(|last| *last <= rows)
        })?;
    let ends = first_rows.iter().skip(1).copied().chain([rows]);
    let pages: Vec<_> = first_rows.iter().zip(ends).enumerate().collect();
    let all = pages.len();
    let selected: Vec<_> = pages
        .into_iter()
        .filter(|(page, _)| column.may_be_in_page(index, *page))
        .map(|(_, (first, end))| *first..end)
        .collect();
    let count = selected.len();
    let selection =
        (count < all).then(|| RowSelection::from_consecutive_ranges(selected.into_iter(), rows));
    Some((selection, count <= 1))
}

/// Returns the selection of rows of these row groups, one after the other; `None`: all.
pub(super) fn row_selection(groups: &[SelectedRowGroup<'_>]) -> Option<RowSelection> {
    if groups.iter().all(|group| group.selection.is_none()) {
        return None;
    }
    let selectors = groups.iter().flat_map(|group| match &group.selection {
        Some(selection) => selection.iter().copied().collect(),
        None => vec![RowSelector::select(group.rows)],
    });
    Some(selectors.collect::<Vec<_>>().into())
}

#[cfg(test)]
mod tests;
