//! Requests about plugins, with their access rules.

use super::{AccessCase, AccessRule};

/// Requests to the processing engine. The trigger `own` of database `own` is a request trigger, and its plugin does not
/// exist.
pub(in crate::tests::access) fn processing() -> Vec<AccessCase> {
    use AccessRule::{Admin, AllEither, Audit, OwnEither};
    const TRIGGER: &str = "/api/v3/configure/processing_engine_trigger";
    const FILES: &str = "/api/v3/plugins/files";
    let create = r#"{"db":"missing","plugin_filename":"x.py","trigger_name":"t","trigger_settings":{},
        "trigger_specification":"all_tables"}"#;
    let package =
        r#"{"plugin_name":"missing","files":[{"relative_path":"__init__.py","content":""}]}"#;
    #[rustfmt::skip]
    let mut rows = vec![
        ("POST", TRIGGER, create, Admin, 404),
        ("DELETE", "/api/v3/configure/processing_engine_trigger?db=own&trigger_name=missing", "", Admin, 404),
        ("POST", "/api/v3/configure/processing_engine_trigger/enable?db=own&trigger_name=missing", "", Admin, 404),
        (
            "POST",
            "/api/v3/configure/processing_engine_trigger/disable?db=own&trigger_name=missing",
            "",
            Admin,
            404,
        ),
        ("POST", FILES, r#"{"plugin_name":"../x.py","content":""}"#, Admin, 400),
        ("PUT", FILES, r#"{"plugin_name":"missing","content":""}"#, Admin, 404),
        ("GET", "/api/v3/plugins/files?plugin_name=missing", "", Audit, 404),
        ("DELETE", "/api/v3/plugins/files?plugin_name=missing", "", Admin, 404),
        ("PUT", "/api/v3/plugins/directory", package, Admin, 404),
        ("GET", "/api/v3/plugins/available?repository=/nowhere", "", Admin, 500),
        ("POST", "/api/v3/plugins/install", r#"{"plugin":"gh:../x"}"#, Admin, 400),
        (
            "POST",
            "/api/v3/configure/plugin_environment/install_packages",
            r#"{"packages":["--option"]}"#,
            Admin,
            400,
        ),
        (
            "POST",
            "/api/v3/configure/plugin_environment/install_requirements",
            r#"{"requirements_location":"--option"}"#,
            Admin,
            400,
        ),
        (
            "POST",
            "/api/v3/plugin_test/wal",
            r#"{"filename":"../x.py","database":"own","input_lp":""}"#,
            Admin,
            400,
        ),
        ("POST", "/api/v3/plugin_test/schedule", r#"{"filename":"../x.py","database":"own"}"#, Admin, 400),
    ];
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        let either = ("read", "write");
        rows.push((method, "/api/v3/engine/own", "", OwnEither(either.0, either.1), 500));
        rows.push((method, "/api/v3/engine/missing", "", AllEither(either.0, either.1), 404));
    }
    rows
}
