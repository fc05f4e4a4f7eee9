//! What an engine returns to a node of a cluster: settings, presences, acknowledgements, entries of the log, images of the
//! state; and what a node keeps beside its replica.
#![no_main]

use apikey_core::fuzzing::cluster::{is_entry, is_frame, is_image, with_code};
use apikey_fuzz::archive::heal_frame;
use libfuzzer_sys::fuzz_target;

const LENGTH: usize = 4;
const CODE: usize = 32;

fuzz_target!(|data: &[u8]| {
    let _ = is_frame(data);
    let mut healed = data.to_vec();
    heal_frame(&mut healed);
    let _ = is_frame(&healed);
    for with_pepper in [false, true] {
        let _ = is_image(data, with_pepper);
        let _ = is_entry(data, with_pepper);
        // With right checksums and a right code, the same bytes reach the code behind them.
        let covered = healed_frames(data.get(..data.len().saturating_sub(CODE)).unwrap_or_default());
        let whole = with_code(&covered, with_pepper);
        if is_entry(&whole, with_pepper) {
            assert!(!is_entry(&whole[..whole.len() - 1], with_pepper), "a part of an entry is one");
            let mut bad = whole.clone();
            let at = usize::from(data[0]) % bad.len();
            bad[at] ^= 1;
            assert!(!is_entry(&bad, with_pepper), "damage made another entry");
        }
    }
});

/// Each frame behind its length, with a right checksum.
fn healed_frames(bytes: &[u8]) -> Vec<u8> {
    let (mut healed, mut rest) = (Vec::new(), bytes);
    while let Some((length, after)) = rest.split_first_chunk::<LENGTH>() {
        let Some((frame, after)) =
            usize::try_from(u32::from_le_bytes(*length)).ok().and_then(|length| after.split_at_checked(length))
        else {
            break;
        };
        let mut frame = frame.to_vec();
        heal_frame(&mut frame);
        healed.extend(length);
        healed.extend(frame);
        rest = after;
    }
    healed.extend(rest);
    healed
}
