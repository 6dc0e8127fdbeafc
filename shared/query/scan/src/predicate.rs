//! The filters of a query as predicates on points and on whole sections.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, StringArray, TimestampNanosecondArray, UInt64Array},
    datatypes::SchemaRef,
};
use datafusion::{
    catalog::Session,
    common::{Column, DFSchema, Result, ScalarValue, pruning::PruningStatistics},
    logical_expr::{
        BinaryExpr, Expr, Operator,
        utils::{conjunction, split_conjunction},
    },
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr as PhysicalBinaryExpr, Column as PhysicalColumn, Literal},
        split_conjunction as split_physical_conjunction,
    },
    physical_optimizer::pruning::PruningPredicateBuilder,
};
use neap_manifest::SectionWithFooter;
use neap_points::{SelectedSeries, TailImage};
use neap_schema::TIME_COLUMN;

use crate::{
    regions::TimeInterval,
    required_tags::tag_filters,
    section_scan::SelectedKeys,
    tag_conditions::{TagCondition, conditions_on_tags},
};

/// Minimum number of rows that a query may read of a tail, for each series, so that conditions on tags are evaluated for all series
/// first. With fewer, the rows are evaluated as fast.
const MIN_ROWS_PER_SERIES: usize = 4;

/// The filters of a scan, in the forms that its parts need.
#[derive(Debug)]
pub(crate) struct ScanPredicates {
    /// Filters on tags and time. They are true of all versions of a point or of none, so they may be applied before
    /// versions are deduplicated.
    pub(crate) key: Option<Arc<dyn PhysicalExpr>>,
    /// All filters, for rows that have no other version.
    pub(crate) all: Option<Arc<dyn PhysicalExpr>>,
    /// The values of tags and the range of time that all selected points have.
    pub(crate) selected_keys: Arc<SelectedKeys>,
    /// The other conditions that read one tag and nothing else.
    conditions_on_tags: Vec<TagCondition>,
    /// Whether the filters on tags and time select by nothing else, so that other ways to prune by them find no more.
    selects_by_keys_only: bool,
    /// Whether all rows in the range of time pass the filters.
    pub(crate) is_time_only: bool,
}

impl ScanPredicates {
    /// Analyses `filters` of a table with these tags.
    pub(crate) fn new(
        session: &dyn Session,
        filters: &[Expr],
        schema: &SchemaRef,
        tags: &[String],
    ) -> Result<Self> {
        let is_key = |filter: &&Expr| {
            !filter.is_volatile()
                && filter
                    .column_refs()
                    .iter()
                    .all(|column| column.name == TIME_COLUMN || tags.contains(&column.name))
        };
        let df_schema = DFSchema::try_from(Arc::clone(schema))?;
        let physical = |filters: Vec<Expr>| {
            let filter = conjunction(filters);
            filter
                .map(|filter| session.create_physical_expr(filter, &df_schema))
                .transpose()
        };
        let key: Vec<Expr> = filters.iter().filter(is_key).cloned().collect();
        let (time, is_time_only) = time_range(filters);
        let are_all = key.len() == filters.len();
        let key = physical(key)?;
        let all = if are_all {
            key.clone()
        } else {
            physical(filters.to_vec())?
        };
        let conditions_on_tags = match &key {
            Some(key) => conditions_on_tags(key, schema, tags)?,
            None => Vec::new(),
        };
        let tags = key.as_ref().map_or_else(Vec::new, tag_filters);
        Ok(Self {
            selected_keys: Arc::new(SelectedKeys { tags, time }),
            conditions_on_tags,
            selects_by_keys_only: key.as_ref().is_none_or(selects_by_keys_only),
            is_time_only,
            key,
            all,
        })
    }

    /// Returns the series of an image that may have selected points; `None`: all.
    pub(crate) fn select(&self, image: &TailImage) -> Option<SelectedSeries> {
        let required = self.requires_tags().then(|| image.select(&self.selected_keys.tags));
        let are_few = required.as_ref().is_some_and(SelectedSeries::are_few);
        if are_few || self.conditions_on_tags.is_empty() {
            return required;
        }
        let TimeInterval { min, max } = self.selected_keys.time;
        let rows = image.rows_near(&(min..=max));
        if image.series_count().saturating_mul(MIN_ROWS_PER_SERIES) > rows {
            return required;
        }
        // The filter above the scan applies all conditions. Here, they pay if they leave few series.
        let mut selected = required.clone();
        for condition in &self.conditions_on_tags {
            if let Some(narrower) = condition.select(image, selected.as_ref()) {
                selected = Some(narrower);
            }
        }
        selected
            .filter(|selected| selected.are_few() && !selected.are_most())
            .or(required)
    }

