//! Messages as bytes: the protocol's number, the length, and JSON.

use std::io::{self, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::base::wiped::json_length;

/// The number of the protocol, which both sides must share: it changes whenever a request or an answer does.
pub const PROTOCOL: u8 = 3;
/// The most bytes of a message.
pub const MAX_FRAME: usize = 1024 * 1024;
/// The bytes of the protocol's number and the length.
const HEAD: usize = 5;

/// An error of reading or writing a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The other side closed the connection between two messages.
    #[error("the connection is closed")]
    Closed,
    #[error(
        "the other side speaks version {found} of the protocol, this one version {PROTOCOL}: use the same release of both"
    )]
    Protocol { found: u8 },
    #[error("a message of {length} bytes is longer than {MAX_FRAME}")]
    TooLong { length: usize },
    /// The text repeats nothing of the message, which may contain a secret.
    #[error("a message is not understood, at column {column}")]
    Unknown { column: usize },
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Encodes a message. The buffer is wiped when it is dropped, since it may contain a secret.
///
/// # Errors
/// [`FrameError::TooLong`]; [`FrameError::Unknown`] for a message that JSON cannot express, such as a path that is not
/// UTF-8.
pub(crate) fn encode(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let length = length(message)?;
    let mut frame = Zeroizing::new(Vec::with_capacity(HEAD + length));
    frame.push(PROTOCOL);
    let count = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    frame.extend_from_slice(&count.ok_or(FrameError::TooLong { length })?.to_be_bytes());
    serde_json::to_writer(&mut *frame, message).map_err(unknown)?;
    Ok(frame)
}

/// Counts the bytes of a message's JSON. A buffer of that size never moves in memory, which would leave a copy.
///
/// # Errors
/// [`FrameError::Unknown`], as [`encode`].
pub(super) fn length(message: &impl Serialize) -> Result<usize, FrameError> {
    json_length(message).map_err(unknown)
}

/// Reads one message.
///
/// # Errors
/// Every [`FrameError`]. The connection cannot be used after one.
pub(crate) fn read<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, FrameError> {
    let mut protocol = [0];
    loop {
        match from.read(&mut protocol) {
            Ok(0) => return Err(FrameError::Closed),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let [found] = protocol;
    if found != PROTOCOL {
        return Err(FrameError::Protocol { found });
    }
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(FrameError::TooLong { length });
    }
    let mut message = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut message)?;
    serde_json::from_slice(&message).map_err(unknown)
}

/// Leaves out serde's own text, which may repeat a part of the message.
fn unknown(error: serde_json::Error) -> FrameError {
    FrameError::Unknown { column: error.column() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::KeyId;
    use crate::admin::{Answer, Request, SecretText};

    fn check(token: &str) -> Request {
        Request::Check { token: SecretText::new(token), permissions: vec!["a:b".into()], peer: None }
    }

    #[test]
    fn a_message_comes_as_it_was_sent() {
        let frame = encode(&check("a \"quoted\" key")).unwrap();
        assert_eq!(frame[..5], [PROTOCOL, 0, 0, 0, u8::try_from(frame.len() - 5).unwrap()]);
        let Request::Check { token, permissions, .. } = read(&mut &frame[..]).unwrap() else { panic!() };
        assert_eq!((token.expose_secret(), permissions), ("a \"quoted\" key", vec!["a:b".to_owned()]));
        assert_eq!(frame.capacity(), frame.len(), "it moved, and left a copy");
    }

    #[test]
    fn what_is_cut_off_or_too_long_or_of_another_version_has_an_error_of_its_own() {
        let frame = encode(&check("key")).unwrap();
        for cut in 1..frame.len() {
            assert!(matches!(read::<Request>(&mut &frame[..cut]), Err(FrameError::Io(_))), "{cut}");
        }
        assert!(matches!(read::<Request>(&mut &[][..]), Err(FrameError::Closed)));
        let other = [&[PROTOCOL + 1], &frame[1..]].concat();
        assert!(
            matches!(read::<Request>(&mut &other[..]), Err(FrameError::Protocol { found }) if found == PROTOCOL + 1)
        );
        // It is refused before a buffer is allocated for it.
        assert!(matches!(read::<Request>(&mut &[PROTOCOL, 255, 255, 255, 255][..]), Err(FrameError::TooLong { .. })));
        assert!(matches!(encode(&check(&"x".repeat(MAX_FRAME))), Err(FrameError::TooLong { .. })));
        let longest = check(&"x".repeat(MAX_FRAME - length(&check("")).unwrap()));
        assert_eq!(encode(&longest).unwrap().len(), HEAD + MAX_FRAME);
    }

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        let mut frame = vec![PROTOCOL, 0, 0, 0, 20];
        frame.extend(br#"{"secret-123":"key"}"#);
        let error = read::<Request>(&mut &frame[..]).unwrap_err();
        assert!(matches!(error, FrameError::Unknown { .. }) && !error.to_string().contains("secret"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..200), framed: bool) {
            let mut sent = bytes.clone();
            if framed {
                let length = u32::try_from(bytes.len()).unwrap();
                sent = [&[PROTOCOL], &length.to_be_bytes()[..], &bytes].concat();
            }
            let _ = read::<Request>(&mut &sent[..]);
            let _ = read::<Answer>(&mut &sent[..]);
        }

        /// Damage makes another message or a fault; never more than was sent, and never a panic.
        #[test]
        fn a_damaged_message_is_a_message_or_a_fault(at in 0usize..400, byte: u8, id: u128) {
            let id = KeyId::from_u128(id);
            let mut frame = encode(&Request::Revoke { id, reason: "left".into() }).unwrap().to_vec();
            let at = at % frame.len();
            frame[at] = byte;
            if let Ok(request) = read::<Request>(&mut &frame[..]) {
                prop_assert_eq!(request.name(), "revoke");
            }
        }
    }
}
