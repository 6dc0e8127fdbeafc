//! The rules of InfluxDB 1 for statements, with its texts, for `/query`.
//!
//! The rules need only the text of a statement. Statements that satisfy them are planned as for InfluxDB 3; the rules
//! that concern types of columns are where the types are known.

use datafusion::common::{Result, plan_err};
use neap_influxql::{
    Call, CompareOp, Condition, Dimension, Expr, Fill, Literal, Select, SelectSource, TimeOrder,
};
use neap_schema::TIME_COLUMN;

use super::{
    holt_winters::Forecast, indicators::Indicator, math, shape, time::is_time, v1_errors::go_type,
};

/// Checks a statement and its subqueries.
/// Fails with a planning error with the text of InfluxDB 1.
pub(super) fn check(select: &Select) -> Result<()> {
    check_within(select, None)
}

/// Checks a statement, which may be a subquery of another one.
fn check_within(select: &Select, outer: Option<&StatementRules>) -> Result<()> {
    if let Some(condition) = &select.condition {
        check_condition(condition)?;
    }
    if let (Some(outer), Some(order)) = (outer, select.order)
        && order != outer.order
    {
        return plan_err!("subqueries must be ordered in the same direction as the query itself");
    }
    let rules = StatementRules::try_new(select, outer)?;
    for source in &select.from {
        if let SelectSource::Subquery(inner) = source {
            check_within(inner, Some(&rules))?;
        }
    }
    Ok(())
}

fn check_condition(condition: &Condition) -> Result<()> {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => parts.iter().try_for_each(check_condition),
        Condition::Compare { left, op, right } => {
            if is_time(left) || is_time(right) {
                return check_time_operator(*op);
            }
            check_operand(left)?;
            check_operand(right)
        }
        Condition::Value(value) => check_operand(value),
    }
}

fn check_time_operator(op: CompareOp) -> Result<()> {
    match op {
        CompareOp::NotEqual => plan_err!("invalid time comparison operator: !="),
        CompareOp::Matches | CompareOp::NotMatches => {
            plan_err!("invalid operation: time and *influxql.RegexLiteral are not compatible")
        }
        _ => Ok(()),
    }
}

/// Refuses aggregates in conditions.
fn check_operand(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Binary { left, right, .. } => {
            check_operand(left)?;
            check_operand(right)
        }
        Expr::Call(call) if math::is_known(&call.name) || call.name == "now" => {
            call.args.iter().try_for_each(check_operand)
        }
        Expr::Call(_) => plan_err!("invalid function call in condition: {expr}"),
        _ => Ok(()),
    }
}

/// The properties of a statement that its calls determine together.
struct StatementRules {
    order: TimeOrder,
    limit: Option<u64>,
    has_window: bool,
    /// Whether the window is that of an outer statement.
    is_window_inherited: bool,
    calls: usize,
    has_columns: bool,
    has_distinct: bool,
    only_selectors: bool,
    /// The name of `top` or `bottom`, if called.
    ranking: Option<String>,
}

impl StatementRules {
    fn try_new(select: &Select, outer: Option<&Self>) -> Result<Self> {
        let mut has_window = false;
        for dimension in &select.group_by {
            match dimension {
                Dimension::Time { .. } => has_window = true,
                Dimension::Tag(tag) if tag.eq_ignore_ascii_case(TIME_COLUMN) => {
                    return plan_err!("time() is a function and expects at least one argument");
                }
                _ => {}
            }
        }
        let is_window_inherited = !has_window && outer.is_some_and(|outer| outer.has_window);
        let mut rules = Self {
            order: select.order.or(outer.map(|outer| outer.order)).unwrap_or_default(),
            limit: select.limit.filter(|limit| *limit > 0),
            has_window: has_window || is_window_inherited,
            is_window_inherited,
            calls: 0,
            has_columns: false,
            has_distinct: false,
            only_selectors: true,
            ranking: None,
        };
        let mut fields = 0_usize;
        for field in &select.fields {
            if is_time(&field.expr) {
                continue;
            }
            fields += 1;
            rules.add(&field.expr, true)?;
        }
        rules.check_together(fields, select.fill.as_ref())?;
        Ok(rules)
    }

    /// Checks an expression of a field list. `may_match` is whether it may have wildcards.
    fn add(&mut self, expr: &Expr, may_match: bool) -> Result<()> {
        match expr {
            Expr::Column(_) => self.has_columns = true,
            Expr::Wildcard(_) if !may_match => {
                return plan_err!("unable to use wildcard in a binary expression");
            }
            Expr::Regex(_) if !may_match => {
                return plan_err!("unable to use regex in a binary expression");
            }
            Expr::Wildcard(_) | Expr::Regex(_) => self.has_columns = true,
            Expr::Literal(_) => return plan_err!("field must contain at least one variable"),
            Expr::Binary { left, right, .. } => {
                let is_constant = |expr: &Expr| matches!(expr, Expr::Literal(_));
                match (is_constant(left), is_constant(right)) {
                    (true, true) => {
                        return plan_err!("field must contain at least one variable");
                    }
                    (true, false) => self.add(right, false)?,
                    (false, true) => self.add(left, false)?,
                    (false, false) => {
                        self.add(left, false)?;
                        self.add(right, false)?;
                    }
                }
            }
            Expr::Call(call) => self.add_call(call, may_match)?,
            Expr::Parameter(_) => {}
        }
        Ok(())
    }

