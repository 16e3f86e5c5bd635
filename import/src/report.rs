//! What became of everything in the file: three lists, in which equal sentences stand once with all their lines.

use std::fmt::Write;

/// What became of a part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It means the same in what was written.
    Mapped,
    /// It was written, and somebody can tell the difference.
    Differs,
    /// It was not written.
    Missing,
}

/// One sentence of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The list that it stands in.
    pub fate: Fate,
    /// The part, as ``plugin `cors` ``.
    pub what: String,
    /// What it became, how it differs, or what to do.
    pub became: String,
    /// The lines of the file that it is about.
    pub lines: Vec<u64>,
}

/// What became of everything.
#[derive(Debug, Clone, Default)]
pub struct Report {
    remarks: Vec<Remark>,
    index: std::collections::HashMap<(Fate, String, String), usize>,
}

impl Report {
    /// Notes what became of a part that stands on this line.
    pub fn note(&mut self, fate: Fate, line: u64, what: impl Into<String>, became: impl Into<String>) {
        let (what, became) = (what.into(), became.into());
        let known = self.index.entry((fate, what.clone(), became.clone())).or_insert(self.remarks.len());
        if *known == self.remarks.len() {
            self.remarks.push(Remark { fate, what, became, lines: Vec::new() });
        }
        let lines = &mut self.remarks[*known].lines;
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }

    /// Returns the remarks of one list, in the order of the file.
    pub fn list(&self, fate: Fate) -> Vec<&Remark> {
        let mut list: Vec<&Remark> = self.remarks.iter().filter(|remark| remark.fate == fate).collect();
        list.sort_by_key(|remark| remark.lines.iter().min().copied());
        list
    }

    /// Writes the report as Markdown.
    #[must_use]
    pub fn markdown(&self, file: &str, head: &str) -> String {
        let mut text = format!("# Import of `{}`\n\n{head}\n", plain(file));
        for (fate, title, none) in [
            (Fate::Missing, "Not mapped", "Everything was mapped."),
            (Fate::Differs, "Mapped with a difference", "Nothing differs."),
            (Fate::Mapped, "Mapped", "Nothing."),
        ] {
            let list = self.list(fate);
            let _ = write!(text, "\n## {title}\n\n");
            if list.is_empty() {
                let _ = writeln!(text, "{none}");
            }
            for remark in list {
                let _ =
                    writeln!(text, "- {}: {} ({})", plain(&remark.what), plain(&remark.became), lines(&remark.lines));
            }
        }
        text
    }
}

/// Lines that are named; of more, only how many.
const LINES_SHOWN_MAX: usize = 40;

fn lines(lines: &[u64]) -> String {
    let mut lines = lines.to_vec();
    lines.sort_unstable();
    lines.dedup();
    let shown: Vec<String> = lines.iter().take(LINES_SHOWN_MAX).map(u64::to_string).collect();
    let noun = if lines.len() == 1 { "line" } else { "lines" };
    let more = match lines.len().saturating_sub(LINES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{noun} {}{more}", shown.join(", "))
}

/// Escapes what a text from outside could do to a page or a terminal.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sentences_stand_once_with_their_lines() {
        let mut report = Report::default();
        for line in [7, 3, 3] {
            report.note(Fate::Differs, line, "a", "b");
        }
        report.note(Fate::Missing, 9, "plugin `<x>\u{1b}[0m`", "no");
        let text = report.markdown("kong.yml", "");
        assert!(text.contains("- a: b (lines 3, 7)\n"), "{text}");
        assert!(text.contains("`&lt;x>\\u{1b}[0m`: no (line 9)"), "{text}");
        assert!(text.contains("## Mapped\n\nNothing.\n"), "{text}");
    }
}
