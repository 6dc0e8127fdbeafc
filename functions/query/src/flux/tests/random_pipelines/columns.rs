//! Expressions over columns, in Flux and in SQL.

/// 2024-01-01T00:00:00Z, in seconds.
pub(super) const FIRST: i64 = 1_704_067_200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Integer,
    Unsigned,
    Boolean,
    Text,
    Time,
}

/// Random numbers that decide about a pipeline. Smaller ones make simpler pipelines.
pub(super) struct Choices(pub(super) std::vec::IntoIter<u16>);

impl Choices {
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % count
    }

    pub(super) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    pub(super) fn flip(&mut self) -> bool {
        self.below(2) == 1
    }
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether series of some tables lack it.
    pub(super) is_optional: bool,
}

impl Column {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, is_optional: false }
    }

    /// Returns an expression in Flux and in SQL, and its type.
    pub(super) fn computed(&self, choices: &mut Choices) -> (String, String, Kind) {
        let (r, c) = (format!("r[\"{}\"]", self.name), format!("\"{}\"", self.name));
        let cast = |name: &str, to: &str| (format!("{name}(v: {r})"), format!("CAST({c} AS {to})"));
        let (of_float, of_int, of_text) =
            (cast("float", "DOUBLE"), cast("int", "BIGINT"), cast("string", "VARCHAR"));
        let both = |text: &str| (text.replace('@', &r), text.replace('@', &c));
        let number = |text: &str, kind| (both(text), kind);
        let all = match self.kind {
            Kind::Float => vec![
                number("@ * 2.0", Kind::Float),
                number("0.25 + @ / 2.0", Kind::Float),
                number("-@", Kind::Float),
                (
                    (
                        format!("if {r} > 1.0 then {r} else 0.5"),
                        format!("CASE WHEN {c} > 1.0 THEN {c} ELSE 0.5 END"),
                    ),
                    Kind::Float,
                ),
                (of_int, Kind::Integer),
            ],
            Kind::Integer => vec![
                number("@ + 3", Kind::Integer),
                number("@ / 2 - 1", Kind::Integer),
                number("-(@ % 4)", Kind::Integer),
                (of_float, Kind::Float),
                (of_text, Kind::Text),
            ],
            Kind::Unsigned => vec![(of_float, Kind::Float), (of_int, Kind::Integer)],
            Kind::Boolean => vec![
                ((format!("not {r}"), format!("NOT {c}")), Kind::Boolean),
                (
                    (format!("if {r} then 1 else 2"), format!("CASE WHEN {c} THEN 1 ELSE 2 END")),
                    Kind::Integer,
                ),
                (of_text, Kind::Text),
            ],
            Kind::Text => vec![
                ((format!("{r} + \"!\""), format!("{c} || '!'")), Kind::Text),
                (
                    (format!("if exists {r} then {r} else \"?\""), format!("coalesce({c}, '?')")),
                    Kind::Text,
                ),
                ((format!("{r} == \"a\""), format!("{c} = 'a'")), Kind::Boolean),
            ],
            Kind::Time => vec![((r, c), Kind::Time)],
        };
        let ((flux, sql), kind) = choices.of(&all);
        (flux, sql, kind)
    }

    /// Returns a condition in Flux and in SQL.
    pub(super) fn condition(&self, choices: &mut Choices) -> (String, String) {
        let (r, c) = (format!("r[\"{}\"]", self.name), format!("\"{}\"", self.name));
        if choices.below(8) == 7 {
            return (format!("exists {r}"), format!("{c} IS NOT NULL"));
        }
        let operator = choices.of(&[("==", "="), ("!=", "<>"), ("<", "<"), (">=", ">=")]);
        let compared = |value: &str, sql: &str| {
            (format!("{r} {} {value}", operator.0), format!("{c} {} {sql}", operator.1))
        };
        match self.kind {
            Kind::Float | Kind::Integer | Kind::Unsigned => {
                let number = choices.of(&["1", "0.5", "3", "2.25"]);
                compared(number, number)
            }
            Kind::Boolean => choices.of(&[
                (r.clone(), c.clone()),
                (format!("{r} == false"), format!("{c} = false")),
                (format!("{r} != true"), format!("{c} <> true")),
            ]),
            Kind::Time => {
                let second = i64::try_from(choices.below(600)).unwrap();
                compared(&instant(second), &timestamp(second))
            }
            Kind::Text => {
                let text = choices.of(&["a", "b", "x", "usage", "mem", "n1"]);
                let pattern = choices.of(&["a", "^[bx]", "u.*e", "\\d$"]);
                let of_text = compared(&format!("\"{text}\""), &format!("'{text}'"));
                choices.of(&[
                    of_text,
                    (format!("{r} =~ /{pattern}/"), format!("{c} ~ '{pattern}'")),
                    (format!("{r} !~ /{pattern}/"), format!("{c} !~ '{pattern}'")),
                    (
                        format!("contains(value: {r}, set: [\"y\", \"{text}\"])"),
                        format!("{c} IN ('y', '{text}')"),
                    ),
                ])
            }
        }
    }
}

pub(super) fn instant(second: i64) -> String {
    let time = chrono::DateTime::from_timestamp(FIRST + second, 0).unwrap();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn timestamp(second: i64) -> String {
    format!("TIMESTAMP '{}'", instant(second).trim_end_matches('Z'))
}
