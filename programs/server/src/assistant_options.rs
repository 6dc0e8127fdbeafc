//! The options of the assistant of the console.

use std::path::PathBuf;

use clap::Args;
use neap_bucket::Secret;
use neap_console::{Assistant, ChatModelSettings};

use super::{ServeError, private_file};

/// The options of the assistant of the console.
#[derive(Args, Debug)]
#[command(next_help_heading = "Assistant")]
pub(super) struct AssistantArgs {
    /// The URL of the chat completions of a model, such as http://127.0.0.1:11434/v1/chat/completions, which the assistant of
    /// the console asks. The model gets statements, errors, and names and types of columns, and never rows.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    assistant_url: Option<Secret>,

    /// The name of the model at --assistant-url.
    #[arg(long, value_name = "NAME")]
    assistant_model: Option<String>,

    /// The key for --assistant-url, which is sent as a bearer token.
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    assistant_key: Option<Secret>,

    /// A file with the key, in place of --assistant-key.
    #[arg(long, value_name = "FILE")]
    pub(super) assistant_key_file: Option<PathBuf>,
}

impl AssistantArgs {
    /// Returns the name of the model; `None` if there is no assistant.
    pub(super) fn model(&self) -> Option<&str> {
        self.assistant_model.as_deref().filter(|_| self.assistant_url.is_some())
    }

    /// Returns the assistant; `None` if no option asks for one. The pairing of options is checked here, because an option
    /// may come from the environment.
    ///
    /// # Errors
    /// Options are missing or contradict each other, or a value can't be used.
    pub(super) fn assistant(&self) -> Result<Option<Assistant>, ServeError> {
        let (url, name) = match (&self.assistant_url, &self.assistant_model) {
            (Some(url), Some(name)) => (url.clone(), name.clone()),
            (Some(_), None) => return Err(incomplete("--assistant-url", "--assistant-model")),
            (None, Some(_)) => return Err(incomplete("--assistant-model", "--assistant-url")),
            (None, None) if self.assistant_key.is_some() => {
                return Err(incomplete("--assistant-key", "--assistant-url"));
            }
            (None, None) if self.assistant_key_file.is_some() => {
                return Err(incomplete("--assistant-key-file", "--assistant-url"));
            }
            (None, None) => return Ok(None),
        };
        let key = self.key()?;
        Ok(Some(Assistant::new(ChatModelSettings { url, name, key })?))
    }

    fn key(&self) -> Result<Option<Secret>, ServeError> {
        let Some(path) = &self.assistant_key_file else {
            return Ok(self.assistant_key.clone());
        };
        if self.assistant_key.is_some() {
            return Err(ServeError::TwoAssistantKeys);
        }
        let key = private_file::read_secret(path);
        key.map(Some)
            .map_err(|error| ServeError::AssistantKey { path: path.display().to_string(), error })
    }
}

fn incomplete(given: &'static str, missing: &'static str) -> ServeError {
    ServeError::IncompleteAssistant { given, missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::parse;

    const URL: [&str; 2] = ["--assistant-url", "http://127.0.0.1:11434/v1/chat/completions"];
    const MODEL: [&str; 2] = ["--assistant-model", "small"];

    fn assistant(options: &[&[&str]]) -> Result<Option<Assistant>, String> {
        let args = parse(&options.concat()).unwrap();
        assert_eq!(args.assistant.model().is_some(), options.starts_with(&[&URL, &MODEL]));
        args.assistant.assistant().map_err(|error| error.to_string())
    }

    #[test]
    fn the_assistant_is_off_unless_a_url_and_a_model_are_set() {
        assert!(assistant(&[]).unwrap().is_none());
        assert!(assistant(&[&URL, &MODEL]).unwrap().is_some());
        for (options, missing) in [
            (URL, "--assistant-url is set, but --assistant-model is not"),
            (MODEL, "--assistant-model is set, but --assistant-url is not"),
            (["--assistant-key", "k"], "--assistant-key is set, but --assistant-url is not"),
            (
                ["--assistant-key-file", "k"],
                "--assistant-key-file is set, but --assistant-url is not",
            ),
        ] {
            let reason = assistant(&[&options]).unwrap_err();
            assert!(reason.starts_with(missing), "{reason}");
        }
    }

    #[test]
    fn a_key_comes_from_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let file = ["--assistant-key-file", path.to_str().unwrap()];
        let missing = assistant(&[&URL, &MODEL, &file]).unwrap_err();
        assert!(missing.starts_with("--assistant-key-file "), "{missing}");
        std::fs::write(&path, "sk-secret\n").unwrap();
        assert!(assistant(&[&URL, &MODEL, &file]).unwrap().is_some());
        let two = assistant(&[&URL, &MODEL, &file, &["--assistant-key", "k"]]).unwrap_err();
        insta::assert_snapshot!(two, @"--assistant-key and --assistant-key-file are both set; set only one");
        let args = parse(&[URL, MODEL, ["--assistant-key", "sk-secret"]].concat()).unwrap();
        assert!(!format!("{args:?}").contains("sk-secret"));
    }
}
