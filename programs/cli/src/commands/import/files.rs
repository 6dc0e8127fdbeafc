//! `neap import upload` and `neap import list`: Parquet files as import jobs of a server.

use std::{collections::BTreeMap, str::FromStr};

use bytes::Bytes;
use clap::Args;
use futures::{StreamExt, stream};
use neap_bucket::World;
use neap_server::console::Console;
use reqwest::{Body, Method, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::sources::{FileSource, SourceOption};
use crate::{
    client::Client,
    commands::{
        CommandError, CommandResult, Environment,
        options::{ConnectionArgs, DatabaseArgs},
        rows::{RowFormat, Rows},
    },
};

/// The path of import jobs.
const IMPORTS: &str = "/api/v3/enterprise/import";

/// The columns of a list of jobs.
const COLUMNS: [&str; 8] = [
    "upload_uuid",
    "filename",
    "db_name",
    "table_name",
    "status",
    "row_count",
    "imported_rows",
    "last_message",
];

/// The options of `neap import upload`.
#[derive(Debug, Args)]
pub(in crate::commands) struct UploadArgs {
    /// A Parquet file, a folder with Parquet files, or the URL of an object or a prefix: s3://, gs://, az://. Each file
    /// becomes a job.
    #[arg(value_name = "PATH|URL")]
    place: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// The name of the table. It is created if it is missing.
    #[arg(short = 't', long, value_name = "NAME")]
    table: String,

    /// The type of a column: i64, u64, f64, bool, string, time or tag. Other columns are fields with the types that they
    /// have in the file. Can be repeated.
    #[arg(long = "column", value_name = "NAME:TYPE")]
    columns: Vec<ColumnOption>,

    /// An option of the object store of the URL, such as region=eu-central-1. Can be repeated.
    #[arg(long = "source-opt", value_name = "NAME=VALUE")]
    source_options: Vec<SourceOption>,

    /// Files that are uploaded at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap import list`.
#[derive(Debug, Args)]
pub(in crate::commands) struct ListArgs {
    /// The format of the list.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "pretty")]
    format: RowFormat,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A column and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ColumnOption {
    name: String,
    column_type: String,
}

impl FromStr for ColumnOption {
    type Err = &'static str;

    /// Parses `name:type` or `name=type`. The name may contain both characters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, column_type) = text.rsplit_once([':', '=']).ok_or("expected NAME:TYPE")?;
        let is_known =
            ["i64", "u64", "f64", "bool", "string", "time", "tag"].contains(&column_type);
        if is_known && !name.is_empty() {
            Ok(Self { name: name.to_owned(), column_type: column_type.to_owned() })
        } else {
            Err("the type is i64, u64, f64, bool, string, time or tag")
        }
    }
}

#[derive(Deserialize)]
struct UploadedImport {
    upload_uuid: String,
    row_count: u64,
}

/// Executes `neap import upload`.
///
/// # Errors
///
/// There are no files, or some were not uploaded.
pub(super) async fn upload(
    args: &UploadArgs,
    environment: &Environment,
    console: &mut Console,
    world: &World,
) -> CommandResult {
    let files = FileSource::find(&args.place, &args.source_options, environment).await?;
    let client = args.connection.client(None)?;
    let total = files.len();
    let uploads = files.into_iter().map(|file| {
        let client = &client;
        async move {
            let uploaded = upload_file(args, client, &file, world).await;
            (file.name(), uploaded)
        }
    });
    let mut uploads = stream::iter(uploads).buffer_unordered(usize::from(args.concurrency));
    let mut failed = 0;
    while let Some((name, uploaded)) = uploads.next().await {
        match uploaded {
            Ok(UploadedImport { upload_uuid, row_count }) => {
                let line = format!("{name}: {row_count} rows, job {upload_uuid}");
                console.print_text(&line).map_err(CommandError::Output)?;
            }
            Err(error) => {
                failed += 1;
                console.report_text(&format!("{name}: {error}"));
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CommandError::FilesNotUploaded { failed, total }),
    }
}

async fn upload_file(
    args: &UploadArgs,
    client: &Client,
    file: &FileSource,
    world: &World,
) -> CommandResult<UploadedImport> {
    let boundary = format!("neap-{:032x}", world.entropy.next_u128());
    let head = Bytes::from(head(args, &file.file_name(), &boundary));
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let contents = stream::iter([Ok(head)])
        .chain(file.open().await?)
        .chain(stream::iter([Ok(end)]));
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let request = client
        .request(Method::POST, IMPORTS)
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::wrap_stream(contents));
    let response = client.send(request).await?;
    Ok(client.read_json(response).await?)
}

/// Returns the part of a body before the contents of the file.
fn head(args: &UploadArgs, file_name: &str, boundary: &str) -> String {
    let field = |name: &str, value: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let mut text = field("database", &args.database.database);
    text.push_str(&field("table", &args.table));
    if !args.columns.is_empty() {
        let types: BTreeMap<_, _> =
            args.columns.iter().map(|column| (&column.name, &column.column_type)).collect();
        let metadata = json!({ "column_mapping": types }).to_string();
        text.push_str(&field("column_metadata", &metadata));
    }
    let is_plain = |character: &char| !character.is_control() && !matches!(character, '"' | '\\');
    let file_name: String = file_name.chars().filter(is_plain).collect();
    text.push_str(&format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file_bytes\"; filename=\"{file_name}\"\r\n\
         Content-Type: application/vnd.apache.parquet\r\n\r\n"
    ));
    text
}

/// Executes `neap import list`.
pub(super) async fn list(args: &ListArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let jobs: Vec<BTreeMap<String, Value>> = client.fetch_json(Method::GET, IMPORTS, &[]).await?;
    let rows = jobs.iter().map(|job| {
        let cell = |name: &&str| job.get(*name).cloned().unwrap_or_default();
        COLUMNS.iter().map(cell).collect()
    });
    Rows::new(&COLUMNS, rows).print(args.format, console)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_a_name_and_a_type() {
        let parse = |text: &str| text.parse::<ColumnOption>().map(|it| (it.name, it.column_type));
        let is = |name: &str, column_type: &str| Ok((name.to_owned(), column_type.to_owned()));
        assert_eq!(parse("room:tag"), is("room", "tag"));
        assert_eq!(parse("at=time"), is("at", "time"));
        assert_eq!(parse("a:b:f64"), is("a:b", "f64"));
        for text in ["room", "room:text", ":tag", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
