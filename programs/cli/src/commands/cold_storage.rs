//! The options `--cold-after` and `--cold-class` of databases and tables.

use clap::{Args, error::ErrorKind};
use neap_assembly::options::{OptionValueError, parse_nonzero_duration};
use neap_bucket::StorageClass;
use serde_json::json;

use super::{CommandError, CommandResult, options::without_nulls};
use crate::client::Client;

const PATH: &str = "/api/v3/configure/cold_storage";

/// The age at which rows become cold, in the server's syntax; `None`: nothing is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColdAge(Option<String>);

fn parse_age(text: &str) -> Result<ColdAge, OptionValueError> {
    match text {
        "none" => Ok(ColdAge(None)),
        age => parse_nonzero_duration(age).map(|_| ColdAge(Some(age.to_owned()))),
    }
}

/// The options of cold storage.
#[derive(Clone, Debug, Args)]
pub(super) struct ColdStorageArgs {
    /// The age of rows that merges move to a cheaper storage class: `90d`. `none`: nothing is set here, so that the rows of
    /// a table become cold as its database says, and those of a database never.
    #[arg(long, value_name = "DURATION|none", value_parser = parse_age)]
    cold_after: Option<ColdAge>,

    /// The storage class of these rows: on S3 `GLACIER_IR`, `STANDARD_IA`, `ONEZONE_IA` or `INTELLIGENT_TIERING`; on Google
    /// `NEARLINE`, `COLDLINE` or `ARCHIVE`; on Azure `Cool` or `Cold`.
    #[arg(long, value_name = "CLASS", requires = "cold_after")]
    cold_class: Option<StorageClass>,
}

impl ColdStorageArgs {
    /// Checks that an age has a class.
    ///
    /// # Errors
    /// The command line lacks the class.
    pub(super) fn check(&self) -> CommandResult {
        let has_age = matches!(&self.cold_after, Some(ColdAge(Some(_))));
        if has_age && self.cold_class.is_none() {
            let text = "--cold-after needs the storage class of the rows: --cold-class\n";
            let error = clap::Error::raw(ErrorKind::MissingRequiredArgument, text);
            return Err(CommandError::Usage(error));
        }
        Ok(())
    }

    /// Changes the cold storage of a database or a table, if the options are given.
    pub(super) async fn apply(
        &self,
        client: &Client,
        db: &str,
        table: Option<&str>,
    ) -> CommandResult {
        match (&self.cold_after, self.cold_class) {
            (Some(ColdAge(Some(after))), Some(class)) => {
                let body = json!({ "db": db, "table": table, "after": after, "class": class });
                client.post_json(PATH, &without_nulls(body)).await?;
            }
            (Some(ColdAge(None)), _) => {
                let query: Vec<_> = [("db", Some(db)), ("table", table)]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                client.delete(PATH, &query).await?;
            }
            (Some(ColdAge(Some(_))) | None, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_duration_or_none() {
        assert_eq!(parse_age("none"), Ok(ColdAge(None)));
        assert_eq!(parse_age("90d"), Ok(ColdAge(Some("90d".to_owned()))));
        assert!(parse_age("0d").is_err());
        assert!(parse_age("soon").is_err());
    }
}
