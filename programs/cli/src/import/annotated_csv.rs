//! Imports annotated CSV, as Flux queries of InfluxDB 2 answer it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use indicatif::ProgressBar;
use neap_file_formats::{FileInput, FileReader, Format, ReadOptions};
use neap_rows::{
    columnar::{ColumnMapping, LineEncoder, LineRows},
    line_protocol::Precision,
};

use super::{
    BodySender, ImportError, ImportFilter, ImportSummary, StateFile,
    body::{BodyContent, ImportBody, LinePlaces},
    file_import::{FileBatch, FileSender, import_files},
    line_filter::{LineFilter, lines},
};
use crate::client::{FileRowsError, RefusedLines};

/// Number of refused rows after which a request is sent, even if it has few lines.
const MAX_REFUSED_ROWS: usize = 1_000;

/// Imports files into a database, or counts their rows without a sender.
pub(crate) async fn import_csv(
    files: CsvFiles,
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

/// Files of annotated CSV.
#[derive(Clone, Debug)]
pub(crate) struct CsvFiles {
    /// The files.
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) database: String,
    /// The part to import.
    pub(crate) filter: ImportFilter,
    /// Number of files that are read at the same time.
    pub(crate) parallel: usize,
    /// Maximum size of a request in bytes.
    pub(crate) max_request_bytes: usize,
}

fn read_file(
    files: &CsvFiles,
    path: &Path,
    position: Option<&str>,
    batches: &FileSender,
) -> Result<(), ImportError> {
    let name: Arc<str> = path.display().to_string().into();
    let failed = |error: FileRowsError| ImportError::Rows { name: name.to_string(), error };
    let file = File::open(path).map_err(|error| ImportError::io(path, error))?;
    let options = ReadOptions {
        format: Some(Format::Csv),
        mapping: ColumnMapping::default(),
        skip_rows: position.and_then(|rows| rows.parse().ok()).unwrap_or(0),
        ..ReadOptions::default()
    };
    let mut reader =
        FileReader::open(FileInput::File(file), options).map_err(|error| failed(error.into()))?;
    let mut rows = PendingLines {
        name: Arc::clone(&name),
        database: files.database.as_str().into(),
        filter: LineFilter::new(&files.filter, 1),
        lines: LineRows::default(),
        last_row: 0,
        reported_bytes: 0,
    };
    while let Some(part) = reader.next_part().map_err(|error| failed(error.into()))? {
        for numbered in &part.batches {
            let mut encoder = LineEncoder::new(numbered, &part.mapping, Precision::Nanosecond)
                .map_err(|error| failed(error.into()))?;
            let mut has_more = true;
            while has_more {
                has_more = encoder.encode(&mut rows.lines, files.max_request_bytes);
                let is_full = has_more || rows.lines.errors.len() >= MAX_REFUSED_ROWS;
                if is_full && !rows.send(&reader, batches) {
                    return Ok(());
                }
            }
            rows.last_row = numbered.first_row + numbered.batch.num_rows() - 1;
        }
    }
    rows.send(&reader, batches);
    Ok(())
}

/// Lines that are not sent yet.
struct PendingLines {
    name: Arc<str>,
    database: Arc<str>,
    filter: LineFilter,
    lines: LineRows,
    /// Number of the last row whose lines are complete.
    last_row: usize,
    reported_bytes: u64,
}

impl PendingLines {
    /// Sends the lines. Returns whether the receiver is there.
    fn send(&mut self, reader: &FileReader, batches: &FileSender) -> bool {
        let LineRows { text, rows, errors } = std::mem::take(&mut self.lines);
        // Within a part, the rows are in order.
        let last = rows.iter().copied().chain(errors.iter().map(|error| error.line_number));
        let position = last.max().unwrap_or(0).max(self.last_row);
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for (line, row) in lines(text.as_bytes()).zip(rows) {
            if self.filter.selects_all() || self.filter.selects(line) {
                bytes.extend_from_slice(line);
                places.push(row as u64);
            }
        }
        let count = places.len() as u64;
        let body = (count > 0).then(|| ImportBody {
            database: Arc::clone(&self.database),
            content: BodyContent::Lines {
                bytes: bytes.into(),
                places: LinePlaces::Rows(places),
                precision: "ns",
            },
            origin: Arc::clone(&self.name),
            rows: count,
        });
        let refused = RefusedLines::of_rows(0, Some(&self.name), &errors);
        let read = reader.consumed_bytes();
        let batch = FileBatch {
            body,
            refused: refused.map(|refused| (self.database.to_string(), refused)),
            position: position.to_string(),
            bytes: read - std::mem::replace(&mut self.reported_bytes, read),
        };
        batches.blocking_send(Ok(batch)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use neap_tsm::TimeRange;

    use super::*;

    const FLUX: &str = "#group,false,false,true,true,false,false,true,true,true\n\
        #datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string\n\
        #default,_result,,,,,,,,\n\
        ,result,table,_start,_stop,_time,_value,_field,_measurement,host\n\
        ,,0,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,1970-01-01T00:00:01Z,0.5,usage,cpu,a\n\
        ,,0,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,1970-01-01T00:00:02Z,1.5,usage,cpu,a\n\
        ,,1,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,1970-01-01T00:00:01Z,7,free,mem,a\n";

    fn read(filter: ImportFilter, position: Option<&str>) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flux.csv");
        std::fs::write(&path, FLUX).unwrap();
        let files = CsvFiles {
            paths: vec![path.clone()],
            database: "home".to_owned(),
            filter,
            parallel: 1,
            max_request_bytes: 30,
        };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        read_file(&files, &path, position, &sender).unwrap();
        drop(sender);
        let mut batches = Vec::new();
        while let Ok(batch) = receiver.try_recv() {
            let batch = batch.unwrap();
            assert!(batch.refused.is_none());
            let text = batch.body.map_or(String::new(), |body| {
                String::from_utf8(body.content.bytes().to_vec()).unwrap()
            });
            batches.push((text, batch.position));
        }
        batches
    }

    fn text(batches: &[(String, String)]) -> String {
        batches.iter().map(|(text, _)| text.as_str()).collect()
    }

    #[test]
    fn rows_become_lines_and_an_import_continues_after_any_request() {
        let all = read(ImportFilter::default(), None);
        assert_eq!(
            text(&all),
            "cpu,host=a usage=0.5 1000000000\ncpu,host=a usage=1.5 2000000000\nmem,host=a free=7 1000000000\n"
        );
        for (index, (_, position)) in all.iter().enumerate() {
            let rest = read(ImportFilter::default(), Some(position));
            assert_eq!(text(&rest), text(&all[index + 1..]), "{position}");
        }
    }

    #[test]
    fn rows_are_filtered() {
        let filter = ImportFilter {
            measurements: vec!["cpu".to_owned()],
            times: TimeRange { min: 1_500_000_000, max: i64::MAX },
            ..ImportFilter::default()
        };
        assert_eq!(text(&read(filter, None)), "cpu,host=a usage=1.5 2000000000\n");
    }
}
