//! The result of a check.

use std::fmt;

use serde::Serialize;

use crate::{Finding, LostObject, Severity};

/// Maximum number of findings that a report lists. Further findings are only counted.
const MAX_FINDINGS: usize = 10_000;

/// Numbers of checked objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsckTotals {
    /// Databases, including dropped ones that still have data.
    pub databases: u64,
    /// Tables that are not dropped.
    pub tables: u64,
    /// Sections that queries read.
    pub sections: u64,
    /// Rows of these sections.
    pub rows: u64,
    /// Pages of manifests.
    pub pages: u64,
    /// Segments above the low-water marks.
    pub segments: u64,
    /// Objects with sections or pages, and objects of caches.
    pub objects: u64,
    /// The bytes of these objects and segments.
    pub bytes: u64,
}

impl FsckTotals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.databases += other.databases;
        self.tables += other.tables;
        self.sections += other.sections;
        self.rows += other.rows;
        self.pages += other.pages;
        self.segments += other.segments;
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// The report of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsckReport {
    /// Whether every row was read, in addition to registers, pages, the tail and listings.
    pub full: bool,
    /// Whether there is no error.
    pub clean: bool,
    /// The number of errors.
    pub errors: u64,
    /// The number of warnings.
    pub warnings: u64,
    /// The number of notes.
    pub notes: u64,
    /// Numbers of checked objects.
    pub checked: FsckTotals,
    /// The findings, most severe first; at most 10,000 of them.
    pub findings: Vec<Finding>,
    /// The rows that are lost with the objects that an operator named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostObject>,
    /// Descriptions of the repairs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<String>,
}

impl FsckReport {
    /// Creates an empty report.
    pub fn new(full: bool) -> Self {
        Self { full, clean: true, ..Self::default() }
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Note => self.notes += 1,
        }
        self.clean = self.errors == 0;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// Sorts the findings, most severe first.
    pub(crate) fn sort(&mut self) {
        self.findings.sort_by(|one, other| {
            let rank = |it: &Finding| (it.database.clone(), it.key.clone(), it.kind);
            other.severity.cmp(&one.severity).then_with(|| rank(one).cmp(&rank(other)))
        });
    }

    /// Returns the exit status of a program: 0 without errors, otherwise 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.clean)
    }
}

impl fmt::Display for FsckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lost in &self.lost {
            writeln!(f, "{lost}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let listed = self.findings.len() as u64;
        let all = self.errors + self.warnings + self.notes;
        if listed < all {
            writeln!(f, "and {} more", all - listed)?;
        }
        for repaired in &self.repaired {
            writeln!(f, "repaired {repaired}")?;
        }
        let FsckTotals {
            databases,
            tables,
            sections,
            rows,
            pages,
            segments,
            objects,
            bytes,
        } = self.checked;
        let how = if self.full { "fully" } else { "quickly" };
        writeln!(
            f,
            "checked {how}: {databases} databases, {tables} tables, {sections} sections with {rows} rows, \
             {pages} pages, {segments} new segments; {objects} objects, {bytes} bytes"
        )?;
        write!(f, "{} errors, {} warnings, {} notes", self.errors, self.warnings, self.notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FindingKind;

    fn report() -> FsckReport {
        let mut report = FsckReport::new(true);
        report.add(Finding::note(FindingKind::AlienKey, "not Neap's: left alone").at("x/y"));
        report.add(Finding {
            database: Some("db".to_owned()),
            ..Finding::error(FindingKind::Missing, "it is missing")
                .at("data/1/a.parquet")
                .of_table("cpu")
        });
        report.repaired.push("nothing".to_owned());
        report.sort();
        report
    }

    #[test]
    fn text_lists_the_most_severe_findings_first() {
        insta::assert_snapshot!(report(), @r#"
        error    data/1/a.parquet ("db"."cpu"): it is missing
        note     x/y: not Neap's: left alone
        repaired nothing
        checked fully: 0 databases, 0 tables, 0 sections with 0 rows, 0 pages, 0 new segments; 0 objects, 0 bytes
        1 errors, 0 warnings, 1 notes
        "#);
        assert_eq!(report().exit_code(), 1);
        assert_eq!(FsckReport::new(false).exit_code(), 0);
    }

    #[test]
    fn format() {
        let expected = serde_json::json!({
            "full": true, "clean": false, "errors": 1, "warnings": 0, "notes": 1,
            "checked": {
                "databases": 0, "tables": 0, "sections": 0, "rows": 0, "pages": 0, "segments": 0,
                "objects": 0, "bytes": 0,
            },
            "findings": [
                {
                    "severity": "error", "kind": "missing", "key": "data/1/a.parquet",
                    "database": "db", "table": "cpu", "message": "it is missing",
                },
                {
                    "severity": "note", "kind": "alien_key", "key": "x/y",
                    "message": "not Neap's: left alone",
                },
            ],
            "repaired": ["nothing"],
        });
        assert_eq!(serde_json::to_value(report()).unwrap(), expected);
    }

    #[test]
    fn findings_beyond_the_maximum_are_counted() {
        let mut report = FsckReport::new(false);
        for _ in 0..=MAX_FINDINGS {
            report.add(Finding::warning(FindingKind::Orphan, "x"));
        }
        assert_eq!(report.findings.len(), MAX_FINDINGS);
        assert!(report.clean);
        assert!(report.to_string().contains("\nand 1 more\n"));
    }
}
