//! The audit log: it is kept in the register that an administrative change modifies, and is written by the same commit.
//!
//! An entry therefore costs no request, and exists exactly if the change does. Databases, tables and columns that
//! writes create implicitly are not recorded.

use std::{collections::BTreeMap, sync::Arc};

use neap_bucket::StoreTime;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{Actor, TokenId, UserId, origin};

/// Maximum number of entries in a register. The oldest entry of the author with the most entries is evicted first. Tokens
/// that a token or user has created count as the same author.
pub const MAX_AUDIT_ENTRIES: usize = 256;

/// Maximum bytes of each text in an entry.
const MAX_TEXT_BYTES: usize = 128;

/// A record of an administrative change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When the change was made, by the store's clock.
    pub time: StoreTime,
    /// The name of the token or user that authorized it; `None`: no token was required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The id of that token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<TokenId>,
    /// The id of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The first token of the chain of creators that leads to `token_id`, if it is another token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_token_id: Option<TokenId>,
    /// The user at the start of this chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_user_id: Option<UserId>,
    /// The address of the client, or `local`; `None`: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The id of the request, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The action, such as `create database`.
    pub action: String,
    /// The name of the changed object.
    pub target: String,
    /// Details, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The latest changes of a register, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AuditLog(Vec<Arc<AuditEntry>>);

impl AuditLog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &AuditEntry> {
        self.0.iter().map(Arc::as_ref)
    }

    /// Adds an entry for an action of the current [`origin`].
    pub(crate) fn add(
        &mut self,
        time: StoreTime,
        action: &'static str,
        target: &str,
        detail: Option<String>,
    ) {
        let origin = origin::current();
        let (token_id, token) = origin.token.unzip();
        let (user_id, user) = origin.user.unzip();
        let who = token.or(user);
        let (authority_token_id, authority_user_id) = match origin.authority {
            Some(Actor::Token(id)) => (Some(id).filter(|id| Some(*id) != token_id), None),
            Some(Actor::User(id)) => (None, Some(id).filter(|id| Some(*id) != user_id)),
            None => (None, None),
        };
        let entry = AuditEntry {
            time,
            who: who.as_deref().map(cut),
            token_id,
            user_id,
            authority_token_id,
            authority_user_id,
            address: origin.address,
            request_id: Some(origin.request).filter(|request| !request.is_empty()),
            action: action.to_owned(),
            target: cut(target),
            detail: detail.as_deref().map(cut),
        };
        self.0.push(Arc::new(entry));
        while self.0.len() > MAX_AUDIT_ENTRIES {
            self.evict_one();
        }
    }

    /// Removes the oldest entry of the author with the most entries, so that an author with many changes evicts its own
    /// entries and not those of others. It can't evict others with tokens that it creates for the purpose, because they
    /// count as the same author.
    fn evict_one(&mut self) {
        let author = |entry: &AuditEntry| match (entry.authority_token_id, entry.authority_user_id)
        {
            (None, None) => (entry.token_id, entry.user_id),
            authority => authority,
        };
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for entry in &self.0 {
            *counts.entry(author(entry)).or_default() += 1;
        }
        let most = counts.values().max();
        let mut entries = self.0.iter();
        let oldest = entries.position(|entry| counts.get(&author(entry)) == most);
        if let Some(place) = oldest {
            self.0.remove(place);
        }
    }

    /// Returns the entry that was added to this log since `base`.
    pub(crate) fn new_entry_since(&self, base: &Self) -> Option<Arc<AuditEntry>> {
        let added = self.0.last()?;
        let there = base.0.last().is_some_and(|last| Arc::ptr_eq(last, added));
        (!there).then(|| Arc::clone(added))
    }

    /// Returns the approximate memory size of the entries, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let texts = |entry: &AuditEntry| {
            let others = [&entry.who, &entry.address, &entry.request_id, &entry.detail]
                .into_iter()
                .flatten()
                .map(String::len);
            entry.action.len() + entry.target.len() + others.sum::<usize>()
        };
        let entries = self.entries();
        entries.map(|entry| size_of::<AuditEntry>() + texts(entry)).sum()
    }
}

