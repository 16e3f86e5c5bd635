//! An account while it grows, and what a partition hands to the one that puts the account together.

use std::io;
use std::mem::size_of;

use tollgate_account::{Account, Numbers, Shed};
use tollgate_record::runs::Run;

/// One producer's account while it grows.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    numbers: Numbers,
    handshakes_failed: u64,
    shed: Vec<Shed>,
    shed_bytes: usize,
}

impl Ledger {
    pub fn record(&mut self, seq: i64, is_handshake: bool) {
        self.numbers.add(seq);
        self.handshakes_failed += u64::from(is_handshake);
    }

    /// A gap row: `count` numbers from `seq` on were shed.
    pub fn shed(&mut self, seq: i64, count: i64, reason: Option<&str>) {
        let last = seq.saturating_add(count.max(1) - 1);
        let reason = reason.unwrap_or_default().to_owned();
        self.shed_bytes += reason.len();
        self.shed.push(Shed { run: Run { first: seq, last }, reason });
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.numbers.bytes() + self.shed_bytes + self.shed.capacity() * size_of::<Shed>()
    }

    pub fn account(&self) -> Account {
        let mut shed = self.shed.clone();
        shed.sort_unstable();
        Account {
            rows: self.numbers.added(),
            handshakes_failed: self.handshakes_failed,
            runs: self.numbers.runs(),
            doubled: self.numbers.doubled(),
            shed,
        }
    }

    /// What a partition hands on.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.numbers.bytes() + 64);
        for number in [self.handshakes_failed, self.shed.len() as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for shed in &self.shed {
            out.extend_from_slice(&shed.run.first.to_le_bytes());
            out.extend_from_slice(&shed.run.last.to_le_bytes());
            out.extend_from_slice(&(shed.reason.len() as u64).to_le_bytes());
            out.extend_from_slice(shed.reason.as_bytes());
        }
        self.numbers.write(&mut out)?;
        Ok(out)
    }

    /// Takes over what a partition handed on.
    pub fn merge(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let from = &mut bytes;
        self.handshakes_failed += u64_of(from)?;
        for _ in 0..u64_of(from)? {
            let (first, last, length) = (u64_of(from)? as i64, u64_of(from)? as i64, u64_of(from)? as usize);
            let (reason, rest) = from.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
            *from = rest;
            let reason = String::from_utf8_lossy(reason).into_owned();
            self.shed_bytes += reason.len();
            self.shed.push(Shed { run: Run { first, last }, reason });
        }
        self.numbers.merge(Numbers::read(from)?);
        Ok(())
    }
}

fn u64_of(from: &mut &[u8]) -> io::Result<u64> {
    let (head, rest) = from.split_first_chunk::<8>().ok_or(io::ErrorKind::UnexpectedEof)?;
    *from = rest;
    Ok(u64::from_le_bytes(*head))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tollgate_record::runs::Runs;

    use super::*;

    /// A sequence that visits 0..count in another order.
    fn scattered(count: i64) -> impl Iterator<Item = i64> {
        (0..count).map(move |at| at * 7_919 % count)
    }

    #[test]
    fn parts_put_together_say_what_one_would_have_said() {
        let mut whole = Ledger::default();
        let mut parts: Vec<Ledger> = (0..3).map(|_| Ledger::default()).collect();
        let mut copies: BTreeMap<i64, u64> = BTreeMap::new();
        for (at, number) in scattered(10_007).chain(scattered(1_009)).enumerate() {
            let seq = number * number % 9_001 - 4_000;
            *copies.entry(seq).or_default() += 1;
            whole.record(seq, at % 50 == 0);
            parts[at % 3].record(seq, at % 50 == 0);
        }
        whole.shed(20_000, 10, Some("buffer_full"));
        parts[1].shed(20_000, 10, Some("buffer_full"));
        let mut merged = Ledger::default();
        for part in &parts {
            merged.merge(&part.to_bytes().expect("written")).expect("read");
        }
        assert_eq!(merged.account(), whole.account());
        let account = whole.account();
        assert_eq!(account.runs.count(), copies.len() as u64);
        assert!(copies.keys().all(|seq| account.runs.contains(*seq)));
        let doubled: Vec<i64> = copies.iter().filter(|(_, copies)| **copies > 1).map(|(seq, _)| *seq).collect();
        assert_eq!(account.doubled.count(), doubled.len() as u64);
        assert!(doubled.iter().all(|seq| account.doubled.contains(*seq)));
        assert_eq!(account.copies(), copies.values().map(|copies| copies - 1).sum::<u64>());
    }

    #[test]
    fn a_million_numbers_in_any_order_take_a_bit_each_and_end_as_one_run() {
        let mut ledger = Ledger::default();
        let mut bytes_max = 0;
        for (at, number) in scattered(1_000_003).enumerate() {
            ledger.record(number, false);
            if at % 50_000 == 0 {
                bytes_max = bytes_max.max(ledger.bytes());
            }
        }
        assert_eq!(ledger.account().runs, Runs::between(0, 1_000_002));
        assert!(bytes_max < 160_000, "{bytes_max} bytes for a million numbers");
    }

    #[test]
    fn bytes_that_end_early_are_an_error() {
        let mut ledger = Ledger::default();
        ledger.record(1, false);
        ledger.shed(2, 3, Some("why"));
        let bytes = ledger.to_bytes().expect("written");
        for end in 0..bytes.len() {
            assert!(Ledger::default().merge(&bytes[..end]).is_err(), "{end}");
        }
    }
}
