//! Creates and replaces the secret of a cluster.

use neap_bucket::StoreTime;

use super::{ClusterSecret, ClusterSecrets};
use crate::{ANY_AGE, Catalog, CatalogError, RootCatalog};

/// The name of the secret in the audit log.
const AUDIT_TARGET: &str = "cluster";

impl RootCatalog {
    /// Replaces the secret of the cluster, if there is one.
    pub(crate) fn rotate_cluster_secret(&mut self, new: &ClusterSecret, now: StoreTime) {
        if let Some(secrets) = &mut self.cluster_secrets {
            secrets.rotate(new.clone(), now);
        }
    }
}

impl Catalog {
    /// Creates the secret of the cluster, unless there is one. If the cached catalog has one, this takes no request.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn ensure_cluster_secret(&self) -> Result<(), CatalogError> {
        let known = self.root(ANY_AGE).await?;
        if known.value.cluster_secrets().is_some() {
            return Ok(());
        }
        let new = ClusterSecret::generate(self.bucket.world());
        self.change_known_root(known, |root| {
            if root.cluster_secrets.is_some() {
                return Ok((false, ()));
            }
            root.cluster_secrets = Some(ClusterSecrets::new(new.clone()));
            root.note(self.now()?, "create secret", AUDIT_TARGET, None);
            Ok((true, ()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

    use super::*;
    use crate::{PermissionRequest, tests::CatalogFixture};

    async fn secrets(catalog: &Catalog) -> Option<ClusterSecrets> {
        let root = catalog.root(Duration::ZERO).await.unwrap();
        root.value.cluster_secrets().cloned()
    }

    #[tokio::test(start_paused = true)]
    async fn instances_agree_on_the_secret_that_the_first_one_creates() {
        let stage = CatalogFixture::new();
        let (one, other) = (stage.instance(), stage.instance());
        assert_eq!(secrets(&one).await, None);
        let (first, second) =
            futures::join!(one.ensure_cluster_secret(), other.ensure_cluster_secret());
        first.and(second).unwrap();
        let created = secrets(&one).await.unwrap();
        assert_eq!(secrets(&other).await.as_ref(), Some(&created));
        stage.taken();
        one.ensure_cluster_secret().await.unwrap();
        let requests = stage.taken();
        assert_eq!((requests.gets, requests.puts), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn administrator_tokens_rotate_the_secret_and_other_tokens_do_not() {
        let catalog = CatalogFixture::new().instance();
        catalog.create_database("one", None).await.unwrap();
        catalog.create_admin_token().await.unwrap();
        assert_eq!(secrets(&catalog).await, None, "no worker port yet");
        catalog.ensure_cluster_secret().await.unwrap();
        let current = async || secrets(&catalog).await.unwrap().current;
        let mut seen = vec![current().await];
        catalog.regenerate_admin_token(None).await.unwrap();
        seen.push(current().await);
        catalog.create_named_admin("a", None, None).await.unwrap();
        seen.push(current().await);
        let (first, rest) = seen.split_first().unwrap();
        assert!(!rest.contains(first) && rest[0] != rest[1]);
        let permission: PermissionRequest = "db:one:read".parse().unwrap();
        let permissions = [permission];
        let token = catalog.create_resource_token("b", &permissions, None, None);
        token.await.unwrap();
        catalog.delete_token("a", None).await.unwrap();
        assert_eq!(Some(&current().await), seen.last());
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_written_and_read_and_hidden_by_debug() {
        let catalog = CatalogFixture::new().instance();
        catalog.ensure_cluster_secret().await.unwrap();
        catalog.create_admin_token().await.unwrap();
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        let json = serde_json::to_string(&*root).unwrap();
        let read: RootCatalog = serde_json::from_str(&json).unwrap();
        assert_eq!(read.cluster_secrets(), root.cluster_secrets());
        let secret = &root.cluster_secrets().unwrap().current;
        assert!(json.contains(&STANDARD_NO_PAD.encode(secret.reveal())));
        assert_eq!(format!("{secret:?}"), "ClusterSecret");
        for damaged in ["\"\"", "\"AAAA\"", "\"?\""] {
            let error = serde_json::from_str::<ClusterSecret>(damaged).unwrap_err();
            assert!(error.to_string().starts_with("not 32 bytes in base64"));
        }
    }
}
