//! The tokens in the root catalog.

use std::collections::BTreeMap;

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

use super::{
    MAX_TOKEN_NAME_BYTES, MAX_TOKENS, OPERATOR_TOKEN_NAME, Permissions, TokenEntry, TokenHash,
    TokenId,
};
use crate::CatalogError;

/// The tokens of a cluster, and the id of the next one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenSet {
    next: TokenId,
    entries: BTreeMap<TokenId, TokenEntry>,
}

impl Default for TokenSet {
    fn default() -> Self {
        Self {
            next: TokenId::new(1),
            entries: BTreeMap::new(),
        }
    }
}

impl TokenSet {
    pub(crate) fn entries(&self) -> &BTreeMap<TokenId, TokenEntry> {
        &self.entries
    }

    /// Returns whether there are no tokens and there was never one other than the operator token.
    pub(crate) fn is_unused(&self) -> bool {
        self.entries.is_empty() && self.next == TokenId::new(1)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<(TokenId, &TokenEntry)> {
        let mut entries = self.entries.iter();
        let found = entries.find(|(_, entry)| entry.name == name);
        found.map(|(id, entry)| (*id, entry))
    }

    /// Adds the operator token.
    pub(super) fn add_operator(&mut self, entry: TokenEntry) -> Result<TokenId, CatalogError> {
        if self.entries.contains_key(&TokenId::OPERATOR) {
            return Err(CatalogError::TokenExists { name: entry.name });
        }
        self.entries.insert(TokenId::OPERATOR, entry);
        Ok(TokenId::OPERATOR)
    }

    /// Adds another token under the next id.
    pub(super) fn add(&mut self, entry: TokenEntry) -> Result<TokenId, CatalogError> {
        if entry.name == OPERATOR_TOKEN_NAME || self.by_name(&entry.name).is_some() {
            return Err(CatalogError::TokenExists { name: entry.name });
        }
        if entry.name.len() > MAX_TOKEN_NAME_BYTES {
            return Err(CatalogError::TokenNameTooLong);
        }
        if self.entries.len() >= MAX_TOKENS {
            return Err(CatalogError::TooManyTokens);
        }
        let id = self.next;
        let no_more = CatalogError::NoMoreIds { what: "token" };
        self.next = id.next().ok_or(no_more)?;
        self.entries.insert(id, entry);
        Ok(id)
    }

    /// Replaces the hash of the operator token. Returns `None` if there is no operator token.
    pub(super) fn replace_operator(
        &mut self,
        hash: TokenHash,
        now: StoreTime,
        by: Option<TokenId>,
    ) -> Option<TokenEntry> {
        let entry = self.entries.get_mut(&TokenId::OPERATOR)?;
        entry.hash = hash;
        entry.expiry = None;
        entry.updated = Some(now);
        entry.updated_by = by;
        Some(entry.clone())
    }

    /// Returns the permissions of all tokens.
    pub(crate) fn permissions_mut(&mut self) -> impl Iterator<Item = &mut Permissions> {
        self.entries
            .values_mut()
            .map(|entry| &mut entry.permissions)
    }

    pub(super) fn remove(&mut self, id: TokenId) {
        self.entries.remove(&id);
    }

    pub(crate) fn has_admin(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(|entry| entry.permissions.is_admin())
    }
}
