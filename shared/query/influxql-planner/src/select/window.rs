//! `GROUP BY time(...)`: windows of time.

use chrono::{DateTime, Months};
use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{Expr, cast, lit, when},
};
use neap_influxql::{Dimension, Expr as Ast, Literal, WindowLength};
use neap_schema::ColumnType;

use super::{
    condition::nanos,
    functions::SessionFunctions,
    time::{StatementTimeRange, TimeContext},
};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;

/// The windows of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WindowSpec {
    /// The length.
    every: WindowLength,
    /// The start of one window, in nanoseconds since the Unix epoch. With a zone, it is a local time.
    pub(super) origin: i64,
    /// The zone whose local time aligns the windows.
    pub(super) zone: Option<String>,
}

impl WindowSpec {
    /// Returns the windows of a `GROUP BY`, if it has any.
    /// Fails with a planning error for an offset that is neither a duration nor a time.
    pub(super) fn from_dimensions(
        group_by: &[Dimension],
        clock: &TimeContext,
        zone: Option<&str>,
    ) -> Result<Option<Self>> {
        let time = group_by.iter().find_map(|dimension| match dimension {
            Dimension::Time { every, offset } => Some((*every, offset.as_ref())),
            _ => None,
        });
        let Some((every, offset)) = time else {
            return Ok(None);
        };
        let is_positive = match every {
            WindowLength::Nanos(nanos) => nanos > 0,
            WindowLength::Months(months) => months > 0,
        };
        if !is_positive {
            return plan_err!("duration must be greater than zero");
        }
        let offset = match offset {
            None => 0,
            Some(Ast::Literal(Literal::Duration(nanos))) => *nanos,
            Some(expr) => match clock.instant(expr)? {
                Some(instant) => instant,
                None => return plan_err!("time dimension offset must be duration or now()"),
            },
        };
        Ok(Some(Self {
            every,
            origin: match every {
                WindowLength::Nanos(nanos) => offset.rem_euclid(nanos),
                WindowLength::Months(_) => offset,
            },
            zone: zone.map(str::to_owned),
        }))
    }

    /// The length in nanoseconds; `None` for months and years.
    pub(super) fn nanos(&self) -> Option<i64> {
        match self.every {
            WindowLength::Nanos(nanos) => Some(nanos),
            WindowLength::Months(_) => None,
        }
    }

    /// Returns the time that is this number of windows after another one, or before it if the number is negative.
    pub(super) fn shifted(&self, time: i64, windows: i64) -> i64 {
        match self.every {
            WindowLength::Nanos(nanos) => time.saturating_add(nanos.saturating_mul(windows)),
            WindowLength::Months(months) => {
                let count = windows.unsigned_abs().saturating_mul(months.into());
                let by = Months::new(u32::try_from(count).unwrap_or(u32::MAX));
                let date = DateTime::from_timestamp_nanos(time);
                let (shifted, limit) = if windows < 0 {
                    (date.checked_sub_months(by), i64::MIN)
                } else {
                    (date.checked_add_months(by), i64::MAX)
                };
                shifted.and_then(|date| date.timestamp_nanos_opt()).unwrap_or(limit)
            }
        }
    }

    /// Returns the start of the next window, from the start of a window. Both are nanoseconds.
    pub(super) fn next_start(&self, functions: SessionFunctions<'_>, start: Expr) -> Result<Expr> {
        let integer = ColumnType::Integer.data_type();
        let start_after = |nanos: i64| -> Result<Expr> {
            let time = cast(start.clone() + lit(nanos), ColumnType::Time.data_type());
            Ok(cast(self.start(functions, time)?, integer.clone()))
        };
        match (self.every, &self.zone) {
            (WindowLength::Nanos(nanos), None) => Ok(start + lit(nanos)),
            (WindowLength::Nanos(nanos), Some(_)) => {
                // A window in which the clock is set back is longer.
                let next = start_after(nanos)?;
                let later = nanos.saturating_add(nanos.min(3 * HOUR) - 1);
                when(next.clone().gt(start.clone()), next).otherwise(start_after(later)?)
            }
            // The next window begins a few days before, and no window is that short.
            (WindowLength::Months(months), _) => start_after((i64::from(months) * 31 + 1) * DAY),
        }
    }

    /// Returns the start of the window that contains a time, as a time without a zone.
    pub(super) fn start(&self, functions: SessionFunctions<'_>, time: Expr) -> Result<Expr> {
        let bin = self.bin(functions, time, "", Vec::new())?;
        Ok(self.without_zone(bin))
    }

    /// Returns the start of the window as a grouping expression that also creates the windows of a range without rows. If
    /// the range has no start, each series begins with its first window. `None` is the range of the filters below.
    /// [`Self::without_zone`] converts its result to a time without a zone.
    pub(super) fn start_with_gaps(
        &self,
        functions: SessionFunctions<'_>,
        time: Expr,
        range: Option<StatementTimeRange>,
    ) -> Result<Expr> {
        let bounds = range.map(|range| {
            let lower = nanos(range.lower.unwrap_or(i64::MIN));
            let upper = nanos(range.upper.unwrap_or(i64::MAX));
            vec![lower, upper]
        });
        self.bin(functions, time, "_gapfill", bounds.unwrap_or_default())
    }

    /// Removes the zone that [`Self::start_with_gaps`] has added to the time. A plain cast would shift the time.
    pub(super) fn without_zone(&self, bin: Expr) -> Expr {
        match self.zone {
            None => bin,
            Some(_) => {
                cast(cast(bin, ColumnType::Integer.data_type()), ColumnType::Time.data_type())
            }
        }
    }

    fn bin(
        &self,
        functions: SessionFunctions<'_>,
        time: Expr,
        suffix: &str,
        bounds: Vec<Expr>,
    ) -> Result<Expr> {
        let (months, nanos_of_window) = match self.every {
            WindowLength::Nanos(nanos) => (0, nanos),
            // The parser limits their number.
            WindowLength::Months(months) => (i32::try_from(months).unwrap_or(i32::MAX), 0),
        };
        let every = lit(ScalarValue::new_interval_mdn(months, 0, nanos_of_window));
        let (function, time) = match &self.zone {
            None => ("date_bin", time),
            Some(zone) => {
                let zoned = functions.call("tz", vec![time, lit(zone.clone())])?;
                ("date_bin_wallclock", zoned)
            }
        };
        let mut args = vec![every, time, nanos(self.origin)];
        args.extend(bounds);
        functions.call(&format!("{function}{suffix}"), args)
    }
}
