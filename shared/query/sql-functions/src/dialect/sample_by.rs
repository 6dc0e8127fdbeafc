//! `SAMPLE BY 1h FILL(PREV)`: aggregates over bins of time, as in QuestDB.
//!
//! ```text
//!   SELECT time, host, avg(usage) FROM cpu SAMPLE BY 1h FILL(PREV) ALIGN TO CALENDAR TIME ZONE 'Europe/Berlin'
//!   ──► … GROUP BY sample_by(INTERVAL '1 hours', 'prev', 'Europe/Berlin')                     tokens
//!   ──► SELECT bin AS time, host, locf(avg(usage)) FROM cpu GROUP BY bin, host                syntax tree
//!       with bin: date_bin_wallclock_gapfill(INTERVAL '1 hours', tz(time, 'Europe/Berlin'))
//! ```

use datafusion::{
    common::{Result, plan_err},
    sql::sqlparser::{
        ast::{
            Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
            GroupByExpr, Ident, ObjectName, ObjectNamePart, Select, SelectItem, Value,
        },
        tokenizer::{Token, TokenWithSpan},
    },
};

use crate::sql_tokens::{duration, has_words, plain_word, sign, text, words};

/// The function that stands for the clause.
const CLAUSE: &str = "sample_by";

/// The column of times.
const TIME: &str = "time";

/// Returns tokens with `GROUP BY sample_by(…)` in the place of `SAMPLE BY`.
pub(super) fn as_groups(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut written = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let interval = if has_words(tokens, at, &["SAMPLE", "BY"]) {
            duration(tokens, at + 2)
        } else {
            None
        };
        let Some(interval) = interval else {
            written.push(token.clone());
            at += 1;
            continue;
        };
        let (fill, after_fill) = read_fill(tokens, at + 4)?;
        let (zone, end) = read_zone(tokens, after_fill)?;
        written.extend(words(&["GROUP", "BY", CLAUSE]));
        written.push(sign(Token::LParen));
        written.extend(words(&["INTERVAL"]));
        written.extend([
            text(interval),
            sign(Token::Comma),
            text(fill),
            sign(Token::Comma),
            text(zone),
            sign(Token::RParen),
        ]);
        at = end;
    }
    Ok(written)
}

/// Returns the value of `FILL(…)` in lower case, and the position after it.
fn read_fill(tokens: &[TokenWithSpan], at: usize) -> Result<(String, usize)> {
    if !has_words(tokens, at, &["FILL"]) {
        return Ok((String::new(), at));
    }
    let token = |offset: usize| tokens.get(at + offset).map(|token| &token.token);
    if let (Some(Token::LParen), Some(value), Some(Token::RParen)) = (token(1), token(2), token(3))
    {
        match (value, plain_word(tokens.get(at + 2))) {
            (Token::Number(number, _), _) => return Ok((number.clone(), at + 4)),
            (_, Some(word)) => return Ok((word.to_ascii_lowercase(), at + 4)),
            _ => {}
        }
    }
    plan_err!("FILL has one of NONE, NULL, PREV, LINEAR or a number")
}

/// Returns the zone of `ALIGN TO CALENDAR TIME ZONE`, or an empty one, and the position after it.
fn read_zone(tokens: &[TokenWithSpan], at: usize) -> Result<(String, usize)> {
    if !has_words(tokens, at, &["ALIGN"]) {
        return Ok((String::new(), at));
    }
    if !has_words(tokens, at, &["ALIGN", "TO", "CALENDAR"])
        || has_words(tokens, at + 3, &["WITH", "OFFSET"])
    {
        return plan_err!("SAMPLE BY is supported with ALIGN TO CALENDAR [TIME ZONE 'zone']");
    }
    if !has_words(tokens, at + 3, &["TIME", "ZONE"]) {
        return Ok((String::new(), at + 3));
    }
    match tokens.get(at + 5).map(|token| &token.token) {
        Some(Token::SingleQuotedString(zone)) => Ok((zone.clone(), at + 6)),
        _ => plan_err!("TIME ZONE has the name of a time zone in quotes"),
    }
}

