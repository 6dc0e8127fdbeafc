//! Examples for the help of each command.

use std::fmt::Write;

use clap::Command;

/// Each command with its example command lines, without `neap`.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "serve",
        &[
            "serve --data-dir ./data --without-auth --http-bind 127.0.0.1:8181",
            "serve --object-store s3 --bucket my-bucket --aws-default-region eu-central-1",
            "serve --object-store s3 --bucket my-bucket --mode query",
            "serve --data-dir ./data --plugin-dir ./plugins",
        ],
    ),
    (
        "query",
        &[
            "query -d home 'SELECT * FROM temperature ORDER BY time DESC LIMIT 5'",
            "query -d home -l influxql 'SHOW MEASUREMENTS'",
            "query -d home -l promql --start 2026-01-31 --end 2026-02-01 --step 1h 'avg by (room) (celsius)'",
            "query -d home --file report.sql --format csv --output report.csv",
        ],
    ),
    (
        "write",
        &[
            "write -d home 'temperature,room=kitchen celsius=21.5'",
            "write -d home --file measured.lp --precision s --gzip",
            "write -d home --accept-partial=false < measured.lp",
            "write -d home --table temperature --tag room --file measured.csv",
            "write -d home --format parquet --table temperature --tag room --start-at 8193 measured.parquet",
            "write -d home --format csv exported-from-influxdb2.csv",
        ],
    ),
    (
        "export",
        &[
            "export -d home --output home-export",
            "export -d home -t temperature --from 2026-01-01 --to 2026-02-01 --output january",
            "export -d home --format lp --compression gzip --output lines",
            "export -d home --query 'SELECT DISTINCT room FROM temperature' --format csv -o rooms",
            "export --verify home-export",
        ],
    ),
    (
        "import influxdb",
        &[
            "import influxdb --path /var/lib/influxdb --dry-run",
            "import influxdb --path /var/lib/influxdb --source-database home --start 2026-01-01",
            "import influxdb --path ~/.influxdbv2 --bucket 0c3a1d2e4f567890=home",
            "import influxdb --lp export.lp.gz --into home",
            "import influxdb --csv answer.csv --into home",
            "import influxdb --from http://old:8086 --source-token-file token.txt --conflict suffix",
        ],
    ),
    (
        "create database",
        &[
            "create database home",
            "create database home --retention-period 90d",
        ],
    ),
    (
        "create table",
        &["create table temperature -d home --tags room,sensor --fields celsius:float64,ok:bool"],
    ),
    (
        "create column",
        &["create column pressure -d home -t temperature --type float64"],
    ),
    (
        "create last_cache",
        &[
            "create last_cache -d home -t temperature",
            "create last_cache latest -d home -t temperature --key-columns room --count 5 --ttl 30m",
        ],
    ),
    (
        "create distinct_cache",
        &["create distinct_cache rooms -d home -t temperature --columns room --max-age 30d"],
    ),
    (
        "create token",
        &[
            "create token --admin",
            "create token --admin --name deploy --expiry 1y --format json",
            "create token --admin --regenerate",
            "create token --permission 'db:home,office:read,write' --name sensors --expiry 90d",
            "create token --permission 'system:*:read' --name monitoring",
            "create token --admin --offline --output-file admin-token.json",
        ],
    ),
    (
        "create trigger",
        &[
            "create trigger alarm -d home --path alarm.py --trigger-spec table:temperature",
            "create trigger daily -d home --path report.py --trigger-spec 'cron:0 0 6 * * *' --upload",
            "create trigger hook -d home --path hook.py --trigger-spec request:hook --trigger-arguments limit=30",
        ],
    ),
    (
        "create file_index",
        &[
            "create file_index room,sensor -d home -t temperature",
            "create file_index room -d home",
        ],
    ),
    (
        "delete database",
        &[
            "delete database home",
            "delete database home --hard-delete now --yes",
        ],
    ),
    (
        "delete table",
        &["delete table temperature -d home --hard-delete never"],
    ),
    (
        "delete rows",
        &[
            "delete rows -d home -t temperature --where \"room = 'attic'\"",
            "delete rows -d home -t temperature --start 2026-01-01T00:00:00Z --stop 2026-02-01T00:00:00Z -y",
            "delete rows -d home -t temperature --all-time --predicate 'room = \"attic\"'",
        ],
    ),
    (
        "cancel row-delete",
        &["cancel row-delete 7 --reason 'the predicate was too broad'"],
    ),
    (
        "import upload",
        &[
            "import upload -d home -t temperature --column room:tag --column at:time exports/",
            "import upload -d home -t temperature s3://bucket/exports/ --source-opt region=eu-central-1",
        ],
    ),
    ("import list", &["import list"]),
    (
        "delete last_cache",
        &["delete last_cache latest -d home -t temperature"],
    ),
    (
        "delete distinct_cache",
        &["delete distinct_cache rooms -d home -t temperature"],
    ),
    ("delete token", &["delete token sensors --yes"]),
    (
        "delete trigger",
        &[
            "delete trigger alarm -d home",
            "delete trigger alarm -d home --force",
        ],
    ),
    (
        "create materialized_view",
        &[
            "create materialized_view hourly -d home \"SELECT date_bin(INTERVAL '1 hour', time) AS time, ...\"",
        ],
    ),
    (
        "delete materialized_view",
        &["delete materialized_view hourly -d home"],
    ),
    (
        "show materialized_views",
        &["show materialized_views -d home"],
    ),
    ("create rules", &["create rules node.yml -d home"]),
    (
        "delete rules",
        &[
            "delete rules node -d home",
            "delete rules node basics -d home",
        ],
    ),
    ("show rules", &["show rules -d home"]),
    (
        "delete file_index",
        &["delete file_index -d home -t temperature"],
    ),
    ("delete database_alias", &["delete database_alias home"]),
    (
        "delete table_alias",
        &["delete table_alias temperature -d home"],
    ),
    ("rename database", &["rename database home house"]),
    (
        "rename table",
        &["rename table temperature climate -d home"],
    ),
    (
        "undelete database",
        &[
            "undelete database home",
            "undelete database home-20260131T120000 --name home-again",
        ],
    ),
    ("undelete table", &["undelete table temperature -d home"]),
    (
        "update database",
        &[
            "update database -d home --retention-period 1y",
            "update database -d home --retention-period none",
            "update database -d home --order strict",
        ],
    ),
    (
        "update table",
        &["update table temperature -d home --retention-period 30d"],
    ),
    (
        "update trigger",
        &["update trigger -d home alarm --path ./alarm.py"],
    ),
    ("enable trigger", &["enable trigger alarm -d home"]),
    ("disable trigger", &["disable trigger alarm -d home"]),
    (
        "show databases",
        &[
            "show databases",
            "show databases --show-deleted --format json",
        ],
    ),
    ("show tokens", &["show tokens", "show tokens --format csv"]),
    ("show users", &["show users", "show users --format json"]),
    ("show roles", &["show roles"]),
    (
        "auth login",
        &["auth login --username ann", "auth login --oauth"],
    ),
    ("auth logout", &["auth logout"]),
    (
        "auth reset-password",
        &["auth reset-password --username ann"],
    ),
    (
        "manage init-admin",
        &["manage init-admin --username ann --password-file password.txt"],
    ),
    (
        "manage add-admin-token",
        &["manage add-admin-token --name deploy"],
    ),
    (
        "create user",
        &[
            "create user bob --roles Member,sensors",
            "create user eve --roles Auditor --oauth-id 00u1abcd",
        ],
    ),
    (
        "create role",
        &["create role sensors --permission 'db:home:read,write'"],
    ),
    ("update user", &["update user bob --disabled true"]),
    (
        "update user-roles",
        &["update user-roles bob --roles Auditor"],
    ),
    ("delete user", &["delete user bob"]),
    ("delete role", &["delete role sensors"]),
    (
        "user require-password-reset",
        &["user require-password-reset bob"],
    ),
    (
        "show plugins",
        &["show plugins", "show plugins --available"],
    ),
    ("show nodes", &["show nodes"]),
    (
        "show system table-list",
        &["show system -d home table-list"],
    ),
    (
        "show system table",
        &[
            "show system table tokens",
            "show system -d home table queries --limit 20 --select issue_time,query_text,success",
        ],
    ),
    (
        "show system summary",
        &["show system -d home summary --limit 3"],
    ),
    ("show retention", &["show retention --database home"]),
    ("show license", &["show license"]),
    (
        "show versions",
        &["show versions -d home --data-dir ./data"],
    ),
    (
        "test wal_plugin",
        &[
            "test wal_plugin alarm.py -d home --lp 'temperature,room=kitchen celsius=31'",
            "test wal_plugin alarm.py -d home --file measured.lp --input-arguments limit=30",
        ],
    ),
    (
        "test schedule_plugin",
        &["test schedule_plugin report.py -d home --schedule '0 0 6 * * *'"],
    ),
    (
        "install package",
        &[
            "install package pandas requests",
            "install package -r requirements.txt",
        ],
    ),
    (
        "install plugin",
        &[
            "install plugin gh:influxdata/threshold_deadman_checks",
            "install plugin gh:forecast --plugin-repo https://plugins.example.com/",
        ],
    ),
    (
        "create query_group",
        &["create query_group near --nodes host01,host02"],
    ),
    ("show query_groups", &["show query_groups"]),
    (
        "update query_group",
        &["update query_group near --nodes host01,host02,host03"],
    ),
    ("delete query_group", &["delete query_group near --yes"]),
    ("stop node", &["stop node host01"]),
    ("remove node", &["remove node host01"]),
    (
        "compact",
        &[
            "compact --data-dir ./data",
            "compact --object-store s3 --bucket my-bucket -d home",
            "compact --object-store s3 --bucket my-bucket --publish iceberg",
        ],
    ),
    (
        "fsck",
        &[
            "fsck --data-dir ./data",
            "fsck --object-store s3 --bucket my-bucket --full --json",
            "fsck --data-dir ./data --repair --quarantine tail/1/07198764011520004076-f28d9bf93eccae03.wal",
        ],
    ),
    (
        "restore",
        &["restore -d home --as-of 2026-01-31T12:00:00Z --to home-before --data-dir ./data"],
    ),
    ("copy", &["copy --data-dir ./data --to ./backup"]),
    (
        "check-store",
        &["check-store --object-store s3 --bucket my-bucket"],
    ),
    (
        "config check",
        &["config check", "config check --config ./neap.toml"],
    ),
    (
        "completions",
        &[
            "completions bash > ~/.local/share/bash-completion/completions/neap",
            "completions zsh > ~/.zfunc/_neap",
        ],
    ),
    (
        "man",
        &["man | man -l -", "man --output ~/.local/share/man/man1"],
    ),
    (
        "mcp",
        &[
            "mcp --host http://127.0.0.1:8181",
            "mcp --host https://neap.example.com --allow-writes",
        ],
    ),
    (
        "debug object-store-check",
        &["debug object-store-check --data-dir ./data"],
    ),
    (
        "create backup",
        &[
            "create backup monday",
            "create backup monday --to /backup/neap",
            "create backup tuesday --incremental --parent monday",
        ],
    ),
    ("status backup", &["status backup monday"]),
    ("show backups", &["show backups --format json"]),
    (
        "delete backup",
        &[
            "delete backup tuesday",
            "delete backup monday --incremental",
        ],
    ),
    ("cancel backup", &["cancel backup monday"]),
    (
        "create restore",
        &[
            "create restore --backup monday",
            "create restore --backup monday -d home --to home-of-monday",
            "create restore --as-of 2026-01-31T12:00:00Z -d home",
        ],
    ),
    (
        "status restore",
        &["status restore 01KAN3BFW0X2T3Q4N5P6R7S8V9"],
    ),
    ("show restores", &["show restores"]),
    (
        "cancel restore",
        &["cancel restore 01KAN3BFW0X2T3Q4N5P6R7S8V9"],
    ),
    (
        "debug catalog list",
        &["debug catalog list --data-dir ./data"],
    ),
    (
        "debug catalog snapshot",
        &["debug catalog snapshot --data-dir ./data"],
    ),
    (
        "debug catalog sequence",
        &["debug catalog sequence --data-dir ./data"],
    ),
];

