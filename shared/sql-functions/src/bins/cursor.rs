//! The bins of a query, walked once for every group.

use std::sync::Arc;

use super::Bins;

/// So many bins are computed once and kept (512 KiB); later ones are computed again for every
/// group.
const KEPT: usize = 65_536;

/// A list of bins that can be walked many times.
#[derive(Debug, Clone)]
pub(crate) struct BinList {
    kept: Arc<[i64]>,
    rest: Bins,
}

impl BinList {
    /// The list of `bins`.
    pub(crate) fn new(mut bins: Bins) -> Self {
        let kept = bins.by_ref().take(KEPT).collect();
        Self { kept, rest: bins }
    }

    /// A cursor at the first bin.
    pub(crate) fn cursor(&self) -> BinCursor {
        BinCursor {
            list: self.clone(),
            index: 0,
            rest: None,
            current: None,
        }
        .restarted()
    }
}

/// A place in a [`BinList`].
#[derive(Debug, Clone)]
pub(crate) struct BinCursor {
    list: BinList,
    index: usize,
    rest: Option<Bins>,
    current: Option<i64>,
}

impl BinCursor {
    /// The bin at the cursor, `None` behind the last.
    pub(crate) fn current(&self) -> Option<i64> {
        self.current
    }

    /// To the next bin.
    pub(crate) fn advance(&mut self) {
        self.current = match self.list.kept.get(self.index) {
            Some(bin) => Some(*bin),
            None => self
                .rest
                .get_or_insert_with(|| self.list.rest.clone())
                .next(),
        };
        self.index += 1;
    }

    /// Back to the first bin.
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
