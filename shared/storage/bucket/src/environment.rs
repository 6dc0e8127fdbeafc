//! Environment variables for every flag of a command line.

use clap::{Arg, Command};

/// Additional environment variables of some flags.
const OTHER_NAMES: [(&str, &[&str]); 3] = [
    ("aws-default-region", &["AWS_REGION"]),
    ("aws-endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
    ("sqs-endpoint", &["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"]),
];

/// Returns the environment variables that set a flag, in order of precedence; empty if the argument is not a flag.
pub fn environment_variables_of(arg: &Arg) -> Vec<String> {
    let Some(flag) = arg.get_long() else {
        return Vec::new();
    };
    let name = flag.to_uppercase().replace('-', "_");
    let declared = arg.get_env().and_then(|name| name.to_str());
    let others = OTHER_NAMES.iter().filter(|(other, _)| *other == flag);
    let mut names = vec![format!("NEAP_{name}")];
    names.extend(declared.map(str::to_owned));
    names.push(format!("INFLUXDB3_{name}"));
    names.extend(others.flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())));
    names.dedup();
    names
}

/// Lets environment variables set every flag of a command and its subcommands. The variables of `--some-flag` are, in
/// order of precedence, `NEAP_SOME_FLAG`, the variable that the flag declares, and `INFLUXDB3_SOME_FLAG`, the name that
/// `influxdb3` uses. The command line has precedence over the environment.
pub fn with_environment(command: Command) -> Command {
    with_variables(command, &|name| std::env::var_os(name).is_some())
}

fn with_variables(command: Command, is_set: &dyn Fn(&str) -> bool) -> Command {
    let command = command.mut_args(|arg| {
        let names = environment_variables_of(&arg);
        let declared = arg.get_env().and_then(|name| name.to_str());
        let shown = declared.map(str::to_owned).or_else(|| names.first().cloned());
        let set = names.into_iter().find(|name| is_set(name));
        match set.or(shown) {
            Some(name) if arg.get_long().is_some() => arg.env(name),
            _ => arg,
        }
    });
    command.mut_subcommands(|command| with_variables(command, is_set))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn the_first_variable_that_is_set_sets_a_flag() {
        let command = || {
            let arg = Arg::new("data_dir").long("data-dir").env("INFLUXDB3_DB_DIR");
            Command::new("neap").subcommand(Command::new("serve").arg(arg))
        };
        let variable = |set: &[&str]| {
            let command = with_variables(command(), &|name| set.contains(&name));
            let serve = command.find_subcommand("serve").unwrap();
            let arg = serve.get_arguments().next().unwrap();
            arg.get_env().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(variable(&[]), "INFLUXDB3_DB_DIR");
        assert_eq!(variable(&["NEAP_DATA_DIR"]), "NEAP_DATA_DIR");
        assert_eq!(variable(&["INFLUXDB3_DATA_DIR"]), "INFLUXDB3_DATA_DIR");
        let both = ["INFLUXDB3_DB_DIR", "NEAP_DATA_DIR"];
        assert_eq!(variable(&both), "NEAP_DATA_DIR");
    }

    #[test]
    fn a_flag_lists_all_its_variables() {
        let endpoint = Arg::new("e").long("aws-endpoint").env("AWS_ENDPOINT");
        let expected = [
            "NEAP_AWS_ENDPOINT",
            "AWS_ENDPOINT",
            "INFLUXDB3_AWS_ENDPOINT",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL",
        ];
        assert_eq!(environment_variables_of(&endpoint), expected);
        let bucket = Arg::new("b").long("bucket").env("INFLUXDB3_BUCKET");
        assert_eq!(environment_variables_of(&bucket), ["NEAP_BUCKET", "INFLUXDB3_BUCKET"]);
        assert!(environment_variables_of(&Arg::new("file")).is_empty());
    }
}
