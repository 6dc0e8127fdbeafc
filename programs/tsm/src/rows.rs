//! The rows of a series: its fields joined on their times.

use crate::{
    BlockDecoder, Damage, DecodeError, Field, Series, ShardReader, TimeRange, Values,
    field_merge::FieldValues, shard::IndexedFile,
};

/// Number of blocks that are read for a chunk, of about 1,000 values each.
const CHUNK_BLOCKS: usize = 256;
/// Number of blocks for each field, so that blocks that reach into the next chunk, and are decoded again for it, are few.
const CHUNK_BLOCKS_PER_FIELD: usize = 4;
/// Size of the blocks that are read for a chunk, in bytes.
const CHUNK_BYTES: u64 = 8 << 20;

/// Rows of a series in the order of their times.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChunk {
    /// The times in nanoseconds.
    pub times: Vec<i64>,
    /// The fields that have a value in some row.
    pub columns: Vec<FieldColumn>,
}

/// The values of a field in the rows of a chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldColumn {
    /// Index of the field in the series.
    pub field: usize,
    /// The values, with a default value in rows without a value.
    pub values: Values,
    /// Whether each row has a value; `None` if all have one.
    pub present: Option<Vec<bool>>,
}

impl FieldColumn {
    /// Returns the number of rows with a value.
    pub fn value_count(&self) -> usize {
        match &self.present {
            None => self.values.len(),
            Some(present) => present.iter().filter(|is_present| **is_present).count(),
        }
    }
}

/// Reads the rows of a series in chunks of bounded size.
#[derive(Debug)]
pub struct RowReader<'a> {
    shard: &'a mut ShardReader,
    series: Series,
    filter: TimeRange,
    /// The first time and the size of each block, in the order of the times.
    starts: Vec<(i64, u32)>,
    /// Number of blocks before the next chunk.
    position: usize,
    /// The start of the next chunk; `None` after the last one.
    next_start: Option<i64>,
}

impl<'a> RowReader<'a> {
    /// Creates a reader of the rows within a range of times.
    pub fn new(shard: &'a mut ShardReader, series: Series, filter: TimeRange) -> Self {
        let mut starts = Vec::new();
        for block in series.fields.iter().flat_map(|field| &field.blocks) {
            let entries = block.entries.iter();
            let wanted = entries.filter(|entry| entry.range.overlaps(&filter));
            starts.extend(wanted.map(|entry| (entry.range.min, entry.size)));
        }
        starts.sort_unstable();
        Self {
            shard,
            series,
            filter,
            starts,
            position: 0,
            next_start: Some(filter.min),
        }
    }

    /// Returns the fields of the series.
    pub fn fields(&self) -> &[Field] {
        &self.series.fields
    }

    /// Returns the next rows; `None` at the end. Blocks that cannot be read are left out and added to the damage of the
    /// shard.
    pub fn next_chunk(&mut self) -> Option<RowChunk> {
        loop {
            let window = self.next_window()?;
            let ShardReader { files, damage, decoder, read_bytes, .. } = &mut *self.shard;
            let mut source =
                BlockSource { files, damage, decoder, read_bytes, series: &self.series.key };
            let mut columns = Vec::new();
            for (index, field) in self.series.fields.iter_mut().enumerate() {
                let (times, values) = source.read_field(field, window);
                if !times.is_empty() {
                    columns.push((index, times, values));
                }
            }
            if !columns.is_empty() {
                return Some(join(columns));
            }
        }
    }

    /// Returns the times of the next chunk. It ends before the first block that does not fit, so that fields whose blocks
    /// have the same times, as usual, have no block in two chunks.
    fn next_window(&mut self) -> Option<TimeRange> {
        let min = self.next_start?;
        let max_blocks = CHUNK_BLOCKS.max(self.series.fields.len() * CHUNK_BLOCKS_PER_FIELD);
        let (mut blocks, mut bytes) = (0, 0);
        while let Some(&(start, size)) = self.starts.get(self.position) {
            let is_full = blocks >= max_blocks || bytes >= CHUNK_BYTES;
            if is_full && start > min {
                self.next_start = Some(start);
                return Some(TimeRange { min, max: start - 1 });
            }
            self.position += 1;
            blocks += 1;
            bytes += u64::from(size);
        }
        self.next_start = None;
        Some(TimeRange { min, max: self.filter.max })
    }
}

/// Reads blocks of the files of a shard.
struct BlockSource<'a> {
    files: &'a mut [IndexedFile],
    damage: &'a mut Vec<Damage>,
    decoder: &'a mut BlockDecoder,
    read_bytes: &'a mut u64,
    series: &'a [u8],
}

