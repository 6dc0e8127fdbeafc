//! The options of `neap write` for files of rows: CSV, JSON lines, Parquet and Arrow.

use std::{fs::File, path::Path};

use clap::{Args, ValueEnum, error::ErrorKind};
use neap_file_formats::{CellType, CsvDialect, FileInput, FileReader, Format, ReadOptions};
use neap_rows::{
    columnar::{ColumnMapping, MappingError, TagColumns, TimeColumn, TimeFormat, TimeZone},
    line_protocol::Precision,
};
use neap_server::console::Console;

use crate::{
    client::{FileRows, UploadError},
    commands::{CommandError, CommandResult},
};

/// The heading of these options in the help.
const HEADING: &str = "Options for CSV, JSON lines, Parquet and Arrow files";

/// File name for the standard input.
const STANDARD_INPUT: &str = "-";

/// The options for files of rows.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The format of the input. Without the option, that of each --file is the one of its extension, such as `.csv` or
    /// `.csv.gz`, and other input is line protocol.
    #[arg(long, value_enum)]
    format: Option<InputFormat>,

    /// The table of the rows. CSV of InfluxDB 2 with annotations names it itself.
    #[arg(long, visible_alias = "measurement", value_name = "NAME", help_heading = HEADING)]
    table: Option<String>,

    /// A column that is a tag; may be given several times. Without the option, dictionaries of texts are tags, and
    /// columns that InfluxDB 3 has marked as tags.
    #[arg(long = "tag", value_name = "COLUMN", help_heading = HEADING)]
    tags: Vec<String>,

    /// The column of the time. The default is `time`; if there is none, the server's time is used.
    #[arg(long, value_name = "COLUMN", help_heading = HEADING)]
    time_column: Option<String>,

    /// The format of times that are texts or numbers: `rfc3339`, the unit of a number (`s`, `ms`, `us`, `ns`), or a
    /// pattern of strftime, such as `%d.%m.%Y %H:%M`. By default, numbers have the unit of --precision, and texts are
    /// RFC 3339.
    #[arg(long, value_name = "FORMAT", value_parser = parse_time_format, help_heading = HEADING)]
    time_format: Option<TimeFormat>,

    /// The zone of times without an offset, such as `Europe/Berlin` or `+01:00`. The default is UTC.
    #[arg(long, value_name = "ZONE", value_parser = parse_time_zone, help_heading = HEADING)]
    time_zone: Option<TimeZone>,

    /// A column of CSV with its type, such as `celsius=float64`; may be given several times. The types are `float64`,
    /// `int64`, `uint64`, `bool` and `string`. Those of other columns are inferred.
    #[arg(long = "column", value_name = "NAME=TYPE", value_parser = CsvDialect::parse_column, help_heading = HEADING)]
    columns: Vec<(String, CellType)>,

    /// The character between the cells of CSV; `\t` is a tab. The default is `,`, and `;` with --decimal-comma.
    #[arg(long, value_name = "CHARACTER", value_parser = CsvDialect::parse_delimiter, help_heading = HEADING)]
    delimiter: Option<u8>,

    /// The numbers of CSV have a decimal comma, such as `21,5`.
    #[arg(long, help_heading = HEADING)]
    decimal_comma: bool,

    /// A text of CSV that stands for an absent value, such as `NA`; may be given several times.
    #[arg(long = "null", value_name = "TEXT", help_heading = HEADING)]
    nulls: Vec<String>,

    /// The number of the first row to write, to continue an upload that has failed. Rows count from 1, without the
    /// header. It applies to a single file.
    #[arg(long, value_name = "ROW", help_heading = HEADING)]
    start_at: Option<usize>,
}

/// Formats of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    /// The format of each file's extension, otherwise line protocol.
    Auto,
    /// Line protocol.
    Lp,
    /// Comma-separated values with a header, or annotated CSV of InfluxDB 2.
    Csv,
    /// One JSON object in each line.
    #[value(alias = "ndjson")]
    Jsonl,
    /// Parquet.
    Parquet,
    /// An Arrow file (Feather version 2) or stream.
    #[value(alias = "feather")]
    Arrow,
}

fn parse_time_format(text: &str) -> Result<TimeFormat, MappingError> {
    text.parse()
}

fn parse_time_zone(text: &str) -> Result<TimeZone, String> {
    text.parse()
        .map_err(|_| "use the name of a zone or an offset such as +01:00".to_owned())
}

impl FileArgs {
    /// Returns whether the arguments of the command are files instead of line protocol.
    pub(super) fn arguments_are_files(&self) -> bool {
        self.format.is_some_and(|format| format != InputFormat::Lp)
    }

    /// Returns whether the input has a format other than line protocol, whatever its name is.
    pub(super) fn is_format_given(&self) -> bool {
        self.arguments_are_files() && self.format != Some(InputFormat::Auto)
    }

