//! The client of the queries' HTTP API, and how its answers are printed.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use arrow::ipc::reader::StreamReader;
use arrow::util::pretty::pretty_format_batches;
use serde::Deserialize;

use crate::args::{Format, ServerArgs};
use crate::output::EscapingWriter;

/// Most bytes of an answer that the command reads.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// What the server says when it refuses a query, or fails.
#[derive(Debug, Deserialize)]
struct ErrorBody {
    message: String,
    line: Option<usize>,
    column: Option<usize>,
    hint: Option<String>,
}

/// A client of the HTTP API of the queries.
pub struct HttpClient {
    agent: ureq::Agent,
    url: String,
}

/// An answer: its bytes, and the warnings that came with them in headers.
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// What the reader must know about the rows, one sentence each.
    pub warnings: Vec<String>,
}

impl HttpClient {
    /// Makes a client for the address given on the command line.
    pub fn new(args: &ServerArgs) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(args.timeout)))
            .http_status_as_error(false)
            .build();
        Self { agent: config.into(), url: args.url.trim_end_matches('/').to_owned() }
    }

    /// Posts `body` to `path` and reads the answer. An error of the server quotes the place in `sql`.
    pub fn post(&self, path: &str, body: &serde_json::Value, sql: Option<&str>) -> anyhow::Result<Answer> {
        let sent = self.agent.post(format!("{}{path}", self.url)).send_json(body);
        self.read(sent, sql)
    }

    /// Reads `path`.
    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.read(self.agent.get(format!("{}{path}", self.url)).call(), None)
    }

    /// Reads `path`, where "not found" is an answer too. Returns the body, and whether it was found.
    pub fn get_or_not_found(&self, path: &str) -> anyhow::Result<(String, bool)> {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call().with_context(|| self.unreachable())?;
        let found = response.status() != ureq::http::StatusCode::NOT_FOUND;
        if found && !response.status().is_success() {
            return self
                .read(Ok(response), None)
                .map(|answer| (String::from_utf8_lossy(&answer.body).into_owned(), true));
        }
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
        Ok((body, found))
    }

    fn unreachable(&self) -> String {
        format!(
            "cannot ask {}: is `tollgate collector` or `tollgate demo` running? (--url changes the address)",
            self.url
        )
    }

    fn read(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        sql: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let mut response = sent.with_context(|| self.unreachable())?;
        let warnings = response
            .headers()
            .get_all("x-tollgate-warning")
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        let mut body = Vec::new();
        let read = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).reader().read_to_end(&mut body);
        if let Err(error) = read {
            // A streamed answer that breaks off says why in its last line.
            return Err(match told_at_the_end(&body) {
                Some(told) => anyhow!("the answer broke off: {told}"),
                None => anyhow!(error).context("reading the answer"),
            });
        }
        if response.status().is_success() {
            return Ok(Answer { body, warnings });
        }
        Err(match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(error) => anyhow!(explain(&error, sql)),
            Err(_) => anyhow!("{} answered {}: {}", self.url, response.status(), String::from_utf8_lossy(&body)),
        })
    }
}

/// Why a streamed answer broke off, as its last line has it: `# error: …`, or `],"error":{…}}` in JSON.
fn told_at_the_end(body: &[u8]) -> Option<String> {
    let last = body.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    if let Some(told) = last.strip_prefix(b"# error: ") {
        return Some(String::from_utf8_lossy(told).into_owned());
    }
    let told = last.strip_prefix(b"],\"error\":")?.strip_suffix(b"}")?;
    serde_json::from_slice(told).ok().map(|error: ErrorBody| explain(&error, None))
}

/// The server's error in words, with the place in the query where it is known.
fn explain(error: &ErrorBody, sql: Option<&str>) -> String {
    let mut text = error.message.clone();
    if let (Some(line), Some(column)) = (error.line, error.column)
        && let Some(source) = sql.and_then(|sql| sql.lines().nth(line.saturating_sub(1)))
    {
        text.push_str(&format!(
            "\n  line {line}: {source}\n  {:>width$}",
            "^",
            width = format!("line {line}: ").len() + column
        ));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\n  hint: {hint}"));
    }
    text
}

/// The word by which the server knows a format. A table is drawn from Arrow, so that types keep their own form.
pub fn wire_name(format: Format) -> &'static str {
    match format {
        Format::Table | Format::Arrow => "arrow",
        Format::Json => "json",
        Format::Csv => "csv",
    }
}

/// Prints an answer to standard output, and its warnings to standard error.
pub fn print(answer: &Answer, format: Format) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if format == Format::Table {
        let reader = StreamReader::try_new(answer.body.as_slice(), None).context("reading the answer")?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().context("reading the answer")?;
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        let table = if batches.is_empty() {
            pretty_format_batches(&[arrow::array::RecordBatch::new_empty(schema)])
        } else {
            pretty_format_batches(&batches)
        };
        writeln!(EscapingWriter(&mut out), "{}", table.context("drawing the table")?)?;
        writeln!(out, "{rows} row{}", if rows == 1 { "" } else { "s" })?;
    } else {
        out.write_all(&answer.body)?;
        if format != Format::Arrow && !answer.body.ends_with(b"\n") {
            writeln!(out)?;
        }
    }
    for warning in &answer.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_broke_off_says_why() {
        let told = |body: &str| told_at_the_end(body.as_bytes());
        assert_eq!(told("n,x\n1,a\n\n# error: divide by zero\n").as_deref(), Some("divide by zero"));
        let json = "{\"columns\":[],\"rows\":[{\"n\":1}\n],\"error\":{\"error\":\"failed\",\"message\":\"divide by zero\",\"hint\":null}}\n";
        assert_eq!(told(json).as_deref(), Some("divide by zero"));
        assert_eq!(told("n,x\n1,# error: mine\n"), None);
        assert_eq!(told(""), None);
    }

    #[test]
    fn an_error_points_at_the_place() {
        let error = ErrorBody {
            message: "no column `statsu`".into(),
            line: Some(1),
            column: Some(8),
            hint: Some("did you mean `status`?".into()),
        };
        let text = explain(&error, Some("SELECT statsu FROM transactions"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "  line 1: SELECT statsu FROM transactions");
        assert_eq!(lines[2].find('^'), lines[1].find("statsu"));
        assert_eq!(lines[3], "  hint: did you mean `status`?");
    }
}
