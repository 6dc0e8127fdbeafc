//! The dictionaries of a stream whose buffers are not compressed.
//!
//! Tables of a request mostly share the values of their tags, so that each thread keeps the last messages with such values.

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray, types::Int32Type};
use arrow_schema::ArrowError;
use flatbuffers::FlatBufferBuilder;

use crate::stream_messages::MessageBody;

/// Maximum number of batches whose dictionaries a thread keeps.
const MAX_KEPT: usize = 8;

/// Maximum memory of the dictionaries of a batch that are kept, in bytes, and of their messages.
const MAX_KEPT_BYTES: usize = 8 << 10;

thread_local! {
    /// The dictionaries that this thread encoded last.
    static RECENT: RefCell<VecDeque<EncodedDictionaries>> = RefCell::default();
}

/// The dictionaries of a batch with their messages.
#[derive(Debug)]
struct EncodedDictionaries {
    values: Vec<ArrayRef>,
    messages: Vec<u8>,
}

/// Appends the dictionaries of a batch to a stream, numbered from 0.
/// Fails if a dictionary has values of a type that segments do not support.
pub(crate) fn append_dictionaries(
    stream: &mut Vec<u8>,
    builder: &mut FlatBufferBuilder<'_>,
    batch: &RecordBatch,
) -> Result<(), ArrowError> {
    let is_known = RECENT.with_borrow(|recent| {
        let known = recent.iter().find(|known| known.are_those_of(batch));
        known.is_some_and(|known| {
            stream.extend_from_slice(&known.messages);
            true
        })
    });
    if is_known {
        return Ok(());
    }
    let start = stream.len();
    for (id, values) in (0..).zip(dictionaries(batch)) {
        let mut message = MessageBody::default();
        message.add_column(values.as_ref())?;
        message.append_to(stream, builder, values.len(), Some(id));
    }
    if is_kept(batch)
        && let Some(messages) = stream.get(start..).filter(|it| it.len() <= MAX_KEPT_BYTES)
    {
        let encoded = EncodedDictionaries {
            values: dictionaries(batch).map(Arc::clone).collect(),
            messages: messages.to_vec(),
        };
        RECENT.with_borrow_mut(|recent| {
            recent.truncate(MAX_KEPT - 1);
            recent.push_front(encoded);
        });
    }
    Ok(())
}

/// Returns the values of each tag of a batch.
fn dictionaries(batch: &RecordBatch) -> impl Iterator<Item = &ArrayRef> {
    let columns = batch.columns().iter();
    columns.filter_map(|column| Some(column.as_dictionary_opt::<Int32Type>()?.values()))
}

/// Whether there are dictionaries that other batches have, too, and that take little memory.
fn is_kept(batch: &RecordBatch) -> bool {
    let mut bytes = 0;
    let are_shared = dictionaries(batch).all(|values| {
        bytes += values.get_buffer_memory_size();
        Arc::strong_count(values) > 1
    });
    are_shared && bytes > 0 && bytes <= MAX_KEPT_BYTES
}

impl EncodedDictionaries {
    fn are_those_of(&self, batch: &RecordBatch) -> bool {
        let mut known = self.values.iter();
        let are_same = dictionaries(batch)
            .all(|values| known.next().is_some_and(|known| Arc::ptr_eq(known, values)));
        are_same && known.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow_array::{DictionaryArray, Int32Array, StringArray};
    use arrow_schema::Schema;

    use super::*;

    fn tag(values: &Arc<StringArray>) -> ArrayRef {
        let keys = Int32Array::from(vec![0, 0]);
        let values = Arc::clone(values);
        Arc::new(DictionaryArray::try_new(keys, values).unwrap())
    }

    fn batch(tags: &[&Arc<StringArray>]) -> RecordBatch {
        let names = ["a", "b", "c"];
        let columns = names.iter().zip(tags).map(|(name, it)| (*name, tag(it)));
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn encoded(batch: &RecordBatch) -> Vec<u8> {
        let mut stream = vec![7];
        append_dictionaries(&mut stream, &mut FlatBufferBuilder::new(), batch).unwrap();
        stream
    }

    fn kept() -> usize {
        RECENT.with_borrow(VecDeque::len)
    }

    #[test]
    fn messages_of_shared_dictionaries_are_built_once() {
        let values = ["x", "y"].map(|it| Arc::new(StringArray::from(vec![it])));
        let [x, y] = &values;
        let batches =
            [batch(&[x, y]), batch(&[y, x]), batch(&[x]), batch(&[x, y, x]), batch(&[x, y])];
        let first = batches.each_ref().map(encoded);
        assert_eq!(first[0], first[4]);
        assert_eq!(kept(), 4);
        let different: BTreeSet<_> = first.iter().collect();
        assert_eq!(different.len(), 4);
        assert_eq!(batches.each_ref().map(encoded), first);
        assert_eq!(kept(), 4);
        // The same texts in arrays of their own.
        let own = ["x", "y"].map(|it| Arc::new(StringArray::from(vec![it])));
        let of_own = batch(&[&own[0], &own[1]]);
        assert_eq!(encoded(&of_own), first[0]);
    }

    #[test]
    fn dictionaries_of_one_batch_and_large_ones_are_not_kept() {
        let one = batch(&[&Arc::new(StringArray::from(vec!["x"]))]);
        encoded(&one);
        assert_eq!(kept(), 0);
        let large = "x".repeat(MAX_KEPT_BYTES);
        let large = Arc::new(StringArray::from(vec!["x", &large]));
        encoded(&batch(&[&large]));
        // A slice keeps all of the memory.
        let slice = Arc::new(large.slice(0, 1));
        encoded(&batch(&[&slice]));
        assert_eq!(kept(), 0);
        encoded(&RecordBatch::new_empty(Arc::new(Schema::empty())));
        assert_eq!(kept(), 0);
    }

    #[test]
    fn few_dictionaries_are_kept() {
        for number in 0..100 {
            let values = Arc::new(StringArray::from(vec![number.to_string()]));
            encoded(&batch(&[&values]));
        }
        assert_eq!(kept(), MAX_KEPT);
    }
}
