//! `GROUP BY time(...)`: windows of time.

use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{Expr, cast, lit},
};
use neap_influxql::{Dimension, Expr as Ast, Literal};
use neap_schema::ColumnType;

use super::{condition::nanos, functions::Functions, time::Clock};

/// The windows of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The length in nanoseconds.
    pub(super) every: i64,
    /// The start of one window, in nanoseconds since the Unix epoch; with a zone a local time.
    pub(super) origin: i64,
    /// The zone whose clock windows go by.
    pub(super) zone: Option<String>,
}

impl Window {
    /// The windows that a statement asks for.
    ///
    /// # Errors
    ///
    /// A planning error for an offset that is neither a length of time nor a time.
    pub(super) fn of(
        group_by: &[Dimension],
        clock: &Clock,
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

    /// The start of the window that a time is in, a time without a zone.
    pub(super) fn start(&self, functions: Functions<'_>, time: Expr) -> Result<Expr> {
        let bin = self.bin(functions, time, "")?;
        Ok(self.without_zone(bin))
    }

    /// The same as an expression to group by that makes windows without rows, too. What it yields becomes a
    /// time without a zone by [`Self::without_zone`].
    pub(super) fn start_with_gaps(&self, functions: Functions<'_>, time: Expr) -> Result<Expr> {
        self.bin(functions, time, "_gapfill")
    }

    /// Takes away the zone that [`Self::start_with_gaps`] has put to the time. A plain cast would move the
    /// time.
    pub(super) fn without_zone(&self, bin: Expr) -> Expr {
        match self.zone {
            None => bin,
            Some(_) => cast(
                cast(bin, ColumnType::Integer.data_type()),
                ColumnType::Time.data_type(),
            ),
        }
    }

    fn bin(&self, functions: Functions<'_>, time: Expr, suffix: &str) -> Result<Expr> {
        let every = lit(ScalarValue::new_interval_mdn(0, 0, self.every));
        match &self.zone {
            None => functions.call(
                &format!("date_bin{suffix}"),
                vec![every, time, nanos(self.origin)],
            ),
            Some(zone) => {
                let zoned = functions.call("tz", vec![time, lit(zone.clone())])?;
                functions.call(
                    &format!("date_bin_wallclock{suffix}"),
                    vec![every, zoned, nanos(self.origin)],
                )
            }
        }
    }
}
