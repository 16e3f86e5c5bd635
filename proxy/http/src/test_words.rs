//! Input for property tests: bytes made of words that a parser looks for, and of others.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Returns a strategy for up to 24 pieces, six of seven of them from `words`.
pub fn words(words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(word, 0..24).prop_map(|words| words.concat())
}
