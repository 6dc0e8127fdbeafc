//! An estimate of the rows that a scan reads, without a request.

use datafusion::{
    common::{
        Column,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{BinaryExpr, Expr, Operator, utils::split_conjunction},
};

use crate::{predicate::time_range, regions::TimeInterval, snapshot_table::SnapshotTable};

/// The share of rows that pass a condition that a tag has one of some values, if nothing is known of its values.
const TAG_SELECTIVITY: u64 = 16;

/// Minimum number of rows that are read of a larger section: a page of each column. To open the section takes about as long
/// as to read them.
const MIN_SECTION_ROWS: u64 = 8_192;

impl SnapshotTable {
    /// Returns about how many rows a scan with these filters reads; `None` if the manifest lists sections of these times
    /// in pages, which would have to be read.
    pub fn estimated_rows(&self, filters: &[Expr]) -> Option<u64> {
        let (time, _) = time_range(filters);
        let (manifest, table) = (&self.snapshot().manifest.value, self.table().id());
        let in_time = |min, max| TimeInterval { min, max }.intersection(time);
        let mut pages = manifest.pages.iter();
        if pages.any(|page| page.may_hold(table) && in_time(page.min_time, page.max_time).is_some())
        {
            return None;
        }
        let mut conditions = filters.iter().flat_map(split_conjunction);
        let selectivity = if conditions.any(|one| self.requires_tag_values(one)) {
            TAG_SELECTIVITY
        } else {
            1
        };
        let sections = manifest
            .sections
            .iter()
            .filter(|section| section.table == table)
            .filter(|section| in_time(section.min_time, section.max_time).is_some());
        let of_sections = sections.map(|section| {
            let times = (section.min_time, section.max_time);
            let rows = rows_between(section.rows, times, time) / selectivity;
            rows.max(section.rows.min(MIN_SECTION_ROWS))
        });
        let segments = self.snapshot().tail.iter();
        let streams = segments.flat_map(|segment| segment.directory());
        let of_tail = streams.filter(|stream| stream.table == table).map(|stream| {
            let times = (stream.min_time, stream.max_time);
            rows_between(u64::from(stream.rows), times, time)
        });
        Some(of_sections.sum::<u64>() + of_tail.sum::<u64>() / selectivity)
    }

    /// Whether a condition requires that a tag has one of some values.
    fn requires_tag_values(&self, condition: &Expr) -> bool {
        let is_tag = |expr: &Expr| match expr {
            Expr::Column(Column { name, .. }) => self.table().is_tag(name),
            _ => false,
        };
        let mut is_required = true;
        let visited = condition.apply(|expr| {
            let is_of_tag = match expr {
                Expr::BinaryExpr(BinaryExpr { op, .. }) if *op == Operator::Or => {
                    return Ok(TreeNodeRecursion::Continue);
                }
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                    *op == Operator::Eq && (is_tag(left) || is_tag(right))
                }
                Expr::InList(list) => !list.negated && is_tag(&list.expr),
                _ => false,
            };
            is_required &= is_of_tag;
            Ok(if is_required {
                TreeNodeRecursion::Jump
            } else {
                TreeNodeRecursion::Stop
            })
        });
        visited.is_ok() && is_required
    }
}

/// Returns how many of some rows are in a range of time, if the rows are spread evenly.
fn rows_between(rows: u64, (min, max): (i64, i64), time: TimeInterval) -> u64 {
    let Some(common) = (TimeInterval { min, max }).intersection(time) else {
        return 0;
    };
    let length = |min: i64, max: i64| u128::from(max.abs_diff(min)) + 1;
    let share = u128::from(rows) * length(common.min, common.max) / length(min, max);
    u64::try_from(share).unwrap_or(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_the_share_of_their_time() {
        let between = |min, max| rows_between(1_000, (0, 99), TimeInterval { min, max });
        assert_eq!(between(0, 99), 1_000);
        assert_eq!(between(90, 200), 100);
        assert_eq!(between(100, 200), 0);
        let all = rows_between(u64::MAX, (i64::MIN, i64::MAX), TimeInterval::ALL);
        assert_eq!(all, u64::MAX);
    }
}
