//! Python packages for plugins: a virtual environment that the server creates when it is first needed, and installs
//! packages into with pip or uv.
//!
//! ```text
//!   interpreter (python3) ── -m venv, or uv venv ──> <environment>/bin/python ── pip or uv ──> its packages
//! ```
//!
//! The interpreter of the environment runs plugins as soon as there is one.

mod command;
mod requirement;

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use neap_bucket::World;
use neap_http::{ApiError, Kind};
use tokio::sync::Mutex;

use command::InstallerCommand;
pub use requirement::{MAX_PACKAGE_BYTES, PackageRequirement, RequirementError};

/// Maximum number of packages in one request.
pub const MAX_PACKAGES: usize = 100;

/// The script that compares requirements with the installed packages.
const REQUIREMENTS: &str = include_str!("../../python/requirements.py");
/// Timeout of this script.
const CHECK_TIME: Duration = Duration::from_secs(60);

/// The program that installs packages (`--package-manager`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PackageManager {
    /// uv if it is installed, else pip.
    #[default]
    Discover,
    /// pip of the virtual environment.
    Pip,
    /// uv.
    Uv,
    /// None: the server does not install packages.
    Disabled,
}

impl PackageManager {
    /// Returns the name in `--package-manager`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A name that is not that of a package manager.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a package manager: expected discover, pip, uv or disabled")]
pub struct PackageManagerError(String);

impl FromStr for PackageManager {
    type Err = PackageManagerError;

    fn from_str(text: &str) -> Result<Self, PackageManagerError> {
        match text {
            "discover" => Ok(Self::Discover),
            "pip" => Ok(Self::Pip),
            "uv" => Ok(Self::Uv),
            "disabled" => Ok(Self::Disabled),
            _ => Err(PackageManagerError(text.to_owned())),
        }
    }
}

/// Settings for the installation of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSettings {
    /// The package manager.
    pub manager: PackageManager,
    /// The virtual environment (`--virtual-env-location`, else `.venv` in the plugin folder). `None`: there is no
    /// environment, and no packages are installed.
    pub environment: Option<PathBuf>,
    /// The interpreter that creates the environment, and that runs plugins while there is no environment.
    pub python: PathBuf,
    /// The uv program.
    pub uv: PathBuf,
    /// Names of environment variables of the server that installers get, in addition to those that they need.
    pub passed_variables: Vec<String>,
    /// Timeout of an installation.
    pub time: Duration,
}

impl Default for PackageSettings {
    fn default() -> Self {
        Self {
            manager: PackageManager::default(),
            environment: None,
            python: PathBuf::from("python3"),
            uv: PathBuf::from("uv"),
            passed_variables: Vec::new(),
            // Less than the timeout of clients.
            time: Duration::from_secs(540),
        }
    }
}

/// An error of installing packages, with the message of InfluxDB 3 Core where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum PackageError {
    /// The server does not install packages.
    #[error(
        "Package installation has been disabled. Contact your administrator for more information."
    )]
    Disabled,
    #[error("the server has neither a plugin directory nor a location for a virtual environment")]
    NoEnvironment,
    #[error("Package manager not available: {0}")]
    NoManager(String),
    #[error("invalid package: {0}")]
    Invalid(String),
    #[error("Virtual environment error: {0}")]
    Environment(String),
    #[error(
        "'{plugin}' needs Python packages that are not installed: {}. Install them with: neap install package {}",
        listed(.packages),
        shell_words(.packages)
    )]
    Missing {
        plugin: String,
        packages: Vec<PackageRequirement>,
    },
    #[error("the installed Python packages can't be listed: {0}")]
    Unlisted(String),
    #[error("installation failed: {0}")]
    Failed(String),
    /// The installer exceeded the timeout and was stopped.
    #[error("the installation took longer than {}", humantime::format_duration(*.0))]
    TooSlow(Duration),
}

impl From<PackageError> for ApiError {
    fn from(error: PackageError) -> Self {
        let kind = match error {
            PackageError::Disabled => Kind::Forbidden,
            PackageError::Invalid(_) | PackageError::Missing { .. } => Kind::Invalid,
            PackageError::NoEnvironment
            | PackageError::Unlisted(_)
            | PackageError::NoManager(_)
            | PackageError::Environment(_)
            | PackageError::Failed(_)
            | PackageError::TooSlow(_) => Kind::Internal,
        };
        Self::text(kind, error.to_string())
    }
}

fn listed(packages: &[PackageRequirement]) -> String {
    let texts: Vec<_> = packages.iter().map(PackageRequirement::as_str).collect();
    texts.join(", ")
}

fn shell_words(packages: &[PackageRequirement]) -> String {
    let words: Vec<_> = packages.iter().map(PackageRequirement::quoted).collect();
    words.join(" ")
}

/// The installer in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installer {
    Pip,
    Uv,
}

/// The virtual environment of an instance.
#[derive(Debug)]
pub struct PythonEnvironment {
    settings: PackageSettings,
    world: World,
    /// Held during an installation, so that there is one at a time.
    turn: Mutex<()>,
}

impl PythonEnvironment {
    /// Creates the instance's environment manager. Creates no environment and installs nothing yet.
    pub fn new(settings: PackageSettings, world: World) -> Self {
        Self { settings, world, turn: Mutex::new(()) }
    }

    /// Returns the interpreter for plugins: that of the virtual environment if there is one.
    pub fn python(&self) -> PathBuf {
        match self.environment_python() {
            Some(python) if python.exists() => python,
            _ => self.settings.python.clone(),
        }
    }

