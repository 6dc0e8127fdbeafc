//! Reads sections for DataFusion, and charges the bytes that its Parquet decoder holds to the memory of queries.
//!
//! The decoder holds the chunks or pages of a row group until it has decoded their rows. Each range is charged until it is
//! dropped. If other operators have taken all memory, ranges are charged beyond the limit, up to a quarter of it: sorts and
//! aggregates then spill when they ask for more. Beyond that, the read fails.

use std::{
    error::Error,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use bytes::Bytes;
use datafusion::{
    common::{Result, plan_datafusion_err},
    datasource::{listing::PartitionedFile, physical_plan::ParquetFileReaderFactory},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
    parquet::{
        arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
        errors::ParquetError,
        file::metadata::ParquetMetaData,
    },
    physical_plan::{
        ExecutionPlan,
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder},
    },
};
use futures::future::BoxFuture;
use neap_section::SectionFooter;

use crate::{
    data::{SectionData, SectionFile},
    read_ahead::ReadAhead,
};

/// The name of the metric of bytes that were read from sections.
pub(crate) const BYTES_SCANNED: &str = "bytes_scanned";

/// The name of the metric of bytes of cold sections that were read from the store. Scans without cold sections lack it.
pub(crate) const COLD_BYTES_READ: &str = "cold_bytes_read";

/// The share of the limit that readers may take beyond it, as 1/n.
const OVERDRAFT_SHARE: usize = 4;

/// Creates the readers of sections for DataFusion.
#[derive(Debug)]
pub(crate) struct SectionReaderFactory {
    /// The source of the bytes.
    pub(crate) data: SectionData,
    /// The memory of queries.
    pub(crate) memory: Arc<dyn MemoryPool>,
}

impl ParquetFileReaderFactory for SectionReaderFactory {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let section = file
            .extension::<SectionFile>()
            .ok_or_else(|| plan_datafusion_err!("{} is not a section", file.path()))?;
        let part = file.range.as_ref().and_then(|range| {
            let start = u64::try_from(range.start).ok()?;
            Some(start..u64::try_from(range.end).ok()?)
        });
        let bytes = MetricBuilder::new(metrics).counter(BYTES_SCANNED, partition);
        let cold_bytes = section
            .section()
            .is_cold()
            .then(|| MetricBuilder::new(metrics).counter(COLD_BYTES_READ, partition));
        let counts = ReadCounts { bytes, cold_bytes };
        let reader = SectionReader::new(&self.data, section, part, &self.memory, counts);
        Ok(Box::new(reader))
    }
}

/// The counts of the bytes that are read from sections.
#[derive(Clone, Debug)]
pub(crate) struct ReadCounts {
    /// Bytes that were read, from the store or a cache.
    pub(crate) bytes: Count,
    /// Bytes of cold sections that were read from the store; `None` if no section is cold.
    pub(crate) cold_bytes: Option<Count>,
}

/// Returns the bytes that the operators of a plan in this process have read from cold sections in the store.
pub fn cold_bytes_read(plan: &dyn ExecutionPlan) -> usize {
    count_of(plan, COLD_BYTES_READ)
}

/// Returns the sum of a metric over the operators of a plan.
pub(crate) fn count_of(plan: &dyn ExecutionPlan, metric: &str) -> usize {
    let own = plan
        .metrics()
        .and_then(|metrics| metrics.sum_by_name(metric))
        .map_or(0, |value| value.as_usize());
    let inputs = plan.children().into_iter();
    own + inputs.map(|input| count_of(input.as_ref(), metric)).sum::<usize>()
}

/// Reads one section for a decoder.
#[derive(Debug)]
pub(crate) struct SectionReader {
    /// The source of the bytes.
    data: SectionData,
    file: SectionFile,
    /// The footer after its first use. It is stored here because the cache may evict it before the ranges are read.
    footer: Option<Arc<SectionFooter>>,
    /// Selects what is read before it is asked for.
    ahead: ReadAhead,
    /// The number of bytes that were read.
    counts: ReadCounts,
    /// The bytes that the decoder has not dropped.
    held: HeldBytes,
}

impl SectionReader {
    /// Reads a section, or the row groups of it that begin in a part of its bytes. Counts the bytes.
    pub(crate) fn new(
        data: &SectionData,
        file: &SectionFile,
        part: Option<Range<u64>>,
        memory: &Arc<dyn MemoryPool>,
        counts: ReadCounts,
    ) -> Self {
        Self {
            ahead: data.read_ahead(part),
            data: data.clone(),
            file: file.clone(),
            footer: None,
            counts,
            held: HeldBytes::new(memory),
        }
    }

