//! The format of profiles: the messages of `profile.proto` of pprof, compressed with gzip.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use pprof::{Report, Symbol};
use prost::Message;

/// When samples were taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProfileTiming {
    /// The start, in microseconds since the Unix epoch.
    pub(super) started_micros: i64,
    /// The time between the start and the end.
    pub(super) duration: Duration,
}

/// The memory that the allocations of one stack use.
#[derive(Clone, Debug)]
pub(super) struct HeapUse {
    /// The functions, from the innermost one.
    pub(super) stack: Vec<Symbol>,
    /// The estimated number of allocations.
    pub(super) objects: f64,
    /// Their estimated size, in bytes.
    pub(super) bytes: f64,
}

/// Encodes the samples of a report; `frequency`: samples in a second of computing.
pub(super) fn encode_cpu_profile(
    report: &Report,
    frequency: i32,
    timing: &ProfileTiming,
) -> io::Result<Vec<u8>> {
    let mut tables = ProfileTables::default();
    let period = 1_000_000_000 / i64::from(frequency.max(1));
    let sample_count = tables.value_type("samples", "count");
    let cpu_time = tables.value_type("cpu", "nanoseconds");
    let thread = tables.name("thread");
    let mut sample = Vec::with_capacity(report.data.len());
    for (stack, hits) in &report.data {
        let hits = i64::try_from(*hits).unwrap_or(i64::MAX);
        let symbols = stack.frames.iter().flatten();
        let location_id = symbols.map(|symbol| tables.location(symbol)).collect();
        let label = Label { key: thread, str: tables.name(&stack.thread_name) };
        sample.push(Sample {
            location_id,
            value: vec![hits, hits.saturating_mul(period)],
            label: vec![label],
        });
    }
    let profile = Profile {
        sample_type: vec![sample_count, cpu_time],
        sample,
        period_type: Some(cpu_time),
        period,
        ..Profile::default()
    };
    encode(profile, tables, timing)
}

/// Encodes the memory of each stack, sampled every `sample_bytes` on average. `dropped` samples are missing, which a comment
/// says. `inuse_space` is the last value, because `go tool pprof` shows the last one.
pub(super) fn encode_heap_profile(
    uses: &[HeapUse],
    sample_bytes: usize,
    dropped: usize,
    timing: &ProfileTiming,
) -> io::Result<Vec<u8>> {
    let mut tables = ProfileTables::default();
    let sample_type = vec![
        tables.value_type("inuse_objects", "count"),
        tables.value_type("inuse_space", "bytes"),
    ];
    let period_type = Some(tables.value_type("space", "bytes"));
    let mut sample = Vec::with_capacity(uses.len());
    for of_stack in uses {
        let symbols = of_stack.stack.iter();
        sample.push(Sample {
            location_id: symbols.map(|symbol| tables.location(symbol)).collect(),
            value: vec![rounded(of_stack.objects), rounded(of_stack.bytes)],
            label: Vec::new(),
        });
    }
    let mut comment = Vec::new();
    if dropped > 0 {
        let missing = format!("{dropped} samples are missing, because there were too many");
        comment.push(tables.name(&missing));
    }
    let profile = Profile {
        sample_type,
        sample,
        period_type,
        period: i64::try_from(sample_bytes).unwrap_or(i64::MAX),
        comment,
        ..Profile::default()
    };
    encode(profile, tables, timing)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an estimate is far below the limit of the type"
)]
fn rounded(estimate: f64) -> i64 {
    estimate.round() as i64
}

/// Encodes a profile with its tables and times.
fn encode(profile: Profile, tables: ProfileTables, timing: &ProfileTiming) -> io::Result<Vec<u8>> {
    let complete = Profile {
        location: tables.locations,
        function: tables.functions,
        string_table: tables.strings,
        time_nanos: timing.started_micros.saturating_mul(1_000),
        duration_nanos: i64::try_from(timing.duration.as_nanos()).unwrap_or(i64::MAX),
        ..profile
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&complete.encode_to_vec())?;
    gzip.finish()
}

/// The tables of a profile, which samples refer to by position.
#[derive(Debug)]
struct ProfileTables {
    strings: Vec<String>,
    string_ids: HashMap<String, i64>,
    functions: Vec<Function>,
    /// A location for each function and line.
    locations: Vec<Location>,
    location_ids: HashMap<(String, Option<u32>), u64>,
}

impl Default for ProfileTables {
    /// The first text is always empty.
    fn default() -> Self {
        Self {
            strings: vec![String::new()],
            string_ids: HashMap::from([(String::new(), 0)]),
            functions: Vec::new(),
            locations: Vec::new(),
            location_ids: HashMap::new(),
        }
    }
}