    fn add_call(&mut self, call: &Call, may_match: bool) -> Result<()> {
        if math::is_known(&call.name) {
            return self.add_math(call, may_match);
        }
        self.calls += 1;
        match call.name.as_str() {
            "distinct" => self.add_distinct(call, false),
            "top" | "bottom" => self.add_ranking(call),
            "percentile" => {
                check_count(call, 2)?;
                match call.args.get(1) {
                    Some(Expr::Literal(Literal::Integer(_) | Literal::Float(_))) => {}
                    _ => return plan_err!("expected float argument in percentile()"),
                }
                self.add_field(call, may_match)
            }
            "sample" => {
                check_count(call, 2)?;
                match call.args.get(1) {
                    Some(Expr::Literal(Literal::Integer(rows))) if *rows <= 0 => {
                        return plan_err!("sample window must be greater than 1, got {rows}");
                    }
                    Some(Expr::Literal(Literal::Integer(_))) => {}
                    _ => return plan_err!("expected integer argument in sample()"),
                }
                self.add_field(call, may_match)
            }
            "integral" => {
                self.only_selectors = false;
                check_optional_unit(call, "second argument must be a duration")?;
                self.add_field(call, may_match)
            }
            name => match shape::class(name) {
                Some(shape::FunctionClass::Series) => self.add_series(call, may_match),
                Some(shape::FunctionClass::Forecast) => self.add_forecast(call, may_match),
                Some(class) => {
                    self.only_selectors &= class == shape::FunctionClass::Selector;
                    check_count(call, 1)?;
                    match (name, call.args.first()) {
                        ("count", Some(Expr::Call(inner))) if inner.name == "distinct" => {
                            self.add_distinct(inner, true)
                        }
                        _ => self.add_field(call, may_match),
                    }
                }
                // The planner refuses it, unless it is one that InfluxDB 1 does not have.
                None if shape::is_unsupported(name) => Ok(()),
                None => plan_err!("undefined function {name}()"),
            },
        }
    }

    fn add_math(&mut self, call: &Call, may_match: bool) -> Result<()> {
        let expected = match call.name.as_str() {
            "atan2" | "pow" | "log" | "date_part" => 2,
            _ => 1,
        };
        check_count(call, expected)?;
        let mut args = call.args.iter();
        args.try_for_each(|arg| match arg {
            Expr::Literal(_) => Ok(()),
            // An extension of InfluxDB 3 takes the time.
            arg if is_time(arg) => Ok(()),
            arg => self.add(arg, may_match),
        })
    }

    /// Checks the field that a function is applied to.
    fn add_field(&mut self, call: &Call, may_match: bool) -> Result<()> {
        match call.args.first() {
            Some(Expr::Column(_)) => Ok(()),
            Some(Expr::Wildcard(_)) if !may_match => {
                plan_err!("unsupported expression with wildcard: {}()", call.name)
            }
            Some(Expr::Regex(_)) if !may_match => {
                plan_err!("unsupported expression with regex field: {}()", call.name)
            }
            Some(Expr::Wildcard(_) | Expr::Regex(_)) => {
                self.only_selectors = false;
                Ok(())
            }
            _ => plan_err!("expected field argument in {}()", call.name),
        }
    }

    fn add_distinct(&mut self, call: &Call, is_nested: bool) -> Result<()> {
        match call.args.as_slice() {
            [] => return plan_err!("distinct function requires at least one argument"),
            [Expr::Column(_)] => {}
            [_] => return plan_err!("expected field argument in distinct()"),
            _ => return plan_err!("distinct function can only have one argument"),
        }
        self.has_distinct |= !is_nested;
        self.only_selectors = false;
        Ok(())
    }

    fn add_ranking(&mut self, call: &Call) -> Result<()> {
        let name = &call.name;
        if let Some(earlier) = &self.ranking {
            return plan_err!(
                "selector function {earlier}() cannot be combined with other functions"
            );
        }
        let [field, tags @ .., last] = call.args.as_slice() else {
            let given = call.args.len();
            return plan_err!(
                "invalid number of arguments for {name}, expected at least 2, got {given}"
            );
        };
        let Expr::Literal(Literal::Integer(rows)) = last else {
            return plan_err!("expected integer as last argument in {name}(), found {last}");
        };
        if *rows <= 0 {
            return plan_err!("limit ({rows}) in {name} function must be at least 1");
        }
        if let Some(limit) = self.limit.filter(|limit| rows.unsigned_abs() > *limit) {
            return plan_err!(
                "limit ({rows}) in {name} function can not be larger than the LIMIT ({limit}) in the select statement"
            );
        }
        if !matches!(field, Expr::Column(_)) {
            return plan_err!("expected first argument to be a field in {name}(), found {field}");
        }
        for tag in tags {
            if !matches!(tag, Expr::Column(_)) {
                return plan_err!("only fields or tags are allowed in {name}(), found {tag}");
            }
            self.has_columns = true;
        }
        self.ranking = Some(name.clone());
        Ok(())
    }

