//! Imports exports of line protocol.
//!
//! ```text
//! # INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z
//! # DDL
//! CREATE DATABASE home WITH NAME autogen
//! # DML
//! # CONTEXT-DATABASE:home
//! # CONTEXT-RETENTION-POLICY:autogen
//! # writing tsm data
//! cpu,host=a usage=0.5 1700000000000000000
//! ```
//!
//! `influx_inspect export` of InfluxDB 1 writes these headers, and `influx -import` reads them. `influxd inspect
//! export-lp` of InfluxDB 2 writes none. Files may be compressed with gzip.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

use super::{
    BodySender, DatabaseNames, ImportError, ImportFilter, ImportSummary, StateFile,
    body::{BodyContent, ImportBody, LinePlaces},
    file_import::{FileBatch, FileSender, import_files},
    line_escapes::push_translated,
    line_filter::{LineFilter, lines},
};
use crate::client::LineSplitter;

/// Header of the database of the lines that follow.
const DATABASE_HEADER: &str = "# CONTEXT-DATABASE:";
/// Header of the retention policy of the lines that follow.
const POLICY_HEADER: &str = "# CONTEXT-RETENTION-POLICY:";
/// Begins statements.
const DDL_HEADER: &str = "# DDL";
/// Begins lines.
const DML_HEADER: &str = "# DML";

/// Exports of line protocol.
#[derive(Clone, Debug)]
pub(crate) struct LineFile {
    /// The files.
    pub(crate) paths: Vec<PathBuf>,
    /// The part to import.
    pub(crate) filter: ImportFilter,
    /// The databases of the server.
    pub(crate) names: DatabaseNames,
    /// The unit of the timestamps: `ns`, `us`, `ms` or `s`.
    pub(crate) precision: &'static str,
    /// Number of files that are read at the same time.
    pub(crate) parallel: usize,
    /// Maximum size of a request in bytes.
    pub(crate) max_request_bytes: usize,
}

/// Imports files, or counts their lines without a sender.
///
/// # Errors
///
/// A file cannot be read, lines have no database, or a request failed.
pub(crate) async fn import_lines(
    files: LineFile,
    sender: Option<&BodySender>,
    state: &mut StateFile,
    progress: &ProgressBar,
) -> Result<ImportSummary, ImportError> {
    let (paths, parallel) = (files.paths.clone(), files.parallel);
    let files = Arc::new(files);
    let read = move |path: &Path, position: Option<&str>, batches: &FileSender| {
        read_file(&files, path, position, batches)
    };
    import_files(paths, sender, parallel, state, progress, read).await
}

/// The place in an export, and what its headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Context {
    /// Bytes before the place, decompressed.
    bytes: u64,
    /// Lines before the place.
    lines: u64,
    /// Statements follow instead of lines.
    is_ddl: bool,
    database: Option<String>,
    retention_policy: String,
}

impl Context {
    /// Writes the place as text.
    fn to_position(&self) -> String {
        let Self { bytes, lines, is_ddl, database, retention_policy } = self;
        let database = database.as_deref().unwrap_or_default();
        format!("{bytes}:{lines}:{is_ddl}:{retention_policy}:{database}")
    }

    /// Parses the text of a place.
    fn parse_position(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, ':');
        Some(Self {
            bytes: parts.next()?.parse().ok()?,
            lines: parts.next()?.parse().ok()?,
            is_ddl: parts.next()?.parse().ok()?,
            retention_policy: parts.next()?.to_owned(),
            database: parts.next().filter(|name| !name.is_empty()).map(str::to_owned),
        })
    }

    /// Applies a header. Returns whether the line is one.
    fn apply_header(&mut self, line: &str) -> bool {
        let line = line.trim();
        if let Some(database) = line.strip_prefix(DATABASE_HEADER) {
            self.database = Some(unquote(database));
            self.retention_policy.clear();
        } else if let Some(policy) = line.strip_prefix(POLICY_HEADER) {
            self.retention_policy = unquote(policy);
        } else if line == DDL_HEADER {
            self.is_ddl = true;
        } else if line == DML_HEADER {
            self.is_ddl = false;
        } else {
            return false;
        }
        true
    }
}

fn unquote(name: &str) -> String {
    name.trim().trim_matches('"').to_owned()
}