/// Logs a committed entry to the process log. `database` is `None` for a change of the root catalog.
pub(crate) fn log_change(entry: Option<Arc<AuditEntry>>, database: Option<DatabaseId>) {
    let Some(entry) = entry else {
        return;
    };
    tracing::info!(
        target: "neap::audit",
        action = entry.action,
        target = entry.target,
        detail = entry.detail,
        database = database.map(DatabaseId::get),
        who = entry.who,
        token_id = entry.token_id.map(TokenId::get),
        user_id = entry.user_id.map(UserId::get),
        address = entry.address,
        request_id = entry.request_id,
        "changed",
    );
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    let (kept, rest) = text.split_at(end);
    let more = if rest.is_empty() { "" } else { "…" };
    format!("{kept}{more}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Catalog, CatalogError, ChangeOrigin, HardDelete, NewLastCache, TableAddition,
        tests::CatalogFixture,
    };

    fn origin() -> ChangeOrigin {
        ChangeOrigin {
            token: Some((TokenId::new(7), "ops".to_owned())),
            user: None,
            authority: None,
            address: Some("192.0.2.1".to_owned()),
            request: "r-1".to_owned(),
        }
    }

    async fn of_root(catalog: &Catalog) -> Vec<String> {
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        root.audit().map(shown).collect()
    }

    fn shown(entry: &AuditEntry) -> String {
        let detail = entry.detail.as_deref().unwrap_or("-");
        let who = entry.who.as_deref().unwrap_or("-");
        format!("{who}: {} '{}' ({detail})", entry.action, entry.target)
    }

    async fn change_everything(catalog: &Catalog) -> Result<DatabaseId, CatalogError> {
        let hour = Some(Duration::from_secs(3600));
        let id = catalog.create_database("db", hour).await?;
        catalog.set_retention(id, hour).await?;
        let tags = ["host".to_owned()];
        let created = catalog.create_table(id, "t", &tags, &[]).await?;
        let table = created.value.table("t").map(|table| table.id());
        catalog.set_table_retention(id, table.unwrap_or_default(), None).await?;
        catalog.set_table_retention(id, table.unwrap_or_default(), hour).await?;
        let cache = NewLastCache {
            table: "t".to_owned(),
            name: Some("c".to_owned()),
            key_columns: None,
            value_columns: None,
            count: 1,
            ttl_s: 60,
        };
        catalog.create_last_cache(id, &cache).await?;
        catalog.delete_last_cache(id, "t", "c").await?;
        catalog.delete_table(id, "t", HardDelete::Never).await?;
        catalog.undelete_table(id, "t", Some("u")).await?;
        let lost = "3 rows".to_owned();
        catalog.record_quarantine(id, "tail/1/x", lost).await?;
        catalog.delete_database("db", HardDelete::Never).await?;
        catalog.undelete_database("db", None).await?;
        catalog.create_admin_token().await?;
        catalog.create_named_admin("other", None, None).await?;
        catalog.regenerate_admin_token(None).await?;
        catalog.delete_token("other", None).await?;
        Ok(id)
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_recorded_in_the_register_that_they_modify() {
        let catalog = CatalogFixture::new().instance();
        let id = origin::scope(origin(), change_everything(&catalog)).await.unwrap();
        insta::assert_snapshot!(of_root(&catalog).await.join("\n"), @r"
        ops: create database 'db' (-)
        ops: delete database 'db' (its data is kept)
        ops: undelete database 'db' (as db)
        ops: create token '_admin' (-)
        ops: create token 'other' (*:*:*)
        ops: regenerate token '_admin' (-)
        ops: delete token 'other' (-)
        ");
        let database = catalog.database(id, Duration::ZERO).await.unwrap().value;
        let own: Vec<_> = database.audit().map(shown).collect();
        insta::assert_snapshot!(own.join("\n"), @r"
        ops: set retention 'db' (3600 s)
        ops: create table 't' (1 tags, 0 fields)
        ops: set table retention 't' (3600 s)
        ops: create last cache 'c' (of table t)
        ops: delete last cache 'c' (of table t)
        ops: delete table 't' (its data is kept)
        ops: undelete table 't' (as u)
        ops: quarantine 'tail/1/x' (3 rows)
        ");
    }

    #[tokio::test]
    async fn an_entry_names_its_origin_and_costs_no_request() {
        let (stage, catalog) = CatalogFixture::with_instance();
        catalog.root(Duration::ZERO).await.unwrap();
        stage.taken();
        let create = catalog.create_database("db", None);
        origin::scope(origin(), create).await.unwrap();
        assert_eq!(stage.taken().puts, 1);
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        let mut json = serde_json::to_value(root.audit().last().unwrap()).unwrap();
        json["time"] = 1.into();
        let expected = serde_json::json!({
            "action": "create database", "address": "192.0.2.1", "request_id": "r-1",
            "target": "db", "time": 1, "token_id": 7, "who": "ops",
        });
        assert_eq!(json, expected);
    }

    #[tokio::test]
    async fn no_ops_and_implicit_creations_are_not_recorded() {
        let catalog = CatalogFixture::new().instance();
        let any = Duration::MAX;
        let id = catalog.get_or_create_database("db", any).await.unwrap();
        let known = catalog.database(id, any).await.unwrap();
        let addition = TableAddition { table: "t".to_owned(), columns: Vec::new() };
        catalog.add(id, known, &[addition]).await.unwrap();
        catalog.set_retention(id, None).await.unwrap();
        catalog.create_database("db", None).await.unwrap_err();
        assert!(of_root(&catalog).await.is_empty());
        let own = catalog.database(id, Duration::ZERO).await.unwrap().value;
        assert_eq!(own.audit().count(), 0);
    }

    #[test]
    fn old_entries_are_evicted_and_long_texts_truncated() {
        let mut log = AuditLog::default();
        let long = "é".repeat(MAX_TEXT_BYTES);
        for number in 0..1_000 {
            let time = StoreTime::from_micros(number);
            log.add(time, "test", &long, Some(long.clone()));
        }
        assert_eq!(log.entries().count(), MAX_AUDIT_ENTRIES);
        let first = log.entries().next().unwrap();
        assert_eq!(first.time, StoreTime::from_micros(744));
        assert!(first.target.len() <= MAX_TEXT_BYTES + '…'.len_utf8());
        assert!(log.size_bytes() < 160 << 10);
    }

    #[tokio::test]
    async fn a_token_with_many_changes_evicts_only_its_own_entries() {
        let mut log = AuditLog::default();
        let mut number = 0;
        let mut add = async |token: u64| {
            number += 1;
            let origin = ChangeOrigin {
                token: Some((TokenId::new(token), format!("t{token}"))),
                ..ChangeOrigin::default()
            };
            let time = StoreTime::from_micros(number);
            origin::scope(origin, async { log.add(time, "test", "x", None) }).await;
        };
        for token in 1..=3 {
            add(token).await;
        }
        for _ in 0..1_000 {
            add(4).await;
        }
        add(1).await;
        let of = |token: u64| {
            let entries = log.entries();
            let own = entries.filter(move |entry| entry.token_id == Some(TokenId::new(token)));
            own.map(|entry| entry.time.micros()).collect::<Vec<_>>()
        };
        assert_eq!((of(1), of(2), of(3)), (vec![1, 1004], vec![2], vec![3]));
        assert_eq!(of(4), (752..=1003).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn tokens_that_a_token_creates_do_not_evict_the_entries_of_others() {
        let mut log = AuditLog::default();
        let mut number = 0;
        let mut add = async |token: u64, authority: Option<Actor>| {
            number += 1;
            let origin = ChangeOrigin {
                token: Some((TokenId::new(token), format!("t{token}"))),
                authority,
                ..ChangeOrigin::default()
            };
            let time = StoreTime::from_micros(number);
            origin::scope(origin, async { log.add(time, "test", "x", None) }).await;
        };
        add(1, None).await;
        add(2, Some(Actor::Token(TokenId::new(2)))).await;
        for token in 3..1_000 {
            add(token, Some(Actor::Token(TokenId::new(2)))).await;
        }
        let of = |token: u64| {
            let mut entries = log.entries();
            entries.any(|entry| entry.token_id == Some(TokenId::new(token)))
        };
        assert!(of(1) && !of(2) && of(999));
        assert_eq!(log.entries().count(), MAX_AUDIT_ENTRIES);
        let last = log.entries().next_back().unwrap();
        assert_eq!(last.authority_token_id, Some(TokenId::new(2)));
    }
}
