//! Options: plugins.

use clap::{Arg, Args};
use neap_assembly::ProcessingSettings;
use neap_http::BodyLimits;

/// Sources and limits of plugins: the options of `neap serve`, with other defaults.
#[derive(Args, Clone, Debug)]
#[command(mut_args(adapt_option))]
pub struct PluginOptions {
    #[command(flatten)]
    options: neap_assembly::ProcessingOptions,
}

impl PluginOptions {
    /// Returns the settings of the processing engine.
    pub(crate) fn settings(&self, body: BodyLimits) -> ProcessingSettings {
        self.options.settings(body)
    }
}

/// Changes the default or help of an option for Lambda, where installed packages are lost with the instance.
fn adapt_option(option: Arg) -> Arg {
    match option.get_id().as_str() {
        "plugin_dir" => option.help(
            "A folder with plugins in the package of the function. Uploaded plugins are stored in the bucket and need no folder",
        ),
        "virtual_env_location" => option.help(
            "A virtual environment of plugins in the package of the function, or in a layer",
        ),
        "package_manager" => option.default_value("disabled").help(
            "The package manager: pip, uv, or discover. Disabled by default, because packages would exist only in the instance that installed them",
        ),
        "plugin_repo" => option.help("The repository of plugins that triggers name with the prefix gh:"),
        "plugin_time_limit" => option.help(
            "Maximum duration of a plugin run; the function's timeout applies as well",
        ),
        // Each function has a machine of its own, with read-only files. Landlock has not been tested there.
        "plugin_sandbox" => option.default_value("off"),
        "max_plugin_processes" => option.default_value("8"),
        _ => option,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use neap_engine::{PackageManager, SandboxMode};

    use super::*;
    use crate::options::parse;

    #[derive(Parser)]
    struct PluginOptionsParser {
        #[command(flatten)]
        plugins: PluginOptions,
    }

    fn settings(args: &[&str]) -> ProcessingSettings {
        let args = [&["neap"], args].concat();
        let command: PluginOptionsParser = parse(&args).unwrap();
        command.plugins.settings(BodyLimits::default())
    }

    #[test]
    fn functions_have_other_plugin_defaults_than_serve() {
        let usual = settings(&[]);
        assert_eq!(usual.packages.manager, PackageManager::Disabled);
        assert_eq!(usual.workers.max_workers, 8);
        assert_eq!(usual.workers.sandbox.mode, SandboxMode::Off);
        let said = settings(&["--package-manager=uv", "--max-plugin-processes=3"]);
        assert_eq!(said.packages.manager, PackageManager::Uv);
        assert_eq!(said.workers.max_workers, 3);
    }
}
