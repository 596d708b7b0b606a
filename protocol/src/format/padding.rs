//! Lengths fall into buckets, so that a size does not tell which photo it is.
//!
//! Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019, §4): a
//! length keeps only as many leading bits as its logarithm has, which leaks O(log log n) bits and costs at most 12 %.

/// Nothing is shorter than this: below it, a length would tell a sidecar from a thumbnail.
pub const MIN_BUCKET_BYTES: usize = 1024;

/// The smallest bucket that holds `length` bytes.
pub fn bucket(length: usize) -> usize {
    let length = length.max(MIN_BUCKET_BYTES);
    let exponent = length.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - kept_bits)) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_those_of_the_paper() {
        assert_eq!(bucket(0), 1024);
        assert_eq!(bucket(1024), 1024);
        // 1025 has an exponent of 10, which has 4 bits: the last 6 bits are rounded up.
        assert_eq!(bucket(1025), 1024 + 64);
        assert_eq!(bucket(4 << 20), 4 << 20);
        assert_eq!(bucket((4 << 20) - 1), 4 << 20);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_length_costs_little_and_is_its_own(length in 0_usize..1 << 40) {
            let bucketed = bucket(length);
            prop_assert!(bucketed >= length);
            prop_assert_eq!(bucket(bucketed), bucketed);
            prop_assert!(length < MIN_BUCKET_BYTES || (bucketed - length) * 100 <= length * 12);
        }
    }
}