    /// Whether the filters require values of tags.
    pub(crate) fn requires_tags(&self) -> bool {
        !self.selected_keys.tags.is_empty()
    }

    /// Returns the keys if the filters on tags and time select by nothing else.
    pub(crate) fn selecting_keys(&self) -> Option<&Arc<SelectedKeys>> {
        self.selects_by_keys_only.then_some(&self.selected_keys)
    }

    /// Returns the sections that may contain points that pass the key filters.
    pub(crate) fn prune(
        &self,
        schema: &SchemaRef,
        sections: Vec<SectionWithFooter>,
    ) -> Result<Vec<SectionWithFooter>> {
        let Some(key) = &self.key else {
            return Ok(sections);
        };
        if sections.is_empty() {
            return Ok(sections);
        }
        if let Some(keys) = self.selecting_keys() {
            let sections = sections.into_iter();
            return Ok(sections.filter(|loaded| keys.may_be_in(&loaded.section)).collect());
        }
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(schema))
            .try_build(Arc::clone(key))?;
        let keep = predicate.prune(&SectionStatistics(&sections))?;
        Ok(sections
            .into_iter()
            .zip(keep)
            .filter(|(_, keep)| *keep)
            .map(|(section, _)| section)
            .collect())
    }
}

/// Whether each condition of a conjunction requires values of a tag, or compares the time with a literal.
fn selects_by_keys_only(key: &Arc<dyn PhysicalExpr>) -> bool {
    let mut conditions = split_physical_conjunction(key).into_iter();
    conditions
        .all(|condition| times_that_meet(condition).is_some() || !tag_filters(condition).is_empty())
}

/// Returns the times that meet a comparison of the time with a literal; `None` if the condition is another one, or if no time
/// meets it.
pub(crate) fn times_that_meet(condition: &Arc<dyn PhysicalExpr>) -> Option<TimeInterval> {
    let comparison = condition.downcast_ref::<PhysicalBinaryExpr>()?;
    let is_time = |side: &Arc<dyn PhysicalExpr>| {
        let column = side.downcast_ref::<PhysicalColumn>();
        column.is_some_and(|column| column.name() == TIME_COLUMN)
    };
    let literal = |side: &Arc<dyn PhysicalExpr>| match side.downcast_ref::<Literal>()?.value() {
        ScalarValue::TimestampNanosecond(time, _) => *time,
        _ => None,
    };
    let (left, operator, right) = (comparison.left(), *comparison.op(), comparison.right());
    let (operator, time) = match (is_time(left), is_time(right)) {
        (true, false) => (operator, literal(right)?),
        (false, true) => (operator.swap()?, literal(left)?),
        _ => return None,
    };
    let mut times = TimeInterval::ALL;
    (narrow(&mut times, operator, time) && times.min <= times.max).then_some(times)
}

/// Returns the time range that a conjunction of filters selects, and whether all rows in that range pass them. Only
/// simple comparisons with the time narrow the range.
pub(crate) fn time_range(filters: &[Expr]) -> (TimeInterval, bool) {
    let mut range = TimeInterval::ALL;
    let mut is_all = true;
    for filter in filters.iter().flat_map(split_conjunction) {
        is_all &= narrow_by(&mut range, filter);
    }
    (range, is_all)
}

/// Returns the first time in nanoseconds since the Unix epoch that a conjunction of filters selects; [`i64::MIN`] if the filters
/// have no lower bound.
pub fn first_time(filters: &[Expr]) -> i64 {
    time_range(filters).0.min
}

/// Narrows a range by a filter. Returns whether all times of the narrowed range pass the filter.
fn narrow_by(range: &mut TimeInterval, filter: &Expr) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if let (true, Some(time)) = (is_time(left), nanoseconds(right)) {
                narrow(range, *op, time)
            } else if let (Some(time), true, Some(op)) =
                (nanoseconds(left), is_time(right), op.swap())
            {
                narrow(range, op, time)
            } else {
                false
            }
        }
        Expr::Between(between) if !between.negated && is_time(&between.expr) => {
            let low = nanoseconds(&between.low);
            let high = nanoseconds(&between.high);
            let is_low = low.is_some_and(|low| narrow(range, Operator::GtEq, low));
            let is_high = high.is_some_and(|high| narrow(range, Operator::LtEq, high));
            is_low && is_high
        }
        _ => false,
    }
}

