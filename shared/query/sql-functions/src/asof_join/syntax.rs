//! The forms of `ASOF JOIN`, as tokens and as syntax trees.
//!
//! The parser knows `ASOF JOIN r MATCH_CONDITION (…) [ON … | USING (…)]`. Other forms get a text in the place of the condition, which
//! says whether rows without a match are part of the result, and a `TOLERANCE` becomes an interval among the conditions after `ON`:
//!
//! ```text
//!   ASOF LEFT JOIN r ON l.k = r.k AND l.time >= r.time    ASOF JOIN r MATCH_CONDITION ('kept') ON l.k = r.k AND l.time >= r.time
//!   ASOF JOIN r ON (k) TOLERANCE 1h                       ASOF JOIN r MATCH_CONDITION ('by form') ON (k) AND INTERVAL '1 hours'
//! ```

use datafusion::{
    common::{Result, plan_err},
    sql::sqlparser::{
        ast::{Expr, Join, JoinOperator, Select, TableFactor, TableWithJoins, Value},
        keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS},
        tokenizer::{Token, TokenWithSpan},
    },
};

use crate::sql_tokens::{duration, has_words, keyword, sign, text, words};

/// Whether rows without a match are part of the result, where a join has no `MATCH_CONDITION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnmatchedRows {
    /// `ASOF LEFT JOIN`: they are part of the result.
    Kept,
    /// `ASOF INNER JOIN`: they are not.
    LeftOut,
    /// `ASOF JOIN`: they are part of the result in QuestDB's form, which does not compare times, and not in DuckDB's.
    ByForm,
}

impl UnmatchedRows {
    const ALL: [Self; 3] = [Self::Kept, Self::LeftOut, Self::ByForm];

    /// The text in the place of the condition.
    fn marker(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::LeftOut => "left out",
            Self::ByForm => "by form",
        }
    }

    /// Returns `None` for a condition of the statement.
    pub(super) fn from_marker(condition: &Expr) -> Option<Self> {
        let Expr::Value(value) = condition else {
            return None;
        };
        let Value::SingleQuotedString(marker) = &value.value else {
            return None;
        };
        Self::ALL.into_iter().find(|unmatched| unmatched.marker() == marker)
    }
}

/// The last clause that was read of a join, at one depth of parentheses.
#[derive(Clone, Copy)]
enum JoinProgress {
    /// No `ASOF JOIN`.
    None,
    /// `ASOF JOIN`, and perhaps its table.
    Table(UnmatchedRows),
    /// Its `MATCH_CONDITION`, or the text in the place of it.
    MatchCondition,
    /// Its `ON`, and perhaps the conditions.
    On,
    /// Its `USING`.
    Using,
}

/// Writes tokens in the form that the parser knows.
struct JoinTokenWriter {
    written: Vec<TokenWithSpan>,
    /// The joins around the current position, from the outermost parentheses on.
    joins: Vec<JoinProgress>,
}

/// Returns tokens in which each `ASOF JOIN` has the form that the parser knows. The tokens have no white space.
pub(crate) fn with_match_conditions(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut writer = JoinTokenWriter {
        written: Vec::with_capacity(tokens.len()),
        joins: vec![JoinProgress::None],
    };
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += match asof_join(tokens, at) {
            Some((unmatched, read)) => {
                writer.end_table();
                writer.written.extend(words(&["ASOF", "JOIN"]));
                writer.set(JoinProgress::Table(unmatched));
                read
            }
            None => match tolerance(tokens, at) {
                Some(interval) if !matches!(writer.join(), JoinProgress::None) => {
                    writer.add_tolerance(interval)?;
                    3
                }
                _ => {
                    writer.write(token)?;
                    1
                }
            },
        };
    }
    writer.end_table();
    Ok(writer.written)
}

/// Returns the kind of an `ASOF JOIN` that begins at a position, and the number of its words.
fn asof_join(tokens: &[TokenWithSpan], at: usize) -> Option<(UnmatchedRows, usize)> {
    let before = at.checked_sub(1).and_then(|before| tokens.get(before))?;
    // It is the name or the alias of a table there.
    let is_name = matches!(before.token, Token::Comma | Token::Period | Token::LParen)
        || matches!(keyword(Some(before)), Keyword::FROM | Keyword::JOIN | Keyword::AS);
    if is_name {
        return None;
    }
    let forms: [(&[&str], UnmatchedRows); 4] = [
        (&["ASOF", "JOIN"], UnmatchedRows::ByForm),
        (&["ASOF", "LEFT", "JOIN"], UnmatchedRows::Kept),
        (&["ASOF", "LEFT", "OUTER", "JOIN"], UnmatchedRows::Kept),
        (&["ASOF", "INNER", "JOIN"], UnmatchedRows::LeftOut),
    ];
    let form = forms.into_iter().find(|(form, _)| has_words(tokens, at, form));
    form.map(|(form, unmatched)| (unmatched, form.len()))
}

