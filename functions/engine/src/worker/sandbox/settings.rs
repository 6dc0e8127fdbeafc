//! Settings of the sandbox.

use std::{path::PathBuf, str::FromStr};

/// Whether plugins are confined to their own files (`--plugin-sandbox`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SandboxMode {
    /// If the kernel can do it. Otherwise the server logs a warning and runs plugins unconfined.
    #[default]
    Auto,
    /// Always: plugins do not run if the kernel can't confine them.
    Required,
    /// Never.
    Off,
}

impl SandboxMode {
    /// Returns the name in `--plugin-sandbox`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for SandboxMode {
    type Err = SandboxSettingError;

    fn from_str(text: &str) -> Result<Self, SandboxSettingError> {
        let modes = [Self::Auto, Self::Required, Self::Off];
        let found = modes.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| SandboxSettingError {
            value: text.to_owned(),
            expected: "auto, required or off",
        })
    }
}

/// Whether plugins may use the network (`--plugin-network`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum NetworkAccess {
    /// Plugins may open connections and listen.
    #[default]
    Allow,
    /// Plugins can't create sockets, including those to other programs on the machine.
    Deny,
}

impl NetworkAccess {
    /// Returns the name in `--plugin-network`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for NetworkAccess {
    type Err = SandboxSettingError;

    fn from_str(text: &str) -> Result<Self, SandboxSettingError> {
        let values = [Self::Allow, Self::Deny];
        let found = values.into_iter().find(|value| value.as_str() == text);
        found.ok_or_else(|| SandboxSettingError {
            value: text.to_owned(),
            expected: "allow or deny",
        })
    }
}

/// An invalid value of a setting of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is not valid: expected {expected}")]
pub struct SandboxSettingError {
    value: String,
    expected: &'static str,
}

/// The user id of plugins in a server of root, if no other is set. No system assigns it, and containers have it.
pub const PLUGIN_USER: u32 = 60_800;

/// The resources of the machine that a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Whether plugins are confined to their own files.
    pub mode: SandboxMode,
    /// Whether plugins may use the network.
    pub network: NetworkAccess,
    /// Further files and folders that plugins may read.
    pub readable: Vec<PathBuf>,
    /// Further files and folders that plugins may read and write.
    pub writable: Vec<PathBuf>,
    /// The user id of plugins, if the server runs as root; 0: they run as root, too.
    pub user: u32,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            mode: SandboxMode::default(),
            network: NetworkAccess::default(),
            readable: Vec::new(),
            writable: Vec::new(),
            user: PLUGIN_USER,
        }
    }
}
