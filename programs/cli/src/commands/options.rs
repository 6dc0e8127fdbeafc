//! Options shared by several commands.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};
use reqwest::Url;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::client::{Client, ClientError, ClientSettings, CredentialsFile, Token};

/// Connection options.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// The address of the server.
    #[arg(short = 'H', long = "host", value_name = "URL", value_parser = parse_url, default_value = "http://127.0.0.1:8181")]
    host: Url,

    /// The access token.
    #[arg(long, value_name = "TOKEN")]
    token: Option<Token>,

    /// The file with the session of `neap auth login`, which is used without a token. By default
    /// neap/credentials.json in the user's configuration directory.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    credentials: Option<PathBuf>,

    /// A PEM file of certificate authorities to trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// Accept any certificate, for tests only.
    #[arg(long)]
    tls_no_verify: bool,
}

impl ConnectionArgs {
    /// Creates a client of the server, or of another server with the same token.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`].
    pub(super) fn client(&self, instead_of_host: Option<&Url>) -> Result<Client, ClientError> {
        Client::new(&ClientSettings {
            url: instead_of_host.unwrap_or(&self.host).clone(),
            token: self.token.clone(),
            credentials: self.credentials(),
            tls_ca: self.tls_ca.clone(),
            tls_no_verify: self.tls_no_verify,
        })
    }

    /// Creates a client of another server, which does not get the token.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`].
    pub(super) fn client_without_token(&self, url: &Url) -> Result<Client, ClientError> {
        Client::new(&ClientSettings {
            url: url.clone(),
            token: None,
            credentials: None,
            tls_ca: self.tls_ca.clone(),
            tls_no_verify: self.tls_no_verify,
        })
    }

    /// Returns the file with the sessions.
    pub(super) fn credentials(&self) -> Option<CredentialsFile> {
        CredentialsFile::at(self.credentials.as_deref())
    }

    /// Returns the address of the server.
    pub(super) fn host(&self) -> &Url {
        &self.host
    }
}

/// The database option.
#[derive(Clone, Debug, Args)]
pub(super) struct DatabaseArgs {
    /// The name of the database.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    pub(super) database: String,
}

/// The options that name a table.
#[derive(Clone, Debug, Args)]
pub(super) struct TableArgs {
    /// The name of the database.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    pub(super) database: String,

    /// The name of the table.
    #[arg(short = 't', long, value_name = "NAME")]
    pub(super) table: String,
}

/// Formats of an answer that describes one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AnswerFormat {
    /// Text for people.
    Text,
    /// A JSON object.
    Json,
}

/// Output formats of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum OutputFormat {
    /// A text table.
    Pretty,
    /// A JSON array of objects.
    Json,
    /// One JSON object in each line.
    #[value(alias = "json_lines")]
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// An Apache Parquet file.
    Parquet,
}

impl OutputFormat {
    /// Returns the format's name in requests.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Removes the members that are null from the body of a request: an option that is not given is not sent.
pub(super) fn without_nulls(mut body: Value) -> Value {
    if let Value::Object(members) = &mut body {
        members.retain(|_, value| !value.is_null());
    }
    body
}

/// Parses an address; without a scheme it means plain HTTP.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(format!("'{scheme}' is neither http nor https")),
    }
}

/// The arguments of a plugin, in their order.
#[derive(Clone, Debug)]
pub(super) struct PluginArguments(Vec<(String, String)>);

impl PluginArguments {
    /// Returns the values by key, unless the option was not given. Of repeated keys the last one counts.
    pub(super) fn by_key(given: &[Self]) -> Option<BTreeMap<&str, &str>> {
        let pairs = given.iter().flat_map(|Self(pairs)| pairs);
        let by_key = pairs.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        (!given.is_empty()).then_some(by_key)
    }
}

impl FromStr for PluginArguments {
    type Err = String;

    /// Parses keys and their values: `threshold=90,tags={"room":"a","floor":"1"}`. A value in JSON may have commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pairs = Vec::new();
        let mut rest = Some(text);
        while let Some(unread) = rest {
            let (pair, others) = first_pair(unread);
            pairs.push(parse_pair(pair)?);
            rest = others;
        }
        Ok(Self(pairs))
    }
}

/// Splits the first pair off the others.
fn first_pair(text: &str) -> (&str, Option<&str>) {
    let of_json = length_of_json_pair(text).and_then(|length| text.split_at_checked(length));
    if let Some((pair, others)) = of_json {
        (pair, others.strip_prefix(','))
    } else if let Some((pair, others)) = text.split_once(',') {
        (pair, Some(others))
    } else {
        (text, None)
    }
}

/// Returns the length of the first pair if its value is an array or an object in JSON.
fn length_of_json_pair(text: &str) -> Option<usize> {
    let (key, value) = text.split_once('=')?;
    if key.contains(',') || !value.starts_with(['[', '{']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let (json, others) = value.split_at_checked(values.byte_offset())?;
    let is_whole = others.is_empty() || others.starts_with(',');
    is_whole.then_some(key.len() + '='.len_utf8() + json.len())
}

/// Parses a key and its value: `threshold=90`.
fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err(format!("'{text}' is not written as key=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme() {
        assert_eq!(parse_url("localhost:8181").unwrap().as_str(), "http://localhost:8181/");
        assert_eq!(parse_url("https://h").unwrap().as_str(), "https://h/");
        assert!(parse_url("ftp://h").is_err());
        assert!(parse_url("http://").is_err());
    }

    fn arguments(text: &str) -> Result<Vec<(String, String)>, String> {
        let PluginArguments(pairs) = text.parse::<PluginArguments>()?;
        Ok(pairs)
    }

    fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Ok(expected.iter().map(owned).collect())
    }

    #[test]
    fn a_value_may_have_equals_signs() {
        assert_eq!(arguments("a=/x?b=c"), pairs(&[("a", "/x?b=c")]));
        assert_eq!(arguments("a=,b=1"), pairs(&[("a", ""), ("b", "1")]));
        assert!(arguments("").is_err());
        assert!(arguments("=a").is_err());
        assert_eq!(arguments("a=1,b"), Err("'b' is not written as key=value".to_owned()));
    }

    #[test]
    fn a_value_in_json_may_have_commas() {
        assert_eq!(
            arguments(r#"waves=[{"type":"sine"},{"type":"noise"}],tags={"a":"b, c"},n=1"#),
            pairs(&[
                ("waves", r#"[{"type":"sine"},{"type":"noise"}]"#),
                ("tags", r#"{"a":"b, c"}"#),
                ("n", "1"),
            ])
        );
        assert_eq!(
            arguments("text=[$level] alert,n=1"),
            pairs(&[("text", "[$level] alert"), ("n", "1")])
        );
        assert_eq!(arguments("text=[1] to [2],n={"), pairs(&[("text", "[1] to [2]"), ("n", "{")]));
    }
}