    /// Returns the format of a file; `None` is line protocol.
    pub(super) fn format_of(&self, path: &Path) -> Option<Format> {
        match self.format {
            None | Some(InputFormat::Auto) => Format::from_extension(path),
            Some(InputFormat::Lp) => None,
            Some(InputFormat::Csv) => Some(Format::Csv),
            Some(InputFormat::Jsonl) => Some(Format::JsonLines),
            Some(InputFormat::Parquet) => Some(Format::Parquet),
            Some(InputFormat::Arrow) => Some(Format::Arrow),
        }
    }

    /// Checks that no option is given that line protocol has no use for.
    ///
    /// # Errors
    ///
    /// An option is given.
    pub(super) fn check_unused(&self) -> CommandResult {
        let options = [
            ("--table", self.table.is_some()),
            ("--tag", !self.tags.is_empty()),
            ("--time-column", self.time_column.is_some()),
            ("--time-format", self.time_format.is_some()),
            ("--time-zone", self.time_zone.is_some()),
            ("--start-at", self.start_at.is_some()),
        ];
        let mut given = options.into_iter().chain(self.csv_options());
        match given.find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                let message = format!(
                    "{option} has no effect on line protocol: name the format of the input with --format\n"
                );
                let error = clap::Error::raw(ErrorKind::ArgumentConflict, message);
                Err(CommandError::Usage(error))
            }
        }
    }

    /// Returns the options for CSV, and whether they are given.
    fn csv_options(&self) -> [(&'static str, bool); 4] {
        [
            ("--column", !self.columns.is_empty()),
            ("--delimiter", self.delimiter.is_some()),
            ("--decimal-comma", self.decimal_comma),
            ("--null", !self.nulls.is_empty()),
        ]
    }

    /// Checks that no option for CSV is given for a file of another format.
    fn check_format(&self, format: Format) -> CommandResult {
        let mut given = self.csv_options().into_iter();
        match given.find(|(_, is_given)| *is_given && format != Format::Csv) {
            None => Ok(()),
            Some((option, _)) => {
                let message = format!("{option} has an effect on CSV only\n");
                let error = clap::Error::raw(ErrorKind::ArgumentConflict, message);
                Err(CommandError::Usage(error))
            }
        }
    }

    fn dialect(&self) -> CsvDialect {
        CsvDialect {
            nulls: self.nulls.clone(),
            types: self.columns.clone(),
            ..CsvDialect::new(self.delimiter, self.decimal_comma)
        }
    }

    /// Checks that the first row is not given for several files, because it would be that of an arbitrary one.
    ///
    /// # Errors
    ///
    /// The option is given, and there are several files.
    pub(super) fn check_start(&self, files: usize) -> CommandResult {
        if self.start_at.is_none() || files <= 1 {
            return Ok(());
        }
        let message = format!(
            "--start-at applies to a single file, but {files} are given: continue that file alone, then write the others\n"
        );
        let error = clap::Error::raw(ErrorKind::ArgumentConflict, message);
        Err(CommandError::Usage(error))
    }

    fn mapping(&self) -> ColumnMapping {
        ColumnMapping {
            table: self.table.clone().unwrap_or_default(),
            tags: if self.tags.is_empty() {
                TagColumns::ByType
            } else {
                TagColumns::Named(self.tags.clone())
            },
            time: TimeColumn {
                name: self.time_column.clone(),
                format: self.time_format.clone().unwrap_or_default(),
                zone: self.time_zone,
            },
        }
    }
}

/// Opens a file of rows and returns its size in bytes, if known.
///
/// # Errors
///
/// The file can't be opened, or its start is not of the format.
pub(super) fn open_rows(
    args: &FileArgs,
    path: &Path,
    format: Format,
    precision: Precision,
    console: &mut Console,
) -> CommandResult<(FileRows, Option<u64>)> {
    args.check_format(format)?;
    let (name, input, bytes) = if path.as_os_str() == STANDARD_INPUT {
        let input = FileInput::Stream(console.take_input());
        ("the standard input".to_owned(), input, None)
    } else {
        let name = path.display().to_string();
        let failed = |error| CommandError::File { path: name.clone(), error };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        // A pipe has no length.
        let bytes = metadata.is_file().then_some(metadata.len());
        (name, FileInput::File(file), bytes)
    };
    let options = ReadOptions {
        format: Some(format),
        mapping: args.mapping(),
        csv: args.dialect(),
        skip_rows: args.start_at.unwrap_or(1).saturating_sub(1),
        max_decoded_bytes: None,
    };
    match FileReader::open(input, options) {
        Ok(reader) => {
            let rows = FileRows { name, reader, precision };
            Ok((rows, bytes))
        }
        Err(error) => Err(CommandError::Upload(UploadError::File { name, error: error.into() })),
    }
}
