//! Loads everything that a manifest and its pages reference, live and condemned.

use std::{collections::BTreeSet, sync::Arc};

use neap_manifest::{
    CondemnedEntry, DroppedItem, Manifest, ManifestError, ObjectName, PageRef, Section,
    SectionWithFooter,
};

use crate::{
    Finding, FindingKind, FsckError, Severity,
    fsck::DatabaseTarget,
    messages,
    statistics::{is_wide_enough, recompute_reference},
    store::ObjectInventory,
};

/// The sections and objects that a manifest and its pages reference.
#[derive(Default)]
pub(crate) struct ManifestContents {
    /// Sections that queries read.
    pub(crate) live: Vec<SectionWithFooter>,
    /// Sections that only earlier versions read.
    pub(crate) condemned: Vec<Arc<Section>>,
    /// All referenced objects of this database, including those of doomed entries.
    pub(crate) objects: BTreeSet<ObjectName>,
    /// Pages that could not be read. They may reference more objects.
    pub(crate) unreadable: Vec<(PageRef, Finding)>,
    /// Corrected references to pages.
    pub(crate) corrected: Vec<PageRef>,
    pub(crate) pages: u64,
}

impl ManifestContents {
    /// Returns the findings about unreadable pages. A page beyond the end of its object is reported as truncated.
    pub(crate) fn findings(&self, own: Option<&ObjectInventory>) -> Vec<Finding> {
        let finding = |(page, finding): &(PageRef, Finding)| {
            let needed = page.range().end;
            let listed = own.and_then(|own| own.get(&ObjectName::Page(page.object)));
            match listed.filter(|listed| listed.size_bytes < needed) {
                None => finding.clone(),
                Some(listed) => Finding {
                    kind: FindingKind::Truncated,
                    message: format!(
                        "it has {} of {needed} bytes; the list of {} sections with {} rows is cut",
                        listed.size_bytes, page.sections, page.rows
                    ),
                    ..finding.clone()
                },
            }
        };
        self.unreadable.iter().map(finding).collect()
    }

    fn add_live(&mut self, one: SectionWithFooter) {
        if one.section.origin.is_none() {
            self.objects.insert(one.section.object_name());
        }
        self.live.push(one);
    }

    fn add_condemned(&mut self, section: &Arc<Section>, doomed: bool) {
        if section.origin.is_none() {
            self.objects.insert(section.object_name());
        }
        if !doomed {
            self.condemned.push(Arc::clone(section));
        }
    }
}

impl DatabaseTarget<'_> {
    /// Reads the pages of a manifest and collects its references.
    pub(crate) async fn load(
        &self,
        manifest: &Manifest,
        findings: &mut Vec<Finding>,
    ) -> Result<ManifestContents, FsckError> {
        let mut named = ManifestContents {
            pages: manifest.pages.len() as u64,
            ..ManifestContents::default()
        };
        for section in &manifest.sections {
            named.add_live(SectionWithFooter { section: Arc::clone(section), footer: None });
        }
        for page in &manifest.pages {
            named.objects.insert(ObjectName::Page(page.object));
            match self.page(page).await? {
                Ok(sections) => {
                    findings.extend(self.check_page(page, &sections, &mut named));
                    sections.into_iter().for_each(|one| named.add_live(one));
                }
                Err(finding) => named.unreadable.push((page.clone(), finding)),
            }
        }
        named.objects.extend(manifest.damaged_objects());
        for entry in &manifest.condemned {
            self.load_condemned(entry, &mut named).await?;
        }
        Ok(named)
    }

    async fn load_condemned(
        &self,
        entry: &CondemnedEntry,
        named: &mut ManifestContents,
    ) -> Result<(), FsckError> {
        match &entry.what {
            DroppedItem::Section(section) => named.add_condemned(section, entry.doomed),
            DroppedItem::Object(name) => {
                named.objects.insert(*name);
            }
            DroppedItem::Page(page) => {
                named.objects.insert(ObjectName::Page(page.object));
                match self.page(page).await? {
                    Ok(sections) => sections
                        .iter()
                        .for_each(|one| named.add_condemned(&one.section, entry.doomed)),
                    // The collector deletes the objects of a page before the page itself.
                    Err(finding) if entry.doomed && finding.kind == FindingKind::Missing => {}
                    Err(finding) => {
                        let finding = Finding {
                            severity: Severity::Warning,
                            message: format!("{}: of earlier versions only", finding.message),
                            ..finding
                        };
                        named.unreadable.push((page.clone(), finding));
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the sections of a page; returns a finding if it is damaged.
    pub(crate) async fn page(
        &self,
        page: &PageRef,
    ) -> Result<Result<Vec<SectionWithFooter>, Finding>, FsckError> {
        let only = Manifest { pages: vec![page.clone()], ..Manifest::default() };
        let lost = format!("{} sections with {} rows", page.sections, page.rows);
        let found = self.fsck.manifests.all_sections(self.id, &only).await;
        Ok(match found {
            Ok(sections) => Ok(sections),
            Err(ManifestError::PageGone { key }) => {
                let message = format!("it is missing, and with it the list of {lost}");
                Err(Finding::error(FindingKind::Missing, message).at(key))
            }
            Err(ManifestError::Format(error)) => {
                let finding = messages::format_finding(&error);
                let message = format!("{}; it lists {lost}", finding.message);
                Err(Finding { message, ..finding })
            }
            Err(error) => return Err(error.into()),
        })
    }

    /// Compares the manifest's statistics of a page with its content.
    fn check_page(
        &self,
        page: &PageRef,
        sections: &[SectionWithFooter],
        named: &mut ManifestContents,
    ) -> Option<Finding> {
        let mut truth = recompute_reference(page, sections)?;
        // Values that are too low only cost time.
        truth.clean_upto = page.clean_upto.min(truth.clean_upto);
        truth.first_added = page.first_added.min(truth.first_added);
        if truth == *page {
            return None;
        }
        let severity = if is_wide_enough(page, &truth) {
            Severity::Warning
        } else {
            Severity::Error
        };
        let message = format!(
            "its page at byte {} differs from its reference in the manifest: {} sections with {} rows of {} to {}",
            page.offset, truth.sections, truth.rows, truth.min_time, truth.max_time
        );
        named.corrected.push(truth);
        let finding = Finding::new(severity, FindingKind::WrongStatistics, message);
        Some(finding.at(page.key(self.id)))
    }
}
