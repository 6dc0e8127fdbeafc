//! Texts of dictionary values, each rendered once and then copied.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};

/// The maximum size of the texts of a column, in bytes. Further values are rendered for each row.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// The maximum length of a dictionary whose texts are cached (8 bytes per value, plus the text).
const MAX_VALUES: usize = 1 << 16;

/// The texts of the values of a dictionary. They outlive a batch, because batches of one result often share their
/// dictionaries.
#[derive(Debug, Default)]
pub(crate) struct RenderedValues {
    /// The dictionary of the texts. Held so that another one can't reuse its address.
    dictionary: Option<ArrayRef>,
    /// The range of each value in `text`; empty if it is not cached.
    spans: Vec<(u32, u32)>,
    text: Vec<u8>,
}

impl RenderedValues {
    /// Clears the cache if it belongs to another dictionary.
    pub(crate) fn prepare(&mut self, dictionary: &ArrayRef) {
        if self.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, dictionary)) {
            return;
        }
        self.dictionary = Some(Arc::clone(dictionary));
        self.text.clear();
        self.spans.clear();
        if dictionary.len() <= MAX_VALUES {
            self.spans.resize(dictionary.len(), (0, 0));
        }
    }

    /// Appends the text of an existing value. `render` appends it if it is not cached, the same text each time.
    pub(crate) fn push(
        &mut self,
        key: usize,
        out: &mut Vec<u8>,
        render: impl FnOnce(&mut Vec<u8>),
    ) {
        if let Some(text) = self.get(key) {
            out.extend_from_slice(text);
            return;
        }
        let start = out.len();
        render(out);
        self.put(key, &out[start..]);
    }

    fn get(&self, key: usize) -> Option<&[u8]> {
        let &(start, end) = self.spans.get(key)?;
        self.text.get(start as usize..end as usize).filter(|text| !text.is_empty())
    }

    fn put(&mut self, key: usize, text: &[u8]) {
        let Some(span) = self.spans.get_mut(key) else {
            return;
        };
        let (start, end) = (self.text.len(), self.text.len() + text.len());
        if end > MAX_TEXT_BYTES {
            return;
        }
        if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) {
            *span = (start, end);
            self.text.extend_from_slice(text);
        }
    }
}
