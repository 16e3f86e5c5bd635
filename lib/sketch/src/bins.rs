//! From a value to the number of its bin, and back.

/// Bits of the mantissa that tell bins of one octave apart: 64 bins.
pub(crate) const MANTISSA_BITS: u32 = 6;
const SHIFT: u32 = 52 - MANTISSA_BITS;

/// The bin of a value, ascending with it; `None` for what is no number.
#[must_use]
pub fn bin_of(value: f64) -> Option<i32> {
    if value.is_nan() {
        return None;
    }
    let size = value.abs().min(f64::MAX);
    // Subnormal numbers have too few bits for the error to hold: they count as zero.
    let bin = if size < f64::MIN_POSITIVE { 0 } else { (size.to_bits() >> SHIFT) as i32 };
    Some(if value < 0.0 { -bin } else { bin })
}

/// The middle of a bin.
#[must_use]
pub fn value_of(bin: i32) -> f64 {
    let at = |bin: u64| f64::from_bits(bin << SHIFT);
    let size = u64::from(bin.unsigned_abs());
    if size == 0 {
        return 0.0;
    }
    let (low, next) = (at(size), at(size + 1));
    let middle = if next.is_finite() { low + (next - low) / 2.0 } else { low };
    if bin < 0 { -middle } else { middle }
}

/// What a bin stands for when all values are integers: its middle without the fraction, which is exact below 128, where a bin
/// holds one integer at most.
#[must_use]
pub fn integer_of(bin: i32) -> f64 {
    value_of(bin).trunc()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_integers_are_exact() {
        for number in -127..128 {
            assert_eq!(integer_of(bin_of(f64::from(number)).unwrap()), f64::from(number));
        }
    }

    #[test]
    fn ends_of_the_doubles_have_bins() {
        assert_eq!(bin_of(f64::NAN), None);
        assert_eq!(bin_of(f64::INFINITY), bin_of(f64::MAX));
        assert_eq!(bin_of(5e-324), Some(0));
        assert!(value_of(bin_of(f64::MAX).unwrap()).is_finite());
    }

    proptest! {
        #[test]
        fn a_bin_stands_for_its_values_within_a_128th(value in prop_oneof![any::<f64>(), (1e-9..1e15_f64), (-1e15..-1e-9_f64)]) {
            prop_assume!(value.is_finite() && value.abs() >= f64::MIN_POSITIVE && value.abs() < f64::MAX / 2.0);
            let shown = value_of(bin_of(value).unwrap());
            prop_assert!((shown - value).abs() <= value.abs() / 128.0, "{value} is shown as {shown}");
        }

        #[test]
        fn bins_ascend_with_values(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a <= b);
            prop_assert!(bin_of(a) <= bin_of(b));
        }
    }
}
