//! Options under the names that they had before InfluxDB 3.11: accepted, with one warning each. The new name wins.

use clap::{Args, Command};

use super::{
    legacy_flags::is_without_effect,
    options::{RenamedFlags, ServeArgs},
};
use crate::{console::Console, variables::Variables};

impl RenamedFlags {
    /// Prints a warning for each former name that is used.
    pub(super) fn warn(&self, variables: &impl Variables, console: &mut Console) {
        for warning in self.warnings(variables) {
            console.report(format_args!("warning: {warning}"));
        }
    }

    /// Returns a line for each former name that is used.
    fn warnings(&self, variables: &impl Variables) -> Vec<String> {
        let flags = [
            (
                self.exec_mem_pool_bytes.is_some(),
                ("--exec-mem-pool-bytes", "--exec-mem-pool-size"),
            ),
            (self.query_log_size.is_some(), ("--query-log-size", "--query-log-max-entries")),
        ]
        .into_iter()
        .filter_map(|(is_used, names)| is_used.then_some(names))
        .map(|(former, name)| (former.to_owned(), name.to_owned()));
        let command = ServeArgs::augment_args(Command::new("serve"));
        let with_effect = command
            .get_arguments()
            .filter_map(|arg| arg.get_long())
            .filter(|name| !is_without_effect(name));
        let variables = with_effect.flat_map(|name| variables.former_variables(name));
        flags
            .chain(variables)
            .map(|(former, name)| format!("{former} is now {name}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{memory::MemoryAmount, tests::parse};

    /// Has each of these flags under a former name.
    struct TestVariables(&'static [&'static str]);

    impl Variables for TestVariables {
        fn get(&self, _: &str) -> Option<&str> {
            None
        }

        fn former_variables(&self, flag: &str) -> Vec<(String, String)> {
            let is_set = self.0.contains(&flag);
            let names = is_set.then(|| (format!("OLD {flag}"), format!("NEW {flag}")));
            names.into_iter().collect()
        }
    }

    #[test]
    fn former_names_work_and_are_warned_of_once_each() {
        let args = parse(&["--exec-mem-pool-bytes", "1GB", "--query-log-size", "7"]).unwrap();
        assert_eq!(args.query_memory(), Some(MemoryAmount::Bytes(1_000_000_000)));
        assert_eq!(args.query_log_entries(), 7);
        let environment = TestVariables(&["mode", "license-email"]);
        insta::assert_snapshot!(args.renamed.warnings(&environment).join("\n"), @r"
        --exec-mem-pool-bytes is now --exec-mem-pool-size
        --query-log-size is now --query-log-max-entries
        OLD mode is now NEW mode
        ");
    }

    #[test]
    fn the_new_name_wins() {
        let args = parse(&[
            "--exec-mem-pool-bytes",
            "1GB",
            "--exec-mem-pool-size",
            "20%",
            "--query-log-max-entries",
            "5",
            "--query-log-size",
            "7",
        ])
        .unwrap();
        assert_eq!(args.query_memory(), Some(MemoryAmount::Percent(20)));
        assert_eq!(args.query_log_entries(), 5);
        let none = parse(&[]).unwrap();
        assert_eq!((none.query_memory(), none.query_log_entries()), (None, 1_000));
        assert_eq!(none.renamed.warnings(&TestVariables(&[])), [""; 0]);
    }
}
