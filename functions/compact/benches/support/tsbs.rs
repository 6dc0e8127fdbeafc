//! Rows of TSBS "cpu", as created by the generator in `bench/`, without conversion to line protocol.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray,
    types::Int32Type,
};
use arrow_schema::{Schema, SchemaRef};
use neap_schema::ColumnType;
use neap_test_inputs::{XorShift, tsbs::CPU_FIELDS};

/// The tags in the order of the series key, with the number of their values.
pub(crate) const TAGS: [(&str, u64); 10] = [
    ("hostname", u64::MAX),
    ("region", 9),
    ("datacenter", 25),
    ("rack", 100),
    ("os", 3),
    ("arch", 2),
    ("team", 4),
    ("service", 20),
    ("service_version", 2),
    ("service_environment", 3),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValues {
    /// Integers, as TSBS sends them.
    Integers,
    /// Floats without a fraction.
    WholeFloats,
    /// Floats with three decimals.
    Floats,
}

impl FieldValues {
    pub(crate) fn column_type(self) -> ColumnType {
        match self {
            Self::Integers => ColumnType::Integer,
            Self::WholeFloats | Self::Floats => ColumnType::Float,
        }
    }
}

/// Hosts with fields that are random walks within 0 to 100.
pub(crate) struct TsbsHosts {
    names: Vec<String>,
    tags: Vec<Vec<String>>,
    /// Field values in thousandths.
    state: Vec<[i64; CPU_FIELDS.len()]>,
    random: XorShift,
    values: FieldValues,
}

impl TsbsHosts {
    /// Creates `count` hosts, sorted by name.
    pub(crate) fn new(count: usize, values: FieldValues) -> Self {
        let mut hosts = Self {
            names: (0..count).map(|host| format!("host_{host}")).collect(),
            tags: Vec::new(),
            state: Vec::new(),
            random: XorShift::new(0x9E37_79B9_7F4A_7C15),
            values,
        };
        hosts.names.sort_unstable();
        for _ in 0..count {
            let tags = TAGS[1..]
                .iter()
                .map(|(name, values)| format!("{name}-{}", hosts.random.below(*values)))
                .collect();
            hosts.tags.push(tags);
            let state = [(); CPU_FIELDS.len()]
                .map(|()| i64::try_from(hosts.random.below(100_001)).unwrap());
            hosts.state.push(state);
        }
        hosts
    }

    /// Returns a step with a roughly normal distribution and deviation 1, in thousandths.
    fn step(&mut self) -> i64 {
        let parts = (0..12).map(|_| i64::try_from(self.random.draw() >> 44).unwrap());
        (parts.sum::<i64>() - (12 << 19)) * 1_000 / (1 << 20)
    }

    /// Returns the columns of the rows, sorted by name.
    pub(crate) fn schema(&self) -> SchemaRef {
        let tags = TAGS.iter().map(|(name, _)| ColumnType::Tag.arrow_field(name));
        let fields = CPU_FIELDS.iter().map(|name| self.values.column_type().arrow_field(name));
        let mut all: Vec<_> =
            tags.chain(fields).chain([ColumnType::Time.arrow_field("time")]).collect();
        all.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        Arc::new(Schema::new(all))
    }

    /// Returns the rows of all hosts at the times `start`, `start + interval`, …, sorted by host and time.
    pub(crate) fn rows(&mut self, start: i64, interval: i64, count: usize) -> RecordBatch {
        let hosts = self.names.len();
        let rows = hosts * count;
        let mut times = Vec::with_capacity(rows);
        let mut fields = vec![Vec::with_capacity(rows); CPU_FIELDS.len()];
        for host in 0..hosts {
            let mut state = self.state[host];
            for at in 0..count {
                times.push(start + interval * i64::try_from(at).unwrap());
                for (value, column) in state.iter_mut().zip(&mut fields) {
                    *value = (*value + self.step()).clamp(0, 100_000);
                    column.push(*value);
                }
            }
            self.state[host] = state;
        }
        let time = TimestampNanosecondArray::from(times);
        let schema = self.schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let name = field.name().as_str();
            if let Some(at) = CPU_FIELDS.iter().position(|field| *field == name) {
                return match self.values {
                    FieldValues::Integers => Arc::new(
                        fields[at].iter().map(|value| Some(value / 1_000)).collect::<Int64Array>(),
                    ),
                    FieldValues::WholeFloats => Arc::new(
                        fields[at]
                            .iter()
                            .map(|value| Some((value / 1_000) as f64))
                            .collect::<Float64Array>(),
                    ),
                    FieldValues::Floats => Arc::new(
                        fields[at]
                            .iter()
                            .map(|value| Some(*value as f64 / 1_000.0))
                            .collect::<Float64Array>(),
                    ),
                };
            }
            match TAGS.iter().position(|(tag, _)| *tag == name) {
                Some(tag) => Arc::new(self.tag_column(tag, count)),
                None => Arc::new(time.clone()),
            }
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
    }

    fn tag_column(&self, tag: usize, count: usize) -> DictionaryArray<Int32Type> {
        let value = |host: usize| match tag {
            0 => self.names[host].as_str(),
            tag => self.tags[host][tag - 1].as_str(),
        };
        let hosts = 0..self.names.len();
        hosts.flat_map(|host| std::iter::repeat_n(Some(value(host)), count)).collect()
    }
}
