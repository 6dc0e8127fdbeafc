//! The views of the simulation, and the result of their queries over plain rows.
//!
//! | view | reads | windows |
//! |---|---|---|
//! | [`VIEW`] | [`TABLE`] | hours |
//! | [`VIEW_OF_VIEW`] | the rows of [`VIEW`] | pairs of days |
//!
//! Both group by the tag, and have a count, a sum, a maximum and the last value of each group. In some schedules, [`VIEW`]
//! stores its rows in [`VIEW_DATABASE`], as continuous queries may do.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
    cast::AsArray,
    types::{Int64Type, TimestampNanosecondType},
};
use neap_catalog::{
    MaterializedView, NewView, ViewLanguage, ViewTarget, ViewTargetDatabase, ViewWindows,
};
use neap_manifest::TimeRange;
use neap_rollup::{ViewDataError, ViewRows, normalize};
use neap_schema::{DatabaseId, TIME_COLUMN};

use crate::rows::{BEGIN_NANOS, DAY, Fields, Row, Rows, SECOND, TABLE, TAG};

/// The view of the main table, and its own table.
pub(crate) const VIEW: &str = "hourly";

/// The view of the rows of [`VIEW`], and its own table.
pub(crate) const VIEW_OF_VIEW: &str = "daily";

/// The database that has the rows of [`VIEW`] in some schedules.
pub(crate) const VIEW_DATABASE: DatabaseId = DatabaseId::new(2);

/// The name of [`VIEW_DATABASE`].
pub(crate) const VIEW_DATABASE_NAME: &str = "views";

/// A range that contains the times of all rows of clients.
pub(crate) const ALL_TIMES: TimeRange =
    TimeRange { first: BEGIN_NANOS - 30 * DAY, last: BEGIN_NANOS + 30 * DAY };

/// The number of rows, or of values.
const COUNT: &str = "n";
const SUM: &str = "total";
const MAX: &str = "max";
const LAST: &str = "last";

/// Returns the definition of a view.
pub(crate) fn new_view(name: &str) -> NewView {
    let (source, length_ns) = match name {
        VIEW => (TABLE, 3600 * SECOND),
        _ => (VIEW, 2 * DAY),
    };
    let query = format!("aggregates of {source}");
    let windows = ViewWindows::since_epoch(length_ns);
    NewView {
        tags: Some(vec![TAG.to_owned()]),
        needs_new_table: true,
        ..NewView::new(name, ViewLanguage::Sql, &query, source, name, windows)
    }
}

/// Returns the definition of [`VIEW`] with rows in [`VIEW_DATABASE`].
pub(crate) fn new_forwarded_view() -> NewView {
    let view = new_view(VIEW);
    NewView {
        target: ViewTarget {
            database: Some(ViewTargetDatabase {
                id: VIEW_DATABASE,
                name: VIEW_DATABASE_NAME.to_owned(),
            }),
            ..view.target
        },
        ..view
    }
}

/// Returns the rows of a range of times.
pub(crate) fn within(rows: &Rows, times: TimeRange) -> Rows {
    rows.iter()
        .filter(|((_, time), _)| times.first <= *time && *time <= times.last)
        .map(|(point, fields)| (point.clone(), fields.clone()))
        .collect()
}

/// Returns the result of the query of a view over rows of its source.
pub(crate) fn aggregate(view: &MaterializedView, rows: &Rows) -> Rows {
    let ViewWindows { length_ns, origin_ns } = view.windows;
    let mut groups = Rows::new();
    // The rows of a host are in the order of their times.
    for ((host, time), fields) in rows {
        let window = time - (time - origin_ns).rem_euclid(length_ns);
        let group = groups.entry((host.clone(), window)).or_default();
        let value = |name: &str| fields.get(name).copied();
        let (count, sum, max, last) = match view.name.as_str() {
            VIEW => {
                let values = value("a");
                (values.map_or(0, |_| 1), values, values, value("b"))
            }
            _ => (value(COUNT).unwrap_or(0), value(SUM), value(MAX), value(LAST)),
        };
        *group.entry(COUNT.to_owned()).or_insert(0) += count;
        if let Some(sum) = sum {
            *group.entry(SUM.to_owned()).or_insert(0) += sum;
        }
        if let Some(max) = max {
            let known = group.entry(MAX.to_owned()).or_insert(max);
            *known = max.max(*known);
        }
        if let Some(last) = last {
            group.insert(LAST.to_owned(), last);
        }
    }
    groups
}

