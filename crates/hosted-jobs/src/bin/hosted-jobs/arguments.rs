//! The command line.

use crate::Failure;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

/// A command line, taken apart.
pub(crate) struct Arguments {
    pub(crate) db: Option<PathBuf>,
    pub(crate) prefix: Option<String>,
    pub(crate) command: String,
    /// The words after the command that are no options.
    pub(crate) words: Vec<String>,
    options: Vec<(String, Option<String>)>,
}

/// The options with a value, and those without.
const WITH_VALUE: [&str; 7] = ["--db", "--prefix", "--state", "--queue", "--kind", "--after", "--limit"];
const WITHOUT: [&str; 3] = ["--dead", "--print", "--help"];

impl Arguments {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut parsed = Arguments {
            db: std::env::var_os("HOSTED_JOBS_DB").map(PathBuf::from),
            prefix: None,
            command: String::new(),
            words: Vec::new(),
            options: Vec::new(),
        };
        let mut rest = arguments;
        while let Some(argument) = rest.next() {
            let argument = text(argument)?;
            if WITHOUT.contains(&argument.as_str()) {
                parsed.options.push((argument, None));
            } else if WITH_VALUE.contains(&argument.as_str()) {
                let value = rest.next().ok_or_else(|| Failure::Usage(format!("`{argument}` needs a value")))?;
                match argument.as_str() {
                    "--db" => parsed.db = Some(PathBuf::from(value)),
                    "--prefix" => parsed.prefix = Some(text(value)?),
                    _ => parsed.options.push((argument, Some(text(value)?))),
                }
            } else if argument.starts_with('-') {
                return Err(Failure::Usage(format!("unknown option `{argument}`")));
            } else if parsed.command.is_empty() {
                parsed.command = argument;
            } else {
                parsed.words.push(argument);
            }
        }
        if parsed.has("--help") {
            parsed.command = "help".to_owned();
        }
        Ok(parsed)
    }

    /// Refuses options and words that the command does not know.
    pub(crate) fn allow(&self, options: &[&str], words: std::ops::RangeInclusive<usize>) -> Result<(), Failure> {
        let command = &self.command;
        if let Some((name, _)) = self.options.iter().find(|(name, _)| !options.contains(&name.as_str())) {
            return Err(Failure::Usage(format!("`{command}` does not know the option `{name}`")));
        }
        if self.words.len() > *words.end() {
            let word = &self.words[*words.end()];
            return Err(Failure::Usage(format!("`{command}` does not know what to do with `{word}`")));
        }
        if self.words.len() < *words.start() {
            return Err(Failure::Usage(format!("`{command}` needs more words")));
        }
        Ok(())
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(name, _)| name == option)
    }

    pub(crate) fn value(&self, option: &str) -> Option<&str> {
        self.options.iter().rev().find(|(name, _)| name == option)?.1.as_deref()
    }

    pub(crate) fn number<N: FromStr>(&self, option: &str) -> Result<Option<N>, Failure> {
        let wrong = |value: &str| Failure::Usage(format!("`{value}` is no number for `{option}`"));
        self.value(option).map(|value| value.parse().map_err(|_| wrong(value))).transpose()
    }

    /// The words as ids of jobs.
    pub(crate) fn ids(&self) -> Result<Vec<i64>, Failure> {
        let id = |word: &String| word.parse().map_err(|_| Failure::Usage(format!("`{word}` is no id of a job")));
        self.words.iter().map(id).collect()
    }
}

fn text(argument: OsString) -> Result<String, Failure> {
    argument.into_string().map_err(|argument| Failure::Usage(format!("`{}` is not UTF-8", argument.to_string_lossy())))
}
