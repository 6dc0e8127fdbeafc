//! The bins of a query, iterated once per group.

use std::sync::Arc;

use super::BinIterator;

/// Number of bins that are computed once and cached (512 KiB). Later bins are recomputed for every group.
const CACHED_BINS: usize = 65_536;

/// A list of bins that can be iterated many times.
#[derive(Debug, Clone)]
pub(crate) struct BinList {
    kept: Arc<[i64]>,
    rest: BinIterator,
}

impl BinList {
    /// Creates the list of `bins`.
    pub(crate) fn new(mut bins: BinIterator) -> Self {
        let kept = bins.by_ref().take(CACHED_BINS).collect();
        Self { kept, rest: bins }
    }

    /// Returns a cursor at the first bin.
    pub(crate) fn cursor(&self) -> BinCursor {
        BinCursor { list: self.clone(), index: 0, rest: None, current: None }.restarted()
    }
}

/// A position in a [`BinList`].
#[derive(Debug, Clone)]
pub(crate) struct BinCursor {
    list: BinList,
    index: usize,
    rest: Option<BinIterator>,
    current: Option<i64>,
}

impl BinCursor {
    /// Returns the bin at the cursor, or `None` after the last one.
    pub(crate) fn current(&self) -> Option<i64> {
        self.current
    }

    /// Moves to the next bin.
    pub(crate) fn advance(&mut self) {
        self.current = match self.list.kept.get(self.index) {
            Some(bin) => Some(*bin),
            None => self.rest.get_or_insert_with(|| self.list.rest.clone()).next(),
        };
        self.index += 1;
    }

    /// Moves back to the first bin.
    pub(crate) fn restart(&mut self) {
        self.index = 0;
        self.rest = None;
        self.advance();
    }

    fn restarted(mut self) -> Self {
        self.restart();
        self
    }
}
