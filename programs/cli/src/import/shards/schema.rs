//! The columns of the tables of a source, and what becomes of those that have several types.
//!
//! A field of InfluxDB 1 and 2 has one type in each shard, but may have another one in the next, and a field may have the
//! name of a tag. A column has one type. All shards are scanned before the first row is sent, so that a conflict is found
//! before half of the data is imported.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
};

use neap_tsm::{SeriesKey, ValueType};

/// Names that no column may have except the time.
const RESERVED: [&str; 2] = ["time", "__chunk_order"];
/// Maximum number of series that are counted exactly, with 8 to 16 bytes each.
const MAX_COUNTED_SERIES: usize = 10_000_000;

/// What to do with a column of several types.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConflictPolicy {
    /// Import nothing.
    Refuse,
    /// Keep the name for the most frequent type, and add a suffix to the others, such as `_integer`; a field with the
    /// name of a tag gets the suffix `_field`.
    Suffix,
    /// Convert numbers to floats, or all values to strings if not all are numbers.
    Convert,
    /// Leave out the values of all types but the most frequent one, and fields with the name of a tag.
    Skip,
}

/// What becomes of the values of a field with one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) enum ColumnAction {
    /// They are stored in a column.
    Keep {
        /// The name of the column.
        column: String,
    },
    /// They are converted, and stored in a column.
    Convert {
        /// The name of the column.
        column: String,
        /// The type of the column.
        to: ValueType,
    },
    /// They are left out.
    Skip,
}

/// The columns of a table of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TableScan {
    tags: BTreeSet<String>,
    /// The types of each field, with the number of series of a shard that have them.
    fields: BTreeMap<String, BTreeMap<ValueType, u64>>,
}

/// The database and the measurement of a table.
pub(in crate::import) type TableKey = (String, String);

/// Collects the columns of all shards.
#[derive(Debug)]
pub(in crate::import) struct SchemaScan {
    tables: BTreeMap<TableKey, TableScan>,
    series: BTreeMap<String, SeriesCounter>,
    hasher: RandomState,
}

/// Counts distinct series by their hashes.
#[derive(Debug, Default)]
struct SeriesCounter {
    hashes: HashSet<u64>,
}

impl SchemaScan {
    pub(in crate::import) fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
            series: BTreeMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Creates an empty scan, to be merged into this one.
    pub(in crate::import) fn new_part(&self) -> Self {
        Self { hasher: self.hasher.clone(), ..Self::new() }
    }

    /// Adds a part.
    pub(in crate::import) fn merge(&mut self, part: Self) {
        for (key, table) in part.tables {
            let own = self.tables.entry(key).or_default();
            own.tags.extend(table.tags);
            for (field, types) in table.fields {
                let own = own.fields.entry(field).or_default();
                for (value_type, count) in types {
                    *own.entry(value_type).or_default() += count;
                }
            }
        }
        for (database, counter) in part.series {
            let own = self.series.entry(database).or_default();
            let free = MAX_COUNTED_SERIES.saturating_sub(own.hashes.len());
            own.hashes.extend(counter.hashes.into_iter().take(free));
        }
    }

    /// Adds a series of a shard.
    pub(in crate::import) fn add(
        &mut self,
        database: &str,
        key: &SeriesKey,
        fields: impl Iterator<Item = (String, ValueType)>,
    ) {
        let table_key = (database.to_owned(), key.measurement.clone());
        let table = self.tables.entry(table_key).or_default();
        for (tag, _) in &key.tags {
            if !table.tags.contains(tag) {
                table.tags.insert(tag.clone());
            }
        }
        for (field, value_type) in fields {
            let types = table.fields.entry(field).or_default();
            *types.entry(value_type).or_default() += 1;
        }
        let counter = self.series.entry(database.to_owned()).or_default();
        if counter.hashes.len() < MAX_COUNTED_SERIES {
            counter.hashes.insert(self.hasher.hash_one(key));
        }
    }

    /// Returns the number of distinct series of a database, at most [`MAX_COUNTED_SERIES`].
    pub(in crate::import) fn series_count(&self, database: &str) -> usize {
        let counter = self.series.get(database);
        counter.map_or(0, |counter| counter.hashes.len())
    }

    /// Returns the number of fields of a database.
    pub(in crate::import) fn field_count(&self, database: &str) -> usize {
        let tables = self.tables.iter();
        tables
            .filter(|((of, _), _)| of == database)
            .map(|(_, table)| table.fields.len())
            .sum()
    }

    /// Returns the databases.
    pub(in crate::import) fn databases(&self) -> BTreeSet<&str> {
        let keys = self.tables.keys();
        keys.map(|(database, _)| database.as_str()).collect()
    }