impl ProfileTables {
    /// Returns the position of a text.
    fn name(&mut self, text: &str) -> i64 {
        if let Some(id) = self.string_ids.get(text) {
            return *id;
        }
        let id = i64::try_from(self.strings.len()).unwrap_or(i64::MAX);
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.name(kind), unit: self.name(unit) }
    }

    /// Returns the id of the location of a symbol.
    fn location(&mut self, symbol: &Symbol) -> u64 {
        let key = (symbol.name(), symbol.lineno);
        if let Some(id) = self.location_ids.get(&key) {
            return *id;
        }
        let id = self.locations.len() as u64 + 1;
        let name = self.name(&key.0);
        let system_name = self.name(&symbol.sys_name());
        let filename = self.name(&symbol.filename());
        self.functions.push(Function { id, name, system_name, filename });
        self.locations.push(Location {
            id,
            line: vec![Line { function_id: id, line: key.1.map_or(0, i64::from) }],
        });
        self.location_ids.insert(key, id);
        id
    }
}

// The field numbers are those of `profile.proto`. The crate `pprof` has these messages with an older version of prost only,
// and no profiles of memory.

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::UNIX_EPOCH};

    use flate2::read::GzDecoder;
    use pprof::Frames;

    use super::*;

    fn symbol(name: &str, lineno: u32) -> Symbol {
        Symbol {
            name: Some(name.as_bytes().to_vec()),
            addr: None,
            lineno: Some(lineno),
            filename: Some("src/a.rs".into()),
        }
    }

    const TIMING: ProfileTiming =
        ProfileTiming { started_micros: 1_000_000, duration: Duration::from_secs(1) };

    fn decode(encoded: &[u8]) -> Profile {
        let mut bytes = Vec::new();
        GzDecoder::new(encoded).read_to_end(&mut bytes).unwrap();
        Profile::decode(bytes.as_slice()).unwrap()
    }

    #[test]
    fn a_heap_profile_has_the_stacks_with_their_memory() {
        let of_stack = HeapUse {
            stack: vec![symbol("reserve", 4), symbol("main", 3)],
            objects: 1.6,
            bytes: 838_860.8,
        };
        let profile = decode(&encode_heap_profile(&[of_stack], 512 << 10, 3, &TIMING).unwrap());
        let text = |id: i64| profile.string_table[usize::try_from(id).unwrap()].as_str();
        let value_type = |of: &ValueType| (text(of.r#type), text(of.unit));
        let types: Vec<_> = profile.sample_type.iter().map(value_type).collect();
        assert_eq!(types, [("inuse_objects", "count"), ("inuse_space", "bytes")]);
        assert_eq!(profile.period_type.as_ref().map(value_type), Some(("space", "bytes")));
        assert_eq!(profile.period, 524_288);
        assert_eq!(profile.sample[0].value, [2, 838_861]);
        assert_eq!(profile.sample[0].location_id.len(), 2);
        let comments: Vec<_> = profile.comment.iter().map(|id| text(*id)).collect();
        assert_eq!(comments, ["3 samples are missing, because there were too many"]);
    }

    #[test]
    fn a_profile_has_the_stacks_with_their_times() {
        let stack = |frames: Vec<Vec<Symbol>>| Frames {
            frames,
            thread_name: "neap-query".to_owned(),
            thread_id: 1,
            sample_timestamp: UNIX_EPOCH,
        };
        let inlined = vec![symbol("inner", 1), symbol("outer", 2)];
        let data = HashMap::from([
            (stack(vec![inlined, vec![symbol("main", 3)]]), 2),
            (stack(vec![vec![symbol("main", 3)]]), 1),
        ]);
        let report = Report { data, timing: Default::default() };
        let profile = decode(&encode_cpu_profile(&report, 100, &TIMING).unwrap());
        assert_eq!((profile.time_nanos, profile.period), (1_000_000_000, 10_000_000));
        assert_eq!(profile.string_table[0], "");
        let text = |id: i64| profile.string_table[usize::try_from(id).unwrap()].as_str();
        let function = |location: &u64| {
            let location = &profile.location[usize::try_from(*location).unwrap() - 1];
            let line = &location.line[0];
            let function = &profile.function[usize::try_from(line.function_id).unwrap() - 1];
            format!("{}:{}", text(function.name), line.line)
        };
        let mut stacks: Vec<_> = profile
            .sample
            .iter()
            .map(|sample| {
                let names: Vec<_> = sample.location_id.iter().map(function).collect();
                (names.join(" < "), sample.value.clone(), text(sample.label[0].str))
            })
            .collect();
        stacks.sort();
        assert_eq!(
            stacks,
            [
                ("inner:1 < outer:2 < main:3".to_owned(), vec![2, 20_000_000], "neap-query"),
                ("main:3".to_owned(), vec![1, 10_000_000], "neap-query"),
            ]
        );
    }
}
