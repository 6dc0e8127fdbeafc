//! The tokens in the root catalog.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

use super::{
    MAX_TOKEN_NAME_BYTES, MAX_TOKENS, OPERATOR_TOKEN_NAME, Permissions, TokenEntry, TokenHash,
    TokenId,
};
use crate::{Actor, CatalogError};

/// The tokens of a cluster, and the id of the next one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenSet {
    next: TokenId,
    entries: BTreeMap<TokenId, TokenEntry>,
}

impl Default for TokenSet {
    fn default() -> Self {
        Self { next: TokenId::new(1), entries: BTreeMap::new() }
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

    pub(crate) fn permissions_mut(&mut self) -> impl Iterator<Item = &mut Permissions> {
        self.entries.values_mut().map(|entry| &mut entry.permissions)
    }

    /// Removes a token. Tokens that it created stay, as if its own creator had created them.
    pub(super) fn remove(&mut self, id: TokenId) {
        let Some(removed) = self.entries.remove(&id) else {
            return;
        };
        let Some(above) = removed.parent() else {
            return;
        };
        for entry in self.entries.values_mut() {
            if entry.parent() == Some(id) {
                entry.inherited_by = Some(above);
            }
        }
    }

    /// Returns the token or user at the start of the chain of creators that leads to a token.
    pub(crate) fn authority(&self, id: TokenId) -> Actor {
        let mut first = id;
        // The id of a creator is lower, so the chain ends.
        while let Some(entry) = self.entries.get(&first) {
            match (entry.parent(), entry.created_by_user) {
                (Some(parent), _) if parent < first => first = parent,
                (_, Some(user)) => return Actor::User(user),
                _ => break,
            }
        }
        Actor::Token(first)
    }

    /// Returns a token, the tokens that it created, and those that they created, in the order of their ids. The id of a
    /// token is higher than that of its creator.
    pub(super) fn descendants(&self, id: TokenId) -> BTreeSet<TokenId> {
        let mut found = BTreeSet::from([id]);
        for (id, entry) in &self.entries {
            if entry.parent().is_some_and(|parent| found.contains(&parent)) {
                found.insert(*id);
            }
        }
        found
    }

    pub(crate) fn has_admin(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(|entry| entry.permissions.is_admin())
    }
}