    /// Decides what becomes of each field.
    pub(in crate::import) fn plan(&self, policy: ConflictPolicy) -> SchemaPlan {
        let mut plan = SchemaPlan::default();
        for (key, table) in &self.tables {
            let table = table.plan(key, policy, &mut plan.conflicts);
            plan.tables.insert(key.clone(), table);
        }
        plan
    }
}

/// A column of several types, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Conflict {
    table: TableKey,
    column: String,
    /// What is stored under the name.
    kinds: Vec<String>,
    outcome: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table: (database, table), column, kinds, outcome } = self;
        let kinds = kinds.join(", ");
        write!(f, "{database}.{table}.{column} is {kinds}: {outcome}")
    }
}

/// What becomes of the columns of all tables.
#[derive(Debug, Default)]
pub(in crate::import) struct SchemaPlan {
    tables: HashMap<TableKey, TablePlan>,
    pub(in crate::import) conflicts: Vec<Conflict>,
}

impl SchemaPlan {
    /// Returns the plan of a table.
    pub(in crate::import) fn table(&self, key: &TableKey) -> Option<&TablePlan> {
        self.tables.get(key)
    }
}

/// What becomes of the columns of a table.
#[derive(Debug, Default)]
pub(in crate::import) struct TablePlan {
    /// Fields that are not stored under their own name and type.
    actions: HashMap<(String, ValueType), ColumnAction>,
    /// Tags with another name.
    tags: HashMap<String, String>,
}

impl TablePlan {
    /// Returns what becomes of the values of a field.
    pub(in crate::import) fn action(&self, field: &str, value_type: ValueType) -> ColumnAction {
        let action = self.actions.get(&(field.to_owned(), value_type));
        action
            .cloned()
            .unwrap_or_else(|| ColumnAction::Keep { column: field.to_owned() })
    }

    /// Returns the column of a tag.
    pub(in crate::import) fn tag_column<'a>(&'a self, tag: &'a str) -> &'a str {
        self.tags.get(tag).map_or(tag, String::as_str)
    }
}

