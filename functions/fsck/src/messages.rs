//! Findings about objects that cannot be decoded. The messages omit the key, which a finding contains separately.

use neap_bucket::FormatError;
use neap_wal::SegmentError;

use crate::{Finding, FindingKind};

/// Converts a format error to a finding.
pub(crate) fn format_finding(error: &FormatError) -> Finding {
    match error {
        FormatError::Magic { key, kind } => {
            Finding::error(FindingKind::Damaged, format!("it is not a {kind}")).at(key)
        }
        FormatError::Newer { key, kind, found, known } => {
            let message = format!(
                "it has format version {found}, and this release reads {kind} up to version {known}"
            );
            Finding::error(FindingKind::Newer, message).at(key)
        }
        FormatError::Damaged { key, reason } => {
            Finding::error(FindingKind::Damaged, reason.clone()).at(key)
        }
    }
}

/// Returns whether a finding says that bytes are damaged or missing.
pub(crate) fn is_damage(finding: &Finding) -> bool {
    matches!(
        finding.kind,
        FindingKind::Damaged | FindingKind::Missing | FindingKind::Truncated
    )
}

/// Converts a segment error to a finding.
pub(crate) fn of_segment(error: &SegmentError) -> Finding {
    match error {
        SegmentError::Format(error) => format_finding(error),
        SegmentError::Rows { key, table, reason } => {
            let message = format!("rows of table {table}: {reason}");
            Finding::error(FindingKind::Damaged, message).at(key)
        }
    }
}
