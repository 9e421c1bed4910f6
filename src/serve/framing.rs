//! Messages on a stream: two octets of length, then the message (RFC 1035 §4.2.2, RFC 7766 §8).
//!
//! Two buffers of one connection, both bounded, neither knowing of sockets or clocks.

use std::ops::Range;

use crate::limits::{MESSAGE_LEN_MAX, STREAM_READ_LEN};

/// Octets of a DNS header: nothing shorter can be a message.
const HEADER_LEN: usize = 12;

/// What stands next in an [`Input`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole message, at this place of [`Input::bytes`].
    Message(Range<usize>),
    /// Part of one, or nothing.
    Partial,
    /// A length that no message has. What follows can not be trusted to begin with a length.
    Broken,
}

/// What came in and was not looked at yet.
#[derive(Debug)]
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(super) fn new() -> Input {
        Input { bytes: vec![0; STREAM_READ_LEN], start: 0, end: 0 }
    }

    /// Room to read into; not empty unless a whole message waits.
    ///
    /// The buffer grows with what has come, not with what is announced: two octets from a stranger do not
    /// make us set aside 64 kB.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > STREAM_READ_LEN {
                self.bytes = vec![0; STREAM_READ_LEN];
            }
        }
        if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let wanted = 2 + self.announced().unwrap_or(0);
            if self.end == self.bytes.len() && wanted > self.end {
                self.bytes.resize(wanted.min(2 * self.end), 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Says that `count` octets were read into the [`Input::space`].
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Takes the next message out.
    pub(super) fn next(&mut self) -> Next {
        let Some(len) = self.announced() else { return Next::Partial };
        if len < HEADER_LEN {
            return Next::Broken;
        }
        let message = self.start + 2..self.start + 2 + len;
        if message.end > self.end {
            return Next::Partial;
        }
        self.start = message.end;
        Next::Message(message)
    }

    /// Where [`Next::Message`] points; valid until [`Input::space`] is called.
    pub(super) fn bytes(&self, message: Range<usize>) -> &[u8] {
        &self.bytes[message]
    }

    fn announced(&self) -> Option<usize> {
        let len = self.bytes[self.start..self.end].first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*len)))
    }
}

/// Finished answers that wait for the peer, each with its length before it.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    start: usize,
}

impl Output {
    /// Adds an answer. `false`, and nothing is added, when it is too long for two octets of length.
    pub(super) fn push(&mut self, answer: &[u8]) -> bool {
        let Ok(len) = u16::try_from(answer.len()) else { return false };
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(answer);
        true
    }

    /// Octets that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Says that the first `count` octets of what waits are on their way.
    pub(super) fn written(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(2 * STREAM_READ_LEN);
            self.start = 0;
        } else if self.start > MESSAGE_LEN_MAX {
            // Else a peer that never lets us finish would make the buffer grow by what it has taken.
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `stream` in pieces; gives the messages, and whether the stream broke.
    fn parse(stream: &[u8], pieces: &[usize]) -> (Vec<Vec<u8>>, bool) {
        let mut input = Input::new();
        let mut messages = Vec::new();
        let mut rest = stream;
        for piece in pieces.iter().copied().cycle() {
            loop {
                match input.next() {
                    Next::Message(range) => messages.push(input.bytes(range).to_vec()),
                    Next::Partial => break,
                    Next::Broken => return (messages, true),
                }
            }
            if rest.is_empty() {
                break;
            }
            let space = input.space();
            let count = piece.min(rest.len()).min(space.len());
            assert!(count > 0, "no room for the rest of a message");
            space[..count].copy_from_slice(&rest[..count]);
            input.filled(count);
            assert!(input.bytes.len() <= 2 + MESSAGE_LEN_MAX);
            rest = &rest[count..];
        }
        (messages, false)
    }

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut output = Output::default();
        for message in messages {
            assert!(output.push(message));
        }
        output.waiting().to_vec()
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_the_stream_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 12..3000), 0..8),
            pieces in prop::collection::vec(1usize..5000, 1..20),
        ) {
            prop_assert_eq!(parse(&framed(&messages), &pieces), (messages, false));
        }

        #[test]
        fn no_stream_makes_it_panic(
            stream in prop::collection::vec(any::<u8>(), 0..9000),
            pieces in prop::collection::vec(1usize..5000, 1..20),
        ) {
            parse(&stream, &pieces);
        }
    }

    #[test]
    fn the_longest_message_fits() {
        let messages = vec![vec![7; MESSAGE_LEN_MAX], vec![8; 12], vec![9; MESSAGE_LEN_MAX]];
        assert_eq!(parse(&framed(&messages), &[1, 60_000, 3]), (messages, false));
    }

    #[test]
    fn a_long_announcement_alone_takes_no_memory() {
        let mut input = Input::new();
        input.space()[..2].copy_from_slice(&[0xff, 0xff]);
        input.filled(2);
        assert_eq!(input.next(), Next::Partial);
        assert_eq!(input.space().len(), STREAM_READ_LEN - 2);
    }

    #[test]
    fn a_length_that_no_message_has_breaks_the_stream_and_what_came_before_stands() {
        for len in 0..12u16 {
            let mut stream = framed(&[vec![1; 20]]);
            stream.extend(len.to_be_bytes());
            stream.extend([0; 40]);
            assert_eq!(parse(&stream, &[4096]), (vec![vec![1; 20]], true));
        }
    }

    #[test]
    fn output_forgets_what_is_on_its_way() {
        let mut output = Output::default();
        let mut taken = 0;
        for _ in 0..1000 {
            output.push(&[1; 1000]);
            taken += 1001;
            output.written(1001);
            assert!(output.bytes.len() <= 2 * MESSAGE_LEN_MAX);
        }
        assert_eq!(output.len(), 1002 * 1000 - taken);
        assert!(!Output::default().push(&vec![0; MESSAGE_LEN_MAX + 1]));
    }
}
