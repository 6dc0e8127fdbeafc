//! Copies a table in slices of time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use neap_bucket::World;
use neap_tsm::TimeRange;

use super::{
    influxql,
    line_writer::LineWriter,
    source::{Source, SourceVersion},
    source_table::{SliceCounts, SourceTable},
    sql,
};
use crate::{
    client::Backoff,
    import::{
        BodySender, ImportError, ImportSummary, StateFile, shards::schema::SchemaPlan,
        state::UnitState, table_counts::TableCounts,
    },
};

/// Number of values of a slice above which it is divided.
const MAX_SLICE_VALUES: u64 = 1_000_000;
/// Number of values below which the next slice is longer.
const MIN_SLICE_VALUES: u64 = MAX_SLICE_VALUES / 4;
/// Length of the first slice in nanoseconds: an hour.
const FIRST_SLICE_NS: i64 = 3_600_000_000_000;

/// What copies change.
#[derive(Debug)]
pub(super) struct CopyProgress<'a> {
    pub(super) state: &'a mut StateFile,
    pub(super) summary: ImportSummary,
    /// Slices with other counts than announced.
    pub(super) differences: Vec<String>,
}

/// Where tables are copied to.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyTarget<'a, 'b> {
    /// `None`: values are only counted.
    pub(super) sender: Option<&'a BodySender>,
    pub(super) world: &'a World,
    pub(super) max_request_bytes: usize,
    pub(super) times: TimeRange,
    pub(super) plan: &'a SchemaPlan,
    pub(super) shared: &'a Mutex<CopyProgress<'b>>,
    pub(super) progress: &'a ProgressBar,
}

impl<'b> CopyTarget<'_, 'b> {
    fn lock(&self) -> MutexGuard<'_, CopyProgress<'b>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies a table from where an earlier import has ended.
pub(super) async fn copy_table(
    source: &Source,
    table: &SourceTable,
    target: &CopyTarget<'_, '_>,
) -> Result<(), ImportError> {
    let name = table.unit_name();
    let earlier = target.lock().state.unit(&name, "").cloned();
    let mut unit = earlier.unwrap_or_default();
    target.lock().summary.add_unit(&unit.problems);
    if !unit.is_done {
        copy_slices(source, table, target, &mut unit).await?;
        unit.is_done = true;
        target.lock().state.update(&name, unit.clone())?;
    }
    target.lock().summary.add_tables(&unit.tables);
    target.progress.inc(1);
    Ok(())
}

async fn copy_slices(
    source: &Source,
    table: &SourceTable,
    target: &CopyTarget<'_, '_>,
    unit: &mut UnitState,
) -> Result<(), ImportError> {
    let mut rest = target.times;
    if let Some(position) = unit.position.as_deref().and_then(|time| time.parse().ok()) {
        rest.min = position;
    }
    if table.fields.is_empty() {
        return Ok(());
    }
    let Some(last) = find_time(source, table, rest, true).await? else {
        return Ok(());
    };
    rest.max = last;
    let mut width = FIRST_SLICE_NS;
    // Gaps are skipped: a slice begins at a row.
    while let Some(first) = find_time(source, table, rest, false).await? {
        rest.min = first;
        loop {
            let max = rest.min.saturating_add(width - 1).min(rest.max);
            let slice = TimeRange { min: rest.min, max };
            let announced = count(source, table, slice).await?;
            let size = announced.size();
            if size > MAX_SLICE_VALUES && width > 1 {
                width = (width / 4).max(1);
                continue;
            }
            target.progress.set_message(table.unit_name());
            copy_slice(source, table, target, slice, &announced, unit).await?;
            if size < MIN_SLICE_VALUES {
                width = width.saturating_mul(4);
            }
            let Some(next) = max.checked_add(1).filter(|next| *next <= rest.max) else {
                return Ok(());
            };
            rest.min = next;
            if size == 0 {
                break;
            }
        }
    }
    Ok(())
}

async fn copy_slice(
    source: &Source,
    table: &SourceTable,
    target: &CopyTarget<'_, '_>,
    slice: TimeRange,
    announced: &SliceCounts,
    unit: &mut UnitState,
) -> Result<(), ImportError> {
    let mut copied = announced.clone();
    if target.sender.is_some() && announced.size() > 0 {
        let problems;
        (copied, problems) = copy_with_retries(source, table, target, slice).await?;
        if let Some(refused) = &problems.refused {
            unit.problems.add_refused(&table.target, refused);
        }
        target.lock().summary.add_problems(problems);
        if !copied.agrees_with(announced) {
            let TimeRange { min, max } = slice;
            let difference = format!(
                "{} from {min} to {max}: {} values or rows were announced, {} were answered; run the import of this time again if the source is being written",
                table.unit_name(),
                announced.size(),
                copied.size()
            );
            unit.problems.add_damage(&difference);
            target.lock().differences.push(difference);
        }
    }
    let tables = unit.tables.entry(table.target.clone()).or_default();
    let counts = tables.entry(table.name.clone()).or_default();
    if copied.size() > 0 {
        counts.add(&TableCounts {
            rows: copied.rows.unwrap_or(0),
            values: copied.values.iter().sum(),
            min_time: slice.min,
            max_time: slice.max,
        });
    }
    unit.position = slice.max.checked_add(1).map(|next| next.to_string());
    let mut shared = target.lock();
    shared.state.update(&table.unit_name(), unit.clone())
}

/// Copies a slice, again from its start if the source breaks off.
async fn copy_with_retries(
    source: &Source,
    table: &SourceTable,
    target: &CopyTarget<'_, '_>,
    slice: TimeRange,
) -> Result<(SliceCounts, ImportSummary), ImportError> {
    let mut backoff = Backoff::new(target.world.clone());
    loop {
        let name = table.unit_name();
        let max_bytes = target.max_request_bytes;
        let mut writer = LineWriter::new(target.sender, &table.target, &name, max_bytes);
        let key = (table.target.clone(), table.name.clone());
        let copied = match source.version {
            SourceVersion::V1 | SourceVersion::V2 => {
                let plan = target.plan.table(&key);
                influxql::copy(source, table, slice, plan, &mut writer).await
            }
            SourceVersion::V3 => sql::copy(source, table, slice, &mut writer, max_bytes).await,
        };
        match copied {
            Ok(counts) => return Ok((counts, writer.summary)),
            Err(ImportError::Source(error)) => {
                backoff.wait_after(error).await.map_err(ImportError::Source)?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn find_time(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
    is_last: bool,
) -> Result<Option<i64>, ImportError> {
    match source.version {
        SourceVersion::V1 | SourceVersion::V2 => {
            influxql::find_time(source, table, range, is_last).await
        }
        SourceVersion::V3 => sql::find_time(source, table, range, is_last).await,
    }
}

async fn count(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
) -> Result<SliceCounts, ImportError> {
    match source.version {
        SourceVersion::V1 | SourceVersion::V2 => influxql::count(source, table, range).await,
        SourceVersion::V3 => sql::count(source, table, range).await,
    }
}
