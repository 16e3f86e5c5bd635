//! The promises of a sketch: order does not matter, bytes survive, and percentiles are those of a published implementation.

use proptest::prelude::*;
use sketches_ddsketch::{Config, DDSketch};
use tollgate_sketch::{Sketch, SketchError, integer_of};

fn of(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::new();
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

fn durations() -> impl Strategy<Value = Vec<f64>> {
    // Microseconds from 1 to some hours, most of them short, as durations are.
    let one = (0.0..24.0_f64).prop_map(|exponent| exponent.exp().floor());
    proptest::collection::vec(one, 1..400)
}

fn anything() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(prop_oneof![any::<f64>(), -1e6..1e6_f64, Just(0.0)], 0..200)
}

proptest! {
    #[test]
    fn the_order_and_the_grouping_of_values_do_not_matter(values in anything(), cut in 0..200_usize, seed in any::<u64>()) {
        let whole = of(&values);
        let (left, right) = values.split_at(cut.min(values.len()));
        let mut merged = of(right);
        merged.merge(&of(left));
        prop_assert_eq!(&merged, &whole);
        let mut shuffled = values.clone();
        let mut state = seed;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        prop_assert_eq!(of(&shuffled).to_bytes(), whole.to_bytes());
        prop_assert_eq!(whole.bins().collect::<Sketch>(), whole);
    }

    #[test]
    fn bytes_have_the_percentiles_of_their_sketch(values in anything(), quantile in -0.1..1.1_f64) {
        let sketch = of(&values);
        for quantile in [quantile, 0.0, 1.0] {
            prop_assert_eq!(Sketch::quantile_bin_of(&sketch.to_bytes(), quantile), Ok(sketch.quantile_bin(quantile)));
        }
    }

    #[test]
    fn bytes_survive(values in anything()) {
        let sketch = of(&values);
        prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Ok(sketch));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), start in any::<bool>()) {
        let mut bytes = bytes;
        if start && !bytes.is_empty() {
            bytes[0] = 1;
        }
        if let Ok(sketch) = Sketch::from_bytes(&bytes) {
            prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Ok(sketch));
        }
    }

    #[test]
    fn percentiles_are_those_of_ddsketch_and_of_the_sorted_values(values in durations(), quantile in 0.0..=1.0_f64) {
        let sketch = of(&values);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let exact = sorted[(quantile * (sorted.len() - 1) as f64).floor() as usize];
        let ours = sketch.quantile(quantile).unwrap();
        prop_assert!((ours - exact).abs() <= exact * 0.01, "{ours} for {exact}");
        let whole = integer_of(sketch.quantile_bin(quantile).unwrap());
        prop_assert!((whole - exact).abs() <= exact * 0.01, "{whole} for {exact}");
        let mut published = DDSketch::new(Config::new(0.0079, 4_096, 1e-9));
        values.iter().for_each(|value| published.add(*value));
        let theirs = published.quantile(quantile).unwrap().unwrap();
        // Each is within its own error of the same value.
        prop_assert!((ours - theirs).abs() <= exact * 0.0165, "{ours} and {theirs} for {exact}");
    }
}

#[test]
fn no_values_have_no_percentile() {
    assert_eq!(Sketch::new().quantile(0.5), None);
    assert_eq!(of(&[f64::NAN]).quantile(0.5), None);
    assert_eq!(of(&[1.0]).quantile(1.5), None);
}

#[test]
fn a_state_that_cannot_be_is_refused() {
    assert_eq!(Sketch::from_bytes(&[]), Err(SketchError::Version));
    assert_eq!(Sketch::from_bytes(&[2, 0]), Err(SketchError::Version));
    assert_eq!(Sketch::from_bytes(&[1]), Err(SketchError::Length));
    assert_eq!(Sketch::from_bytes(&[1, 0, 0]), Err(SketchError::Length));
    // One bin with a count of 0; two bins of the same number; more bins than there are.
    for bytes in [&[1, 1, 4, 0][..], &[1, 2, 4, 1, 0, 1], &[1, 0xff, 0xff, 0xff, 0x7f]] {
        assert_eq!(Sketch::from_bytes(bytes), Err(SketchError::Bin), "{bytes:?}");
    }
}

#[test]
fn counts_stop_at_the_largest_number() {
    let full = || Sketch::from_iter([(7, u64::MAX)]);
    let mut merged = full();
    merged.merge(&full());
    merged.add_bin(7, u64::MAX);
    assert_eq!(merged, full());
}
