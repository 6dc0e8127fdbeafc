//! Completion proposals, as pure functions of the typed text and the known names.

use neap_query::quoted_name;

use super::{
    input_pieces::{InputPiece, last_piece, next_piece},
    keywords::{self, is_keyword},
    meta_command,
    tokens::{Kind, QueryLanguage, SyntaxToken, tokens},
};

/// Maximum number of proposals.
const MAX_CANDIDATES: usize = 500;

/// The schema that can be omitted before a table name.
const DEFAULT_SCHEMA: &str = "iox";

/// A table or view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CompletionTable {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// The names that can be proposed in addition to keywords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CompletionNames {
    pub(super) databases: Vec<String>,
    pub(super) tables: Vec<CompletionTable>,
    pub(super) functions: Vec<String>,
}

/// A proposal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Displayed text.
    pub(super) shown: String,
    /// Text that replaces the input from [`Completion::start`] to the cursor.
    pub(super) text: String,
}

impl Candidate {
    fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { shown: text.clone(), text }
    }
}

/// Proposals for the text before the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    /// Start of the text that a proposal replaces.
    pub(super) start: usize,
    pub(super) candidates: Vec<Candidate>,
}

/// Returns proposals for the text before `cursor`, a byte offset into `line`.
pub(super) fn complete(
    line: &str,
    cursor: usize,
    language: QueryLanguage,
    names: &CompletionNames,
) -> Completion {
    let before = line.get(..cursor).unwrap_or(line);
    let mut completion = match last_piece(before, language) {
        Some((InputPiece::Command(command), begin)) if !command.ends_with('\n') => {
            complete_command(before, begin, command, names)
        }
        Some((InputPiece::Unfinished(_), begin)) => {
            let whole = line.get(begin..).unwrap_or_default();
            let whole = next_piece(whole, language).map_or("", |(piece, _)| piece.text());
            complete_statement(before, begin, whole, language, names)
        }
        _ => Completion::default(),
    };
    completion.candidates.sort();
    completion.candidates.dedup();
    completion.candidates.truncate(MAX_CANDIDATES);
    completion
}

/// Returns proposals for the name or the argument of a meta-command.
fn complete_command(
    before: &str,
    begin: usize,
    command: &str,
    names: &CompletionNames,
) -> Completion {
    let name_begin = begin + command.len() - command.trim_start().len();
    let command = command.trim_start();
    let Some((name, argument)) = command.split_once(char::is_whitespace) else {
        let all = meta_command::NAMES.iter().filter(|name| name.starts_with(command));
        return Completion {
            start: name_begin,
            candidates: all.copied().map(Candidate::plain).collect(),
        };
    };
    let argument = argument.trim_start();
    let tables = || names.tables.iter().filter(|table| table.schema == DEFAULT_SCHEMA);
    let choices: Vec<&str> = match name.to_ascii_lowercase().as_str() {
        "\\c" | "use" => names.databases.iter().map(String::as_str).collect(),
        "\\d" => tables().map(|table| table.name.as_str()).collect(),
        "\\f" => vec!["pretty", "json", "jsonl", "csv"],
        "\\lang" => vec!["sql", "influxql"],
        _ => Vec::new(),
    };
    let all = choices.into_iter().filter(|name| has_prefix(name, argument));
    Completion {
        start: before.len() - argument.len(),
        candidates: all.map(Candidate::plain).collect(),
    }
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    let start = name.get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A statement up to the cursor, parsed for completion.
struct CompletionContext<'a> {
    /// The typed part of the name, without a quotation mark.
    prefix: &'a str,
    is_quoted: bool,
    /// The name before the dot that precedes the prefix.
    qualifier: Option<&'a str>,
    /// The significant tokens before the qualifier.
    before: Vec<SyntaxToken<'a>>,
}

