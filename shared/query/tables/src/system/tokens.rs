//! `system.tokens` of `_internal`: the tokens, with the columns of InfluxDB 3. Shows only the first characters of a
//! hash, and no hashes if the server requires no tokens.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{RootCatalog, TokenEntry, TokenId};
use neap_scan::external;

use super::{
    columns::{counts, counts_or_null, millis, millis_or_null, table, views, views_or_null},
    source::SystemTableSource,
    system_sources::SystemSources,
};

/// The number of characters of a hash that are shown.
const SHOWN_HASH_CHARS: usize = 9;

/// The tokens of a cluster.
#[derive(Debug)]
pub(super) struct TokensSource(pub(super) Arc<SystemSources>);

impl TokensSource {
    fn table(&self, root: &RootCatalog) -> Result<RecordBatch> {
        let tokens: &BTreeMap<TokenId, TokenEntry> = root.tokens();
        let entries = || tokens.values();
        let id = |id: Option<TokenId>| id.map(TokenId::get);
        let mut columns = vec![
            ("token_id", false, counts(tokens.keys().map(|id| id.get()))),
            ("name", false, views(entries().map(|entry| &entry.name))),
        ];
        if self.0.shows_token_hashes {
            let hashes = entries().map(|entry| {
                let mut hash = entry.hash.to_hex();
                hash.truncate(SHOWN_HASH_CHARS);
                hash
            });
            columns.push(("hash", false, views(hashes)));
        }
        columns.extend([
            (
                "created_at",
                false,
                millis(entries().map(|entry| entry.created)),
            ),
            (
                "description",
                true,
                views_or_null(entries().map(|entry| entry.description.as_deref())),
            ),
            (
                "created_by_token_id",
                true,
                counts_or_null(entries().map(|entry| id(entry.created_by))),
            ),
            (
                "updated_at",
                true,
                millis_or_null(entries().map(|entry| entry.updated)),
            ),
            (
                "updated_by_token_id",
                true,
                counts_or_null(entries().map(|entry| id(entry.updated_by))),
            ),
            (
                "expiry",
                true,
                millis_or_null(entries().map(|entry| entry.expiry)),
            ),
            (
                "permissions",
                false,
                views(entries().map(|entry| entry.permissions.named(root))),
            ),
        ]);
        table(columns)
    }
}

#[async_trait]
impl SystemTableSource for TokensSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        let root = self.0.catalog.root(Duration::ZERO).await;
        self.table(&root.map_err(external)?.value)
    }

    fn empty(&self) -> Result<RecordBatch> {
        self.table(&RootCatalog::default())
    }
}