    /// Reads only these row groups ahead.
    pub(crate) fn limit_read_ahead(
        &mut self,
        metadata: &ParquetMetaData,
        groups: RangeInclusive<usize>,
    ) {
        let first_byte = |group: usize| {
            let group = metadata.row_groups().get(group)?;
            let (start, _) = group.columns().first()?.byte_range();
            Some(start)
        };
        if let (Some(start), Some(last)) = (first_byte(*groups.start()), first_byte(*groups.end()))
        {
            self.ahead = self.data.read_ahead(Some(start..last.saturating_add(1)));
        }
    }

    /// Returns the footer.
    /// Fails if it can't be read, or is damaged.
    pub(crate) async fn footer(&mut self) -> Result<Arc<SectionFooter>, ParquetError> {
        if let Some(footer) = &self.footer {
            return Ok(Arc::clone(footer));
        }
        let footer = self.data.footer(&self.file).await.map_err(external)?;
        Ok(Arc::clone(self.footer.insert(footer)))
    }
}

fn external(error: impl Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for SectionReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        Box::pin(async move {
            let mut all = self.get_byte_ranges(vec![range]).await?;
            all.pop().ok_or_else(|| ParquetError::EOF("no bytes".to_owned()))
        })
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        Box::pin(async move {
            let is_cold = self.file.section().is_cold();
            let footer = self.footer().await?;
            let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            let length = usize::try_from(total).unwrap_or(usize::MAX);
            let charge = self.held.charge(length).map_err(external)?;
            self.counts.bytes.add(length);
            let ahead = self.ahead.after(footer.metadata(), &ranges);
            let read =
                self.data.ranges(&self.file, &footer, &ranges, ahead).await.map_err(external)?;
            if let Some(count) = self.counts.cold_bytes.as_ref().filter(|_| is_cold) {
                count.add(usize::try_from(read.store_bytes).unwrap_or(usize::MAX));
            }
            Ok(read.ranges.into_iter().map(|bytes| charged(bytes, &charge)).collect())
        })
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        Box::pin(async move { Ok(Arc::clone(self.footer().await?.metadata())) })
    }
}

/// The account of the bytes that the decoder of one section holds.
#[derive(Debug)]
struct HeldBytes {
    pool: Arc<dyn MemoryPool>,
    /// Charges nothing itself.
    reservation: MemoryReservation,
}

impl HeldBytes {
    fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            reservation: MemoryConsumer::new("SectionReader").register(pool),
        }
    }

    /// Charges bytes, beyond the limit if necessary.
    /// Fails with `ResourcesExhausted`: more than a quarter of the limit would be charged beyond it.
    fn charge(&self, bytes: usize) -> Result<MemoryReservation> {
        let charge = self.reservation.new_empty();
        let Err(error) = charge.try_grow(bytes) else {
            return Ok(charge);
        };
        let most = match self.pool.memory_limit() {
            MemoryLimit::Finite(limit) => limit + limit / OVERDRAFT_SHARE,
            MemoryLimit::Infinite | MemoryLimit::Unknown => return Err(error),
        };
        if self.pool.reserved().saturating_add(bytes) > most {
            return Err(error);
        }
        charge.grow(bytes);
        Ok(charge)
    }
}

/// Bytes that are charged as long as a part of them is in use.
struct ChargedBytes {
    bytes: Bytes,
    _charge: MemoryReservation,
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Moves the part of a charge that is for these bytes to them.
fn charged(bytes: Bytes, charge: &MemoryReservation) -> Bytes {
    let of_bytes = charge.split(bytes.len().min(charge.size()));
    Bytes::from_owner(ChargedBytes { bytes, _charge: of_bytes })
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::FairSpillPool;

    use super::*;

    fn pool() -> Arc<dyn MemoryPool> {
        Arc::new(FairSpillPool::new(1_000))
    }

    #[test]
    fn bytes_are_charged_until_their_last_part_is_dropped() {
        let pool = pool();
        let charge = HeldBytes::new(&pool).charge(300).unwrap();
        let one = charged(Bytes::from(vec![1; 100]), &charge);
        let other = charged(Bytes::from(vec![2; 200]), &charge);
        drop(charge);
        assert_eq!(pool.reserved(), 300);
        let part = other.slice(0..1);
        drop(other);
        assert_eq!(pool.reserved(), 300);
        drop(part);
        assert_eq!(pool.reserved(), 100);
        assert_eq!(&one[..2], [1, 1]);
        drop(one);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn operators_that_spill_make_room_for_a_quarter_of_the_limit() {
        let pool = pool();
        let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        sort.try_grow(1_000).unwrap();
        let held = HeldBytes::new(&pool);
        let charge = held.charge(250).unwrap();
        sort.try_grow(1).unwrap_err();
        held.charge(1).unwrap_err();
        drop(charge);
        held.charge(1).unwrap();
    }
}
