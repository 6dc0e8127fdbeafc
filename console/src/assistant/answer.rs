//! The answer of a model: its text, and the statement in it.

use neap_http::text_prefix;
use serde::Serialize;

use super::question::AssistantTask;

/// Maximum bytes of the text of a model.
const MAX_BYTES: usize = 32 << 10;

/// The first characters of the lines before and after a code block.
const FENCE: &str = "```";

/// The text before an answer in which some models write down their thoughts.
const THOUGHTS: [&str; 2] = ["<think>", "</think>"];

/// The body of the answer of the assistant.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct AssistantAnswer {
    text: String,
    /// The statement of the last code block, if the task is to write one.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
}

impl AssistantAnswer {
    /// Takes the text of a model apart.
    pub(super) fn new(content: &str, task: AssistantTask) -> Self {
        let content = without_thoughts(text_prefix(content, MAX_BYTES)).trim();
        let lines: Vec<&str> = content.lines().collect();
        let numbered = lines.iter().enumerate();
        let fences: Vec<usize> =
            numbered.filter(|(_, line)| is_fence(line)).map(|(at, _)| at).collect();
        let (blocks, _) = fences.as_chunks::<2>();
        let Some(&[start, end]) = blocks.last().filter(|_| task != AssistantTask::Explain) else {
            return Self { text: content.to_owned(), statement: None };
        };
        let part = |from: usize, to: usize| {
            let of_part = lines.iter().skip(from).take(to.saturating_sub(from));
            of_part.copied().collect::<Vec<_>>().join("\n")
        };
        let statement = part(start + 1, end).trim().to_owned();
        let around = [part(0, start), part(end + 1, lines.len())];
        let texts: Vec<&str> =
            around.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
        Self {
            text: texts.join("\n\n"),
            statement: Some(statement).filter(|statement| !statement.is_empty()),
        }
    }
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with(FENCE)
}

fn without_thoughts(content: &str) -> &str {
    let [start, end] = THOUGHTS;
    let thoughts = content.trim_start().strip_prefix(start);
    let answer = thoughts.and_then(|thoughts| thoughts.split_once(end));
    answer.map_or(content, |(_, answer)| answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_the_last_code_block() {
        let content = "The name is wrong.\n```sql\nSELECT a\n```\nBetter:\n```sql\nSELECT b\nFROM t\n```\nDone.";
        let answer = AssistantAnswer::new(content, AssistantTask::Fix);
        assert_eq!(answer.statement.as_deref(), Some("SELECT b\nFROM t"));
        assert_eq!(answer.text, "The name is wrong.\n```sql\nSELECT a\n```\nBetter:\n\nDone.");
        let explained = AssistantAnswer::new(content, AssistantTask::Explain);
        assert_eq!((explained.text.as_str(), explained.statement), (content, None));
    }

    #[test]
    fn an_answer_without_a_complete_block_is_a_text() {
        for content in ["SELECT 1", "Look:\n```\nSELECT", "```\n```"] {
            let answer = AssistantAnswer::new(content, AssistantTask::Write);
            assert_eq!(answer.statement, None, "{content}");
        }
    }

    #[test]
    fn thoughts_are_left_out() {
        let content =
            "<think>\n```\nDROP TABLE t\n```\n</think>\n\nThe first rows.\n```\nSELECT 1\n```";
        let answer = AssistantAnswer::new(content, AssistantTask::Write);
        assert_eq!(answer.text, "The first rows.");
        assert_eq!(answer.statement.as_deref(), Some("SELECT 1"));
    }
}
