//! The annotations of InfluxDB 2 in CSV files.

use csv::StringRecord;
use neap_rows::columnar::{TimeFormat, TimeZone};

use crate::cells::CellType;

/// The annotations before a header.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotations {
    /// The names of the types by column.
    pub(super) types: Vec<String>,
    /// Whether a column is part of the key of its table, by column.
    pub(super) groups: Vec<bool>,
    /// The values of empty cells by column.
    pub(super) defaults: Vec<String>,
    pub(super) constants: Vec<ConstantColumn>,
    pub(super) zone: Option<TimeZone>,
    /// Whether there is any annotation.
    pub(super) is_annotated: bool,
    /// Whether the first column holds the names of annotations, and no values.
    pub(super) has_name_column: bool,
}

/// A column whose cells all have the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConstantColumn {
    pub(super) role: ColumnRole,
    pub(super) name: String,
    pub(super) value: String,
}

/// The meaning of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnRole {
    Ignored,
    /// The name of the table.
    Measurement,
    Tag,
    /// A field; the type is inferred if it is `None`.
    Field(Option<CellType>),
    Time(TimeFormat),
    /// The name of the field whose value is in the column of [`Self::FieldValue`].
    FieldName,
    FieldValue(Option<CellType>),
}

impl ColumnRole {
    /// Returns the role that the name of a type stands for; `None` if it leaves the role open.
    pub(super) fn of_type(name: &str) -> Result<Option<Self>, String> {
        let (kind, format) = name.split_once(':').unwrap_or((name, ""));
        let role = match kind {
            "" => return Ok(None),
            "measurement" => Self::Measurement,
            "tag" => Self::Tag,
            "ignore" | "ignored" => Self::Ignored,
            "field" => Self::Field(None),
            "string" => Self::Field(Some(CellType::Text)),
            "double" => Self::Field(Some(CellType::Float)),
            "long" => Self::Field(Some(CellType::Integer)),
            "unsignedLong" => Self::Field(Some(CellType::UInteger)),
            "boolean" => Self::Field(Some(CellType::Boolean)),
            "dateTime" | "time" => {
                let format = match format {
                    "" | "number" => TimeFormat::Auto,
                    "RFC3339" | "RFC3339Nano" => TimeFormat::Rfc3339,
                    _ => {
                        return Err(format!(
                            "the type {name} is not supported: use dateTime:RFC3339 or dateTime:number"
                        ));
                    }
                };
                return Ok(Some(Self::Time(format)));
            }
            _ => return Err(format!("unknown type '{name}'")),
        };
        match format {
            "" => Ok(Some(role)),
            _ => Err(format!("the type {name} is not supported: {kind} has no formats")),
        }
    }
}

impl Annotations {
    /// Reads a row that starts with `#`. Returns whether it is an annotation or a comment, and not a row of cells.
    pub(super) fn read(&mut self, row: &StringRecord) -> Result<bool, String> {
        let first = row.get(0).unwrap_or_default();
        let (name, value) = match first.split_once(' ') {
            Some((name, value)) => (name, value.trim()),
            None => (first, ""),
        };
        let values = std::iter::once(value).chain(row.iter().skip(1));
        match name {
            "#datatype" => self.types = values.map(|value| value.trim().to_owned()).collect(),
            "#group" => {
                self.groups =
                    values.map(|value| value.trim().eq_ignore_ascii_case("true")).collect();
            }
            "#default" => self.defaults = values.map(str::to_owned).collect(),
            "#constant" => {
                let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
                self.constants.push(ConstantColumn::parse(&values)?);
            }
            "#timezone" => {
                let zone = values
                    .map(str::trim)
                    .find(|value| !value.is_empty())
                    .ok_or("#timezone needs a zone")?;
                self.zone = Some(parse_zone(zone)?);
            }
            "#concat" => return Err("#concat is not supported".to_owned()),
            // A comment.
            "#" => return Ok(true),
            _ => return Ok(self.is_annotated),
        }
        self.is_annotated = true;
        if matches!(name, "#datatype" | "#group" | "#default") {
            self.has_name_column = value.is_empty();
        }
        Ok(true)
    }
}

/// Returns a zone by its name or its offset, such as `+0100`.
fn parse_zone(text: &str) -> Result<TimeZone, String> {
    text.parse().map_err(|_| format!("unknown time zone '{text}'"))
}

impl ConstantColumn {
    /// Parses the type, the name and the value of a constant. A measurement and a time need no name.
    fn parse(values: &[&str]) -> Result<Self, String> {
        let (kind, rest) = values.split_first().ok_or("#constant needs a type and a value")?;
        let role = ColumnRole::of_type(kind)?.unwrap_or(ColumnRole::Field(None));
        let (name, value) = match (rest, &role) {
            ([value], ColumnRole::Measurement | ColumnRole::Time(_)) => ("", *value),
            ([name, value, ..], _) => (*name, *value),
            _ => return Err("#constant needs a type, a name and a value".to_owned()),
        };
        Ok(Self { role, name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &[&[&str]]) -> Result<Annotations, String> {
        let mut annotations = Annotations::default();
        for row in rows {
            annotations.read(&StringRecord::from(row.to_vec()))?;
        }
        Ok(annotations)
    }

    #[test]
    fn annotations_have_a_column_of_their_own_or_stand_before_the_first_value() {
        let own = read(&[&["#datatype", "string", "long"]]).unwrap();
        assert_eq!(own.types, ["", "string", "long"]);
        assert!(own.has_name_column);
        let before = read(&[&["#datatype measurement", "tag", "double"]]).unwrap();
        assert_eq!(before.types, ["measurement", "tag", "double"]);
        assert!(!before.has_name_column);
    }

    #[test]
    fn constants_and_zones_need_values() {
        let annotations = read(&[
            &["#constant measurement", "cpu"],
            &["#constant tag", "host", "a"],
            &["#timezone +0100"],
        ])
        .unwrap();
        let values: Vec<_> = annotations
            .constants
            .iter()
            .map(|constant| (&*constant.name, &*constant.value))
            .collect();
        assert_eq!(values, [("", "cpu"), ("host", "a")]);
        assert!(annotations.zone.is_some());
        assert_eq!(
            read(&[&["#constant tag", "host"]]).unwrap_err(),
            "#constant needs a type, a name and a value"
        );
        assert_eq!(read(&[&["#timezone Mars"]]).unwrap_err(), "unknown time zone 'Mars'");
    }

    #[test]
    fn unknown_types_are_errors() {
        assert_eq!(
            ColumnRole::of_type("dateTime:2006-01-02").unwrap_err(),
            "the type dateTime:2006-01-02 is not supported: use dateTime:RFC3339 or dateTime:number"
        );
        assert_eq!(ColumnRole::of_type("lnog").unwrap_err(), "unknown type 'lnog'");
        assert_eq!(ColumnRole::of_type("").unwrap(), None);
    }
}
