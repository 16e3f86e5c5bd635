//! Writes a batch file of made-up records: `cargo run -p tollgate-record --example write-sample -- PATH [RECORDS]`.

mod plausible;

use plausible::{Facts, header};
use tollgate_record::{BatchBuilder, SealLimits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("say where to write the batch: write-sample PATH [RECORDS]")?;
    let records: i64 = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    for seq in 1..=records {
        builder.append(&Facts::of(seq).record());
    }
    let sealed = builder.seal(1)?;
    std::fs::write(&path, &sealed.bytes)?;
    println!("{path}: {} records, {} bytes", sealed.rows, sealed.bytes.len());
    Ok(())
}