fn read_file(
    files: &LineFile,
    path: &Path,
    position: Option<&str>,
    batches: &FileSender,
) -> Result<(), ImportError> {
    let mut context = position.and_then(Context::parse_position).unwrap_or_default();
    let consumed = Arc::new(AtomicU64::new(0));
    let mut reader = open(path, &consumed).map_err(|error| ImportError::io(path, error))?;
    let skipped = io::copy(&mut reader.by_ref().take(context.bytes), &mut io::sink());
    skipped.map_err(|error| ImportError::io(path, error))?;
    let mut splitter = LineSplitter::new(reader, files.max_request_bytes);
    let lines_before = context.lines;
    let mut reported = 0;
    loop {
        let batch = splitter
            .next_batch()
            .map_err(|error| ImportError::Lines { name: path.display().to_string(), error })?;
        let Some(batch) = batch else {
            return Ok(());
        };
        let mut sections = Sections::new(files, path, &mut context)?;
        context_lines(&mut sections, &batch.body, lines_before + batch.lines_before)?;
        for mut batch in sections.finish() {
            let now = consumed.load(Ordering::Relaxed);
            batch.bytes = now - std::mem::replace(&mut reported, now);
            if batches.blocking_send(Ok(batch)).is_err() {
                return Ok(());
            }
        }
    }
}

/// Adds the lines of a batch to the sections of their databases.
fn context_lines(
    sections: &mut Sections<'_>,
    body: &[u8],
    lines_before: u64,
) -> Result<(), ImportError> {
    let mut number = lines_before;
    for line in lines(body) {
        sections.add(line, number)?;
        number += memchr::memchr_iter(b'\n', line).count() as u64;
        sections.context.lines = number;
        sections.context.bytes += line.len() as u64;
    }
    Ok(())
}

/// The lines of a batch, split where the database changes.
struct Sections<'a> {
    files: &'a LineFile,
    filter: LineFilter,
    context: &'a mut Context,
    name: Arc<str>,
    finished: Vec<FileBatch>,
    /// The lines of the current section, with the number of lines before the first one, and their own number.
    text: Vec<u8>,
    first_line: u64,
    lines: u64,
    /// The database of the section; `None` if it is excluded.
    database: Option<Arc<str>>,
}

impl<'a> Sections<'a> {
    fn new(
        files: &'a LineFile,
        path: &Path,
        context: &'a mut Context,
    ) -> Result<Self, ImportError> {
        let mut sections = Self {
            files,
            filter: LineFilter::new(&files.filter, nanoseconds(files.precision)),
            context,
            name: path.display().to_string().into(),
            finished: Vec::new(),
            text: Vec::new(),
            first_line: 0,
            lines: 0,
            database: None,
        };
        sections.database = sections.target()?;
        Ok(sections)
    }

    /// Returns the database of the lines that follow; `None` if it is excluded, or not known yet.
    fn target(&self) -> Result<Option<Arc<str>>, ImportError> {
        let Self { files, context, .. } = self;
        let name = match &context.database {
            None => files.names.common_database().map(str::to_owned),
            Some(database) => {
                let policy = context.retention_policy.as_str();
                if files.filter.includes_database(database, policy) {
                    Some(files.names.target(database, policy)?)
                } else {
                    None
                }
            }
        };
        Ok(name.map(Arc::from))
    }

    /// Adds a line with the number of lines before it.
    fn add(&mut self, line: &[u8], lines_before: u64) -> Result<(), ImportError> {
        let start = line.trim_ascii_start();
        if start.first() == Some(&b'#') {
            if self.context.apply_header(&String::from_utf8_lossy(start)) {
                self.close();
                self.database = self.target()?;
            }
            return Ok(());
        }
        if self.context.is_ddl || start.is_empty() {
            return Ok(());
        }
        if self.context.database.is_none() && self.database.is_none() {
            return Err(ImportError::NoDatabase(self.name.to_string()));
        }
        if self.database.is_some() && (self.filter.selects_all() || self.filter.selects(line)) {
            if self.text.is_empty() {
                self.first_line = lines_before;
            }
            push_translated(line, &mut self.text);
            self.lines += 1;
        }
        Ok(())
    }

    /// Ends the section.
    fn close(&mut self) {
        let (text, lines) = (std::mem::take(&mut self.text), std::mem::take(&mut self.lines));
        let database = self.database.clone().filter(|_| !text.is_empty());
        let body = database.map(|database| ImportBody {
            database,
            content: BodyContent::Lines {
                bytes: text.into(),
                places: LinePlaces::After(self.first_line),
                precision: self.files.precision,
            },
            origin: Arc::clone(&self.name),
            rows: lines,
        });
        if body.is_some() {
            self.finished.push(FileBatch {
                body,
                refused: None,
                position: self.context.to_position(),
                bytes: 0,
            });
        }
    }

    /// Returns the sections. The last one has the place after the batch.
    fn finish(mut self) -> Vec<FileBatch> {
        self.close();
        let position = self.context.to_position();
        match self.finished.last_mut() {
            Some(last) => last.position = position,
            None => self.finished.push(FileBatch { body: None, refused: None, position, bytes: 0 }),
        }
        self.finished
    }
}

/// Returns the nanoseconds in a unit.
fn nanoseconds(precision: &str) -> i64 {
    match precision {
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        _ => 1,
    }
}

