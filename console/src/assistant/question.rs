//! The questions of users to the assistant.

use serde::Deserialize;

/// The task of the assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AssistantTask {
    /// Explains a statement.
    Explain,
    /// Corrects a statement that has failed.
    Fix,
    /// Writes a statement.
    Write,
}

/// The language of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum QuestionLanguage {
    /// SQL.
    Sql,
    /// `InfluxQL`.
    InfluxQl,
    /// `PromQL`.
    PromQl,
}

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssistantQuestion {
    pub(super) task: AssistantTask,
    pub(super) language: QuestionLanguage,
    /// The statement in the editor; of a task to write one, the statement to start from, if there is one.
    #[serde(default)]
    pub(super) statement: String,
    /// The error of the statement.
    #[serde(default)]
    pub(super) error: String,
    /// A description of the answer of the statement to write.
    #[serde(default)]
    pub(super) request: String,
}

impl AssistantQuestion {
    /// Returns the field that the task needs and that is empty.
    pub(super) fn missing_field(&self) -> Option<&'static str> {
        let statement = ("statement", &self.statement);
        let needed = match self.task {
            AssistantTask::Explain => vec![statement],
            AssistantTask::Fix => vec![statement, ("error", &self.error)],
            AssistantTask::Write => vec![("request", &self.request)],
        };
        let mut empty = needed.into_iter().filter(|(_, text)| text.trim().is_empty());
        empty.next().map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_needs_its_texts() {
        for (body, missing) in [
            (r#"{"task":"explain","language":"sql"}"#, Some("statement")),
            (
                r#"{"task":"fix","language":"influxql","statement":"SELECT","error":" "}"#,
                Some("error"),
            ),
            (r#"{"task":"write","language":"promql","statement":"up"}"#, Some("request")),
            (r#"{"task":"write","language":"promql","request":"all"}"#, None),
        ] {
            let question: AssistantQuestion = serde_json::from_str(body).unwrap();
            assert_eq!(question.missing_field(), missing, "{body}");
        }
        for refused in [
            r#"{"task":"run","language":"sql"}"#,
            r#"{"task":"explain","language":"sql","rows":[]}"#,
        ] {
            assert!(serde_json::from_str::<AssistantQuestion>(refused).is_err(), "{refused}");
        }
    }
}