/// Changes a `SELECT` with the function that stands for the clause.
pub(super) fn rewrite(select: &mut Select) -> Result<()> {
    let GroupByExpr::Expressions(clause, modifiers) = &select.group_by else {
        return Ok(());
    };
    let [Expr::Function(function)] = clause.as_slice() else {
        return Ok(());
    };
    let modifiers = modifiers.clone();
    let Some(sample) = SampleByClause::from_call(function, time_column(&select.projection))? else {
        return Ok(());
    };
    let mut groups = vec![sample.bin.clone()];
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) if is_time(expr) => {
                *item =
                    SelectItem::ExprWithAlias { expr: sample.bin.clone(), alias: Ident::new(TIME) };
            }
            SelectItem::ExprWithAlias { expr, .. } if is_time(expr) => *expr = sample.bin.clone(),
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    groups.push(expr.clone());
                } else {
                    *expr = sample.filled(expr.clone());
                }
            }
            _ => {
                return plan_err!("a SELECT with SAMPLE BY lists the time, keys and aggregates");
            }
        }
    }
    select.group_by = GroupByExpr::Expressions(groups, modifiers);
    Ok(())
}

/// The value of an aggregate in bins without rows.
enum EmptyBinFill {
    /// It has no rows there, or is null.
    Nothing,
    /// The result of a function of the aggregate.
    Function(&'static str),
    Value(Box<Expr>),
}

/// The bins of a `SAMPLE BY`.
struct SampleByClause {
    /// The start of the bin of a row.
    bin: Expr,
    fill: EmptyBinFill,
}

impl SampleByClause {
    /// Returns `None` for another function. `column` has the times of rows.
    fn from_call(function: &Function, column: Expr) -> Result<Option<Self>> {
        let FunctionArguments::List(list) = &function.args else {
            return Ok(None);
        };
        let [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(interval)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(fill))),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(zone))),
        ] = list.args.as_slice()
        else {
            return Ok(None);
        };
        let (Value::SingleQuotedString(fill), Value::SingleQuotedString(zone)) =
            (&fill.value, &zone.value)
        else {
            return Ok(None);
        };
        if function_name(function) != Some(CLAUSE) {
            return Ok(None);
        }
        let filled = match fill.as_str() {
            "" | "none" | "null" => EmptyBinFill::Nothing,
            "prev" => EmptyBinFill::Function("locf"),
            "linear" => EmptyBinFill::Function("interpolate"),
            number if number.parse::<f64>().is_ok() => {
                EmptyBinFill::Value(Box::new(Expr::value(Value::Number(number.to_owned(), false))))
            }
            other => {
                return plan_err!(
                    "FILL has one of NONE, NULL, PREV, LINEAR or a number, not {other}"
                );
            }
        };
        let has_gaps = matches!(fill.as_str(), "" | "none");
        let (function, time) = match (zone.as_str(), has_gaps) {
            ("", true) => ("date_bin", column),
            ("", false) => ("date_bin_gapfill", column),
            (_, has_gaps) => {
                let name = Expr::value(Value::SingleQuotedString(zone.clone()));
                let function = if has_gaps {
                    "date_bin_wallclock"
                } else {
                    "date_bin_wallclock_gapfill"
                };
                (function, call("tz", vec![column, name]))
            }
        };
        Ok(Some(Self {
            bin: call(function, vec![interval.clone(), time]),
            fill: filled,
        }))
    }

    /// Returns an aggregate with values for bins without rows.
    fn filled(&self, aggregate: Expr) -> Expr {
        match &self.fill {
            EmptyBinFill::Nothing => aggregate,
            EmptyBinFill::Function(name) => call(name, vec![aggregate]),
            EmptyBinFill::Value(value) => call("coalesce", vec![aggregate, value.as_ref().clone()]),
        }
    }
}

/// Returns the column of times as the select list names it: those of joined tables have the name of their table.
fn time_column(projection: &[SelectItem]) -> Expr {
    let mut listed = projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    let time = listed.find(|expr| is_time(expr)).cloned();
    time.unwrap_or_else(|| Expr::Identifier(Ident::new(TIME)))
}

fn is_time(expr: &Expr) -> bool {
    let column = match expr {
        Expr::Identifier(column) => Some(column),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    column.is_some_and(|column| match column.quote_style {
        Some(_) => column.value == TIME,
        None => column.value.eq_ignore_ascii_case(TIME),
    })
}

fn function_name(function: &Function) -> Option<&str> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(&name.value),
        _ => None,
    }
}

/// Returns the call of a function.
fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments
        .into_iter()
        .map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
