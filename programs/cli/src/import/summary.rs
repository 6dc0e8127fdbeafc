//! The result of an import.

use std::{collections::BTreeMap, fmt};

use indicatif::HumanCount;

use super::{
    problems::UnitProblems,
    table_counts::{TableCountMap, TableCounts},
};
use crate::client::RefusedLines;

/// Maximum number of damaged parts that are shown.
const MAX_SHOWN_DAMAGE: usize = 20;
/// Maximum number of messages from before an interruption that are shown.
const MAX_SHOWN_EARLIER: usize = 100;

/// Counts of an import, and what is missing.
#[derive(Debug, Default)]
pub(crate) struct ImportSummary {
    /// Rows by database and table.
    pub(crate) tables: TableCountMap,
    /// Lines of line protocol by database. Several lines may be one row.
    pub(crate) lines: BTreeMap<String, u64>,
    /// Series and fields of each database, where they are known.
    pub(crate) columns: BTreeMap<String, ColumnCounts>,
    /// The rows that the server refused.
    pub(crate) refused: Option<RefusedLines>,
    /// Rows that were refused in each database.
    pub(crate) refused_rows: BTreeMap<String, u64>,
    /// Messages from before an interruption.
    earlier: Vec<String>,
    earlier_damage: u64,
    damage: Vec<String>,
    damage_count: u64,
}

/// Counts of the columns of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnCounts {
    pub(crate) series: usize,
    pub(crate) fields: usize,
}

impl ImportSummary {
    pub(crate) fn add_tables(&mut self, added: &TableCountMap) {
        for (database, tables) in added {
            let own = self.tables.entry(database.clone()).or_default();
            for (table, counts) in tables {
                own.entry(table.clone()).or_default().add(counts);
            }
        }
    }

    /// Adds lines of line protocol.
    pub(crate) fn add_lines(&mut self, database: &str, lines: u64) {
        *self.lines.entry(database.to_owned()).or_default() += lines;
    }

    /// Adds rows that the server refused.
    pub(crate) fn add_refused(&mut self, database: &str, refused: RefusedLines) {
        *self.refused_rows.entry(database.to_owned()).or_default() += refused.count();
        match &mut self.refused {
            Some(all) => all.merge(refused),
            None => self.refused = Some(refused),
        }
    }

    /// Adds the refused rows of a part of the import.
    pub(crate) fn add_problems(&mut self, part: Self) {
        for (database, rows) in part.refused_rows {
            *self.refused_rows.entry(database).or_default() += rows;
        }
        if let Some(refused) = part.refused {
            match &mut self.refused {
                Some(all) => all.merge(refused),
                None => self.refused = Some(refused),
            }
        }
    }

    /// Adds the problems of a unit from before an interruption.
    pub(crate) fn add_unit(&mut self, problems: &UnitProblems) {
        for (database, rows) in &problems.refused {
            *self.refused_rows.entry(database.clone()).or_default() += rows;
        }
        self.damage_count += problems.damaged;
        self.earlier_damage += problems.damaged;
        let free = MAX_SHOWN_EARLIER.saturating_sub(self.earlier.len());
        self.earlier.extend(problems.texts.iter().take(free).cloned());
    }

    /// Adds a part that cannot be read.
    pub(crate) fn add_damage(&mut self, damage: impl fmt::Display) {
        self.damage_count += 1;
        if self.damage.len() < MAX_SHOWN_DAMAGE {
            self.damage.push(damage.to_string());
        }
    }

    /// Returns the number of refused rows.
    pub(crate) fn refused_count(&self) -> u64 {
        self.refused_rows.values().sum()
    }

    /// Returns the number of parts that cannot be read.
    pub(crate) fn damage_count(&self) -> u64 {
        self.damage_count
    }

    /// Returns what is missing, for messages.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.earlier.iter().chain(&self.damage).cloned().collect();
        let found = self.damage_count.saturating_sub(self.earlier_damage);
        match found.saturating_sub(self.damage.len() as u64) {
            0 => {}
            more => problems.push(format!("and {more} more damaged parts")),
        }
        problems.extend(self.refused.as_ref().map(RefusedLines::to_string));
        problems
    }
}

impl fmt::Display for ImportSummary {
    /// Shows a line for each database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables.is_empty() && self.lines.is_empty() {
            return f.write_str("no rows");
        }
        let mut separator = "";
        for (database, tables) in &self.tables {
            let mut counts = TableCounts::default();
            tables.values().for_each(|table| counts.add(table));
            let rows = HumanCount(counts.rows);
            let tables = HumanCount(tables.len() as u64);
            write!(f, "{separator}{database}: {rows} rows")?;
            separator = "\n";
            if counts.values > 0 {
                write!(f, " with {} values", HumanCount(counts.values))?;
            }
            write!(f, " in {tables} tables")?;
            if let Some(ColumnCounts { series, fields }) = self.columns.get(database) {
                let (series, fields) = (HumanCount(*series as u64), HumanCount(*fields as u64));
                write!(f, ", {series} series, {fields} fields")?;
            }
        }
        for (database, lines) in &self.lines {
            let lines = HumanCount(*lines);
            write!(f, "{separator}{database}: {lines} lines")?;
            separator = "\n";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_shown_with_their_counts() {
        let mut summary = ImportSummary::default();
        assert_eq!(summary.to_string(), "no rows");
        let counts = TableCounts { rows: 1_234_567, values: 2_000_000, min_time: 1, max_time: 2 };
        let tables = BTreeMap::from([("cpu".to_owned(), counts), ("mem".to_owned(), counts)]);
        summary.add_tables(&BTreeMap::from([("home".to_owned(), tables)]));
        let columns = ColumnCounts { series: 10, fields: 3 };
        summary.columns.insert("home".to_owned(), columns);
        for number in 0..22 {
            summary.add_damage(number);
        }
        insta::assert_snapshot!(summary, @"home: 2,469,134 rows with 4,000,000 values in 2 tables, 10 series, 3 fields");
        assert_eq!(summary.problems().len(), 21);
        assert_eq!(summary.problems()[20], "and 2 more damaged parts");
    }
}
