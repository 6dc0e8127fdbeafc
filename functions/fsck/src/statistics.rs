//! Compares the statistics of sections and pages in a manifest with their content.

use neap_manifest::{PageRef, Section, SectionWithFooter, TagRange};

use crate::{Finding, FindingKind, section_content::SectionContent};

/// The differences between the statistics and the content of a section, and the section with corrected statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectionCorrection {
    pub(crate) findings: Vec<Finding>,
    pub(crate) section: Section,
}

/// Compares the statistics of a section with its content. Returns `None` if they agree. Time bounds that are too wide
/// are reported because they cost time; bounds of tags may be too wide.
pub(crate) fn compare(section: &Section, content: &SectionContent) -> Option<SectionCorrection> {
    let mut findings = Vec::new();
    let mut correct = section.clone();
    let wrong = |message: String| Finding::error(FindingKind::WrongStatistics, message);
    let wide = |message: String| Finding::warning(FindingKind::WrongStatistics, message);
    if section.rows != content.rows {
        let (said, found) = (section.rows, content.rows);
        findings.push(wrong(format!("it has {found} rows, not {said}")));
        correct.rows = found;
    }
    if let Some((first, last)) = content.times
        && (first, last) != (section.min_time, section.max_time)
    {
        let (said_first, said_last) = (section.min_time, section.max_time);
        let message = format!(
            "its times are {first} to {last}, but the manifest says {said_first} to {said_last}"
        );
        let is_narrow = first < said_first || said_last < last;
        findings.push(if is_narrow {
            wrong(message)
        } else {
            wide(message)
        });
        (correct.min_time, correct.max_time) = (first, last);
    }
    for (tag, range) in &content.tags {
        if !covers(section.tags.get(tag), range) {
            findings
                .push(wrong(format!("values of the tag '{tag}' are outside the recorded range")));
            correct.tags.insert(tag.clone(), range.clone());
        }
    }
    if section.series.is_some() && section.series != content.series {
        findings.push(wrong("the digest of its series is wrong".to_owned()));
        correct.series.clone_from(&content.series);
    }
    if u64::from(section.footer_length) < content.footer_bytes {
        let (said, found) = (section.footer_length, content.footer_bytes);
        findings.push(wrong(format!("its footer has {found} bytes, not {said}")));
        correct.footer_length = u32::try_from(found).unwrap_or(u32::MAX);
    }
    if section.footer_crc32c != content.footer_crc32c {
        if correct.footer_length == section.footer_length {
            findings.push(wrong("its footer has another checksum".to_owned()));
        }
        correct.footer_crc32c = content.footer_crc32c;
    }
    (!findings.is_empty()).then_some(SectionCorrection { findings, section: correct })
}

/// Returns whether the recorded range of a tag covers its values. A tag without a recorded range must have no values.
fn covers(said: Option<&TagRange>, found: &TagRange) -> bool {
    let Some(said) = said else {
        return found.min.is_none();
    };
    let below = said.min.is_none() || said.min <= found.min;
    let above = said.max.is_none() || found.max <= said.max;
    below && above && (said.has_null || !found.has_null)
}

/// Recomputes the reference to a page from its sections; `None` if it has none.
pub(crate) fn recompute_reference(
    page: &PageRef,
    sections: &[SectionWithFooter],
) -> Option<PageRef> {
    let all = || sections.iter().map(|one| one.section.as_ref());
    let table = all().map(|section| section.table).min()?;
    let last_table = all().map(|section| section.table).max()?;
    Some(PageRef {
        table,
        last_table: (last_table > table).then_some(last_table),
        first_day: all().map(|section| section.first_day).min()?,
        last_day: all().map(|section| section.last_day).max()?,
        min_time: all().map(|section| section.min_time).min()?,
        max_time: all().map(|section| section.max_time).max()?,
        above: all().map(|section| section.above).min()?,
        upto: all().map(|section| section.upto).max()?,
        clean_upto: all().map(Section::clean_upto).min()?,
        first_added: all().map(|section| section.added).min()?,
        sections: u32::try_from(sections.len()).ok()?,
        rows: all().map(|section| section.rows).sum(),
        ..page.clone()
    })
}

