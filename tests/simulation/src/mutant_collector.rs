//! The simulation's own collector, which follows all rules of collecting except one. Manifests have no pages.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{PrefixListing, RegisterChange, StoreTime, VersionedValue};
use neap_manifest::{CondemnedEntry, DroppedItem, Manifest, ObjectName};
use neap_schema::DatabaseId;

use crate::{disabled_rule::DisabledRule, instance::Instance};

/// The input of the commit of a collection.
struct PreparedCollection {
    weakness: DisabledRule,
    deleted: BTreeSet<ObjectName>,
    orphans: BTreeSet<ObjectName>,
    time_travel: Duration,
    /// The manifest that the collection read first.
    read: VersionedValue<Manifest>,
}

fn name_of(entry: &CondemnedEntry) -> Option<ObjectName> {
    match &entry.what {
        DroppedItem::Section(section) if section.origin.is_none() => Some(section.object_name()),
        DroppedItem::Section(_) | DroppedItem::Page(_) => None,
        DroppedItem::Object(name) => Some(*name),
    }
}

fn live(manifest: &Manifest) -> BTreeSet<ObjectName> {
    manifest
        .sections
        .iter()
        .filter(|section| section.origin.is_none())
        .map(|section| section.object_name())
        .collect()
}

fn names_of(
    manifest: &Manifest,
    is_wanted: impl Fn(&CondemnedEntry) -> bool,
) -> BTreeSet<ObjectName> {
    let wanted = manifest.condemned.iter().filter(|entry| is_wanted(entry));
    wanted.filter_map(name_of).collect()
}

/// Whether an entry's time-travel period is over and no restored database pins it.
fn is_past_time_travel(
    entry: &CondemnedEntry,
    manifest: &VersionedValue<Manifest>,
    now: StoreTime,
    time_travel: Duration,
) -> bool {
    let committed = match entry.committed {
        None if entry.version == manifest.version => manifest.committed,
        committed => committed,
    };
    let added = match &entry.what {
        DroppedItem::Section(section) => section.added,
        DroppedItem::Page(_) | DroppedItem::Object(_) => entry.version,
    };
    let mut pins = manifest.value.pins.iter();
    let is_pinned = pins.any(|pin| added <= pin.version && pin.version < entry.version);
    let is_old = committed.is_some_and(|committed| now.since(committed) >= time_travel);
    is_old && !is_pinned
}

impl Instance {
    /// Deletes garbage.
    pub(crate) async fn collect_without_rule(
        &self,
        database: DatabaseId,
        weakness: DisabledRule,
    ) -> Option<()> {
        let manifest = self.manifests.read(database, None).await.ok()?;
        self.collector.collect_segments(database, &manifest).await.ok()?;
        let now = manifest.current_at?;
        let time_travel = self.collects.time_travel;
        let value = &manifest.value;
        let live = live(value);
        let deletable: BTreeSet<_> = match weakness {
            DisabledRule::DoomBeforeDelete => {
                let over = |entry: &CondemnedEntry| {
                    is_past_time_travel(entry, &manifest, now, time_travel)
                };
                let rest = names_of(value, |entry| !over(entry));
                let over = names_of(value, over);
                over.difference(&rest).copied().collect()
            }
            DisabledRule::DeleteAfterLastSection => names_of(value, |entry| entry.doomed),
            _ => {
                let rest = names_of(value, |entry| !entry.doomed);
                let doomed = names_of(value, |entry| entry.doomed);
                doomed.difference(&rest).copied().collect()
            }
        };
        let is_first = weakness == DisabledRule::DeleteAfterLastSection;
        let deleted: BTreeSet<_> =
            deletable.into_iter().filter(|name| is_first || !live.contains(name)).collect();
        let named = names_of(value, |_| true);
        let mut orphans = self.old_objects(database).await?;
        orphans.retain(|name| !live.contains(name) && !named.contains(name));
        let mut gone: Vec<_> = deleted.iter().copied().collect();
        if weakness == DisabledRule::CondemnOrphans {
            gone.extend(std::mem::take(&mut orphans));
        }
        let keys: Vec<_> = gone.iter().map(|name| name.key(database).to_string()).collect();
        if !keys.is_empty() {
            self.trace(format_args!("deletes {keys:?}"));
            self.bucket.delete(&keys).await.ok()?;
        }
        let collection = PreparedCollection {
            weakness,
            deleted,
            orphans,
            time_travel,
            read: manifest.clone(),
        };
        let change = |base: &VersionedValue<Manifest>| {
            Ok::<_, ()>(match collection.apply(base) {
                Some(next) => RegisterChange::Put(next, ()),
                None => RegisterChange::Keep(()),
            })
        };
        let register = self.manifests.register(database);
        register.commit(Some(manifest), change).await.ok()?;
        Some(())
    }

    /// Returns the bundles that are old enough to be orphans.
    async fn old_objects(&self, database: DatabaseId) -> Option<BTreeSet<ObjectName>> {
        let mut found = BTreeSet::new();
        let prefix = format!("data/{database}/");
        let mut listing = PrefixListing::new(&self.bucket, &prefix);
        while let Some(page) = listing.next().await.ok()? {
            let now = page.date?;
            for entry in page.value {
                let name = entry.key.parse().ok().and_then(|key| ObjectName::of_key(&key));
                let is_old = now.since(entry.last_modified) >= self.collects.orphan_age;
                found.extend(name.filter(|_| is_old).map(|(_, name)| name));
            }
        }
        Some(found)
    }
}

impl PreparedCollection {
    fn apply(&self, base: &VersionedValue<Manifest>) -> Option<Manifest> {
        let mut next = Manifest::successor(base);
        let before = next.clone();
        next.condemned.retain(|entry| {
            let is_due = entry.doomed || self.weakness == DisabledRule::DoomBeforeDelete;
            let is_gone = name_of(entry).is_none_or(|name| self.deleted.contains(&name));
            !is_due || !is_gone
        });
        let considered = match self.weakness {
            DisabledRule::CurrentManifest => &self.read,
            _ => base,
        };
        let now = considered.current_at?;
        let Manifest { condemned, oldest_readable, .. } = &mut next;
        for entry in condemned.iter_mut().filter(|entry| !entry.doomed) {
            if is_past_time_travel(entry, considered, now, self.time_travel) {
                entry.doomed = true;
                if matches!(entry.what, DroppedItem::Section(_)) {
                    *oldest_readable = (*oldest_readable).max(entry.version);
                }
            }
        }
        let live = live(&next);
        let named = names_of(&next, |_| true);
        let orphans = self
            .orphans
            .iter()
            .filter(|name| !live.contains(name))
            .filter(|name| !named.contains(name));
        next.condemned.extend(orphans.map(|name| CondemnedEntry {
            what: DroppedItem::Object(*name),
            version: base.version + 1,
            first_version: None,
            committed: None,
            doomed: false,
        }));
        (next != before).then_some(next)
    }
}