/// Appends examples to the help of each command that can be executed.
pub(super) fn add(command: Command) -> Command {
    command.mut_subcommands(|subcommand| {
        let path = subcommand.get_name().to_owned();
        add_below(subcommand, &path)
    })
}

fn add_below(command: Command, path: &str) -> Command {
    let command = match of(path) {
        Some(examples) => {
            let help = text(examples, command.get_after_help());
            command.after_help(help)
        }
        None => command,
    };
    command.mut_subcommands(|subcommand| {
        let path = format!("{path} {}", subcommand.get_name());
        add_below(subcommand, &path)
    })
}

/// Returns the examples of a command.
fn of(path: &str) -> Option<&'static [&'static str]> {
    let found = EXAMPLES.iter().find(|(name, _)| *name == path);
    found.map(|(_, examples)| *examples)
}

fn text(examples: &[&str], behind: Option<&impl std::fmt::Display>) -> String {
    let mut text = "Examples:".to_owned();
    for example in examples {
        write!(text, "\n  neap {example}").ok();
    }
    if let Some(behind) = behind {
        write!(text, "\n\n{behind}").ok();
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::commands::{definition, tests::shell};

    /// Collects all executable commands, as the words that name them.
    pub(crate) fn leaves(command: &Command, path: &str, found: &mut Vec<String>) {
        for subcommand in command.get_subcommands() {
            let path = format!("{path} {}", subcommand.get_name());
            if subcommand.has_subcommands() {
                leaves(subcommand, &path, found)
            } else {
                found.push(path.trim().to_owned())
            }
        }
    }

    #[test]
    fn every_command_has_examples_and_every_example_a_command() {
        let mut found = Vec::new();
        leaves(&definition(), "", &mut found);
        found.sort();
        let mut named: Vec<_> = EXAMPLES.iter().map(|(path, _)| (*path).to_owned()).collect();
        named.sort();
        assert_eq!(found, named);
        assert!(EXAMPLES.iter().all(|(_, examples)| !examples.is_empty()));
    }

    #[test]
    fn examples_parse_as_their_command() {
        for (path, examples) in EXAMPLES {
            for example in *examples {
                assert!(example.len() <= 100, "{example}");
                let commands = shell::commands(&format!("neap {example}"));
                let matches = definition()
                    .try_get_matches_from(&commands[0].words)
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
                let (mut matches, mut names) = (&matches, Vec::new());
                while let Some((name, below)) = matches.subcommand() {
                    names.push(name);
                    matches = below;
                }
                assert_eq!(names.join(" "), *path, "{example}");
            }
        }
    }

    #[test]
    fn help_shows_examples() {
        let mut command = definition();
        let delete = command.find_subcommand_mut("delete").unwrap();
        let token = delete.find_subcommand_mut("token").unwrap();
        let help = token.render_help().to_string();
        assert!(
            help.ends_with("\nExamples:\n  neap delete token sensors --yes\n"),
            "{help}"
        );
    }
}
