//! Text in columns, sizes and times, as people read them, harmless to their terminal.

use std::io::{self, Write};

use arrow::array::temporal_conversions::timestamp_us_to_datetime;
use tollgate_record::redact::text::clean_bytes;

/// Rows of cells, the first of them the heads. Columns whose every cell is a number stand to the right.
#[derive(Debug, Default)]
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// With these heads.
    pub fn new(heads: &[&str]) -> Self {
        Self(vec![heads.iter().map(|head| (*head).to_owned()).collect()])
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// Prints them.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let count = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, at: usize| row.get(at).cloned().unwrap_or_default();
        let width = |at: usize| self.0.iter().map(|row| cell(row, at).chars().count()).max().unwrap_or(0);
        let is_number = |at: usize| {
            self.0.iter().skip(1).map(|row| cell(row, at)).all(|cell| {
                cell.is_empty()
                    || cell == "-"
                    || cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(['T', '/', ':'])
            })
        };
        let shape: Vec<(usize, bool)> = (0..count).map(|at| (width(at), is_number(at))).collect();
        for row in &self.0 {
            let mut line = String::new();
            for (at, (width, right)) in shape.iter().enumerate() {
                let cell = cell(row, at);
                if at > 0 {
                    line.push_str("  ");
                }
                line.push_str(&if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A terminal, or what stands for one: everything that is written passes with its control characters escaped, line ends
/// excepted. Names, reasons and records come from producers; none of them may move a cursor or forge a line of its own
/// (CWE-150). What is written must be whole UTF-8, as `write!` hands it on.
pub struct Harmless<W>(pub W);

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut clean = String::with_capacity(bytes.len());
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                clean.push('\n');
            }
            clean_bytes(line, usize::MAX, &mut clean);
        }
        self.0.write_all(clean.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A whole number with its thousands apart.
pub fn count_text(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that fits.
pub fn bytes_text(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", units[unit]) }
}

/// A time in microseconds since 1970, to the second.
pub fn time_text(us: i64) -> String {
    timestamp_us_to_datetime(us).map_or_else(|| us.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count_text), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1_023, 1_024, 64 << 20].map(bytes_text), ["1023 B", "1.0 KiB", "64.0 MiB"]);
        assert_eq!(time_text(1_795_471_200_123_456), "2026-11-23T22:00:00Z");
    }

    #[test]
    fn nothing_that_comes_from_outside_commands_a_terminal() {
        let mut columns = Columns::new(&["REASON"]);
        columns.row(vec!["\x1b[2J\x1b]0;owned\x07 fine\r\u{9b}31m \u{202e}txt é".into()]);
        let mut out = Harmless(Vec::new());
        columns.print(&mut out).unwrap();
        let said = String::from_utf8(out.0).unwrap();
        assert_eq!(said, "REASON\n\\x1b[2J\\x1b]0;owned\\x07 fine\\x0d\\u{009b}31m \\u{202e}txt é\n");
        let mut out = Harmless(Vec::new());
        out.write_all(b"not \xff text\n").unwrap();
        assert_eq!(out.0, "not \u{fffd} text\n".as_bytes());
    }

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let mut columns = Columns::new(&["NAME", "ROWS"]);
        columns.row(vec!["edge-1/65f/0".into(), "7".into()]);
        columns.row(vec!["b".into(), "1,000".into()]);
        let mut out = Vec::new();
        columns.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME           ROWS\nedge-1/65f/0      7\nb             1,000\n");
    }
}
