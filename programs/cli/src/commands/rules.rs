//! `neap create|delete|show rules`: rules in the format of Prometheus's rule files.

use std::path::PathBuf;

use clap::{Args, error::ErrorKind};
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    CommandError, CommandResult,
    confirm::DeletionArgs,
    input_text::{InputText, STANDARD_INPUT},
    options::{ConnectionArgs, DatabaseArgs},
    rows::{DatabaseListArgs, Rows},
};
use crate::client::{ApiPath, ClientError};

/// The path of the configuration of rules.
const CONFIGURATION: &str = "/prometheus/config/v1/rules";

/// The path of the list of rules.
const LIST: &str = "/prometheus/api/v1/rules";

/// The options of `neap create rules`.
#[derive(Debug, Args)]
pub(super) struct CreateRulesArgs {
    /// The rule file in the format of Prometheus; `-` is the standard input.
    file: PathBuf,

    /// The namespace, whose rules are replaced. The name of the file without its extension by default; required for the standard
    /// input.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete rules`.
#[derive(Debug, Args)]
pub(super) struct DeleteRulesArgs {
    /// The namespace.
    namespace: String,

    /// The group; all groups of the namespace by default.
    group: Option<String>,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    deletion: DeletionArgs,
}

/// The answer of the list of rules.
#[derive(Deserialize)]
struct RuleListAnswer {
    data: RuleListData,
}

#[derive(Deserialize)]
struct RuleListData {
    groups: Vec<GroupRow>,
}

#[derive(Deserialize)]
struct GroupRow {
    name: String,
    file: String,
    interval: f64,
    rules: Vec<RuleRow>,
}

#[derive(Deserialize)]
struct RuleRow {
    name: String,
    query: String,
    #[serde(rename = "type")]
    kind: String,
    health: String,
    state: Option<String>,
    #[serde(rename = "lastError")]
    last_error: Option<String>,
}

/// Returns the path of a namespace, or of one of its groups.
fn path_of(namespace: &str, group: Option<&str>) -> Result<ApiPath, ClientError> {
    match group {
        Some(group) => ApiPath::below(CONFIGURATION, &[namespace, group]),
        None => ApiPath::below(CONFIGURATION, &[namespace]),
    }
}

/// Returns the namespace of the option, otherwise the name of the file.
fn namespace_of(args: &CreateRulesArgs) -> CommandResult<String> {
    if let Some(name) = &args.namespace {
        return Ok(name.clone());
    }
    let file = Some(&args.file).filter(|file| file.as_os_str() != STANDARD_INPUT);
    match file.and_then(|file| file.file_stem()) {
        Some(stem) => Ok(stem.to_string_lossy().into_owned()),
        None => {
            let text = "the rules have no file whose name is the namespace: pass --namespace\n";
            let error = clap::Error::raw(ErrorKind::MissingRequiredArgument, text);
            Err(CommandError::Usage(error))
        }
    }
}

/// Replaces the rules of a namespace by those of a file. Returns what to print.
pub(super) async fn create(args: &CreateRulesArgs, console: &mut Console) -> CommandResult<String> {
    let namespace = namespace_of(args)?;
    let input = InputText {
        what: "rule file",
        command: "neap create rules",
        arguments: &[],
        files: std::slice::from_ref(&args.file),
    };
    let path = path_of(&namespace, None)?;
    let rules = input.read(console)?;
    let client = args.connection.client(None)?;
    let request = client
        .request(Method::PUT, path)
        .query(&[("db", args.database.database.as_str())])
        .body(rules);
    client.send(request).await?;
    Ok(format!("Rules of namespace {namespace:?} created successfully"))
}

/// Deletes the rules of a namespace, or of one of its groups. Returns what to print.
pub(super) async fn delete(args: &DeleteRulesArgs, console: &mut Console) -> CommandResult<String> {
    let name = match &args.group {
        Some(group) => format!("rule group {group:?} of namespace {:?}", args.namespace),
        None => format!("rules of namespace {:?}", args.namespace),
    };
    let path = path_of(&args.namespace, args.group.as_deref())?;
    let client = args.deletion.confirm_on_terminal(&name, console)?;
    client.delete(path, &[("db", &args.database.database)]).await?;
    Ok(format!("Deleted {name} successfully"))
}

/// Lists the rules of a database.
pub(super) async fn show(args: &DatabaseListArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let query = [("db", args.database.database.as_str())];
    let answer: RuleListAnswer = client.fetch_json(Method::GET, LIST, &query).await?;
    let mut rows = Vec::new();
    for group in &answer.data.groups {
        for rule in &group.rules {
            rows.push(vec![
                json!(group.file),
                json!(group.name),
                json!(group.interval),
                json!(rule.name),
                json!(rule.kind),
                json!(rule.query),
                json!(rule.state),
                json!(rule.health),
                json!(rule.last_error),
            ]);
        }
    }
    Rows::new(
        &[
            "namespace",
            "group",
            "interval_s",
            "name",
            "type",
            "expression",
            "state",
            "health",
            "error",
        ],
        rows,
    )
    .print(args.format, console)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        rules: CreateRulesArgs,
    }

    #[test]
    fn rules_from_the_standard_input_need_the_name_of_their_namespace() {
        let parsed = |arguments: &[&str]| {
            let all = ["rules", "--database", "d"].iter().chain(arguments);
            namespace_of(&CommandLine::try_parse_from(all).unwrap().rules)
        };
        assert_eq!(parsed(&["rules/node.yml"]).unwrap(), "node");
        assert_eq!(parsed(&["-", "--namespace", "node"]).unwrap(), "node");
        let refused = parsed(&["-"]);
        assert!(matches!(refused, Err(CommandError::Usage(_))), "{refused:?}");
    }
}
