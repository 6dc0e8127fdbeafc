//! `system.tokens` of `_internal`: the tokens, with the columns of InfluxDB 3. Shows only the first characters of a
//! hash, and no hashes if the server requires no tokens.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{RootCatalog, TokenEntry, TokenId};
use neap_scan::external;

use super::{
    source::SystemTableSource, system_sources::SystemSources, table_builder::SystemTableBuilder,
};

/// The number of characters of a hash that are shown.
const SHOWN_HASH_CHARS: usize = 9;

/// The tokens of a cluster.
#[derive(Debug)]
pub(super) struct TokensSource(pub(super) Arc<SystemSources>);

impl TokensSource {
    fn table(&self, root: &RootCatalog) -> Result<RecordBatch> {
        let tokens: Vec<(&TokenId, &TokenEntry)> = root.tokens().iter().collect();
        let id = |id: Option<TokenId>| id.map(TokenId::get);
        let mut table = SystemTableBuilder::new(&tokens)
            .counts("token_id", |(id, _)| id.get())
            .views("name", |(_, entry)| &entry.name);
        if self.0.shows_token_hashes {
            table = table.views("hash", |(_, entry)| {
                let mut hash = entry.hash.to_hex();
                hash.truncate(SHOWN_HASH_CHARS);
                hash
            });
        }
        table
            .millis("created_at", |(_, entry)| entry.created)
            .views_or_null("description", |(_, entry)| entry.description.as_deref())
            .counts_or_null("created_by_token_id", |(_, entry)| id(entry.created_by))
            .millis_or_null("updated_at", |(_, entry)| entry.updated)
            .counts_or_null("updated_by_token_id", |(_, entry)| id(entry.updated_by))
            .millis_or_null("expiry", |(_, entry)| entry.expiry)
            .views("permissions", |(_, entry)| entry.permissions.named(root))
            .finish()
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
