//! Copies data of a running InfluxDB 1, 2 or 3 over its query API.
//!
//! | source | queries | rows |
//! |---|---|---|
//! | InfluxDB 1 and 2 | InfluxQL over `/query` | JSON in chunks |
//! | InfluxDB 3 | SQL over `/api/v3/query_sql` | Parquet |
//!
//! Each table is copied in slices of time. A slice is counted first, which tells how large the next one may be, and the
//! count is compared with the rows of the answer.

mod influxql;
mod influxql_answer;
mod line_writer;
mod source;
mod source_table;
mod sql;
mod table_copy;

use std::sync::Mutex;

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;

pub(crate) use self::source::{SourceSettings, SourceToken, SourceVersion};
use self::{
    source::Source,
    source_table::SourceTable,
    table_copy::{CopyProgress, CopyTarget, copy_table},
};
use super::{
    BodySender, ConflictPolicy, DatabaseNames, ImportError, ImportFilter, ImportSummary, StateFile,
    shards::schema::SchemaScan,
};

/// A copy of a running server.
#[derive(Debug)]
pub(crate) struct LiveImport {
    /// The server to copy from.
    pub(crate) source: SourceSettings,
    /// The part to import.
    pub(crate) filter: ImportFilter,
    /// The databases of the server to write to.
    pub(crate) names: DatabaseNames,
    /// What to do with columns of several types.
    pub(crate) policy: ConflictPolicy,
    /// Number of tables that are copied at the same time.
    pub(crate) parallel: usize,
    /// Count everything, but copy nothing.
    pub(crate) is_dry_run: bool,
}

/// Copies the tables of a running server, or counts their values. `report` shows messages.
///
/// # Errors
///
/// A request failed, or columns are in conflict.
pub(crate) async fn import_live(
    import: LiveImport,
    sender: &BodySender,
    state: &mut StateFile,
    progress: &ProgressBar,
    report: &mut (dyn FnMut(&str) + Send),
) -> Result<ImportSummary, ImportError> {
    let world = sender.world().clone();
    let source = Source::connect(&import.source, &world).await?;
    let tables = source.tables(&import.filter, &import.names).await?;
    if tables.is_empty() {
        return Err(ImportError::NothingLeft);
    }
    let mut scan = SchemaScan::new();
    tables.iter().for_each(|table| table.add_to(&mut scan));
    let plan = scan.plan(import.policy);
    for conflict in &plan.conflicts {
        report(&format!("conflict: {conflict}"));
    }
    let mixed = report_mixed_numbers(&tables, import.policy, report);
    if mixed > 0 && import.policy == ConflictPolicy::Suffix && !import.is_dry_run {
        return Err(ImportError::MixedNumbers(mixed));
    }
    let conflicts = plan.conflicts.len() + mixed;
    if conflicts > 0 && import.policy == ConflictPolicy::Refuse && !import.is_dry_run {
        return Err(ImportError::Conflicts { count: conflicts });
    }
    progress.set_length(tables.len() as u64);
    let shared = Mutex::new(CopyProgress {
        state,
        summary: ImportSummary::default(),
        differences: Vec::new(),
    });
    let target = CopyTarget {
        sender: (!import.is_dry_run).then_some(sender),
        world: &world,
        max_request_bytes: sender.settings().max_request_bytes,
        times: import.filter.times,
        plan: &plan,
        shared: &shared,
        progress,
    };
    let copies = tables.iter().map(|table| copy_table(&source, table, &target));
    let copies = stream::iter(copies).buffer_unordered(import.parallel.max(1));
    copies.try_collect::<()>().await?;
    let shared = shared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.state.save()?;
    for difference in &shared.differences {
        report(difference);
    }
    match shared.differences.len() {
        0 => Ok(shared.summary),
        differences => Err(ImportError::Counts(differences)),
    }
}

/// Reports the fields that have several types of numbers, and returns how many there are.
fn report_mixed_numbers(
    tables: &[SourceTable],
    policy: ConflictPolicy,
    report: &mut (dyn FnMut(&str) + Send),
) -> usize {
    let outcome = match policy {
        ConflictPolicy::Refuse | ConflictPolicy::Suffix => "refused",
        ConflictPolicy::Convert | ConflictPolicy::Skip => "all numbers become float values",
    };
    let mut count = 0;
    for table in tables {
        for (field, types) in &table.mixed_numbers {
            let types: Vec<&str> = types.iter().map(|of| of.as_str()).collect();
            let (target, name, types) = (&table.target, &table.name, types.join(", "));
            report(&format!("conflict: {target}.{name}.{field} is {types}: {outcome}"));
            count += 1;
        }
    }
    count
}

impl Source {
    /// Lists the tables to copy.
    ///
    /// # Errors
    ///
    /// A request failed, or the name of a database is not allowed.
    async fn tables(
        &self,
        filter: &ImportFilter,
        names: &DatabaseNames,
    ) -> Result<Vec<SourceTable>, ImportError> {
        match self.version {
            SourceVersion::V1 | SourceVersion::V2 => influxql::tables(self, filter, names).await,
            SourceVersion::V3 => sql::tables(self, filter, names).await,
        }
    }
}

impl SourceTable {
    /// Adds the columns of the table to a scan.
    fn add_to(&self, scan: &mut SchemaScan) {
        let key = neap_tsm::SeriesKey {
            measurement: self.name.clone(),
            tags: self.tags.iter().map(|tag| (tag.clone(), String::new())).collect(),
        };
        let fields = self.fields.iter().map(|field| (field.name.clone(), field.value_type));
        scan.add(&self.target, &key, fields);
    }
}

#[cfg(test)]
mod tests {
    use neap_tsm::ValueType;

    use super::*;

    #[test]
    fn numbers_of_several_types_are_reported() {
        let table = SourceTable {
            database: "home".to_owned(),
            retention_policy: "autogen".to_owned(),
            target: "house".to_owned(),
            name: "m".to_owned(),
            tags: Vec::new(),
            fields: Vec::new(),
            mixed_numbers: vec![("v".to_owned(), vec![ValueType::Float, ValueType::Integer])],
        };
        for (policy, outcome) in [
            (ConflictPolicy::Suffix, "refused"),
            (ConflictPolicy::Convert, "all numbers become float values"),
        ] {
            let mut reports = Vec::new();
            let mut report = |text: &str| reports.push(text.to_owned());
            let tables = std::slice::from_ref(&table);
            assert_eq!(report_mixed_numbers(tables, policy, &mut report), 1);
            assert_eq!(reports, [format!("conflict: house.m.v is float, integer: {outcome}")]);
        }
    }
}
