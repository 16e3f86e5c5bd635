//! Text in columns, counts and sizes, as people read them; escaped, so that no record commands their terminal.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use tollgate_record::redact::text::clean_bytes;

/// Rows of cells under their heads. Columns whose every cell is a number are aligned to the right.
pub struct Columns {
    table: Table,
    /// Of each column, whether all cells so far are numbers.
    numeric: Vec<bool>,
}

/// Spaces between two columns.
const COLUMN_GAP: u16 = 2;

impl Columns {
    /// Makes a table with these heads and no rows.
    pub fn new(heads: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heads);
        Self { table, numeric: vec![true; heads.len()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        for (numeric, cell) in self.numeric.iter_mut().zip(&cells) {
            *numeric &= is_number(cell);
        }
        self.table.add_row(cells);
    }

    /// Prints the table.
    pub fn print(mut self, out: &mut impl Write) -> io::Result<()> {
        for (column, numeric) in self.table.column_iter_mut().zip(self.numeric) {
            column.set_padding((0, COLUMN_GAP));
            column.set_cell_alignment(if numeric { CellAlignment::Right } else { CellAlignment::Left });
        }
        self.table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
    }
}

/// Whether a cell is a number, or stands for none. Times, numbers of batches and ranges begin with a digit, too.
fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(['T', '/', ':'])
}

/// Escapes the control characters of everything that is written, line ends excepted. Names, reasons and records come from
/// producers: none of them may move a cursor of the terminal or forge a line (CWE-150). Each write must be whole UTF-8, as
/// `write!` hands it on.
pub struct EscapingWriter<W>(pub W);

impl<W: Write> Write for EscapingWriter<W> {
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

/// A whole number with commas between its thousands.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count_text), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1_023, 1_024, 64 << 20].map(bytes_text), ["1023 B", "1.0 KiB", "64.0 MiB"]);
    }

    #[test]
    fn nothing_that_comes_from_outside_commands_a_terminal() {
        let mut columns = Columns::new(&["REASON"]);
        columns.row(vec!["\x1b[2J\x1b]0;owned\x07 fine\r\u{9b}31m \u{202e}txt é".into()]);
        let mut out = EscapingWriter(Vec::new());
        columns.print(&mut out).unwrap();
        let said = String::from_utf8(out.0).unwrap();
        assert_eq!(said, "REASON\n\\x1b[2J\\x1b]0;owned\\x07 fine\\x0d\\u{009b}31m \\u{202e}txt é\n");
        let mut out = EscapingWriter(Vec::new());
        out.write_all(b"not \xff text\n").unwrap();
        assert_eq!(out.0, "not \u{fffd} text\n".as_bytes());
    }

    #[test]
    fn lines_of_a_cell_and_wide_characters_line_up() {
        let mut columns = Columns::new(&["NAME", "REASON", "ROWS"]);
        columns.row(vec!["東京".into(), "first\nsecond".into(), "7".into()]);
        columns.row(vec!["edge-1".into(), "é".into(), "1,000".into()]);
        let mut out = Vec::new();
        columns.print(&mut out).unwrap();
        let wanted = ["NAME    REASON   ROWS", "東京    first       7", "        second", "edge-1  é       1,000", ""];
        assert_eq!(String::from_utf8(out).unwrap(), wanted.join("\n"));
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