    /// Returns the path of the virtual environment, which may not exist yet.
    pub fn environment(&self) -> Option<&Path> {
        self.settings.environment.as_deref()
    }

    fn environment_python(&self) -> Option<PathBuf> {
        Some(self.environment()?.join("bin").join("python"))
    }

    /// Installs packages, given as pip requirement specifiers.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub async fn install(&self, packages: &[String]) -> Result<(), PackageError> {
        self.require_enabled()?;
        if packages.is_empty() || packages.len() > MAX_PACKAGES {
            return Err(PackageError::Invalid(format!("expected 1 to {MAX_PACKAGES} packages")));
        }
        packages.iter().try_for_each(|package| check(package))?;
        self.install_with(packages).await
    }

    /// Installs the packages of a requirements file on this machine.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub async fn install_requirements(&self, file: &str) -> Result<(), PackageError> {
        self.require_enabled()?;
        check(file)?;
        self.install_with(&["-r".to_owned(), file.to_owned()]).await
    }

    /// Checks that the packages that a plugin needs are installed.
    ///
    /// # Errors
    /// `Missing` names those that are not; `Unlisted`.
    pub async fn require(
        &self,
        plugin: &str,
        needed: &[PackageRequirement],
    ) -> Result<(), PackageError> {
        if needed.is_empty() {
            return Ok(());
        }
        let script = self
            .command(&self.python())
            .args(["-I", "-X", "utf8", "-c", REQUIREMENTS])
            .args(needed.iter().map(PackageRequirement::as_str));
        let printed = self.world.timeout(CHECK_TIME, script.run()).await;
        let late = || Err(format!("no answer within {CHECK_TIME:?}"));
        let positions = printed.unwrap_or_else(late).map_err(PackageError::Unlisted)?;
        let packages: Vec<_> = positions
            .split_whitespace()
            .filter_map(|position| needed.get(position.parse::<usize>().ok()?).cloned())
            .collect();
        if packages.is_empty() {
            return Ok(());
        }
        Err(PackageError::Missing { plugin: plugin.to_owned(), packages })
    }

    fn require_enabled(&self) -> Result<(), PackageError> {
        match self.settings.manager {
            PackageManager::Disabled => Err(PackageError::Disabled),
            _ => Ok(()),
        }
    }

    async fn install_with(&self, what: &[String]) -> Result<(), PackageError> {
        let python = self.environment_python().ok_or(PackageError::NoEnvironment)?;
        let work = async {
            let _turn = self.turn.lock().await;
            let installer = self.installer().await?;
            if !self.is_made(&python, installer).await {
                self.make_environment(installer).await?;
            }
            let command = match installer {
                Installer::Pip => self
                    .command(&python)
                    .args(["-m", "pip", "install", "--no-input"])
                    .arg("--disable-pip-version-check"),
                Installer::Uv => self
                    .command(&self.settings.uv)
                    .args(["pip", "install", "--compile-bytecode", "--python"])
                    .arg(&python),
            };
            command.args(what).run().await.map(drop).map_err(PackageError::Failed)
        };
        let limit = self.settings.time;
        let done = self.world.timeout(limit, work).await;
        done.unwrap_or(Err(PackageError::TooSlow(limit)))
    }

    /// Returns whether an environment exists that packages can be installed into. An environment whose creation was
    /// interrupted may lack pip; creating it again completes it.
    async fn is_made(&self, python: &Path, installer: Installer) -> bool {
        let pip = || self.command(python).args(["-m", "pip", "--version"]).run();
        python.exists() && (installer == Installer::Uv || pip().await.is_ok())
    }

    async fn make_environment(&self, installer: Installer) -> Result<(), PackageError> {
        let environment = self.environment().ok_or(PackageError::NoEnvironment)?;
        let settings = &self.settings;
        let command = match installer {
            Installer::Pip => self.command(&settings.python).args(["-m", "venv"]),
            Installer::Uv => {
                self.command(&settings.uv).args(["venv", "--python"]).arg(&settings.python)
            }
        };
        let made = command.arg(environment).run().await;
        made.map(drop).map_err(PackageError::Environment)
    }

    async fn installer(&self) -> Result<Installer, PackageError> {
        let settings = &self.settings;
        let uv = || self.command(&settings.uv).arg("--version").run();
        match settings.manager {
            PackageManager::Disabled => Err(PackageError::Disabled),
            PackageManager::Pip => Ok(Installer::Pip),
            PackageManager::Uv => match uv().await {
                Ok(_) => Ok(Installer::Uv),
                Err(reason) => Err(PackageError::NoManager(format!("uv: {reason}"))),
            },
            PackageManager::Discover => Ok(match uv().await {
                Ok(_) => Installer::Uv,
                Err(_) => Installer::Pip,
            }),
        }
    }

    fn command(&self, program: &Path) -> InstallerCommand {
        InstallerCommand::new(program, &self.settings.passed_variables)
    }
}

/// Rejects empty, long or multi-line names, and names that an installer would parse as an option.
fn check(name: &str) -> Result<(), PackageError> {
    let is_invalid = name.trim().is_empty()
        || name.trim_start().starts_with('-')
        || name.len() > MAX_PACKAGE_BYTES
        || name.contains(['\0', '\n', '\r']);
    if is_invalid {
        let shown = name.floor_char_boundary(64);
        let (shown, _) = name.split_at(shown);
        return Err(PackageError::Invalid(format!("'{}'", shown.escape_debug())));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