/// Converts plain rows to rows of a view.
pub(crate) fn to_view_rows(rows: &Rows) -> Result<ViewRows, ViewDataError> {
    let tags = vec![TAG.to_owned()];
    let mut batches = Vec::new();
    if !rows.is_empty() {
        let times = rows.keys().map(|(_, time)| *time);
        let hosts = rows.keys().map(|(host, _)| Some(host));
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            (TIME_COLUMN, Arc::new(TimestampNanosecondArray::from_iter_values(times))),
            (TAG, Arc::new(StringArray::from_iter(hosts))),
        ];
        for name in [COUNT, SUM, MAX, LAST] {
            let values = rows.values().map(|fields| fields.get(name).copied());
            columns.push((name, Arc::new(Int64Array::from_iter(values))));
        }
        let batch = RecordBatch::try_from_iter(columns).and_then(|batch| normalize(&batch, &tags));
        batches.push(batch.map_err(|error| ViewDataError::Failed(error.to_string()))?);
    }
    Ok(ViewRows { tags, batches })
}

/// Converts rows of a view to plain rows.
pub(crate) fn to_rows(rows: &ViewRows) -> Vec<Row> {
    let mut plain = Vec::new();
    for batch in &rows.batches {
        let times = batch[TIME_COLUMN].as_primitive::<TimestampNanosecondType>();
        let hosts = batch[TAG].as_string::<i32>();
        let values = [COUNT, SUM, MAX, LAST].map(|name| (name, batch.column_by_name(name)));
        for row in 0..batch.num_rows() {
            let mut fields = Fields::new();
            for (name, column) in values {
                let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
                if let Some(column) = column.filter(|column| column.is_valid(row)) {
                    fields.insert(name.to_owned(), column.value(row));
                }
            }
            plain.push(((hosts.value(row).to_owned(), times.value(row)), fields));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use neap_bucket::StoreTime;
    use neap_schema::ViewId;

    use super::*;
    use crate::rows::shared_point;

    fn view(name: &str) -> MaterializedView {
        let new = new_view(name);
        MaterializedView {
            id: ViewId::new(1),
            name: new.name,
            created_in: DatabaseId::new(1),
            created: StoreTime::from_micros(0),
            created_by: None,
            language: new.language,
            query: new.query,
            source: new.source,
            target: new.target,
            windows: new.windows,
            tags: new.tags,
            every: None,
            resampled_period: None,
        }
    }

    fn fields(fields: &[(&str, i64)]) -> Fields {
        let fields = fields.iter();
        fields.map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn rows_are_aggregated_by_windows_and_hosts() {
        let (host, time) = shared_point(0);
        let point = |seconds: i64| (host.clone(), time + seconds * SECOND);
        let rows = Rows::from([
            (point(0), fields(&[("a", 5), ("b", 1)])),
            (point(1), fields(&[("a", 3), ("f7", 9)])),
            (point(2), fields(&[("b", 2)])),
            (point(5_000), fields(&[("b", 4)])),
        ]);
        let hours = aggregate(&view(VIEW), &rows);
        let start = |time: i64| time - time.rem_euclid(3600 * SECOND);
        let first = fields(&[("n", 2), ("total", 8), ("max", 5), ("last", 2)]);
        let second = fields(&[("n", 0), ("last", 4)]);
        let expected = Rows::from([
            ((host.clone(), start(time)), first),
            ((host.clone(), start(time + 5_000 * SECOND)), second),
        ]);
        assert_eq!(hours, expected);
        let days = aggregate(&view(VIEW_OF_VIEW), &hours);
        let all = fields(&[("n", 2), ("total", 8), ("max", 5), ("last", 4)]);
        assert_eq!(days.into_values().collect::<Vec<_>>(), [all]);
        let converted: Rows = to_rows(&to_view_rows(&hours).unwrap()).into_iter().collect();
        assert_eq!(converted, hours);
    }
}
