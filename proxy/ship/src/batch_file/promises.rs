//! What [`BatchName::parse`] promises for any file name. A property test drives these checks for a moment, the fuzz
//! target `batch_name` for as long as one likes.

use std::path::Path;

use super::BatchName;

/// Panics unless a name that is a batch's has this one spelling and stays in its folder.
pub fn any_name(name: &str) {
    if let Some(parsed) = BatchName::parse(name) {
        assert_eq!(parsed.to_string(), name);
        assert!(!name.contains(['/', '\\', '\0']) && name.ends_with(".arrows.zst"));
        assert!(Path::new(name).file_name().is_some_and(|file| file == name));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const NAMES: &[&[u8]] = &[
        b"gate-1",
        b"-",
        b".",
        b"..",
        b"/",
        b"\\",
        b"\0",
        b"64a1f3c2b8e00",
        b"0",
        b"17",
        b"4096",
        b"9ae0daaf",
        b"+",
        b"00",
        b".arrows.zst",
        b".tmp",
        b".json",
        b"A",
        b"-0-17.4096-9ae0daaf.arrows.zst",
    ];

    /// Bytes made of words that the parser looks for, and of others.
    fn words() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            6 => select(NAMES).prop_map(<[u8]>::to_vec),
            1 => vec(any::<u8>(), 0..4),
        ];
        vec(word, 0..24).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn nearly_names(bytes in words()) {
            let name = String::from_utf8_lossy(&bytes);
            any_name(&name);
            any_name(&format!("{name}-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst"));
        }
    }
}
