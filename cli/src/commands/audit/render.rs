//! An audit as it is printed.

use std::io::{self, Write};

use tollgate_audit::{CountedRuns, KafkaVerdict, Range, Report, Verdict, time_text};

use crate::args::{AuditArgs, AuditFormat};
use crate::output::{Columns, EscapingWriter, count_text};

/// Columns of the CSV form.
const CSV_COLUMNS: [&str; 17] = [
    "producer",
    "state",
    "first_seq",
    "last_seq",
    "issued",
    "in_table",
    "shed",
    "open",
    "set_aside",
    "missing",
    "missing_ranges",
    "doubled",
    "newest",
    "kafka_present",
    "kafka_missing",
    "kafka_pending",
    "kafka_copies",
];

/// Prints the report to standard output.
pub fn print(report: &Report, args: &AuditArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match args.format {
        AuditFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(report)?)?,
        AuditFormat::Csv => csv(report, &mut EscapingWriter(out))?,
        AuditFormat::Table => table(report, args.ranges, &mut EscapingWriter(out))?,
    }
    Ok(())
}

fn csv(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", CSV_COLUMNS.join(","))?;
    for verdict in &report.producers {
        let kafka = |number: fn(&KafkaVerdict) -> u64| {
            verdict.kafka.as_ref().map_or_else(String::new, |kafka| number(kafka).to_string())
        };
        let ranges: Vec<String> = verdict.missing.runs.iter().map(|(first, last)| range_text(*first, *last)).collect();
        let cells = [
            verdict.producer.clone(),
            verdict.state.as_str().to_owned(),
            verdict.first_seq.to_string(),
            verdict.last_seq.to_string(),
            verdict.issued.to_string(),
            verdict.in_table.to_string(),
            verdict.shed_total().to_string(),
            verdict.open.count.to_string(),
            verdict.set_aside_total().to_string(),
            verdict.missing.count.to_string(),
            ranges.join(" "),
            verdict.doubled.count.to_string(),
            verdict.newest_us.map_or_else(String::new, time_text),
            kafka(|kafka| kafka.present),
            kafka(|kafka| kafka.missing.count),
            kafka(|kafka| kafka.pending.count),
            kafka(|kafka| kafka.copies),
        ];
        // No cell holds a comma or a quote: names are of a closed alphabet.
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

fn table(report: &Report, ranges: usize, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", range_line(&report.range))?;
    writeln!(out)?;
    if report.producers.is_empty() {
        writeln!(out, "no producer has a record in that time")?;
    } else {
        summary(report, out)?;
        for verdict in &report.producers {
            details(verdict, ranges, out)?;
        }
    }
    if !report.notes.is_empty() {
        writeln!(out)?;
        for note in &report.notes {
            writeln!(out, "note: {note}")?;
        }
    }
    writeln!(out, "\n{}", conclusion(report))
}

fn range_line(range: &Range) -> String {
    let from = range.since_us.map_or_else(|| "the first record that is kept".to_owned(), time_text);
    let until = range.until_us.map_or_else(|| "now".to_owned(), time_text);
    format!("From {from} to {until}; what began before {} is settled", time_text(range.settled_before_us))
}

fn summary(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mut heads =
        vec!["PRODUCER", "STATE", "FROM", "TO", "ISSUED", "TABLE", "SHED", "OPEN", "ASIDE", "MISSING", "DOUBLED"];
    if report.kafka.is_some() {
        heads.extend(["KAFKA", "PENDING", "NOT IN KAFKA", "COPIES"]);
    }
    let mut columns = Columns::new(&heads);
    for verdict in &report.producers {
        let mut cells = vec![verdict.producer.clone(), verdict.state.as_str().to_owned()];
        let numbers = [
            verdict.first_seq.max(0) as u64,
            verdict.last_seq.max(0) as u64,
            verdict.issued,
            verdict.in_table,
            verdict.shed_total(),
            verdict.open.count,
            verdict.set_aside_total(),
            verdict.missing.count,
            verdict.doubled.count,
        ];
        cells.extend(numbers.map(count_text));
        if let Some(kafka) = &verdict.kafka {
            cells.extend([kafka.present, kafka.pending.count, kafka.missing.count, kafka.copies].map(count_text));
        }
        columns.row(cells);
    }
    columns.print(out)
}

fn details(verdict: &Verdict, ranges: usize, out: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    if verdict.missing.count > 0 {
        lines.push(format!("missing: {}", numbers_text(&verdict.missing, ranges)));
    }
    if verdict.started_in_range && verdict.missing.runs.first().is_some_and(|(first, _)| *first == 1) {
        lines.push("it started within that time, so its numbers begin with 1".to_owned());
    }
    if verdict.doubled.count > 0 {
        lines.push(format!("doubled: {}", numbers_text(&verdict.doubled, ranges)));
        lines.extend(verdict.doubled_example.as_ref().map(|sql| format!("  tollgate sql \"{sql}\"")));
    }
    for (reason, count) in &verdict.shed {
        lines.push(format!(
            "shed, {}: {}",
            if reason.is_empty() { "no reason given" } else { reason },
            count_text(*count)
        ));
    }
    if verdict.shed_but_here > 0 {
        lines.push(format!("declared as shed, but here: {}", count_text(verdict.shed_but_here)));
    }
    for aside in &verdict.set_aside {
        lines.push(format!("in {}: {}", aside.place, numbers_text(&aside.numbers, ranges)));
    }
    if verdict.open.count > 0 {
        lines.push(format!("open: {}", numbers_text(&verdict.open, ranges)));
    }
    if let Some(kafka) = &verdict.kafka {
        if kafka.missing.count > 0 {
            lines.push(format!("in the table, not in Kafka: {}", numbers_text(&kafka.missing, ranges)));
        }
        if kafka.dead_lettered > 0 {
            lines.push(format!("refused by the kafka sink, in its dead letters: {}", count_text(kafka.dead_lettered)));
        }
        if kafka.not_in_table.count > 0 {
            lines.push(format!("LOST, in Kafka and not in the table: {}", numbers_text(&kafka.not_in_table, ranges)));
        } else if kafka.beyond_table.count > 0 {
            lines.push(format!("in Kafka, not in the table: {}", numbers_text(&kafka.beyond_table, ranges)));
        }
    }
    if !lines.is_empty() {
        writeln!(out, "\n{}", verdict.producer)?;
    }
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

fn range_text(first: i64, last: i64) -> String {
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

/// How many, and the first ranges.
fn numbers_text(numbers: &CountedRuns, ranges: usize) -> String {
    let shown: Vec<String> = numbers.runs.iter().take(ranges).map(|(first, last)| range_text(*first, *last)).collect();
    let more = match numbers.runs.len().saturating_sub(ranges) {
        0 => String::new(),
        more => format!(" and {more} more ranges (--ranges, or --format json)"),
    };
    format!("{} in {} ranges: {}{more}", count_text(numbers.count), numbers.runs.len(), shown.join(", "))
}

fn conclusion(report: &Report) -> String {
    let totals = &report.totals;
    let sum = format!(
        "{} issued by {} producers = {} in the table + {} shed and declared + {} open + {} set aside + {} missing",
        count_text(totals.issued),
        totals.producers,
        count_text(totals.in_table),
        count_text(totals.shed),
        count_text(totals.open),
        count_text(totals.set_aside),
        count_text(totals.missing),
    );
    let only_in_kafka = totals.only_in_kafka.unwrap_or(0);
    let conclusion = if report.producers.is_empty() && only_in_kafka == 0 {
        "Nothing was issued, as far as the table tells: there is nothing to account for.".to_owned()
    } else if report.whole {
        "All accounted for, each once.".to_owned()
    } else {
        let mut wrong = Vec::new();
        if totals.missing > 0 {
            wrong.push(format!("{} missing", count_text(totals.missing)));
        }
        if totals.doubled > 0 {
            wrong.push(format!("{} doubled", count_text(totals.doubled)));
        }
        if let Some(missing @ 1..) = totals.kafka_missing {
            wrong.push(format!("{} not in Kafka", count_text(missing)));
        }
        if only_in_kafka > 0 {
            wrong.push(format!("{} in Kafka and not in the table", count_text(only_in_kafka)));
        }
        format!("NOT all accounted for: {}.", wrong.join(", "))
    };
    format!("{sum}\n{conclusion}")
}
