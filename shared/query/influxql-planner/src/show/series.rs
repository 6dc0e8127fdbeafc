//! `SHOW SERIES` and `SHOW ... CARDINALITY`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{common::Result, execution::SendableRecordBatchStream, logical_expr::ident};
use futures::TryStreamExt;
use neap_catalog::Table;
use neap_formats::series::{AnswerInterface, MEASUREMENT_COLUMN, SeriesLayout};
use neap_influxql::{CardinalityTarget, Condition, ShowCardinality, ShowClauses};
use neap_tables::QueryContext;

use super::{
    ShowRows, TableLimit, apply_limit, batch_of, check, is_enough,
    keys::{fields, tags_in_use},
    measurements::has_rows,
    tables,
    values::{distinct, keys},
};
use crate::table_rows;

/// Answers `SHOW SERIES` with the tables and all combinations of tag values in their rows, as in line protocol.
pub(crate) async fn series(
    context: &QueryContext,
    show: &ShowClauses,
    interface: AnswerInterface,
) -> Result<ShowRows> {
    let mut all = Vec::new();
    let mut bytes = 0;
    for table in tables(context, &show.from)? {
        if is_enough(&all, show.limit, show.offset) {
            break;
        }
        let mut names = table.tag_names();
        names.sort_unstable();
        let mut rows = combinations(context, &table, &names, show.condition.as_ref()).await?;
        let mut found = Vec::new();
        while let Some(batch) = rows.try_next().await? {
            let known = found.len();
            append_keys(&table, &names, &batch, &mut found)?;
            let new = found.iter().skip(known).map(|key| key.len() + size_of::<String>());
            bytes += new.sum::<usize>();
            check(bytes)?;
        }
        found.sort_unstable();
        all.extend(found.into_iter().map(|key| (Arc::clone(&table), key)));
    }
    let all = apply_limit(all, show.limit, show.offset);
    let keys: StringArray = all.iter().map(|(_, key)| Some(key)).collect();
    let keys = ("key", Arc::new(keys) as ArrayRef);
    let of_tables: StringArray = all.iter().map(|(table, _)| Some(table.name())).collect();
    let columns = match interface {
        AnswerInterface::V1 => vec![keys],
        AnswerInterface::V3 => vec![(MEASUREMENT_COLUMN, Arc::new(of_tables) as ArrayRef), keys],
    };
    Ok(ShowRows { rows: batch_of(columns)?, series: SeriesLayout::Single(None) })
}

/// Returns the combinations of tag values in rows that satisfy a condition. A table without tags has one combination if
/// it has any row.
async fn combinations(
    context: &QueryContext,
    table: &Arc<Table>,
    tags: &[String],
    condition: Option<&Condition>,
) -> Result<SendableRecordBatchStream> {
    let rows = table_rows::filtered(context, table, condition)?;
    let plan = match tags {
        [] => rows.limit(0, Some(1))?,
        tags => rows.project(tags.iter().map(ident))?.distinct()?,
    };
    table_rows::execute(context, &plan.build()?).await
}

/// Appends `table,tag=value,...` for each row.
fn append_keys(
    table: &Table,
    tags: &[String],
    rows: &RecordBatch,
    keys: &mut Vec<String>,
) -> Result<()> {
    let columns: Vec<_> = tags
        .iter()
        .zip(rows.columns())
        .map(|(tag, column)| Ok((tag, cast(column, &DataType::Utf8)?)))
        .collect::<Result<_>>()?;
    for row in 0..rows.num_rows() {
        let mut key = escaped(table.name(), &[',', ' ']);
        for (tag, values) in &columns {
            if values.is_valid(row) {
                let value = values.as_string::<i32>().value(row);
                key.push(',');
                key.push_str(&escaped(tag, &[',', '=', ' ']));
                key.push('=');
                key.push_str(&escaped(value, &[',', '=', ' ']));
            }
        }
        keys.push(key);
    }
    Ok(())
}

/// Escapes a name or a value as in line protocol.
fn escaped(text: &str, special: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if special.contains(&char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// Answers `SHOW ... CARDINALITY` with exact numbers for each table; for measurements, with one number.
pub(crate) async fn cardinality(
    context: &QueryContext,
    statement: &ShowCardinality,
    interface: AnswerInterface,
) -> Result<ShowRows> {
    let show = &statement.show;
    let condition = show.condition.as_ref();
    let mut counts = Vec::new();
    let mut limit = TableLimit::from_show(show);
    for table in tables(context, &show.from)? {
        if limit.is_reached() {
            break;
        }
        let count = match &statement.of {
            CardinalityTarget::Measurements => match condition {
                Some(condition) => usize::from(has_rows(context, &table, condition).await?),
                None => 1,
            },
            CardinalityTarget::Series => {
                let tags = table.tag_names();
                let mut rows = combinations(context, &table, &tags, condition).await?;
                let mut count = 0;
                while let Some(batch) = rows.try_next().await? {
                    count += batch.num_rows();
                }
                count
            }
            CardinalityTarget::TagKeys => match condition {
                Some(condition) => tags_in_use(context, &table, condition).await?.len(),
                None => table.tags().count(),
            },
            CardinalityTarget::FieldKeys => fields(&table).len(),
            CardinalityTarget::TagValues(names) => {
                let mut count = 0;
                for key in keys(&table, names)? {
                    count += distinct(context, &table, &key, condition).await?.len();
                }
                count
            }
        };
        if count > 0 && limit.admit() {
            counts.push((table, i64::try_from(count).unwrap_or(i64::MAX)));
        }
    }
    match statement.of {
        CardinalityTarget::Measurements => total_count(&counts, interface),
        _ => counts_by_table(&apply_limit(counts, show.limit, show.offset)),
    }
}

type TableCounts = [(Arc<Table>, i64)];

fn total_count(counts: &TableCounts, interface: AnswerInterface) -> Result<ShowRows> {
    let count: i64 = counts.iter().map(|(_, count)| count).sum();
    // As in InfluxDB 1, none is no row.
    let is_shown = count > 0 || interface == AnswerInterface::V3;
    let count: Int64Array = is_shown.then_some(count).into_iter().collect();
    let count = ("count", Arc::new(count) as ArrayRef);
    let name = StringArray::from(vec!["measurements"]);
    let columns = match interface {
        AnswerInterface::V1 => vec![count],
        AnswerInterface::V3 => vec![(MEASUREMENT_COLUMN, Arc::new(name) as ArrayRef), count],
    };
    Ok(ShowRows { rows: batch_of(columns)?, series: SeriesLayout::Single(None) })
}

fn counts_by_table(counts: &TableCounts) -> Result<ShowRows> {
    let tables: StringArray = counts.iter().map(|(table, _)| Some(table.name())).collect();
    let counts: Int64Array = counts.iter().map(|(_, count)| *count).collect();
    Ok(ShowRows {
        rows: batch_of(vec![(MEASUREMENT_COLUMN, Arc::new(tables)), ("count", Arc::new(counts))])?,
        series: SeriesLayout::by_table(),
    })
}