impl BlockSource<'_> {
    /// Reads the values of a field within a window. Removes the blocks that end in it, and those that cannot be read.
    fn read_field(&mut self, field: &mut Field, window: TimeRange) -> (Vec<i64>, Values) {
        let mut merged = FieldValues::new(Values::new(field.value_type));
        for block in &mut field.blocks {
            let Some(file) = self.files.get_mut(block.file) else {
                continue;
            };
            let path = std::sync::Arc::clone(file.file.path());
            block.entries.retain(|entry| {
                if !entry.range.overlaps(&window) {
                    return entry.range.min > window.max;
                }
                let start = merged.times.len();
                let mut report = |reason| {
                    self.damage.push(Damage {
                        path: std::sync::Arc::clone(&path),
                        offset: entry.offset,
                        key: Some(describe_key(self.series, &field.name)),
                        reason,
                    });
                };
                let read = file.file.read_block(entry).and_then(|bytes| {
                    *self.read_bytes += bytes.len() as u64;
                    self.decoder.decode(bytes, &mut merged.times, &mut merged.values)?;
                    check_times(merged.times.get(start..).unwrap_or_default(), entry.range)
                });
                let replaced = self.decoder.take_replaced();
                match read {
                    Ok(()) => {
                        merged.add_run(start, window, &block.deleted);
                        if replaced > 0 {
                            report(DecodeError::TextNotUtf8(replaced));
                        }
                    }
                    Err(reason) => {
                        merged.times.truncate(start);
                        merged.values.truncate(start);
                        report(reason);
                    }
                }
                read_again(entry.range, window, merged.times.len() > start)
            });
        }
        if let Some(logged) = &field.logged {
            let start = merged.times.len();
            let from = logged.times.partition_point(|time| *time < window.min);
            let to = logged.times.partition_point(|time| *time <= window.max);
            let times = logged.times.get(from..to).unwrap_or_default();
            merged.times.extend_from_slice(times);
            merged.values.extend_from(&logged.values, from..to);
            merged.add_run(start, window, &[]);
        }
        merged.merge()
    }
}

/// Returns whether a block that was read has times after the window.
fn read_again(block: TimeRange, window: TimeRange, is_readable: bool) -> bool {
    is_readable && block.max > window.max
}

/// Checks that a block has the times that its index names. The index has no checksum, and a block at a wrong place may be
/// one of another key.
fn check_times(times: &[i64], range: TimeRange) -> Result<(), DecodeError> {
    let found = (times.iter().min(), times.iter().max());
    if found == (Some(&range.min), Some(&range.max)) {
        Ok(())
    } else {
        Err(DecodeError::OtherTimes)
    }
}

fn describe_key(series: &[u8], field: &str) -> String {
    format!("{} {field}", String::from_utf8_lossy(series))
}

/// Joins fields, of which each has a value, on their times.
fn join(fields: Vec<(usize, Vec<i64>, Values)>) -> RowChunk {
    let mut times: Vec<i64> = match fields.first() {
        Some((_, first, _)) => first.clone(),
        None => Vec::new(),
    };
    if !fields.iter().all(|(_, other, _)| *other == times) {
        times = fields.iter().flat_map(|(_, times, _)| times).copied().collect();
        times.sort_unstable();
        times.dedup();
    }
    let columns = fields
        .into_iter()
        .map(|(field, own_times, values)| {
            if own_times.len() == times.len() {
                return FieldColumn { field, values, present: None };
            }
            let (values, present) = spread(&times, &own_times, &values);
            FieldColumn { field, values, present: Some(present) }
        })
        .collect();
    RowChunk { times, columns }
}

/// Puts values into the rows of their times, and default values into the others.
fn spread(rows: &[i64], times: &[i64], values: &Values) -> (Values, Vec<bool>) {
    let mut spread = Values::new(values.value_type());
    let mut present = Vec::with_capacity(rows.len());
    let mut at = 0;
    while present.len() < rows.len() {
        let rest = rows.get(present.len()..).unwrap_or_default();
        let own = times.get(at..).unwrap_or_default();
        let equal = rest.iter().zip(own).take_while(|(row, time)| row == time).count();
        spread.extend_from(values, at..at + equal);
        present.resize(present.len() + equal, true);
        at += equal;
        let rest = rest.get(equal..).unwrap_or_default();
        let next = times.get(at).copied();
        let missing = rest.iter().take_while(|row| Some(**row) != next).count();
        spread.push_default(missing);
        present.resize(present.len() + missing, false);
    }
    (spread, present)
}