/// Narrows a range by a comparison of the time with a literal. Returns whether all times of the narrowed range pass the
/// comparison.
fn narrow(range: &mut TimeInterval, operator: Operator, time: i64) -> bool {
    match operator {
        Operator::Eq => {
            range.min = range.min.max(time);
            range.max = range.max.min(time);
            true
        }
        Operator::GtEq => {
            range.min = range.min.max(time);
            true
        }
        Operator::Gt => {
            range.min = range.min.max(time.saturating_add(1));
            time < i64::MAX
        }
        Operator::LtEq => {
            range.max = range.max.min(time);
            true
        }
        Operator::Lt => {
            range.max = range.max.min(time.saturating_sub(1));
            time > i64::MIN
        }
        _ => false,
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(Column { name, .. }) if name == TIME_COLUMN)
}

fn nanoseconds(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(time, _), _) => *time,
        _ => None,
    }
}

/// The statistics of sections from the manifest, for pruning.
struct SectionStatistics<'a>(&'a [SectionWithFooter]);

impl SectionStatistics<'_> {
    fn ends(
        &self,
        column: &Column,
        time: impl Fn(&SectionWithFooter) -> i64,
        tag: impl Fn(&neap_manifest::TagRange) -> Option<&str>,
    ) -> ArrayRef {
        if column.name == TIME_COLUMN {
            return Arc::new(TimestampNanosecondArray::from_iter_values(self.0.iter().map(time)));
        }
        let of = |loaded: &SectionWithFooter| {
            loaded.section.tags.get(&column.name).and_then(&tag).map(str::to_owned)
        };
        Arc::new(self.0.iter().map(of).collect::<StringArray>())
    }
}

impl PruningStatistics for SectionStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        Some(self.ends(column, |loaded| loaded.section.min_time, |range| range.min.as_deref()))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        Some(self.ends(column, |loaded| loaded.section.max_time, |range| range.max.as_deref()))
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let of = |loaded: &SectionWithFooter| {
            let section = &loaded.section;
            match section.tags.get(&column.name) {
                _ if column.name == TIME_COLUMN => Some(0),
                // The section was written before the tag existed.
                None => Some(section.rows),
                Some(range) if range.min.is_none() => Some(section.rows),
                Some(range) if !range.has_null => Some(0),
                Some(_) => None,
            }
        };
        Some(Arc::new(self.0.iter().map(of).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(
            self.0.iter().map(|loaded| Some(loaded.section.rows)).collect::<UInt64Array>(),
        ))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn at(time: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(time), None))
    }

    #[test]
    fn comparisons_with_time_narrow_the_range() {
        let filters = [
            col("time").gt(at(10)).and(at(50).gt_eq(col("time"))),
            col("time").between(at(5), at(40)),
            col("host").eq(lit("a")),
        ];
        assert_eq!(time_range(&filters).0, TimeInterval { min: 11, max: 40 });
    }

    #[test]
    fn alternatives_and_negations_do_not_narrow_the_range() {
        let filters = [
            col("time").gt(at(10)).or(col("host").eq(lit("a"))),
            col("time").not_between(at(5), at(40)),
            col("time").not_eq(at(1)),
        ];
        assert_eq!(time_range(&filters), (TimeInterval::ALL, false));
    }

    #[test]
    fn only_plain_comparisons_with_time_pass_all_rows_of_their_time() {
        let is_all = |filters: &[Expr]| time_range(filters).1;
        assert!(is_all(&[]));
        assert!(is_all(&[
            col("time").gt(at(10)).and(at(50).gt_eq(col("time"))),
            col("time").between(at(5), at(40)),
            col("time").eq(at(20)),
        ]));
        for filter in [
            col("host").eq(lit("a")),
            col("time").gt(at(10)).and(col("host").is_null()),
            col("time").not_eq(at(1)),
            col("time").between(at(5), col("time")),
            // No time passes these filters, but the narrowed range still contains the last or the first time.
            col("time").gt(at(i64::MAX)),
            col("time").lt(at(i64::MIN)),
        ] {
            assert!(!is_all(&[filter]));
        }
    }
}
