//! Any bytes beside a data file are refused or answered from: no panic, and no more memory than they are long. The directory's
//! checksum is mended, as no fuzzer would guess it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_table::ids::fuzz;

fuzz_target!(|input: (Vec<u8>, u8, Vec<u8>)| {
    let (mut bytes, groups, value) = input;
    let _ = fuzz(&bytes, 0, &value);
    let groups = u32::from(groups).to_le_bytes();
    let length = 112 * usize::from(groups[0]);
    let directory = bytes[bytes.len().saturating_sub(length)..].to_vec();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&directory), &groups);
    bytes.extend_from_slice(&groups);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(b"TGIDS\0\0\x01");
    for column in 0..3 {
        let _ = fuzz(&bytes, column, &value);
    }
});
