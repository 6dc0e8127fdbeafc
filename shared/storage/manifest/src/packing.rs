//! Divides sections into pages: a table with many sections has pages of its own, other tables share pages.

use neap_schema::TableId;

use crate::SectionWithFooter;

/// Minimum number of sections in a page. With fewer, the page saves less than its reference and its request cost.
pub(crate) const MIN_PAGE_SECTIONS: usize = 8;

/// Maximum number of sections in a page, so that a query of one table or a short time range reads few other entries.
pub(crate) const MAX_PAGE_SECTIONS: usize = 256;

/// Maximum bytes of footers in a page (4 MiB).
pub(crate) const MAX_PAGE_FOOTERS: u64 = 4 << 20;

/// Minimum number of sections for which a table gets pages of its own when there are many tables. With a page reference
/// per table, the manifest would be as large as with the sections themselves.
const OWN_PAGE_SECTIONS: usize = MAX_PAGE_SECTIONS / 2;

/// There are many tables if their number exceeds `inline_sections` divided by this.
const MANY_TABLES: usize = 8;

/// Returns whether there are so many tables that those with few sections share pages. If there are fewer, their
/// remaining sections fit into a manifest with `inline` sections.
pub(crate) fn are_many(tables: usize, inline: usize) -> bool {
    tables > inline / MANY_TABLES
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    /// Minimum number of sections for which a table gets pages of its own.
    pub(crate) own: usize,
    /// Maximum number of sections in a page.
    pub(crate) sections: usize,
    /// Maximum bytes of footers in a page.
    pub(crate) footer_bytes: u64,
}

impl PageLimits {
    /// Returns the limits for sections of `tables` tables, in a manifest with `inline` sections.
    pub(crate) fn new(tables: usize, inline: usize) -> Self {
        Self {
            own: if are_many(tables, inline) {
                OWN_PAGE_SECTIONS
            } else {
                MIN_PAGE_SECTIONS
            },
            sections: MAX_PAGE_SECTIONS,
            footer_bytes: MAX_PAGE_FOOTERS,
        }
    }
}

pub(crate) trait PageEntry {
    fn table(&self) -> TableId;

    /// Returns the size of the entry's footer in a page, in bytes.
    fn footer_bytes(&self) -> u64;
}

impl PageEntry for SectionWithFooter {
    fn table(&self) -> TableId {
        self.section.table
    }

    fn footer_bytes(&self) -> u64 {
        self.footer.as_ref().map_or(0, |footer| footer.len() as u64)
    }
}

/// Returns the number of tables. The entries must be sorted by table.
pub(crate) fn count_tables<T: PageEntry>(entries: &[T]) -> usize {
    entries.chunk_by(|one, next| one.table() == next.table()).count()
}

/// Divides entries, sorted by table, into pages. A page is shared only by tables without pages of their own, and each
/// of these tables is in exactly one page.
pub(crate) fn divide<T: PageEntry>(entries: Vec<T>, limits: &PageLimits) -> Vec<Vec<T>> {
    let mut pages = Vec::new();
    let mut sharing = Vec::new();
    for table in by_table(entries) {
        if table.len() >= limits.own || footer_bytes(&table) > limits.footer_bytes {
            pages.extend(cut(table, limits));
        } else {
            sharing.push(table);
        }
    }
    pages.extend(share(sharing, limits));
    pages
}

fn by_table<T: PageEntry>(entries: Vec<T>) -> Vec<Vec<T>> {
    let mut tables: Vec<Vec<T>> = Vec::new();
    for entry in entries {
        match tables.last_mut() {
            Some(table) if table.first().map(T::table) == Some(entry.table()) => table.push(entry),
            _ => tables.push(vec![entry]),
        }
    }
    tables
}

fn footer_bytes<T: PageEntry>(entries: &[T]) -> u64 {
    entries.iter().map(T::footer_bytes).sum()
}

/// Divides the entries of one table into pages.
fn cut<T: PageEntry>(table: Vec<T>, limits: &PageLimits) -> Vec<Vec<T>> {
    let mut pages = Vec::new();
    let mut page: Vec<T> = Vec::new();
    let mut bytes = 0;
    for entry in table {
        let more = entry.footer_bytes();
        if page.len() == limits.sections || !page.is_empty() && bytes + more > limits.footer_bytes {
            pages.push(std::mem::take(&mut page));
            bytes = 0;
        }
        bytes += more;
        page.push(entry);
    }
    pages.push(page);
    pages
}

/// Groups tables into pages with about the same number of sections.
fn share<T: PageEntry>(tables: Vec<Vec<T>>, limits: &PageLimits) -> Vec<Vec<T>> {
    let count: usize = tables.iter().map(Vec::len).sum();
    let target = count.div_ceil(count.div_ceil(limits.sections).max(1));
    let mut pages = Vec::new();
    let mut page: Vec<T> = Vec::new();
    let mut bytes = 0;
    for table in tables {
        let more = footer_bytes(&table);
        let is_full = page.len() >= target
            || page.len() + table.len() > limits.sections
            || bytes + more > limits.footer_bytes;
        if is_full && !page.is_empty() {
            pages.push(std::mem::take(&mut page));
            bytes = 0;
        }
        bytes += more;
        page.extend(table);
    }
    if !page.is_empty() {
        pages.push(page);
    }
    pages
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct TestEntry(u32, u64);

    impl PageEntry for TestEntry {
        fn table(&self) -> TableId {
            TableId::new(self.0)
        }

        fn footer_bytes(&self) -> u64 {
            self.1
        }
    }

    fn entries(tables: &[usize]) -> Vec<TestEntry> {
        let tables = (1..).zip(tables);
        let of_table = |(table, count): (u32, &usize)| vec![table; *count];
        tables.flat_map(of_table).map(|table| TestEntry(table, 10)).collect()
    }

    const LIMITS: PageLimits = PageLimits { own: 64, sections: 256, footer_bytes: 10_000 };

    #[test]
    fn tables_with_few_sections_share_pages_of_about_the_same_size() {
        let pages = divide(entries(&[1; 260]), &LIMITS);
        let sizes: Vec<_> = pages.iter().map(Vec::len).collect();
        assert_eq!(sizes, [130, 130]);
    }

    #[test]
    fn a_table_with_many_sections_does_not_divide_the_pages_of_the_others() {
        let pages = divide(entries(&[3, 100, 3, 300]), &LIMITS);
        let sizes: Vec<_> = pages.iter().map(Vec::len).collect();
        assert_eq!(sizes, [100, 256, 44, 6]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn pages_hold_every_section_once_within_the_limits(
            tables in proptest::collection::vec(1usize..400, 0..40),
        ) {
            let pages = divide(entries(&tables), &LIMITS);
            for page in &pages {
                prop_assert!(!page.is_empty() && page.len() <= LIMITS.sections);
                prop_assert!(footer_bytes(page) <= LIMITS.footer_bytes);
            }
            for (table, count) in (1..).zip(&tables) {
                let of_table = |page: &&Vec<TestEntry>| page.iter().any(|entry| entry.0 == table);
                let with: Vec<_> = pages.iter().filter(of_table).collect();
                let entries = with.iter().flat_map(|page| page.iter());
                prop_assert_eq!(entries.filter(|entry| entry.0 == table).count(), *count);
                prop_assert!(*count >= LIMITS.own || with.len() == 1);
            }
        }
    }
}
