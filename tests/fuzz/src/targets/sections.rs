//! Sections: Parquet files with checksums of their parts.

use bytes::Bytes;
use neap_section::SectionFooter;
use parquet::{
    arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    file::metadata::PageIndexPolicy,
};

use crate::decoder_panics::catch_decoder_panic;

/// Maximum bytes of the decompressed columns of a section.
const MAX_DECODED_BYTES: i64 = 4 << 20;

/// A footer is decoded or refused, bytes are verified or refused, and verified pages are decoded or refused.
pub(crate) fn run(input: &[u8]) {
    let section = Bytes::copy_from_slice(input);
    decode(&section, PageIndexPolicy::Skip);
    if let Some(footer) = decode(&section, PageIndexPolicy::Optional)
        && footer.verify_all(&section).is_ok()
        && is_small(&footer)
    {
        catch_decoder_panic(|| read_rows(section));
    }
}

/// Decodes the footer of a section, from the whole section and from its second half.
fn decode(section: &Bytes, policy: PageIndexPolicy) -> Option<SectionFooter> {
    let length = section.len() as u64;
    let half = section.slice(section.len() / 2..);
    catch_decoder_panic(|| SectionFooter::decode(&half, length, policy).ok());
    let footer =
        catch_decoder_panic(|| SectionFooter::decode(section, length, policy).ok()).flatten()?;
    footer.size_bytes();
    assert!(footer.verify(length, b"").is_ok());
    for start in [0, section.len() / 2] {
        footer.verify(start as u64, &section[start..]).ok();
    }
    Some(footer)
}

fn is_small(footer: &SectionFooter) -> bool {
    let groups = footer.metadata().row_groups().iter();
    let mut columns = groups.flat_map(|group| group.columns());
    let bytes = columns.try_fold(0_i64, |sum, column| sum.checked_add(column.uncompressed_size()));
    bytes.is_some_and(|bytes| (0..=MAX_DECODED_BYTES).contains(&bytes))
}

fn read_rows(section: Bytes) {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(section, options);
    let Ok(reader) = builder.and_then(|builder| builder.with_batch_size(1_000).build()) else {
        return;
    };
    // Each batch has a row.
    for batch in reader.take(100) {
        if batch.is_err() {
            return;
        }
    }
}
