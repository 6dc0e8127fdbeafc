//! Parses `SHOW`.

use super::{Parser, Result};
use crate::{
    CardinalityTarget, NameMatch, ShowCardinality, ShowClauses, ShowMeasurements, ShowTagKeys,
    ShowTagValues, Statement,
};

/// The error of InfluxDB 3 for `SHOW` followed by an unknown word.
pub(super) const UNKNOWN: &str = "invalid SHOW statement, expected DATABASES, FIELD KEYS, MEASUREMENTS, TAG KEYS, TAG VALUES, or \
     RETENTION POLICIES following SHOW";

impl Parser<'_> {
    /// Parses a `SHOW` statement. The next token is `SHOW`.
    pub(super) fn show(&mut self) -> Result<Statement> {
        self.advance()?;
        let unknown = self.expected(UNKNOWN);
        match self.word().as_deref() {
            Some("DATABASES") => {
                self.advance()?;
                Ok(Statement::ShowDatabases)
            }
            Some("RETENTION") => {
                self.advance()?;
                let message = "invalid SHOW RETENTION POLICIES statement, expected POLICIES";
                self.expect_word("POLICIES", message)?;
                let on = self.on_clause()?;
                Ok(Statement::ShowRetentionPolicies { on })
            }
            Some("MEASUREMENTS") => {
                self.advance()?;
                self.show_measurements()
            }
            Some("MEASUREMENT") => {
                self.advance()?;
                self.cardinality(CardinalityTarget::Measurements)
            }
            Some("SERIES") => {
                self.advance()?;
                if self.is_cardinality() {
                    self.cardinality(CardinalityTarget::Series)
                } else {
                    Ok(Statement::ShowSeries(self.show_of_tables()?))
                }
            }
            Some("FIELD") => {
                self.advance()?;
                self.show_field_keys()
            }
            Some("TAG") => {
                self.advance()?;
                self.show_tags()
            }
            Some("CONTINUOUS") => {
                self.advance()?;
                self.show_continuous_queries()
            }
            _ => match self.show_server()? {
                Some(statement) => Ok(Statement::Server(statement)),
                None => Err(unknown),
            },
        }
    }

    fn show_measurements(&mut self) -> Result<Statement> {
        let on = self.on_clause()?;
        let with = if self.take_word("WITH")? {
            let message = "invalid WITH clause, expected MEASUREMENT";
            self.expect_word("MEASUREMENT", message)?;
            Some(self.name_match(false)?)
        } else {
            None
        };
        Ok(Statement::ShowMeasurements(ShowMeasurements {
            on,
            with,
            condition: self.where_clause()?,
            limit: self.clause_number("LIMIT")?,
            offset: self.clause_number("OFFSET")?,
        }))
    }

    fn show_field_keys(&mut self) -> Result<Statement> {
        if self.take_word("KEY")? {
            return self.cardinality(CardinalityTarget::FieldKeys);
        }
        let message = "invalid SHOW FIELD KEYS statement, expected KEYS";
        self.expect_word("KEYS", message)?;
        Ok(Statement::ShowFieldKeys(self.show_of_tables()?))
    }

    fn show_tags(&mut self) -> Result<Statement> {
        if self.take_word("KEYS")? {
            let mut show = self.head()?;
            let keys = if self.is_word("WITH") {
                Some(self.with_key("SHOW TAG KEYS")?)
            } else {
                None
            };
            self.tail(&mut show)?;
            return Ok(Statement::ShowTagKeys(ShowTagKeys { show, keys }));
        }
        if self.take_word("KEY")? {
            return self.cardinality(CardinalityTarget::TagKeys);
        }
        let message = "invalid SHOW TAG statement, expected KEYS or VALUES";
        self.expect_word("VALUES", message)?;
        if self.is_cardinality() {
            // The tag keys are parsed after `CARDINALITY`.
            return self.cardinality(CardinalityTarget::TagValues(NameMatch::In(Vec::new())));
        }
        let mut show = self.head()?;
        let keys = self.with_key("SHOW TAG VALUES")?;
        self.tail(&mut show)?;
        Ok(Statement::ShowTagValues(ShowTagValues { show, keys }))
    }

    fn is_cardinality(&self) -> bool {
        self.is_word("EXACT") || self.is_word("CARDINALITY")
    }

    fn cardinality(&mut self, mut of: CardinalityTarget) -> Result<Statement> {
        self.take_word("EXACT")?;
        self.expect_word("CARDINALITY", "invalid SHOW statement, expected CARDINALITY")?;
        let mut show = self.head()?;
        if let CardinalityTarget::TagValues(keys) = &mut of {
            *keys = self.with_key("SHOW TAG VALUES")?;
        }
        self.tail(&mut show)?;
        Ok(Statement::ShowCardinality(ShowCardinality { of, show }))
    }

    fn show_of_tables(&mut self) -> Result<ShowClauses> {
        let mut show = self.head()?;
        self.tail(&mut show)?;
        Ok(show)
    }

    fn on_clause(&mut self) -> Result<Option<String>> {
        if self.take_word("ON")? {
            Ok(Some(self.name("invalid ON clause, expected identifier")?))
        } else {
            Ok(None)
        }
    }

    /// Parses `ON` and `FROM`.
    fn head(&mut self) -> Result<ShowClauses> {
        Ok(ShowClauses {
            on: self.on_clause()?,
            from: if self.take_word("FROM")? {
                self.list(Self::measurement)?
            } else {
                Vec::new()
            },
            ..ShowClauses::default()
        })
    }

    /// Parses `WHERE`, `LIMIT`, `OFFSET`, `SLIMIT` and `SOFFSET`.
    fn tail(&mut self, show: &mut ShowClauses) -> Result<()> {
        show.condition = self.where_clause()?;
        show.limit = self.clause_number("LIMIT")?;
        show.offset = self.clause_number("OFFSET")?;
        show.slimit = self.clause_number("SLIMIT")?;
        show.soffset = self.clause_number("SOFFSET")?;
        Ok(())
    }

    fn with_key(&mut self, statement: &str) -> Result<NameMatch> {
        let message = format!("invalid {statement} statement, expected WITH KEY clause");
        self.expect_word("WITH", &message)?;
        self.expect_word("KEY", &message)?;
        self.name_match(true)
    }

    /// Parses the operator and the names or regular expression that names are matched against.
    fn name_match(&mut self, of_keys: bool) -> Result<NameMatch> {
        const NAME: &str = "invalid WITH clause, expected identifier";
        const REGEX: &str = "invalid WITH clause, expected regular expression literal";
        if of_keys && self.take_word("IN")? {
            self.expect_symbol("(", "invalid IN clause, expected '('")?;
            let names = self.list(|parser| parser.name(NAME))?;
            self.expect_symbol(")", "invalid IN clause, expected ')'")?;
            return Ok(NameMatch::In(names));
        }
        if self.take_symbol("=")? {
            return Ok(NameMatch::Equal(self.name(NAME)?));
        }
        if self.take_symbol("=~")? {
            let regex = self.take_regex()?;
            return Ok(NameMatch::Matches(regex.ok_or_else(|| self.expected(REGEX))?));
        }
        if of_keys && (self.take_symbol("!=")? || self.take_symbol("<>")?) {
            return Ok(NameMatch::NotEqual(self.name(NAME)?));
        }
        if of_keys && self.take_symbol("!~")? {
            let regex = self.take_regex()?;
            return Ok(NameMatch::NotMatches(regex.ok_or_else(|| self.expected(REGEX))?));
        }
        Err(self.expected(if of_keys {
            "invalid WITH KEY clause, expected =, !=, =~, !~ or IN"
        } else {
            "invalid WITH clause, expected = or =~"
        }))
    }
}
