//! What of a statement is known before its sources are: times, windows, groups.

use datafusion::common::Result;
use neap_influxql::{Condition, Dimension, Fill, Select};

use super::{
    shape::windows_before,
    time::{self, Clock, TimeRange},
    window::Window,
};

/// What a subquery takes over from the statement around it.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    is_subquery: bool,
    range: TimeRange,
    /// The tags that the outer statement is grouped by and names.
    tags: Vec<Dimension>,
    /// Its windows: aggregates without windows of their own are computed for each of these.
    window: Option<Window>,
    zone: Option<String>,
}

/// The times, windows and groups of a statement.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) clock: Clock,
    zone: Option<String>,
    /// The times of the rows that are read.
    pub(super) range: TimeRange,
    /// The first time that is shown, if rows before it are read for what they tell about it.
    pub(super) shown_from: Option<i64>,
    /// The condition without the range of time.
    pub(super) condition: Option<Condition>,
    /// Whether the statement asks for windows itself.
    pub(super) has_own_window: bool,
    pub(super) window: Option<Window>,
    /// What windows without rows get.
    pub(super) fill: Fill,
    /// With what is taken over from outside.
    pub(super) group_by: Vec<Dimension>,
}

impl Frame {
    /// # Errors
    ///
    /// Planning errors for times and zones that are none.
    pub(super) fn of(select: &Select, inherited: &Inherited, now: i64) -> Result<Self> {
        let zone = select.time_zone.as_ref().or(inherited.zone.as_ref());
        let clock = Clock::new(now, zone.map(String::as_str))?;
        let (own_range, condition) = time::split(select.condition.as_ref(), &clock)?;
        let own_window = Window::of(&select.group_by, &clock, zone.map(String::as_str))?;
        let has_own_window = own_window.is_some();
        let window = own_window.or_else(|| inherited.window.clone());
        let mut range = own_range.intersect(inherited.range);
        if has_own_window {
            range.upper = range.upper.or(Some(now));
        }
        let fields = select.fields.iter().map(|field| &field.expr);
        let shown_from = look_back(&mut range, window.as_ref(), windows_before(fields));
        let mut group_by = select.group_by.clone();
        group_by.extend(inherited.tags.iter().cloned());
        Ok(Self {
            clock,
            zone: zone.cloned(),
            range,
            shown_from,
            condition,
            has_own_window,
            window,
            fill: fill(select, inherited),
            group_by,
        })
    }

    /// What the subqueries of the statement take over.
    pub(super) fn within(&self) -> Inherited {
        let tags = self.group_by.iter();
        let tags = tags.filter(|dimension| matches!(dimension, Dimension::Tag(_)));
        Inherited {
            is_subquery: true,
            range: self.range,
            tags: tags.cloned().collect(),
            window: self.window.clone(),
            zone: self.zone.clone(),
        }
    }
}

/// Moves the start of the range back by so many windows; the start before, if it has moved.
fn look_back(range: &mut TimeRange, window: Option<&Window>, windows: i64) -> Option<i64> {
    let (window, from) = (window?, range.lower?);
    if windows == 0 {
        return None;
    }
    let by = window.every.saturating_mul(windows);
    range.lower = Some(from.saturating_sub(by));
    Some(from)
}

/// What windows without rows get. NULLs of a subquery are nothing to the statement around it.
fn fill(select: &Select, inherited: &Inherited) -> Fill {
    match select.fill.clone().unwrap_or(Fill::Null) {
        Fill::Null if inherited.is_subquery => Fill::None,
        fill => fill,
    }
}
