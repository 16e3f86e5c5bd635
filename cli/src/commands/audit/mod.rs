//! `tollgate audit`: reads the arguments, has `tollgate_audit` gather and judge, and prints the report.

mod render;
mod sources;
mod when;

use std::process::ExitCode;

use anyhow::Context;
use tollgate_audit::{Range, Report, Request, Scope, Sources, Topic, audit};

use crate::args::AuditArgs;
use crate::client::HttpClient;
use crate::commands::audit::sources::{AdminPage, KafkaTopic};
use crate::exit::{FAILED, USAGE, explain};

/// Runs the command: exit status 0 = all is accounted for, 1 = something is missing or doubled, 2 = it could not be told.
pub fn main(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let report = match run(args) {
        Ok(report) => report,
        Err(error) => {
            explain(&error);
            return Ok(ExitCode::from(USAGE));
        }
    };
    render::print(&report, args)?;
    Ok(if report.whole { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn run(args: &AuditArgs) -> anyhow::Result<Report> {
    let range = range(args)?;
    let scope: Scope = args.producer.as_deref().map(str::parse).transpose().context("--producer")?.unwrap_or_default();
    let topic = args.kafka.as_deref().map(|kafka| KafkaTopic::new(kafka, &args.kafka_topic)).transpose()?;
    let sources = Sources {
        table: &HttpClient::new(&args.server),
        status: &AdminPage::new(args.collector.as_deref()),
        topic: topic.as_ref().map(|topic| topic as &dyn Topic),
        journal: args.journal.as_deref(),
        set_aside: &args.set_aside,
    };
    Ok(audit(&Request { range, scope }, &sources)?)
}

fn range(args: &AuditArgs) -> anyhow::Result<Range> {
    let now_us = tollgate_clock::now_us();
    let since_us = match args.since.trim() {
        "all" => None,
        since => Some(when::moment(since, now_us).context("--since")?),
    };
    let until_us = args.until.as_deref().map(|until| when::moment(until, now_us).context("--until")).transpose()?;
    let settle_us = when::length(&args.settle).context("--settle")?;
    Ok(Range::new(since_us, until_us, settle_us, now_us)?)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tollgate_audit::{Answer, SourceError, Status, StatusPage, Table};

    use super::*;

    /// An empty table that notes what it is asked.
    #[derive(Default)]
    struct Asked(RefCell<Vec<String>>);

    impl Table for Asked {
        fn contents(&self) -> Result<Vec<u8>, SourceError> {
            Ok(br#"{"days": [{"date": "1970-01-02", "rows": 1}], "hot_rows": 0, "hot_evicted": 0}"#.to_vec())
        }

        fn query(&self, sql: &str) -> Result<Answer, SourceError> {
            self.0.borrow_mut().push(sql.to_owned());
            let schema = arrow::datatypes::Schema::empty();
            let mut rows = Vec::new();
            arrow::ipc::writer::StreamWriter::try_new(&mut rows, &schema)?.finish()?;
            Ok(Answer { rows, warnings: Vec::new() })
        }
    }

    impl StatusPage for Asked {
        fn address(&self) -> &str {
            "nowhere"
        }

        fn is_required(&self) -> bool {
            false
        }

        fn read(&self) -> Result<Status, SourceError> {
            Ok(Status::default())
        }
    }

    #[tokio::test]
    async fn six_columns_are_read_whatever_the_range() {
        const DAY_US: i64 = 86_400_000_000;
        let asked = Asked::default();
        let range = Range::new(Some(DAY_US), Some(2 * DAY_US), 0, 9 * DAY_US).expect("range");
        let sources = Sources { table: &asked, status: &asked, topic: None, journal: None, set_aside: &[] };
        audit(&Request { range, scope: Scope::default() }, &sources).expect("nothing was issued");
        let dir = tempfile::tempdir().expect("folder");
        let config = tollgate_table::TableConfig::new(dir.path());
        let (_writer, table) = tollgate_table::open(config, "default").await.expect("table");
        let engine = tollgate_queries::Engine::new(table, tollgate_queries::Limits::default()).expect("engine");
        let asked = asked.0.into_inner();
        assert!(asked.len() >= 2, "{asked:?}");
        for sql in asked {
            let plan = engine.query(&format!("EXPLAIN {sql}")).await.expect("plan");
            let plan = plan.render(tollgate_queries::Format::Csv).expect("text");
            let plan = String::from_utf8(plan).expect("UTF-8");
            let (_, after) = plan.split_once("projection=[").unwrap_or_else(|| panic!("no projection in {plan}"));
            let mut columns: Vec<&str> = after.split(']').next().unwrap_or_default().split(", ").collect();
            columns.sort_unstable();
            assert_eq!(columns, ["gap_count", "gap_reason", "kind", "producer", "seq", "time"], "{plan}");
        }
    }
}
