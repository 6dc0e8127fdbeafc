//! Deduplication in passes, for more inputs than are read at once, or than fit into memory.
//!
//! ```text
//!   inputs, oldest first   1 2 ... 16 | 17 ... 32 | 33 ... 40
//!   first pass             spill file   spill file   spill file      one group after the other
//!   last pass              |----- merged and deduplicated -------|
//! ```
//!
//! A group contains inputs that are adjacent in age, so that the newest value of each field is output, as in one pass.

use std::sync::Arc;

use datafusion::{
    common::Result,
    execution::{SendableRecordBatchStream, spill_file::SpillFile},
    physical_plan::{ExecutionPlan, SpillManager, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt, stream};

use super::merge::{DedupMerge, execute_all, max_inputs};

/// Merges and deduplicates groups of inputs. The inputs of a group are adjacent in age, and are read at once.
pub(super) fn deduplicate_in_passes(
    fold: DedupMerge,
    groups: Vec<Vec<Arc<dyn ExecutionPlan>>>,
) -> SendableRecordBatchStream {
    let schema = Arc::clone(&fold.output.schema);
    let rows = stream::once(async move { last_pass(&fold, &groups).await }).try_flatten();
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

async fn last_pass(
    fold: &DedupMerge,
    groups: &[Vec<Arc<dyn ExecutionPlan>>],
) -> Result<SendableRecordBatchStream> {
    let most = max_inputs(&fold.context).max(2);
    let manager = spill_manager(fold);
    let mut files = Vec::new();
    for group in groups {
        let streams = execute_all(group, &fold.context)?;
        files.extend(write_spill_file(&manager, fold.merge_all_columns(streams)).await?);
    }
    while files.len() > most {
        let mut folded = Vec::new();
        for group in files.chunks(most) {
            let merged = fold.merge_all_columns(open_spill_files(&manager, group)?);
            folded.extend(write_spill_file(&manager, merged).await?);
        }
        files = folded;
    }
    if files.is_empty() {
        let schema = Arc::clone(&fold.output.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::empty())))
    } else {
        Ok(fold.merge_to_output(open_spill_files(&manager, &files)?))
    }
}

fn spill_manager(fold: &DedupMerge) -> SpillManager {
    let runtime = fold.context.runtime_env();
    SpillManager::new(runtime, fold.spills.clone(), Arc::clone(&fold.input_schema))
}

/// Writes rows to a spill file. Returns `None` if there are no rows.
async fn write_spill_file(
    manager: &SpillManager,
    mut rows: SendableRecordBatchStream,
) -> Result<Option<Arc<dyn SpillFile>>> {
    let mut file = manager.create_in_progress_file("deduplication of many sections")?;
    while let Some(batch) = rows.next().await {
        file.append_batch(&batch?)?;
    }
    file.finish()
}

fn open_spill_files(
    manager: &SpillManager,
    files: &[Arc<dyn SpillFile>],
) -> Result<Vec<SendableRecordBatchStream>> {
    files
        .iter()
        .map(|file| manager.read_spill_as_stream_unbuffered(Arc::clone(file), None))
        .collect()
}