impl<'a> CompletionContext<'a> {
    /// Parses a statement; returns `None` if the cursor is in a string or comment.
    fn from_statement(statement: &'a str, language: QueryLanguage) -> Option<Self> {
        let mut all: Vec<_> = tokens(statement, language).collect();
        let (prefix, is_quoted) = match all.last() {
            Some(token) if token.kind == Kind::Comment => return None,
            Some(token) if token.kind == Kind::Text && !token.closed => return None,
            Some(token) if token.kind == Kind::Name && !token.closed => {
                (token.text.get(1..).unwrap_or_default(), true)
            }
            Some(token) if token.kind == Kind::Word => (token.text, false),
            _ => ("", false),
        };
        if is_quoted || !prefix.is_empty() {
            all.pop();
        }
        // Only a name and dot directly before the prefix qualify it.
        let qualifier = match all.as_slice() {
            [.., name, dot]
                if dot.is_symbol(".") && matches!(name.kind, Kind::Word | Kind::Name) =>
            {
                Some(name.text.trim_matches('"'))
            }
            _ => None,
        };
        if qualifier.is_some() {
            all.truncate(all.len().saturating_sub(2));
        }
        all.retain(SyntaxToken::is_significant);
        Some(Self { prefix, is_quoted, qualifier, before: all })
    }

    /// Returns whether the name of a table is expected.
    fn wants_table(&self) -> bool {
        let is_introduction =
            |token: &SyntaxToken<'_>| keywords::BEFORE_TABLE.iter().any(|word| token.is_word(word));
        match self.before.as_slice() {
            [.., last] if is_introduction(last) => true,
            [rest @ .., last] if last.is_symbol(",") => {
                // `FROM a, b`: a comma within the clause.
                let clause = rest.iter().rev().find(|token| {
                    keywords::CLAUSES.iter().any(|word| token.is_word(word)) || token.is_symbol("(")
                });
                clause.is_some_and(|token| token.is_word("from"))
            }
            _ => false,
        }
    }

    /// Returns whether only `BY` can follow.
    fn wants_by(&self) -> bool {
        let openers = ["group", "order", "partition"];
        let last = self.before.last();
        !self.is_quoted && last.is_some_and(|last| openers.iter().any(|word| last.is_word(word)))
    }

    fn wants_database(&self, language: QueryLanguage) -> bool {
        language == QueryLanguage::Influxql
            && self.before.first().is_some_and(|first| first.is_word("show"))
            && self.before.last().is_some_and(|last| last.is_word("on"))
    }
}

fn complete_statement(
    before: &str,
    begin: usize,
    whole: &str,
    language: QueryLanguage,
    names: &CompletionNames,
) -> Completion {
    let Some(place) =
        CompletionContext::from_statement(before.get(begin..).unwrap_or_default(), language)
    else {
        return Completion::default();
    };
    let start = before.len() - place.prefix.len() - usize::from(place.is_quoted);
    let proposer = CandidateBuilder { place: &place, language };
    let all: Vec<_> = tokens(whole, language).filter(SyntaxToken::is_significant).collect();
    let candidates = match place.qualifier {
        Some(qualifier) => proposer.qualified(qualifier, &all, names),
        None if place.wants_table() => proposer.tables(names),
        None if place.wants_database(language) => proposer.names(&names.databases),
        None if place.wants_by() => proposer.words(["BY"]),
        None => proposer.anything(&all, names),
    };
    Completion { start, candidates }
}

/// Creates proposals for a position in a statement.
struct CandidateBuilder<'a> {
    place: &'a CompletionContext<'a>,
    language: QueryLanguage,
}

