//! Settings from the environment, for every flag of a command line.

use clap::Command;

/// Other names by which a flag's value is known in the environment.
const OTHER_NAMES: [(&str, &[&str]); 2] = [
    ("aws-default-region", &["AWS_REGION"]),
    ("aws-endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
];

/// Lets the environment stand for every flag of a command and its subcommands: `--some-flag` is, in this
/// order, `NEAP_SOME_FLAG`, the variable that the flag declares, and `INFLUXDB3_SOME_FLAG`, by which
/// `influxdb3` knows its flags. The command line has precedence.
pub fn with_environment(command: Command) -> Command {
    with_variables(command, &|name| std::env::var_os(name).is_some())
}

fn with_variables(command: Command, is_set: &dyn Fn(&str) -> bool) -> Command {
    let command = command.mut_args(|arg| {
        let Some(flag) = arg.get_long().map(str::to_owned) else {
            return arg;
        };
        let name = flag.to_uppercase().replace('-', "_");
        let own = format!("NEAP_{name}");
        let declared = arg.get_env().and_then(|name| name.to_str());
        let others = OTHER_NAMES.iter().filter(|(other, _)| *other == flag);
        let names = [own.clone()]
            .into_iter()
            .chain(declared.map(str::to_owned))
            .chain([format!("INFLUXDB3_{name}")])
            .chain(others.flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())));
        let set = names.into_iter().find(|name| is_set(name));
        let shown = declared.map_or(own, str::to_owned);
        arg.env(set.unwrap_or(shown))
    });
    command.mut_subcommands(|command| with_variables(command, is_set))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn the_first_variable_that_is_set_stands_for_a_flag() {
        let command = || {
            let arg = Arg::new("data_dir")
                .long("data-dir")
                .env("INFLUXDB3_DB_DIR");
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
}
