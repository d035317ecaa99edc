//! Where one message of the protocol ends and the next begins, however the bytes come.
//!
//! <https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS>: a byte that says what it is,
//! four that say how long the rest is, themselves included.

use std::io;

/// Length of what stands before a message's body.
const HEAD: usize = 5;

/// Finds the messages in a server's bytes, of which it keeps none.
#[derive(Debug, Default)]
pub(super) struct Framing {
    head: [u8; HEAD],
    /// Bytes of the head that came.
    seen: usize,
    /// Bytes of the body that are to come, once the head is there.
    left: usize,
}

/// Some of a message, or all of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// What the message is.
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    /// Whether the message ends here.
    pub(super) is_last: bool,
}

impl Framing {
    /// Takes what there is of the next message from `bytes`; `None` once more must come first.
    ///
    /// # Errors
    /// When that is no message.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> io::Result<Option<Part<'a>>> {
        while self.seen < HEAD {
            let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
            self.head[self.seen] = *first;
            self.seen += 1;
            *bytes = rest;
            if self.seen == HEAD {
                self.left = body_length(self.head)?;
            }
        }
        if bytes.is_empty() && self.left > 0 {
            return Ok(None);
        }
        let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
        *bytes = rest;
        self.left -= body.len();
        let is_last = self.left == 0;
        if is_last {
            self.seen = 0;
        }
        Ok(Some(Part { tag: self.head[0], body, is_last }))
    }

    /// Passes over `bytes`.
    ///
    /// # Errors
    /// As [`Framing::next`].
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.next(&mut bytes)?.is_some() {}
        Ok(())
    }

    /// Whether all that came is whole messages.
    pub(super) fn is_between(&self) -> bool {
        self.seen == 0
    }
}

fn body_length(head: [u8; HEAD]) -> io::Result<usize> {
    let [_, length @ ..] = head;
    let length =
        usize::try_from(i32::from_be_bytes(length)).ok().and_then(|all| all.checked_sub(length.len()));
    length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what came is no message of PostgreSQL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = i32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    proptest::proptest! {
        /// Wherever the bytes are cut, the same messages come out.
        #[test]
        fn messages_survive_any_cut(
            sent in proptest::collection::vec((1..=255_u8, proptest::collection::vec(0..=255_u8, 0..20)), 1..8),
            size in 1..40_usize,
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
            let (mut framing, mut came, mut body) = (Framing::default(), Vec::new(), Vec::new());
            for mut cut in bytes.chunks(size) {
                while let Some(part) = framing.next(&mut cut).unwrap() {
                    body.extend_from_slice(part.body);
                    if part.is_last {
                        came.push((part.tag, std::mem::take(&mut body)));
                    }
                }
                proptest::prop_assert!(cut.is_empty());
            }
            proptest::prop_assert_eq!(came, sent);
            proptest::prop_assert!(framing.is_between());
        }
    }

    #[test]
    fn a_message_that_is_cut_is_waited_for() {
        let mut framing = Framing::default();
        framing.pass(&message(b'Z', b"I")[..5]).unwrap();
        assert!(!framing.is_between());
        framing.pass(b"I").unwrap();
        assert!(framing.is_between());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for length in [-1_i32, 0, 3, i32::MIN] {
            let head = [&b"Z"[..], &length.to_be_bytes()].concat();
            assert!(Framing::default().pass(&head).is_err(), "{length}");
        }
    }
}
