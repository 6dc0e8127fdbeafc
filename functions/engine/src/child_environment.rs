//! The environment variables of the processes that the server starts: plugins, interpreters, and package installers.
//!
//! They get the variables of a list and no others, because the server's environment can hold secrets under any name: of
//! its own options, of its libraries, and in the addresses of proxies.

use std::{env, ffi::OsString};

/// Variables that name certificates of authorities.
pub(crate) const CERTIFICATE_VARIABLES: [&str; 4] =
    ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"];

/// Variables that programs need to find programs, libraries, folders, and the language of the machine.
const SYSTEM_VARIABLES: [&str; 9] = [
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
];

/// Prefix of the variables with the language of some purpose.
const LANGUAGE_PREFIX: &str = "LC_";

/// Variables of installers: proxies, in lower case too, folders, and the compiler of packages.
const INSTALLER_VARIABLES: [&str; 14] = [
    "ALL_PROXY",
    "CC",
    "CFLAGS",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LDFLAGS",
    "NETRC",
    "NO_PROXY",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

/// Prefixes of the settings of pip and uv.
const INSTALLER_PREFIXES: [&str; 2] = ["PIP_", "UV_"];

/// Returns the variables of the server that plugins get; `further` names some that are not on the list.
pub(crate) fn for_plugins(further: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    variables(move |name| is_for_plugins(name, further))
}

/// Returns the variables of the server that package installers get.
pub(crate) fn for_installers(further: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    variables(move |name| is_for_installers(name, further))
}

fn variables(is_passed: impl Fn(&str) -> bool) -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(move |(name, _)| name.to_str().is_some_and(&is_passed))
}

fn is_for_plugins(name: &str, further: &[String]) -> bool {
    SYSTEM_VARIABLES.contains(&name)
        || CERTIFICATE_VARIABLES.contains(&name)
        || name.starts_with(LANGUAGE_PREFIX)
        || further.iter().any(|further| further == name)
}

fn is_for_installers(name: &str, further: &[String]) -> bool {
    is_for_plugins(name, further)
        || INSTALLER_VARIABLES.contains(&name.to_ascii_uppercase().as_str())
        || INSTALLER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables with secrets of servers, of their libraries, and of other programs.
    const SECRETS: [&str; 12] = [
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_SAS_TOKEN",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "INFLUXDB3_AUTH_TOKEN",
        "INFLUXDB3_ENTERPRISE_AWS_SECRET_ACCESS_KEY",
        "NEAP_ADMIN_TOKEN_FILE",
        "NEAP_AUTH_TOKEN",
        "NEAP_AWS_SECRET_ACCESS_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "SOME_PASSWORD",
        "path",
    ];

    #[test]
    fn neither_plugins_nor_installers_get_secrets_of_the_server() {
        for name in SECRETS {
            assert!(!is_for_plugins(name, &[]), "{name}");
            assert!(!is_for_installers(name, &[]), "{name}");
        }
    }

    #[test]
    fn proxies_are_for_installers_and_not_for_plugins() {
        for name in ["HTTPS_PROXY", "http_proxy", "PIP_INDEX_URL", "UV_INDEX"] {
            assert!(is_for_installers(name, &[]), "{name}");
            assert!(!is_for_plugins(name, &[]), "{name}");
        }
    }

    #[test]
    fn programs_get_their_path_their_language_and_the_named_variables() {
        let further = ["HTTPS_PROXY".to_owned()];
        for name in ["PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "HTTPS_PROXY"] {
            assert!(is_for_plugins(name, &further), "{name}");
            assert!(is_for_installers(name, &further), "{name}");
        }
    }
}
