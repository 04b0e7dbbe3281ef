//! Inputs of tasks: a hundred bytes each, no two alike, made from their number alone.
//!
//! The output of an echo is right if it is the input that its task was submitted with, byte for byte; so nothing has to
//! be kept for the check but the number.

use std::fmt::Write as _;

use bytes::Bytes;

/// Bytes of an input.
pub const INPUT_BYTES: usize = 100;

/// The input with this number.
#[must_use]
pub fn input(number: u64) -> Bytes {
    let mut text = String::with_capacity(INPUT_BYTES + 16);
    let mut state = number;
    let _ = write!(text, "{number:016x}");
    while text.len() < INPUT_BYTES {
        state = mixed(state);
        let _ = write!(text, "{state:016x}");
    }
    text.truncate(INPUT_BYTES);
    Bytes::from(text)
}

/// Steps through 64-bit numbers so that neighbours have nothing in common (the finaliser of `SplitMix64`).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_their_length_and_differ() {
        let inputs: std::collections::BTreeSet<_> = (0..1000).map(input).collect();
        assert_eq!(inputs.len(), 1000);
        assert!(inputs.iter().all(|input| input.len() == INPUT_BYTES));
        assert_eq!(input(7), input(7));
    }
}
