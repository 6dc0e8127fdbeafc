//! Converts option values in a file to command-line arguments and validates them.

use clap::{Arg, ArgAction, Command};
use toml::de::DeValue;

/// Returns the command-line arguments that correspond to a TOML value, if the option accepts its type.
pub(super) fn texts(value: &DeValue<'_>, arg: &Arg) -> Result<Vec<String>, String> {
    match value {
        DeValue::Boolean(is_on) if is_switch(arg) => Ok(vec![is_on.to_string()]),
        _ if is_switch(arg) => Err(format!("true or false is expected, not {}", kind_of(value))),
        DeValue::Boolean(_) if takes_values(arg) => {
            Err("a value is expected, not true or false".to_owned())
        }
        DeValue::Array(items) if takes_several(arg) => {
            let items = items.iter().map(|item| scalar(item.get_ref()));
            items.collect()
        }
        DeValue::Array(_) => Err("one value is expected, not an array".to_owned()),
        _ => scalar(value).map(|text| vec![text]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            number.map(|number| number.to_string()).map_err(|error| error.to_string())
        }
        DeValue::Float(float) => Ok(float.as_str().to_owned()),
        DeValue::Boolean(is_on) => Ok(is_on.to_string()),
        _ => Err(format!("{} is not a valid option value", kind_of(value))),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Returns whether the option takes a value that can't be omitted.
fn takes_values(arg: &Arg) -> bool {
    let may_lack_it = arg.get_num_args().is_some_and(|range| range.min_values() == 0);
    !may_lack_it && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some()
}

/// Returns whether an option is a boolean switch.
pub(super) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Validates the values with the option's parser; the error has the wording of the command line.
pub(super) fn check(arg: &Arg, flag: &str, values: &[String]) -> Result<(), String> {
    if is_switch(arg) {
        return Ok(());
    }
    // Validate with the value parser alone; conflicts and requirements between options are checked elsewhere.
    let mut alone = Arg::new("value")
        .long(flag.to_owned())
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .value_parser(arg.get_value_parser().clone());
    if let Some(delimiter) = arg.get_value_delimiter() {
        alone = alone.value_delimiter(delimiter);
    }
    let command = Command::new("file").no_binary_name(true).arg(alone);
    let args = values.iter().map(|value| format!("--{flag}={value}"));
    let outcome = command.try_get_matches_from(args);
    outcome.map(drop).map_err(|error| message(&error))
}

/// Returns whether the option's value is a secret.
pub(super) fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set() || arg.get_long() == Some("token")
}

/// Masks credentials in a value. A URL may lack its scheme: `name:password@host`.
pub(super) fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((user, host)) if !text.contains("://") && user.contains(':') => format!("***@{host}"),
        _ => without_passwords(text),
    }
}

/// Masks the user info (the part before `@`) of each URL in a text. An `@` in a path is treated the same way, so the
/// text before it is masked, too.
pub(super) fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((scheme, url)) = rest.split_once("://") {
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"'));
        let (url, after) = url.split_at(end.unwrap_or(url.len()));
        let host = url.rsplit_once('@').map(|(_, host)| host);
        shown.push_str(scheme);
        shown.push_str("://");
        match host {
            Some(host) => {
                shown.push_str("***@");
                shown.push_str(host);
            }
            None => shown.push_str(url),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Returns the error message without clap's usage hint.
fn message(error: &clap::Error) -> String {
    let message = without_passwords(&error.render().to_string());
    let text = message.strip_prefix("error: ").unwrap_or(&message);
    let lines: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    // The caller has already named the option.
    match text.split_once("' for '--") {
        Some((value, rest)) => {
            let reason = rest.split_once('\'').map_or("", |(_, reason)| reason);
            format!("{value}'{reason}")
        }
        None => text,
    }
}