    fn add_series(&mut self, call: &Call, may_match: bool) -> Result<()> {
        let name = &call.name;
        self.only_selectors = false;
        match name.as_str() {
            "moving_average" => {
                check_count(call, 2)?;
                match call.args.get(1) {
                    Some(Expr::Literal(Literal::Integer(rows))) if *rows > 1 => {}
                    Some(Expr::Literal(Literal::Integer(rows))) => {
                        return plan_err!(
                            "moving_average window must be greater than 1, got {rows}"
                        );
                    }
                    other => {
                        return plan_err!(
                            "second argument for moving_average must be an integer, got {}",
                            go_type(other)
                        );
                    }
                }
            }
            "derivative" | "non_negative_derivative" | "elapsed" => {
                let text = format!(
                    "second argument to {name} must be a duration, got {}",
                    go_type(call.args.get(1))
                );
                check_optional_unit(call, &text)?;
            }
            _ if Indicator::from_call(call)?.is_some() => {}
            _ => check_count(call, 1)?,
        }
        match call.args.first() {
            Some(Expr::Call(_)) if !self.has_window => {
                plan_err!("{name} aggregate requires a GROUP BY interval")
            }
            Some(Expr::Call(inner)) if inner.name == "distinct" => self.add_distinct(inner, true),
            Some(Expr::Call(inner)) => self.add_call(inner, may_match),
            _ if self.has_window && !self.is_window_inherited => {
                plan_err!("aggregate function required inside the call to {name}")
            }
            _ => self.add_field(call, may_match),
        }
    }

    fn add_forecast(&mut self, call: &Call, may_match: bool) -> Result<()> {
        let name = &call.name;
        self.only_selectors = false;
        Forecast::from_call(call, 1)?;
        match call.args.first() {
            Some(Expr::Call(_)) if !self.has_window => {
                plan_err!("{name} aggregate requires a GROUP BY interval")
            }
            Some(Expr::Call(inner)) if inner.name == "distinct" => self.add_distinct(inner, true),
            Some(Expr::Call(inner)) => self.add_call(inner, may_match),
            _ => plan_err!("must use aggregate function with {name}"),
        }
    }

    /// Checks that the fields of a statement can be combined.
    fn check_together(&self, fields: usize, fill: Option<&Fill>) -> Result<()> {
        if fields == 0 {
            return plan_err!("at least 1 non-time field must be queried");
        }
        if let Some(name) = self.ranking.as_ref().filter(|_| self.calls > 1) {
            return plan_err!("selector function {name}() cannot be combined with other functions");
        }
        if self.calls == 0 {
            match fill {
                Some(Fill::None) => {
                    return plan_err!("fill(none) must be used with a function");
                }
                Some(Fill::Linear) => {
                    return plan_err!("fill(linear) must be used with a function");
                }
                _ => {}
            }
            if self.has_window && !self.is_window_inherited {
                return plan_err!("GROUP BY requires at least one aggregate function");
            }
        }
        if self.has_distinct && (self.calls != 1 || self.has_columns) {
            return plan_err!(
                "aggregate function distinct() cannot be combined with other functions or fields"
            );
        }
        if self.has_columns && !self.only_selectors {
            return plan_err!("mixing aggregate and non-aggregate queries is not supported");
        }
        if self.has_columns && self.calls > 1 {
            return plan_err!(
                "mixing multiple selector functions with tags or fields is not supported"
            );
        }
        Ok(())
    }
}

fn check_count(call: &Call, expected: usize) -> Result<()> {
    let (name, given) = (&call.name, call.args.len());
    if given == expected {
        Ok(())
    } else {
        plan_err!("invalid number of arguments for {name}, expected {expected}, got {given}")
    }
}

/// Checks the second argument of a function, a duration above zero that may be absent.
fn check_optional_unit(call: &Call, text: &str) -> Result<()> {
    let (name, given) = (&call.name, call.args.len());
    if !(1..=2).contains(&given) {
        return plan_err!(
            "invalid number of arguments for {name}, expected at least 1 but no more than 2, got {given}"
        );
    }
    match call.args.get(1) {
        None => Ok(()),
        Some(Expr::Literal(Literal::Duration(unit))) if *unit > 0 => Ok(()),
        Some(unit @ Expr::Literal(Literal::Duration(_))) => {
            plan_err!("duration argument must be positive, got {unit}")
        }
        Some(_) => plan_err!("{text}"),
    }
}
