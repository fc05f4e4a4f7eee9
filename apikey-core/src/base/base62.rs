//! Base62 with the digits `0-9A-Za-z`, in the fixed widths that a token is made of.
#![allow(clippy::indexing_slicing, reason = "digits index a table of 62, bytes a table of 256")]

/// The digits in order of value.
pub(crate) const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const FOREIGN: u8 = 0xff;

static VALUES: [u8; 256] = {
    let mut values = [FOREIGN; 256];
    let mut value = 0u8;
    while value < 62 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Encodes any 128-bit number: 62^22 is above 2^128.
#[allow(clippy::cast_possible_truncation, reason = "a remainder of 62^10 fits u64, one of 62 fits usize")]
pub(crate) fn encode_u128(mut number: u128) -> [u8; 22] {
    const TEN_DIGITS: u128 = 62u128.pow(10);
    let mut text = [b'0'; 22];
    // Divisions of 128 bits are slow: take ten digits at a time out of 64.
    for block in text.rchunks_mut(10) {
        let mut low = (number % TEN_DIGITS) as u64;
        number /= TEN_DIGITS;
        for digit in block.iter_mut().rev() {
            *digit = DIGITS[(low % 62) as usize];
            low /= 62;
        }
    }
    text
}

/// Decodes a number. Returns `None` for a character that is no digit, and for a value of 2^128 or more.
pub(crate) fn decode_u128(text: &[u8; 22]) -> Option<u128> {
    text.iter().try_fold(0u128, |number, digit| {
        let value = VALUES[usize::from(*digit)];
        if value == FOREIGN {
            return None;
        }
        number.checked_mul(62)?.checked_add(u128::from(value))
    })
}

/// Encodes any 32-bit number: 62^6 is above 2^32.
pub(crate) fn encode_u32(mut number: u32) -> [u8; 6] {
    let mut text = [b'0'; 6];
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    text
}

/// Whether `text` is the number as [`encode_u32`] writes it. This is faster than encoding the number.
#[inline]
pub(crate) fn is_u32(text: &[u8; 6], number: u32) -> bool {
    let mut sum = 0u64;
    let mut foreign = false;
    for digit in text {
        let value = VALUES[usize::from(*digit)];
        foreign |= value == FOREIGN;
        sum = sum * 62 + u64::from(value);
    }
    !foreign && sum == u64::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_answers() {
        assert_eq!(&encode_u128(0), b"0000000000000000000000");
        assert_eq!(&encode_u128(61), b"000000000000000000000z");
        assert_eq!(&encode_u128(62), b"0000000000000000000010");
        // python3: 2**128-1 in base62
        assert_eq!(&encode_u128(u128::MAX), b"7n42DGM5Tflk9n8mt7Fhc7");
        assert_eq!(decode_u128(b"7n42DGM5Tflk9n8mt7Fhc8"), None);
        assert_eq!(decode_u128(b"zzzzzzzzzzzzzzzzzzzzzz"), None);
        assert_eq!(decode_u128(b"000000000000000000000-"), None);
        assert_eq!(&encode_u32(u32::MAX), b"4gfFC3");
        assert!(!is_u32(b"4gfFC4", 0));
        assert!(!is_u32(b"zzzzzz", u32::MAX));
        assert!(!is_u32(b"00000-", 0));
    }

    proptest! {
        #[test]
        fn numbers_come_back(number: u128, small: u32, other: u32) {
            prop_assert_eq!(decode_u128(&encode_u128(number)), Some(number));
            prop_assert!(is_u32(&encode_u32(small), small));
            prop_assert_eq!(is_u32(&encode_u32(small), other), small == other);
        }

        #[test]
        fn order_is_kept(a: u128, b: u128) {
            prop_assert_eq!(encode_u128(a).cmp(&encode_u128(b)), a.cmp(&b));
        }

        #[test]
        fn one_text_a_number(text in "[0-9A-Za-z]{22}") {
            let text: &[u8; 22] = text.as_bytes().try_into().unwrap();
            if let Some(number) = decode_u128(text) {
                prop_assert_eq!(&encode_u128(number), text);
            }
        }
    }
}
