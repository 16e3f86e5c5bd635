//! An audit as it is printed.

use std::io::{self, Write};

use super::Report;
use super::range::Range;
use super::verdict::{Numbers, Verdict};
use crate::args::{AuditArgs, AuditFormat};
use crate::lines::{Columns, Harmless, count_text, time_text};

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
        AuditFormat::Csv => csv(report, &mut Harmless(out))?,
        AuditFormat::Table => table(report, args.ranges, &mut Harmless(out))?,
    }
    Ok(())
}

fn csv(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", CSV_COLUMNS.join(","))?;
    for told in &report.producers {
        let kafka = |number: fn(&super::verdict::KafkaVerdict) -> u64| {
            told.kafka.as_ref().map_or_else(String::new, |kafka| number(kafka).to_string())
        };
        let ranges: Vec<String> = told.missing.runs.iter().map(|(first, last)| range_text(*first, *last)).collect();
        let cells = [
            told.producer.clone(),
            told.state.as_str().to_owned(),
            told.first_seq.to_string(),
            told.last_seq.to_string(),
            told.issued.to_string(),
            told.in_table.to_string(),
            told.shed_total().to_string(),
            told.open.count.to_string(),
            aside_total(told).to_string(),
            told.missing.count.to_string(),
            ranges.join(" "),
            told.doubled.count.to_string(),
            told.newest_us.map_or_else(String::new, time_text),
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
        for told in &report.producers {
            details(told, ranges, out)?;
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
    for told in &report.producers {
        let mut cells = vec![told.producer.clone(), told.state.as_str().to_owned()];
        let numbers = [
            told.first_seq.max(0) as u64,
            told.last_seq.max(0) as u64,
            told.issued,
            told.in_table,
            told.shed_total(),
            told.open.count,
            aside_total(told),
            told.missing.count,
            told.doubled.count,
        ];
        cells.extend(numbers.map(count_text));
        if let Some(kafka) = &told.kafka {
            cells.extend([kafka.present, kafka.pending.count, kafka.missing.count, kafka.copies].map(count_text));
        }
        columns.row(cells);
    }
    columns.print(out)
}

fn details(told: &Verdict, ranges: usize, out: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    if told.missing.count > 0 {
        lines.push(format!("missing: {}", numbers_text(&told.missing, ranges)));
    }
    if told.started_in_range && told.missing.runs.first().is_some_and(|(first, _)| *first == 1) {
        lines.push("it started within that time, so its numbers begin with 1".to_owned());
    }
    if told.doubled.count > 0 {
        lines.push(format!("doubled: {}", numbers_text(&told.doubled, ranges)));
        lines.extend(told.doubled_example.as_ref().map(|sql| format!("  tollgate sql \"{sql}\"")));
    }
    for (reason, count) in &told.shed {
        lines.push(format!(
            "shed, {}: {}",
            if reason.is_empty() { "no reason given" } else { reason },
            count_text(*count)
        ));
    }
    if told.shed_but_here > 0 {
        lines.push(format!("declared as shed, but here: {}", count_text(told.shed_but_here)));
    }
    for aside in &told.set_aside {
        lines.push(format!("in {}: {}", aside.place, numbers_text(&aside.numbers, ranges)));
    }
    if told.open.count > 0 {
        lines.push(format!("open: {}", numbers_text(&told.open, ranges)));
    }
    if let Some(kafka) = &told.kafka {
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
        writeln!(out, "\n{}", told.producer)?;
    }
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

fn aside_total(told: &Verdict) -> u64 {
    told.set_aside.iter().map(|aside| aside.numbers.count).sum()
}

fn range_text(first: i64, last: i64) -> String {
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

/// How many, and the first ranges.
fn numbers_text(numbers: &Numbers, ranges: usize) -> String {
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
    let verdict = if report.producers.is_empty() && only_in_kafka == 0 {
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
    format!("{sum}\n{verdict}")
}
