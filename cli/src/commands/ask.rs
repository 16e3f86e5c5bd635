//! `tollgate ask`: a saved question by its name.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::args::AskArgs;
use crate::client::{HttpClient, print, wire_name};

/// Runs the command.
pub fn main(args: &AskArgs) -> anyhow::Result<ExitCode> {
    let client = HttpClient::new(&args.server);
    let Some(name) = &args.name else {
        return list(&client);
    };
    let params = pairs(&args.params)?;
    let body = json!({ "params": params, "format": wire_name(args.format) });
    let answer = client.post(&format!("/v1/questions/{name}"), &body, None)?;
    print(&answer, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads `--name value` and `--name=value` pairs.
fn pairs(words: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut params = Map::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else {
            bail!("`{word}` stands where a parameter's name should: write --NAME VALUE");
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match words.next() {
                Some(value) => (flag, value.clone()),
                None => bail!("parameter --{flag} has no value: write --{flag} VALUE"),
            },
        };
        if params.insert(name.to_owned(), Value::String(value)).is_some() {
            bail!("parameter --{name} is given twice");
        }
    }
    Ok(params)
}

#[derive(Debug, Deserialize)]
struct Questions {
    questions: Vec<Question>,
}

#[derive(Debug, Deserialize)]
struct Question {
    name: String,
    title: String,
    #[serde(default)]
    asked_by: String,
    #[serde(default)]
    then: String,
    #[serde(default)]
    params: Vec<Param>,
}

#[derive(Debug, Deserialize)]
struct Param {
    name: String,
    #[serde(default)]
    default: Option<Value>,
    #[serde(default)]
    meaning: String,
}

fn list(client: &HttpClient) -> anyhow::Result<ExitCode> {
    let answer = client.get("/v1/questions")?;
    let list: Questions = serde_json::from_slice(&answer.body)?;
    let mut out = std::io::stdout().lock();
    for question in list.questions {
        writeln!(out, "{}\n    {}", question.name, question.title)?;
        for (label, text) in [("asked by", question.asked_by), ("then", question.then)] {
            if !text.is_empty() {
                writeln!(out, "    {label}: {text}")?;
            }
        }
        for param in question.params {
            let default = match param.default {
                Some(Value::String(text)) => format!(" (default {text})"),
                Some(Value::Null) | None => String::new(),
                Some(other) => format!(" (default {other})"),
            };
            writeln!(out, "    --{}  {}{default}", param.name, param.meaning)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn both_forms_of_a_parameter_are_read() {
        let params = pairs(&words("--service members --since=15m")).unwrap();
        assert_eq!(params["service"], "members");
        assert_eq!(params["since"], "15m");
    }

    #[test]
    fn a_parameter_without_name_or_value_or_given_twice_is_refused() {
        assert!(pairs(&words("members")).unwrap_err().to_string().contains("--NAME VALUE"));
        assert!(pairs(&words("--since")).unwrap_err().to_string().contains("no value"));
        assert!(pairs(&words("--since 1m --since 2m")).unwrap_err().to_string().contains("twice"));
    }
}
