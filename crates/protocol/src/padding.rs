//! Padmé: padded lengths that reveal little (Nikitin et al., "Reducing Metadata Leakage from
//! Encrypted Files and Communication with PURBs", PETS 2019, section 4).
//!
//! **Elsewhere.** The padding itself is a field of zeroes in [`crate::pb::Envelope`].
//!
//! **Always.** A padded length is at most 12 % longer, and lengths up to `L` fall
//! into O(log log L) classes.

use prost::Message as _;

use crate::pb::Envelope;

/// Messages are never shorter than this, so that "yes" and "on my way" look alike.
pub const SMALLEST: usize = 256;

/// The Padmé length for `length` bytes, at least [`SMALLEST`].
pub fn padded_length(length: usize) -> usize {
    usize::try_from(padded_size(length as u64)).unwrap_or(usize::MAX)
}

/// The same for files, which may be longer than memory.
pub const fn padded_size(size: u64) -> u64 {
    let size = if size < SMALLEST as u64 {
        SMALLEST as u64
    } else {
        size
    };
    // Both logarithms are of numbers of at least 1.
    let exponent = size.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1_u64 << (exponent - kept_bits)) - 1;
    size.saturating_add(mask) & !mask
}

/// Encodes `envelope` so that the result has a Padmé length.
pub fn encode_padded(mut envelope: Envelope) -> Vec<u8> {
    envelope.padding = bytes::Bytes::new();
    let length = envelope.encoded_len();
    // The padding field costs its key, its own length (one byte for each 7 bits) and
    // its zeroes; a first guess of the zeroes is corrected until the sum fits. A gap of
    // exactly one byte cannot be filled, so the target grows by one class then.
    let mut target = padded_length(length);
    loop {
        let zeroes = (target - length).saturating_sub(2);
        for shorter in 0..4_usize {
            envelope.padding = vec![0; zeroes.saturating_sub(shorter)].into();
            if envelope.encoded_len() == target {
                return envelope.encode_to_vec();
            }
        }
        target = padded_length(target + 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pb::envelope::Body;

    proptest! {
        #[test]
        fn an_envelope_of_any_size_gets_a_padme_length_and_survives(size in 0_usize..70_000, counter: u64) {
            let envelope = Envelope {
                counter,
                body: Some(Body::Mimi(vec![7; size].into())),
                ..Envelope::default()
            };
            let encoded = encode_padded(envelope.clone());
            prop_assert_eq!(padded_length(encoded.len()), encoded.len());
            // A gap of one byte cannot be filled: then it is the class after.
            let smallest = padded_length(SMALLEST + 1);
            prop_assert!(encoded.len() <= smallest.max((size + 32) * 9 / 8 + 32));
            let decoded = Envelope::decode(encoded.as_slice()).unwrap();
            prop_assert_eq!(decoded.body, envelope.body);
            prop_assert!(decoded.padding.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_gap_that_cannot_be_filled_makes_it_one_class_longer() {
        let envelope = Envelope {
            counter: 1 << 63,
            body: Some(Body::Mimi(vec![7; 113].into())),
            ..Envelope::default()
        };
        assert_eq!(encode_padded(envelope).len(), padded_length(SMALLEST + 1));
    }

    #[test]
    fn the_papers_examples_hold() {
        assert_eq!(padded_length(1000), 1024);
        assert_eq!(padded_length(1 << 20), 1 << 20);
        assert_eq!(padded_length((1 << 20) + 1), (1 << 20) + (1 << 15));
    }
}