/// Opens a file, and decompresses it if it starts as gzip does. Counts the bytes of the file that are read.
fn open(path: &Path, consumed: &Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let mut file = CountingFile { file: File::open(path)?, consumed: Arc::clone(consumed) };
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start)?;
    let is_compressed = start == [0x1f, 0x8b];
    let whole = BufReader::new(io::Cursor::new(start).chain(file));
    Ok(if is_compressed {
        Box::new(MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

/// Counts the bytes that are read.
struct CountingFile {
    file: File,
    consumed: Arc<AtomicU64>,
}

impl Read for CountingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.consumed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORT: &str = "# INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z\n# DDL\nCREATE DATABASE home WITH NAME autogen\n# DML\n# CONTEXT-DATABASE:home\n# CONTEXT-RETENTION-POLICY:autogen\n# writing tsm data\ncpu v=1 1\ncpu v=2 2\n# CONTEXT-DATABASE:home\n# CONTEXT-RETENTION-POLICY:weekly\nmem v=\"a\nb\" 3\n";

    fn read(
        text: &[u8],
        limit: usize,
        filter: ImportFilter,
        position: Option<&str>,
    ) -> Result<Vec<(String, String, String)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.lp");
        std::fs::write(&path, text).unwrap();
        let files = LineFile {
            paths: vec![path.clone()],
            filter,
            names: DatabaseNames::default(),
            precision: "ns",
            parallel: 1,
            max_request_bytes: limit,
        };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        read_file(&files, &path, position, &sender).map_err(|error| {
            let name = path.display().to_string();
            error.to_string().replace(&name, "export.lp")
        })?;
        drop(sender);
        let mut batches = Vec::new();
        while let Ok(batch) = receiver.try_recv() {
            let batch = batch.unwrap();
            let (database, text) = match batch.body {
                Some(body) => {
                    let text = String::from_utf8(body.content.bytes().to_vec()).unwrap();
                    (body.database.to_string(), text)
                }
                None => (String::new(), String::new()),
            };
            batches.push((database, text, batch.position));
        }
        Ok(batches)
    }

    fn bodies(batches: &[(String, String, String)]) -> Vec<(&str, &str)> {
        let batches = batches.iter();
        batches.map(|(database, text, _)| (database.as_str(), text.as_str())).collect()
    }

    #[test]
    fn lines_go_to_the_databases_of_the_headers() {
        let batches = read(EXPORT.as_bytes(), 1_000, ImportFilter::default(), None).unwrap();
        assert_eq!(
            bodies(&batches),
            [("home", "cpu v=1 1\ncpu v=2 2\n"), ("home/weekly", "mem v=\"a\nb\" 3\n")]
        );
    }

    #[test]
    fn backslashes_of_tags_are_kept() {
        let text = "# CONTEXT-DATABASE:home\ncpu,p=a\\\\b v=1 1\n";
        let batches = read(text.as_bytes(), 1_000, ImportFilter::default(), None).unwrap();
        assert_eq!(bodies(&batches), [("home", "cpu,p=a\\\\\\b v=1 1\n")]);
    }

    #[test]
    fn compressed_exports_are_read() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, EXPORT.as_bytes()).unwrap();
        let text = gzip.finish().unwrap();
        let batches = read(&text, 1_000, ImportFilter::default(), None).unwrap();
        assert_eq!(batches.len(), 2);
    }

    #[test]
    fn an_import_continues_at_any_position() {
        let all = read(EXPORT.as_bytes(), 90, ImportFilter::default(), None).unwrap();
        assert!(all.len() > 2, "{all:?}");
        for (index, (_, _, position)) in all.iter().enumerate() {
            let rest =
                read(EXPORT.as_bytes(), 90, ImportFilter::default(), Some(position)).unwrap();
            let text = |batches: &[(String, String, String)]| -> String {
                batches.iter().map(|(_, text, _)| text.as_str()).collect()
            };
            assert_eq!(text(&rest), text(&all[index + 1..]), "{position}");
        }
    }

    #[test]
    fn other_databases_policies_and_measurements_are_left_out() {
        let filter = ImportFilter {
            retention_policies: vec!["weekly".to_owned()],
            ..ImportFilter::default()
        };
        let batches = read(EXPORT.as_bytes(), 1_000, filter, None).unwrap();
        assert_eq!(bodies(&batches), [("home/weekly", "mem v=\"a\nb\" 3\n")]);
        let filter = ImportFilter {
            measurements: vec!["cpu".to_owned()],
            ..ImportFilter::default()
        };
        let batches = read(EXPORT.as_bytes(), 1_000, filter, None).unwrap();
        assert_eq!(bodies(&batches), [("home", "cpu v=1 1\ncpu v=2 2\n")]);
    }

    #[test]
    fn lines_without_a_database_are_an_error() {
        let error = read(b"cpu v=1 1\n", 1_000, ImportFilter::default(), None).unwrap_err();
        assert_eq!(error, "export.lp names no database: name one with --into");
    }
}
