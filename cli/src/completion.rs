//! What the shell offers after `tollgate ask`: the questions and their parameters are in the binary, the names of services
//! and consumers are asked of the query server. A server that does not answer within [`ANSWER_MAX`] offers nothing.
//!
//! `source <(COMPLETE=bash tollgate)` makes bash ask; see docs/queries.md for other shells.

use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::engine::CompletionCandidate;
use serde_json::{Value, json};
use tollgate_queries::questions::{self, Parameter, ParameterType, Question};

/// Longest wait for the query server: a person has pressed a key.
const ANSWER_MAX: Duration = Duration::from_millis(800);
/// Names that are offered, at most.
const NAMES_MAX: usize = 50;
/// Lengths of time that are offered.
const INTERVALS: [&str; 6] = ["15m", "1h", "6h", "1d", "7d", "30d"];
/// Parameters whose values the records have, and how far back they are looked for.
const FROM_RECORDS: [&str; 3] = ["service", "consumer", "producer"];
const LOOK_BACK: &str = "1h";

/// The questions whose names begin so, in the order of the list.
pub fn question_names(begin: &OsStr) -> Vec<CompletionCandidate> {
    let begin = begin.to_string_lossy();
    let fitting = questions::all().iter().filter(|question| question.name.starts_with(&*begin));
    let candidate = |(place, question): (usize, &Question)| {
        CompletionCandidate::new(&question.name).help(Some(question.title.clone().into())).display_order(Some(place))
    };
    fitting.enumerate().map(candidate).collect()
}

/// The parameters of the question on the command line that are not given yet, or values of the one before the cursor.
pub fn parameters(begin: &OsStr) -> Vec<CompletionCandidate> {
    let line = Line::of_shell();
    let Some(question) = line.question() else { return Vec::new() };
    let begin = begin.to_string_lossy();
    if let Some(parameter) = line.before_cursor().and_then(|word| of_flag(question, word)) {
        return values(&line, parameter, &begin).into_iter().map(CompletionCandidate::new).collect();
    }
    if let Some((flag, begin)) = begin.split_once('=') {
        let values = of_flag(question, flag).map(|parameter| values(&line, parameter, begin)).unwrap_or_default();
        return values.into_iter().map(|value| CompletionCandidate::new(format!("{flag}={value}"))).collect();
    }
    let given = |parameter: &Parameter| {
        line.words.iter().any(|word| word.split('=').next() == Some(&format!("--{}", parameter.name)))
    };
    let open =
        question.params.iter().filter(|parameter| *begin == format!("--{}", parameter.name) || !given(parameter));
    let flags = open.map(|parameter| (format!("--{}", parameter.name), parameter));
    let fitting = flags.filter(|(flag, _)| flag.starts_with(&*begin));
    fitting
        .map(|(flag, parameter)| CompletionCandidate::new(flag).help(Some(parameter.meaning.clone().into())))
        .collect()
}

fn of_flag<'q>(question: &'q Question, flag: &str) -> Option<&'q Parameter> {
    let name = flag.strip_prefix("--")?;
    question.params.iter().find(|parameter| parameter.name == name)
}

fn values(line: &Line, parameter: &Parameter, begin: &str) -> Vec<String> {
    if FROM_RECORDS.contains(&parameter.name.as_str()) {
        return names(&line.url(), &parameter.name, begin).unwrap_or_default();
    }
    let offered = match parameter.kind {
        ParameterType::Interval => INTERVALS.map(str::to_owned).to_vec(),
        _ => parameter.default.iter().cloned().collect(),
    };
    offered.into_iter().filter(|value| value.starts_with(begin)).collect()
}

