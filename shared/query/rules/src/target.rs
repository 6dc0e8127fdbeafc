//! The targets of notifications, which the administrator lists.

use std::{convert::Infallible, str::FromStr};

use sha2::{Digest, Sha256};
use url::Url;

use crate::outgoing::{OutgoingUrlError, parse_outgoing_url};

/// The path of Alertmanager's interface, below its own URL.
const ALERTMANAGER_PATH: &str = "api/v2/alerts";

/// Hexadecimal digits of the hash in the id of a target.
const ID_DIGITS: usize = 16;

/// The kind of a target, which decides on the form of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Alertmanager,
    Webhook,
    Slack,
    Ntfy,
}

impl TargetKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Ntfy => "ntfy",
        }
    }
}

/// The reason why a text is no target. It does not contain the URL, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The kind is unknown.
    #[error("expect KIND=URL, where KIND is 'alertmanager', 'webhook', 'slack' or 'ntfy'")]
    Kind,
    /// Requests can't be sent to the URL.
    #[error(transparent)]
    Url(#[from] OutgoingUrlError),
}

/// A target of notifications. Its URL is secret: it may contain a password, or be one.
#[derive(Clone, PartialEq, Eq, derive_more::Debug, derive_more::Display)]
#[display("{} at {}", kind.as_str(), url.host_str().unwrap_or_default())]
#[debug("NotifyTarget({id:?})")]
pub struct NotifyTarget {
    kind: TargetKind,
    url: Url,
    id: String,
}

impl NotifyTarget {
    /// Returns the id of the target, which is stored with alerts: its kind, and a part of the hash of its URL.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns whether the target must be told again of alerts that still fire.
    pub fn needs_repeats(&self) -> bool {
        self.kind == TargetKind::Alertmanager
    }

    pub(crate) fn kind(&self) -> TargetKind {
        self.kind
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl FromStr for NotifyTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (kind, address) = text.split_once('=').ok_or(TargetError::Kind)?;
        let kind = match kind.trim() {
            "alertmanager" => TargetKind::Alertmanager,
            "webhook" => TargetKind::Webhook,
            "slack" => TargetKind::Slack,
            "ntfy" => TargetKind::Ntfy,
            _ => return Err(TargetError::Kind),
        };
        let mut url = parse_outgoing_url(address)?;
        if kind == TargetKind::Alertmanager {
            let path = format!("{}/{ALERTMANAGER_PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let hash = hex::encode(Sha256::digest(url.as_str()));
        let short = hash.get(..ID_DIGITS).unwrap_or(&hash);
        Ok(Self { kind, id: format!("{}-{short}", kind.as_str()), url })
    }
}

/// An option that names a target. Its text is refused by [`Notifier::from_options`](crate::Notifier::from_options), and not
/// when options are parsed, because errors of options contain their values, and this one may be secret.
#[derive(Clone, Debug)]
pub struct TargetOption(Result<NotifyTarget, TargetError>);

impl TargetOption {
    /// Returns the target.
    ///
    /// # Errors
    /// The text is no target.
    pub fn target(&self) -> Result<NotifyTarget, TargetError> {
        self.0.clone()
    }
}

impl FromStr for TargetOption {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NotifyTarget, TargetError> {
        text.parse()
    }

    #[test]
    fn a_target_is_a_kind_and_a_url() {
        let manager = parse("alertmanager=http://10.0.0.5:9093/am/").unwrap();
        assert_eq!(manager.url().as_str(), "http://10.0.0.5:9093/am/api/v2/alerts");
        assert!(manager.needs_repeats());
        let hook = parse("webhook=https://example.com/hook?a=b").unwrap();
        assert_eq!(hook.url().path(), "/hook");
        for (text, error) in [
            ("https://example.com", TargetError::Kind),
            ("pager=https://example.com", TargetError::Kind),
            ("webhook=file:///etc/passwd", OutgoingUrlError::Url.into()),
            ("webhook=no url", OutgoingUrlError::Url.into()),
            ("webhook=http://169.254.169.254/latest", OutgoingUrlError::Address.into()),
            ("webhook=http://[fe80::1]/", OutgoingUrlError::Address.into()),
            ("webhook=http://2852039166/", OutgoingUrlError::Address.into()),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn the_error_of_an_option_does_not_contain_its_secrets() {
        let option: TargetOption = "webhok=https://user:pass@example.com/secret".parse().unwrap();
        let shown = format!("{option:?} {}", option.target().unwrap_err());
        assert!(!shown.contains("secret") && !shown.contains("user"), "{shown}");
        let option: TargetOption = "webhook=https://example.com/secret".parse().unwrap();
        assert!(option.target().is_ok());
        assert!(!format!("{option:?}").contains("secret"));
    }

    #[test]
    fn a_shown_target_has_no_secrets() {
        let target = parse("slack=https://user:pass@hooks.example.com/services/T0/secret").unwrap();
        for shown in [target.to_string(), format!("{target:?}"), target.id().to_owned()] {
            assert!(!shown.contains("secret") && !shown.contains("pass"), "{shown}");
        }
        assert_eq!(target.to_string(), "slack at hooks.example.com");
    }
}