/// Returns whether a query that uses the reference `said` finds all rows of the page.
pub(crate) fn is_wide_enough(said: &PageRef, found: &PageRef) -> bool {
    said.may_hold(*found.tables().start())
        && said.may_hold(*found.tables().end())
        && said.first_day <= found.first_day
        && found.last_day <= said.last_day
        && said.min_time <= found.min_time
        && found.max_time <= said.max_time
        && said.above <= found.above
        && found.upto <= said.upto
        && said.clean_upto <= found.clean_upto
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use neap_bucket::Stamp;
    use neap_schema::TableId;
    use ulid::Ulid;

    use super::*;
    use crate::Severity;

    fn range(min: &str, max: &str, has_null: bool) -> TagRange {
        TagRange {
            min: Some(min.to_owned()),
            max: Some(max.to_owned()),
            has_null,
        }
    }

    fn section() -> Section {
        Section {
            object: Ulid::from_parts(1, 1),
            length: 100,
            footer_length: 10,
            table: TableId::new(1),
            upto: Stamp::from_u64(1),
            rows: 5,
            min_time: 10,
            max_time: 20,
            tags: BTreeMap::from([("host".to_owned(), range("b", "d", false))]),
            series: Some("5e12".to_owned()),
            footer_crc32c: 7,
            added: 1,
            ..Section::default()
        }
    }

    fn content() -> SectionContent {
        SectionContent {
            rows: 5,
            times: Some((10, 20)),
            tags: BTreeMap::from([("host".to_owned(), range("b", "c", false))]),
            series: Some("5e12".to_owned()),
            footer_bytes: 10,
            footer_crc32c: 7,
            flaws: Vec::new(),
        }
    }

    fn worst(change: impl FnOnce(&mut SectionContent)) -> Option<Severity> {
        let mut content = content();
        change(&mut content);
        let correction = compare(&section(), &content)?;
        assert!(compare(&correction.section, &content).is_none());
        correction.findings.iter().map(|one| one.severity).max()
    }

    #[test]
    fn narrow_bounds_are_errors_and_wide_bounds_are_not() {
        assert_eq!(worst(|_| {}), None);
        assert_eq!(worst(|content| content.rows = 4), Some(Severity::Error));
        assert_eq!(worst(|content| content.times = Some((9, 20))), Some(Severity::Error));
        assert_eq!(worst(|content| content.times = Some((11, 19))), Some(Severity::Warning));
        assert_eq!(worst(|content| content.footer_bytes = 11), Some(Severity::Error));
        assert_eq!(worst(|content| content.footer_crc32c = 8), Some(Severity::Error));
        assert_eq!(worst(|content| content.series = None), Some(Severity::Error));
        let with = |tag: &str, range: TagRange| {
            let tag = tag.to_owned();
            worst(|content| {
                content.tags.insert(tag, range);
            })
        };
        assert_eq!(with("host", range("a", "c", false)), Some(Severity::Error));
        assert_eq!(with("host", range("b", "e", false)), Some(Severity::Error));
        assert_eq!(with("host", range("b", "c", true)), Some(Severity::Error));
        assert_eq!(with("zone", range("b", "c", true)), Some(Severity::Error));
    }

    #[test]
    fn an_unknown_digest_is_no_wrong_one() {
        let unknown = Section { series: None, ..section() };
        assert!(compare(&unknown, &content()).is_none());
    }

    #[test]
    fn a_reference_with_narrower_bounds_is_not_wide_enough() {
        let sections = [SectionWithFooter { section: section().into(), footer: None }];
        let said = PageRef {
            object: Ulid::from_parts(1, 2),
            offset: 0,
            size_bytes: 10,
            table: TableId::new(1),
            last_table: None,
            first_day: 0,
            last_day: 0,
            min_time: 10,
            max_time: 20,
            above: Stamp::ZERO,
            upto: Stamp::from_u64(1),
            clean_upto: Stamp::from_u64(1),
            first_added: 1,
            sections: 1,
            rows: 5,
            head_bytes: 0,
            head_crc32c: 0,
        };
        assert_eq!(recompute_reference(&said, &sections), Some(said.clone()));
        assert_eq!(recompute_reference(&said, &[]), None);
        let wide = PageRef { max_time: 30, ..said.clone() };
        assert!(is_wide_enough(&wide, &said));
        assert!(!is_wide_enough(&said, &wide));
    }
}
