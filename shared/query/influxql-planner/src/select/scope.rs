//! The parts of a statement that do not depend on its sources: time range, windows, groups.

use datafusion::common::Result;
use neap_formats::series::AnswerInterface;
use neap_influxql::{Condition, Dimension, Fill, Select, TimeOrder};

use super::{
    shape::windows_before,
    time::{self, StatementTimeRange, TimeContext},
    window::WindowSpec,
};

/// The properties that a subquery inherits from the outer statement.
#[derive(Clone, Debug, Default)]
pub(super) struct InheritedScope {
    is_subquery: bool,
    /// The order of the outer statement.
    order: TimeOrder,
    range: StatementTimeRange,
    /// The tags that the `GROUP BY` of the outer statement names.
    tags: Vec<Dimension>,
    /// The windows of the outer statement. Aggregates without windows of their own are computed for each of these.
    window: Option<WindowSpec>,
    zone: Option<String>,
}

/// The time range, windows and groups of a statement.
#[derive(Debug)]
pub(super) struct SelectScope {
    pub(super) clock: TimeContext,
    /// The order of the rows.
    pub(super) order: TimeOrder,
    zone: Option<String>,
    /// The times of the rows that are read.
    pub(super) range: StatementTimeRange,
    /// The times in the answer, if other rows are read only to compute it.
    pub(super) shown: Option<StatementTimeRange>,
    /// The condition without the time range.
    pub(super) condition: Option<Condition>,
    /// Whether the statement itself has `GROUP BY time`.
    pub(super) has_own_window: bool,
    pub(super) window: Option<WindowSpec>,
    /// The value of windows without rows.
    pub(super) fill: Fill,
    /// The dimensions, including inherited ones.
    pub(super) group_by: Vec<Dimension>,
}

impl SelectScope {
    /// Resolves the time range, windows and groups of a statement.
    /// Fails with planning errors for invalid times and zones.
    pub(super) fn try_new(
        select: &Select,
        inherited: &InheritedScope,
        interface: AnswerInterface,
        now: i64,
    ) -> Result<Self> {
        // As in InfluxDB 1, a subquery has the order of the outer statement.
        let order = match interface {
            AnswerInterface::V1 => select.order.unwrap_or(inherited.order),
            AnswerInterface::V3 => select.order.unwrap_or_default(),
        };
        let zone = select.time_zone.as_ref().or(inherited.zone.as_ref());
        let clock = TimeContext::new(now, zone.map(String::as_str), interface)?;
        let (own_range, condition) = time::split(select.condition.as_ref(), &clock)?;
        let own_window =
            WindowSpec::from_dimensions(&select.group_by, &clock, zone.map(String::as_str))?;
        let has_own_window = own_window.is_some();
        let window = own_window.or_else(|| inherited.window.clone());
        let mut range = own_range.intersect(inherited.range);
        if has_own_window {
            range.upper = range.upper.or(Some(now));
        }
        let fields = select.fields.iter().map(|field| &field.expr);
        let windows = windows_before(fields, interface);
        let shown = match (interface, order) {
            (AnswerInterface::V1, TimeOrder::Descending) => {
                look_ahead(&mut range, window.as_ref(), windows)
            }
            _ => look_back(&mut range, window.as_ref(), windows),
        };
        let mut group_by = select.group_by.clone();
        group_by.extend(inherited.tags.iter().cloned());
        Ok(Self {
            clock,
            order,
            zone: zone.cloned(),
            range,
            shown,
            condition,
            has_own_window,
            window,
            fill: fill(select, inherited),
            group_by,
        })
    }

    /// Returns the properties that subqueries of the statement inherit.
    pub(super) fn for_subqueries(&self) -> InheritedScope {
        let tags = self.group_by.iter().filter(|dimension| matches!(dimension, Dimension::Tag(_)));
        InheritedScope {
            is_subquery: true,
            order: self.order,
            range: self.range,
            tags: tags.cloned().collect(),
            window: self.window.clone(),
            zone: self.zone.clone(),
        }
    }
}

/// Moves the start of the range back by a number of windows. Returns the original start if it has moved.
fn look_back(
    range: &mut StatementTimeRange,
    window: Option<&WindowSpec>,
    windows: i64,
) -> Option<StatementTimeRange> {
    let (window, from) = (window?, range.lower?);
    if windows == 0 {
        return None;
    }
    range.lower = Some(window.shifted(from, -windows));
    Some(StatementTimeRange { lower: Some(from), upper: None })
}

/// Moves the end of the range forward by a number of windows, for functions that go from later windows to earlier ones.
/// Returns the original end if it has moved.
fn look_ahead(
    range: &mut StatementTimeRange,
    window: Option<&WindowSpec>,
    windows: i64,
) -> Option<StatementTimeRange> {
    let (window, until) = (window?, range.upper?);
    if windows == 0 {
        return None;
    }
    range.upper = Some(window.shifted(until, windows));
    Some(StatementTimeRange { lower: None, upper: Some(until) })
}

/// Returns the value of windows without rows. A subquery leaves them out by default, because the outer statement
/// ignores NULLs.
fn fill(select: &Select, inherited: &InheritedScope) -> Fill {
    match select.fill.clone().unwrap_or(Fill::Null) {
        Fill::Null if inherited.is_subquery => Fill::None,
        fill => fill,
    }
}