/// Returns the interval of a `TOLERANCE` that begins at a position.
fn tolerance(tokens: &[TokenWithSpan], at: usize) -> Option<String> {
    let is_tolerance = has_words(tokens, at, &["TOLERANCE"]);
    is_tolerance.then(|| duration(tokens, at + 1)).flatten()
}

impl JoinTokenWriter {
    fn join(&self) -> JoinProgress {
        self.joins.last().copied().unwrap_or(JoinProgress::None)
    }

    fn set(&mut self, join: JoinProgress) {
        if let Some(last) = self.joins.last_mut() {
            *last = join;
        }
    }

    /// Writes the text in the place of a condition, if none was read.
    fn end_table(&mut self) {
        if let JoinProgress::Table(unmatched) = self.join() {
            self.written.extend(words(&["MATCH_CONDITION"]));
            let parts = [sign(Token::LParen), text(unmatched.marker()), sign(Token::RParen)];
            self.written.extend(parts);
            self.set(JoinProgress::MatchCondition);
        }
    }

    fn add_tolerance(&mut self, interval: String) -> Result<()> {
        self.end_table();
        let before = match self.join() {
            JoinProgress::On => "AND",
            JoinProgress::MatchCondition => "ON",
            _ => return plan_err!("TOLERANCE follows the conditions of an ASOF JOIN after ON"),
        };
        self.written.extend(words(&[before, "INTERVAL"]));
        self.written.push(text(interval));
        self.set(JoinProgress::On);
        Ok(())
    }

    fn write(&mut self, token: &TokenWithSpan) -> Result<()> {
        let follows_period = self.written.last().is_some_and(|last| last.token == Token::Period);
        let word = if follows_period {
            // A part of a name.
            Keyword::NoKeyword
        } else {
            keyword(Some(token))
        };
        let next = match (word, self.join()) {
            (Keyword::MATCH_CONDITION, JoinProgress::Table(unmatched)) => {
                if unmatched == UnmatchedRows::LeftOut {
                    return plan_err!("an ASOF INNER JOIN has all its conditions after ON");
                }
                Some(JoinProgress::MatchCondition)
            }
            (Keyword::ON, JoinProgress::Table(_) | JoinProgress::MatchCondition) => {
                Some(JoinProgress::On)
            }
            (Keyword::USING, JoinProgress::Table(_) | JoinProgress::MatchCondition) => {
                Some(JoinProgress::Using)
            }
            (word, _) if RESERVED_FOR_TABLE_ALIAS.contains(&word) => Some(JoinProgress::None),
            _ if matches!(token.token, Token::Comma | Token::SemiColon) => Some(JoinProgress::None),
            _ => None,
        };
        if let Some(next) = next {
            if !matches!(next, JoinProgress::MatchCondition) {
                self.end_table();
            }
            self.set(next);
        }
        match token.token {
            Token::LParen => self.joins.push(JoinProgress::None),
            Token::RParen => {
                self.end_table();
                self.joins.pop();
            }
            _ => {}
        }
        self.written.push(token.clone());
        Ok(())
    }
}

/// Whether a join is an `ASOF JOIN`.
pub(super) fn is_asof(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}

/// Returns joined tables as one in parentheses.
pub(crate) fn nested(relation: TableFactor, joins: Vec<Join>) -> TableFactor {
    TableFactor::NestedJoin {
        table_with_joins: Box::new(TableWithJoins { relation, joins }),
        alias: None,
    }
}

/// Puts the tables of a `SELECT` that are joined with `ASOF JOIN` into parentheses. The planner of relations plans them.
pub(crate) fn nest_joins(select: &mut Select) {
    let tables = std::mem::take(&mut select.from).into_iter().map(|tables| {
        let TableWithJoins { relation, mut joins } = tables;
        match joins.iter().rposition(is_asof) {
            Some(last) => {
                let rest = joins.split_off(last + 1);
                TableWithJoins { relation: nested(relation, joins), joins: rest }
            }
            None => TableWithJoins { relation, joins },
        }
    });
    select.from = tables.collect();
}