/// The most frequent values of a column that begin so; `None` if the server cannot say.
fn names(url: &str, column: &str, begin: &str) -> Option<Vec<String>> {
    let begin = begin.replace('\'', "''");
    let sql = format!(
        "SELECT {column} FROM transactions WHERE time >= ago('{LOOK_BACK}') AND starts_with({column}, '{begin}') \
         GROUP BY {column} ORDER BY count(*) DESC, {column} LIMIT {NAMES_MAX}"
    );
    let agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_MAX)).build().new_agent();
    let mut response = agent.post(format!("{url}/v1/sql")).send_json(json!({ "sql": sql })).ok()?;
    let answer: Value = response.body_mut().read_json().ok()?;
    let rows = answer["rows"].as_array()?;
    Some(rows.iter().filter_map(|row| row[column].as_str()).filter(|name| is_plain(name)).map(str::to_owned).collect())
}

/// Whether a shell takes the name for itself. What is offered is put on the command line as it stands, and callers choose
/// some of what records hold: `$(…)` would be run with the line.
fn is_plain(name: &str) -> bool {
    name.chars().all(|character| character.is_alphanumeric() || "._-:@/+,=%".contains(character))
}

/// The command line that the shell completes: it comes behind `--`.
struct Line {
    words: Vec<String>,
    cursor: usize,
}

impl Line {
    fn of_shell() -> Self {
        let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let cursor = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
        Self { cursor: cursor.unwrap_or(words.len().saturating_sub(1)), words }
    }

    fn before_cursor(&self) -> Option<&str> {
        self.words.get(self.cursor.checked_sub(1)?).map(String::as_str)
    }

    /// The first word behind `ask` that is a question's name.
    fn question(&self) -> Option<&'static Question> {
        let behind = self.words.iter().take(self.cursor).skip_while(|word| *word != "ask").skip(1);
        behind.filter_map(|word| questions::all().iter().find(|question| &question.name == word)).next()
    }

    /// Where the command would ask.
    fn url(&self) -> String {
        let mut words = self.words.iter();
        let named = words.find_map(|word| match word.strip_prefix("--url") {
            Some("") => Some(None),
            Some(rest) => rest.strip_prefix('=').map(|url| Some(url.to_owned())),
            None => None,
        });
        let named = named.and_then(|url| url.or_else(|| words.next().cloned()));
        let url = named.or_else(|| std::env::var("TOLLGATE_URL").ok());
        url.unwrap_or_else(|| crate::address::QUERIES.to_owned()).trim_end_matches('/').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Line {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        Line { cursor: words.len() - 1, words }
    }

    #[test]
    fn the_question_and_the_server_are_read_off_the_line() {
        let line = line("tollgate ask --url http://10.0.0.1:8088/ --format csv why-failed --service me");
        assert_eq!(line.question().map(|question| question.name.as_str()), Some("why-failed"));
        assert_eq!(line.before_cursor(), Some("--service"));
        assert_eq!(line.url(), "http://10.0.0.1:8088");
    }

    #[test]
    fn without_a_question_nothing_is_offered() {
        assert!(line("tollgate ask why").question().is_none());
        assert!(line("tollgate find why-failed --x").question().is_none());
    }

    #[test]
    fn names_that_a_shell_would_run_or_split_are_not_offered() {
        for name in ["members", "CN-partner.example:7", "gate-1/6441d2f3a7c00/0", "j.doe@example.com", "größe"] {
            assert!(is_plain(name), "{name}");
        }
        for name in
            ["$(id)", "a;b", "a b", "a`b`", "a|b", "~root", "a\nb", "a\u{1b}[2J", "\"", "'", "a&b", "*", "{a,b}", "!1"]
        {
            assert!(!is_plain(name), "{name:?}");
        }
    }

    #[test]
    fn names_are_offered_in_the_order_of_the_list_with_their_titles() {
        let names = question_names(OsStr::new("w"));
        assert_eq!(names[0].get_value(), "why-failed");
        assert!(names[0].get_help().is_some_and(|help| help.to_string().contains("Why did")));
        assert!(question_names(OsStr::new("zzz")).is_empty());
    }
}