impl TableScan {
    fn plan(
        &self,
        key: &TableKey,
        policy: ConflictPolicy,
        conflicts: &mut Vec<Conflict>,
    ) -> TablePlan {
        let mut plan = TablePlan::default();
        let mut names = ColumnNames {
            taken: self.tags.iter().chain(self.fields.keys()).cloned().collect(),
        };
        for tag in self.tags.iter().filter(|tag| is_reserved(tag)) {
            let column = names.unique(format!("{tag}_tag"));
            conflicts.push(Conflict {
                table: key.clone(),
                column: tag.clone(),
                kinds: vec!["a tag with a reserved name".to_owned()],
                outcome: describe_outcome(policy, &format!("it becomes {column}")),
            });
            plan.tags.insert(tag.clone(), column);
        }
        for (field, types) in &self.fields {
            let is_tag = self.tags.contains(field);
            if types.len() == 1 && !is_tag && !is_reserved(field) {
                continue;
            }
            let (actions, outcome) = names.resolve(field, types, is_tag, policy);
            let kinds = is_tag.then(|| "tag".to_owned()).into_iter();
            let types = types.iter();
            let kinds = kinds.chain(types.map(|(of, count)| format!("{of} ({count} series)")));
            conflicts.push(Conflict {
                table: key.clone(),
                column: field.clone(),
                kinds: kinds.collect(),
                outcome: describe_outcome(policy, &outcome),
            });
            let actions = actions.into_iter();
            let keyed = actions.map(|(value_type, action)| ((field.clone(), value_type), action));
            plan.actions.extend(keyed);
        }
        plan
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

fn describe_outcome(policy: ConflictPolicy, outcome: &str) -> String {
    match policy {
        ConflictPolicy::Refuse => "refused".to_owned(),
        _ => outcome.to_owned(),
    }
}

/// The names of the columns of a table.
struct ColumnNames {
    taken: BTreeSet<String>,
}

impl ColumnNames {
    /// Returns a name that no other column has.
    fn unique(&mut self, name: String) -> String {
        let mut unique = name.clone();
        let mut number = 2;
        while !self.taken.insert(unique.clone()) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        unique
    }

    /// Decides what becomes of a field that is in conflict with itself or with a tag, and describes it.
    fn resolve(
        &mut self,
        field: &str,
        types: &BTreeMap<ValueType, u64>,
        is_tag: bool,
        policy: ConflictPolicy,
    ) -> (Vec<(ValueType, ColumnAction)>, String) {
        let has_own_name = !is_tag && !is_reserved(field);
        let most_frequent = types
            .iter()
            .max_by_key(|(value_type, count)| (**count, std::cmp::Reverse(**value_type)))
            .map(|(value_type, _)| *value_type);
        if policy == ConflictPolicy::Skip {
            let actions = types.keys().map(|value_type| {
                if has_own_name && Some(*value_type) == most_frequent {
                    (*value_type, keep(field))
                } else {
                    (*value_type, ColumnAction::Skip)
                }
            });
            let left = most_frequent.filter(|_| has_own_name);
            let outcome = match left {
                Some(value_type) => format!("only {value_type} values are imported"),
                None => "the field is left out".to_owned(),
            };
            return (actions.collect(), outcome);
        }
        let base = if has_own_name {
            field.to_owned()
        } else {
            self.unique(format!("{field}_field"))
        };
        if policy == ConflictPolicy::Convert {
            return convert_all(types, base);
        }
        let mut described = Vec::new();
        let actions = types
            .keys()
            .map(|value_type| {
                let column = if Some(*value_type) == most_frequent {
                    base.clone()
                } else {
                    self.unique(format!("{base}_{value_type}"))
                };
                described.push(format!("{value_type} becomes {column}"));
                (*value_type, ColumnAction::Keep { column })
            })
            .collect();
        (actions, described.join(", "))
    }
}

fn keep(field: &str) -> ColumnAction {
    ColumnAction::Keep { column: field.to_owned() }
}

/// Converts all types to one.
fn convert_all(
    types: &BTreeMap<ValueType, u64>,
    column: String,
) -> (Vec<(ValueType, ColumnAction)>, String) {
    let is_number = |value_type: &ValueType| {
        let numbers = [ValueType::Float, ValueType::Integer, ValueType::Unsigned];
        numbers.contains(value_type)
    };
    let to = match (types.len(), types.keys().all(is_number)) {
        (1, _) => types.keys().next().copied().unwrap_or(ValueType::String),
        (_, true) => ValueType::Float,
        (_, false) => ValueType::String,
    };
    let outcome = format!("all values become {to} values of {column}");
    let actions = types.keys().map(|value_type| {
        let column = column.clone();
        if *value_type == to {
            (*value_type, ColumnAction::Keep { column })
        } else {
            (*value_type, ColumnAction::Convert { column, to })
        }
    });
    (actions.collect(), outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflicts(policy: ConflictPolicy) -> Vec<String> {
        let mut scan = SchemaScan::new();
        let mut add = |key: &[u8], fields: &[(&str, ValueType)]| {
            let fields = fields.iter().map(|(name, of)| ((*name).to_owned(), *of));
            scan.add("db", &SeriesKey::parse(key), fields);
        };
        use ValueType::{Boolean, Float, Integer, String};
        add(b"m,host=a", &[("v", Float), ("w", Integer), ("x", Boolean)]);
        add(b"m,host=b", &[("v", Float), ("host", String)]);
        add(b"m,host=a", &[("v", Integer), ("v_integer", Float), ("w", Integer)]);
        add(b"m,host=a", &[("x", Integer)]);
        assert_eq!(scan.series_count("db"), 2);
        assert_eq!(scan.field_count("db"), 5);
        let plan = scan.plan(policy);
        let key = ("db".to_owned(), "m".to_owned());
        let table = plan.table(&key).unwrap();
        let kept = ColumnAction::Keep { column: "w".to_owned() };
        assert_eq!(table.action("w", Integer), kept);
        plan.conflicts.iter().map(Conflict::to_string).collect()
    }

    #[test]
    fn the_most_frequent_type_keeps_the_name_and_others_get_a_suffix() {
        assert_eq!(
            conflicts(ConflictPolicy::Suffix),
            [
                "db.m.host is tag, string (1 series): string becomes host_field",
                "db.m.v is float (2 series), integer (1 series): float becomes v, integer becomes v_integer_2",
                "db.m.x is integer (1 series), boolean (1 series): integer becomes x, boolean becomes x_boolean",
            ]
        );
    }

    #[test]
    fn types_are_converted_skipped_or_refused() {
        assert_eq!(
            conflicts(ConflictPolicy::Convert),
            [
                "db.m.host is tag, string (1 series): all values become string values of host_field",
                "db.m.v is float (2 series), integer (1 series): all values become float values of v",
                "db.m.x is integer (1 series), boolean (1 series): all values become string values of x",
            ]
        );
        assert_eq!(
            conflicts(ConflictPolicy::Skip),
            [
                "db.m.host is tag, string (1 series): the field is left out",
                "db.m.v is float (2 series), integer (1 series): only float values are imported",
                "db.m.x is integer (1 series), boolean (1 series): only integer values are imported",
            ]
        );
        let refused = conflicts(ConflictPolicy::Refuse);
        assert_eq!(refused.len(), 3);
        assert!(refused[0].ends_with("refused"));
    }
}
