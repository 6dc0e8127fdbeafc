//! Names of databases.
//!
//! A retention policy `rp` of a database `db` becomes what the write API of InfluxDB 1 makes of it: `db` if the policy is
//! `autogen` or `default`, otherwise the database `db/rp`. A bucket of InfluxDB 2 keeps its name.

use std::{collections::BTreeMap, str::FromStr};

use neap_catalog::validate_database_name;

use super::ImportError;

/// Retention policies that belong to the database itself.
const DEFAULT_POLICIES: [&str; 3] = ["", "autogen", "default"];

/// A name of the source, `db`, `db/rp` or the ID of a bucket, and the database that it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rename {
    /// The name of the source.
    pub(crate) from: String,
    /// The database.
    pub(crate) to: String,
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => {
                Ok(Self { from: from.to_owned(), to: to.to_owned() })
            }
            _ => Err("it is written as SOURCE=DATABASE".to_owned()),
        }
    }
}

/// Maps databases and retention policies of a source to databases.
#[derive(Clone, Debug, Default)]
pub(crate) struct DatabaseNames {
    renames: BTreeMap<String, String>,
    /// The database of everything.
    into: Option<String>,
}

impl DatabaseNames {
    /// Creates a mapping. `into` is the database of everything that has no name of its own in `renames`.
    pub(crate) fn new(renames: Vec<Rename>, into: Option<String>) -> Self {
        let renames = renames.into_iter().map(|Rename { from, to }| (from, to));
        Self { renames: renames.collect(), into }
    }

    /// Returns the database of everything, if there is one.
    pub(crate) fn common_database(&self) -> Option<&str> {
        self.into.as_deref()
    }

    /// Returns the database of a retention policy. `database` may contain a retention policy itself, as buckets of
    /// upgraded servers do.
    ///
    /// # Errors
    ///
    /// [`ImportError::DatabaseName`].
    pub(crate) fn target(
        &self,
        database: &str,
        retention_policy: &str,
    ) -> Result<String, ImportError> {
        self.target_of_bucket(None, database, retention_policy)
    }

    /// Returns the database of a bucket with an ID and a name. The ID is renamed before the name.
    ///
    /// # Errors
    ///
    /// [`ImportError::DatabaseName`].
    pub(crate) fn target_of_bucket(
        &self,
        bucket: Option<&str>,
        database: &str,
        retention_policy: &str,
    ) -> Result<String, ImportError> {
        let origin = if is_default(retention_policy) {
            database.to_owned()
        } else {
            format!("{database}/{retention_policy}")
        };
        let renamed = bucket.and_then(|id| self.renamed_bucket(id, retention_policy));
        let name = match renamed {
            Some(name) => name.to_owned(),
            None => self.named(&origin, database, retention_policy),
        };
        match validate_database_name(&name) {
            Ok(()) => Ok(name),
            Err(error) => Err(ImportError::DatabaseName { origin, name, error }),
        }
    }

    /// Returns whether the database of a bucket with this ID was chosen by an option.
    pub(crate) fn is_chosen(&self, bucket: &str, retention_policy: &str) -> bool {
        self.into.is_some() || self.renamed_bucket(bucket, retention_policy).is_some()
    }

    fn renamed_bucket(&self, id: &str, retention_policy: &str) -> Option<&str> {
        let exact = self.renames.get(&format!("{id}/{retention_policy}"));
        let renamed = exact.or_else(|| self.renames.get(id));
        renamed.map(String::as_str)
    }

    fn named(&self, origin: &str, database: &str, retention_policy: &str) -> String {
        let exact = format!("{database}/{retention_policy}");
        if let Some(name) = self.renames.get(&exact).or_else(|| self.renames.get(origin)) {
            return name.clone();
        }
        if let Some(into) = &self.into {
            return into.clone();
        }
        let (base, policy) = match database.split_once('/') {
            Some((base, policy)) if is_default(retention_policy) => (base, policy),
            _ => (database, retention_policy),
        };
        let base = self.renames.get(base).map_or(base, String::as_str);
        if is_default(policy) {
            base.to_owned()
        } else {
            format!("{base}/{}", policy.to_lowercase())
        }
    }
}

fn is_default(retention_policy: &str) -> bool {
    DEFAULT_POLICIES.contains(&retention_policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(renames: &[&str], into: Option<&str>, database: &str, policy: &str) -> String {
        let renames = renames.iter().map(|text| text.parse().unwrap()).collect();
        let names = DatabaseNames::new(renames, into.map(str::to_owned));
        match names.target(database, policy) {
            Ok(name) => name,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn retention_policies_are_mapped_as_writes_are() {
        assert_eq!(target(&[], None, "home", "autogen"), "home");
        assert_eq!(target(&[], None, "home", "default"), "home");
        assert_eq!(target(&[], None, "home", "Weekly"), "home/weekly");
        assert_eq!(target(&[], None, "home/weekly", "autogen"), "home/weekly");
        assert_eq!(target(&[], None, "home/autogen", "autogen"), "home");
    }

    #[test]
    fn databases_are_renamed_with_their_policies_or_one_policy_alone() {
        let renames = ["home=house", "home/weekly=weeks", "00ff=bucket"];
        assert_eq!(target(&renames, None, "home", "autogen"), "house");
        assert_eq!(target(&renames, None, "home", "weekly"), "weeks");
        assert_eq!(target(&renames, None, "home", "daily"), "house/daily");
        assert_eq!(target(&renames, None, "00ff", "autogen"), "bucket");
        assert_eq!(target(&renames, Some("all"), "other", "x"), "all");
    }

    #[test]
    fn the_id_of_a_bucket_is_renamed_before_its_name() {
        let renames =
            ["00ff=mine", "home=house"].iter().map(|text| text.parse().unwrap()).collect();
        let names = DatabaseNames::new(renames, None);
        let target = |id| names.target_of_bucket(Some(id), "home", "autogen").unwrap();
        assert_eq!(target("00ff"), "mine");
        assert_eq!(target("00aa"), "house");
        assert!(names.is_chosen("00ff", "autogen"));
        assert!(!names.is_chosen("00aa", "autogen"));
    }

    #[test]
    fn a_name_that_is_not_allowed_is_an_error_with_advice() {
        insta::assert_snapshot!(target(&[], None, "my.db", "autogen"), @"the database 'my.db' of my.db: invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens; give it another name with --rename 'my.db=NAME'");
        assert_eq!(target(&["my.db=my_db"], None, "my.db", "autogen"), "my_db");
    }
}
