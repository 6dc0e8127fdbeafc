//! The packages that plugins need.

use serde::{Deserialize, Serialize};

/// Maximum length in bytes of the name of a package or a requirements file.
pub const MAX_PACKAGE_BYTES: usize = 1_024;

/// Ends of names that an installer takes for files.
const ARCHIVES: [&str; 6] = [".whl", ".zip", ".tar", ".tgz", ".gz", ".bz2"];

/// The operators of versions. An operator precedes those that it starts with.
const OPERATORS: [&str; 8] = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"];

/// A package with its versions, such as `requests[socks]>=2.31,<3; python_version >= "3.9"`.
///
/// It is a requirement of PEP 508 without an address. Manifests of plugins come from other places, so a text that an
/// installer can take for an option, a file or an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct PackageRequirement(String);

/// A text that is not a package with its versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a Python package with its versions")]
pub struct RequirementError(String);

impl PackageRequirement {
    /// Returns the requirement as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the requirement as one word of a shell.
    pub(super) fn quoted(&self) -> String {
        if self.0.chars().all(is_of_name) {
            self.0.clone()
        } else {
            format!("'{}'", self.0.replace('\'', r"'\''"))
        }
    }
}

impl TryFrom<String> for PackageRequirement {
    type Error = RequirementError;

    fn try_from(text: String) -> Result<Self, RequirementError> {
        if text.len() <= MAX_PACKAGE_BYTES && is_requirement(&text) {
            Ok(Self(text))
        } else {
            Err(RequirementError(text.chars().take(64).collect()))
        }
    }
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._-".contains(character)
}

/// Returns whether a text is a name, with or without extras in brackets, versions, and a condition after a semicolon.
fn is_requirement(text: &str) -> bool {
    let (package, condition) = text.split_once(';').unwrap_or((text, ""));
    let end = package.find(|character: char| !is_of_name(character)).unwrap_or(package.len());
    let (name, rest) = package.split_at(end);
    let (extras, versions) = match rest.trim_start().strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').unwrap_or(("]", "")),
        None => ("", rest),
    };
    is_name(name)
        && extras
            .chars()
            .all(|character| is_of_name(character) || ", ".contains(character))
        && (versions.trim().is_empty() || versions.split(',').all(|one| is_version(one.trim())))
        && condition
            .chars()
            .all(|character| is_of_name(character) || " ,'\"()<>=!~".contains(character))
}

fn is_name(text: &str) -> bool {
    let is_edge = |character: char| character.is_ascii_alphanumeric();
    let lower = text.to_ascii_lowercase();
    text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && !ARCHIVES.iter().any(|end| lower.ends_with(end))
}

/// Returns whether a text is an operator and a version.
fn is_version(text: &str) -> bool {
    let version = OPERATORS.iter().find_map(|operator| text.strip_prefix(operator));
    version.is_some_and(|version| {
        let digits = version.trim();
        let is_digit = |character| is_of_name(character) || "*+!".contains(character);
        !digits.is_empty() && digits.chars().all(is_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PackageRequirement, RequirementError> {
        PackageRequirement::try_from(text.to_owned())
    }

    #[test]
    fn packages_have_extras_versions_and_conditions() {
        for text in [
            "requests",
            "Faker",
            "zope.interface",
            "influxdata-plugin-utils>=0.3.0",
            "confluent-kafka >= 2.15.0, < 3",
            "pyiceberg[s3fs,hive,sql-sqlite]",
            "pydantic [email] ~= 2.0",
            "torch==2.*",
            "a===1.0+cu121",
            "a!=1!2.0",
            "tomli>=2; python_version < \"3.11\"",
            "pywin32; sys_platform == 'win32' and (python_version >= '3.9')",
        ] {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn options_files_and_addresses_are_refused() {
        for text in [
            "",
            " a",
            "-r",
            "--index-url=https://evil.example",
            "a --index-url https://evil.example",
            "a\n--pre",
            "a>=1 --pre",
            "a @ https://evil.example/a.whl",
            "https://evil.example/a.whl",
            "git+ssh://evil.example/a",
            "./a",
            "../a",
            "/srv/a",
            "a/b",
            "a.whl",
            "a-1.0.TAR.GZ",
            "a[",
            "a[b",
            "a[b] c",
            "a[../b]",
            "a>=",
            "a>=1,",
            "a 1.0",
            "a; python_version < `id`",
            "a;$(id)",
            "a_",
            "ä",
            "$(id)",
            "a\u{1b}[31m",
            &"a".repeat(MAX_PACKAGE_BYTES + 1),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_requirement_is_one_word_of_a_shell() {
        for (text, quoted) in [
            ("requests", "requests"),
            ("a>=1,<2", "'a>=1,<2'"),
            ("a; os_name == 'nt'", r"'a; os_name == '\''nt'\'''"),
        ] {
            assert_eq!(parse(text).unwrap().quoted(), quoted);
        }
    }
}
