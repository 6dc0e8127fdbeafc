//! `GROUP BY time(...)`: windows of time.

use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{Expr, cast, lit},
};
use neap_influxql::{Dimension, Expr as Ast, Literal};
use neap_schema::ColumnType;

use super::{
    condition::nanos,
    functions::SessionFunctions,
    time::{StatementTimeRange, TimeContext},
};

/// The windows of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WindowSpec {
    /// The length in nanoseconds.
    pub(super) every: i64,
    /// The start of one window, in nanoseconds since the Unix epoch. With a zone, it is a local time.
    pub(super) origin: i64,
    /// The zone whose local time aligns the windows.
    pub(super) zone: Option<String>,
}

impl WindowSpec {
    /// Returns the windows of a `GROUP BY`, if it has any.
    ///
    /// # Errors
    /// A planning error for an offset that is neither a duration nor a time.
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
        if every <= 0 {
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
            origin: offset.rem_euclid(every),
            zone: zone.map(str::to_owned),
        }))
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
            Some(_) => cast(
                cast(bin, ColumnType::Integer.data_type()),
                ColumnType::Time.data_type(),
            ),
        }
    }

    fn bin(
        &self,
        functions: SessionFunctions<'_>,
        time: Expr,
        suffix: &str,
        bounds: Vec<Expr>,
    ) -> Result<Expr> {
        let every = lit(ScalarValue::new_interval_mdn(0, 0, self.every));
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