impl CandidateBuilder<'_> {
    /// Returns the names that begin with the typed prefix, quoted if necessary.
    fn names<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Vec<Candidate> {
        let matching = names.into_iter().filter(|name| has_prefix(name, self.place.prefix));
        let candidates = matching.map(|name| {
            let needs_quotes = self.place.is_quoted || !is_plain(name, self.language);
            Candidate {
                shown: name.clone(),
                text: if needs_quotes {
                    quoted(name, self.language)
                } else {
                    name.clone()
                },
            }
        });
        candidates.collect()
    }

    fn tables(&self, names: &CompletionNames) -> Vec<Candidate> {
        let is_default = |table: &&CompletionTable| table.schema == DEFAULT_SCHEMA;
        let (tables, others): (Vec<_>, Vec<_>) = names.tables.iter().partition(is_default);
        let mut candidates = self.names(tables.into_iter().map(|table| &table.name));
        if !self.place.is_quoted && self.language == QueryLanguage::Sql {
            let schemas = others
                .into_iter()
                .map(|table| &table.schema)
                .filter(|schema| has_prefix(schema, self.place.prefix));
            candidates.extend(schemas.map(|schema| Candidate::plain(format!("{schema}."))));
            let functions = keywords::TABLE_FUNCTIONS
                .iter()
                .filter(|name| has_prefix(name, self.place.prefix));
            candidates.extend(functions.map(|name| Candidate::plain(format!("{name}("))));
        }
        candidates
    }

    /// Returns the tables of a schema, or the columns of a table, which may be given by an alias.
    fn qualified(
        &self,
        qualifier: &str,
        all: &[SyntaxToken<'_>],
        names: &CompletionNames,
    ) -> Vec<Candidate> {
        let is_it = |name: &str| name.eq_ignore_ascii_case(qualifier);
        let in_schema = names.tables.iter().filter(|table| is_it(&table.schema));
        let mut candidates = self.names(in_schema.map(|table| &table.name));
        // `cpu AS c`, `cpu c`
        let aliased: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(_, token)| is_it(token.text))
            .filter_map(|(at, _)| {
                let mut before = all.get(..at)?.iter().rev();
                let table = before.find(|token| !token.is_word("as"))?;
                Some(table.text.trim_matches('"'))
            })
            .collect();
        let of_table = names.tables.iter().filter(|table| {
            is_it(&table.name) || aliased.iter().any(|name| name.eq_ignore_ascii_case(&table.name))
        });
        candidates.extend(self.names(of_table.flat_map(|table| &table.columns)));
        candidates
    }

    /// Returns matching keywords in the case of the typed prefix.
    fn words(&self, words: impl IntoIterator<Item = &'static str>) -> Vec<Candidate> {
        let is_lower = !self.place.prefix.contains(|c: char| c.is_ascii_uppercase());
        let matching = words.into_iter().filter(|word| has_prefix(word, self.place.prefix));
        let candidates = matching.map(|word| {
            Candidate::plain(if is_lower {
                word.to_ascii_lowercase()
            } else {
                word.to_owned()
            })
        });
        candidates.collect()
    }

    /// Returns columns of the tables that the statement names, or of all tables if it names none, plus functions and
    /// keywords.
    fn anything(&self, all: &[SyntaxToken<'_>], names: &CompletionNames) -> Vec<Candidate> {
        let is_named = |table: &&CompletionTable| {
            let mut tokens = all.iter();
            tokens.any(|token| {
                matches!(token.kind, Kind::Word | Kind::Name)
                    && token.text.trim_matches('"').eq_ignore_ascii_case(&table.name)
            })
        };
        let mut tables: Vec<_> = names.tables.iter().filter(is_named).collect();
        if tables.is_empty() && (!self.place.prefix.is_empty() || self.place.is_quoted) {
            let of_database = |table: &&CompletionTable| table.schema == DEFAULT_SCHEMA;
            tables = names.tables.iter().filter(of_database).collect();
        }
        let mut candidates = self.names(tables.iter().flat_map(|table| &table.columns));
        if self.place.is_quoted || self.place.prefix.is_empty() {
            return candidates;
        }
        candidates.extend(self.names(tables.iter().map(|table| &table.name)));
        candidates.extend(self.words(keywords::keywords(self.language)));
        let all_functions: Vec<&str> = match self.language {
            QueryLanguage::Sql => names.functions.iter().map(String::as_str).collect(),
            QueryLanguage::Influxql => {
                keywords::INFLUXQL_FUNCTIONS.split_ascii_whitespace().collect()
            }
        };
        let functions =
            all_functions.into_iter().filter(|name| has_prefix(name, self.place.prefix));
        candidates.extend(functions.map(|name| Candidate::plain(format!("{name}("))));
        candidates
    }
}

/// Returns whether a name needs no quotes. SQL converts unquoted names to lower case.
fn is_plain(name: &str, language: QueryLanguage) -> bool {
    let is_letter = |c: char| match language {
        QueryLanguage::Sql => c.is_ascii_lowercase() || c == '_',
        QueryLanguage::Influxql => c.is_ascii_alphabetic() || c == '_',
    };
    name.starts_with(is_letter)
        && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
        && !is_keyword(name, language)
}

fn quoted(name: &str, language: QueryLanguage) -> String {
    match language {
        QueryLanguage::Sql => quoted_name(name),
        QueryLanguage::Influxql => {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{name}\"")
        }
    }
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
