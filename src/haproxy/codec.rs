//! Framing of HAProxy's command line: one command out, one reply in, over any cutting of the bytes.
//!
//! Pure; it neither connects nor knows what a command means. Three ways of speaking exist
//! (management guide §9.3, §9.4): silent interactive (`prompt i`, HAProxy 3.2 and later), where a
//! reply ends with an empty line; prompt mode (earlier), where `> ` follows it; and the master CLI,
//! whose prompt is `master> ` or `<pid>> `. The answer to `prompt i` tells which one it is. Where
//! commands and replies can be out of step, decoding fails and the connection has to go.

use std::collections::VecDeque;
use std::io;

use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::address::Cli;
use super::command::{Command, ReplyForm};

/// The longest reply that is read. `show ssl cert` is the longest one asked for: this is room for
/// sixty thousand certificates with the longest path names there are.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// The longest prompt: `master[ReloadFailed]> ` or a process id.
const MAX_PROMPT_BYTES: usize = 64;

/// The longest severity mark before a message: `[warning]: `.
const MAX_SEVERITY_BYTES: usize = 12;

/// Where HAProxy before 2.5 breaks off the description of a certificate with an Ed25519 key: the
/// line feed after it is its last, there is no empty line.
const BROKEN_OFF: &[u8] = b"\nAlgorithm: ";

/// Why the bytes on a connection cannot be read as replies.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Bytes arrived that belong to no command.
    #[error("bytes that belong to no command")]
    OutOfStep,
    /// The answer to the very first command is not one HAProxy gives.
    #[error("an answer that is not HAProxy's")]
    NotHaproxy,
    /// A reply longer than [`MAX_REPLY_BYTES`].
    #[error("a reply of more than {MAX_REPLY_BYTES} bytes")]
    ReplyTooLarge,
    /// The connection ended in the middle of a reply or before one.
    #[error("the connection was closed before the reply was complete")]
    ClosedInReply,
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Undecided,
    Silent,
    Prompt,
}

/// The codec of one connection; it starts anew with every connection.
#[derive(Debug)]
pub struct Codec {
    cli: Cli,
    mode: Mode,
    expected: VecDeque<ReplyForm>,
    /// Bytes at the start of the buffer that need no second look.
    scanned: usize,
    /// A base64 dump ends with one line feed where every other reply has two; should a HAProxy
    /// send both, the second belongs to the dump.
    line_feed_may_follow: bool,
}

/// Where a reply ends in the buffer.
struct End {
    text: usize,
    total: usize,
}

enum PromptMatch {
    Complete(usize),
    Partial,
    None,
}

impl Codec {
    /// The codec for a fresh connection to `cli`. The first command must be
    /// [`interactive`](super::command::interactive), followed by one whose output is not empty
    /// without waiting for an answer in between.
    pub fn new(cli: Cli) -> Self {
        Codec {
            cli,
            mode: Mode::Undecided,
            expected: VecDeque::new(),
            scanned: 0,
            line_feed_may_follow: false,
        }
    }

    /// Reads the answer to `prompt i`: `\n` or (master CLI) nothing where it was understood, a
    /// prompt where the argument was ignored. The bytes after it, which answer the second command,
    /// tell a bare `\n` from a prompt that is still on its way.
    fn decide(&mut self, buffer: &mut BytesMut) -> Result<bool, CodecError> {
        let line_feed = usize::from(buffer.first() == Some(&b'\n'));
        let after = buffer.get(line_feed..).unwrap_or_default();
        if after.is_empty() {
            return Ok(false);
        }
        if line_feed == 0 && self.cli == Cli::Worker {
            return Err(CodecError::NotHaproxy);
        }
        match prompt(after, self.cli) {
            PromptMatch::Complete(length) => {
                buffer.advance(line_feed + length);
                self.mode = Mode::Prompt;
            }
            PromptMatch::Partial => return Ok(false),
            PromptMatch::None => {
                buffer.advance(line_feed);
                self.mode = Mode::Silent;
            }
        }
        Ok(true)
    }

    fn end(&mut self, buffer: &[u8], form: ReplyForm) -> Option<End> {
        if self.mode == Mode::Prompt {
            // The master CLI leaves out the empty line where a worker could not be reached.
            if let (Cli::Master, PromptMatch::Complete(total)) =
                (self.cli, prompt(buffer, self.cli))
            {
                return Some(End { text: 0, total });
            }
        }
        let mut from = self.scanned;
        while let Some(offset) = buffer.get(from..)?.iter().position(|byte| *byte == b'\n') {
            let at = from + offset;
            self.scanned = at;
            let line = buffer.get(..at)?;
            let text = match line.split_last() {
                None => Some(0),
                Some((b'\n', text)) => Some(text.len()),
                Some(_) if form == ReplyForm::Base64 && is_base64(line) => Some(at),
                Some(_) if form == ReplyForm::Certificate && line.ends_with(BROKEN_OFF) => Some(at),
                Some(_) => None,
            };
            if let Some(text) = text {
                let after = at + 1;
                if self.mode == Mode::Silent {
                    return Some(End { text, total: after });
                }
                match prompt(buffer.get(after..)?, self.cli) {
                    PromptMatch::Complete(length) => {
                        return Some(End {
                            text,
                            total: after + length,
                        });
                    }
                    PromptMatch::Partial => return None,
                    PromptMatch::None => {}
                }
            }
            from = at + 1;
        }
        // No line feed in what is left: none of it needs a second look.
        self.scanned = buffer.len();
        None
    }
}

impl Encoder<Command> for Codec {
    type Error = CodecError;

    fn encode(&mut self, command: Command, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let form = command.form();
        if self.cli == Cli::Master && form != ReplyForm::Interactive {
            buffer.extend_from_slice(b"@1 ");
        }
        buffer.extend_from_slice(command.line().as_bytes());
        if let Some(payload) = command.payload() {
            buffer.extend_from_slice(b" <<\n");
            buffer.extend_from_slice(payload.as_bytes());
            buffer.extend_from_slice(b"\n");
        }
        buffer.extend_from_slice(b"\n");
        self.expected.push_back(form);
        Ok(())
    }
}

impl Decoder for Codec {
    type Item = String;
    type Error = CodecError;

    /// The text of the next reply, without its terminator, continuation marks and severity mark.
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, CodecError> {
        if self.line_feed_may_follow && !buffer.is_empty() {
            self.line_feed_may_follow = false;
            if buffer.starts_with(b"\n") {
                buffer.advance(1);
            }
        }
        let Some(form) = self.expected.front().copied() else {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                Err(CodecError::OutOfStep)
            };
        };
        if form == ReplyForm::Interactive {
            if !self.decide(buffer)? {
                return Ok(None);
            }
            self.expected.pop_front();
            return Ok(Some(String::new()));
        }
        while self.scanned == 0 && buffer.starts_with(b"+ ") {
            buffer.advance(2);
        }
        if buffer.as_ref() == b"+" {
            return Ok(None);
        }
        let Some(end) = self.end(buffer, form) else {
            return if buffer.len() > MAX_REPLY_BYTES {
                Err(CodecError::ReplyTooLarge)
            } else {
                Ok(None)
            };
        };
        let reply = buffer.split_to(end.total);
        self.expected.pop_front();
        self.scanned = 0;
        self.line_feed_may_follow = self.mode == Mode::Silent && form == ReplyForm::Base64;
        let text = reply.get(..end.text).unwrap_or_default();
        Ok(Some(without_severity(&String::from_utf8_lossy(text))))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, CodecError> {
        match self.decode(buffer)? {
            Some(reply) => Ok(Some(reply)),
            None if self.expected.is_empty() => Ok(None),
            None => Err(CodecError::ClosedInReply),
        }
    }
}

/// Whether `bytes` start with the prompt of `cli`, or could once more of them arrive.
fn prompt(bytes: &[u8], cli: Cli) -> PromptMatch {
    let head = bytes.get(..MAX_PROMPT_BYTES).unwrap_or(bytes);
    let end = head.iter().position(|byte| *byte == b'>');
    let name = head.get(..end.unwrap_or(head.len())).unwrap_or_default();
    let known = match cli {
        Cli::Worker => name.is_empty(),
        Cli::Master => {
            name.iter().all(u8::is_ascii_digit)
                || name == b"master"
                || name.starts_with(b"master[")
                || (end.is_none() && b"master".starts_with(name))
        }
    };
    match end {
        _ if !known => PromptMatch::None,
        None if head.len() < MAX_PROMPT_BYTES => PromptMatch::Partial,
        None => PromptMatch::None,
        Some(at) => match head.get(at + 1) {
            None => PromptMatch::Partial,
            Some(b' ') => PromptMatch::Complete(at + 2),
            Some(_) => PromptMatch::None,
        },
    }
}

fn is_base64(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

/// Takes off the mark of `set severity-output`, such as `[6]: ` or `[info]: `: a socket can be
/// configured to send it, and through the master CLI it cannot be switched off.
fn without_severity(text: &str) -> String {
    let marked = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .filter(|(mark, _)| {
            mark.len() < MAX_SEVERITY_BYTES && mark.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    marked.map_or(text, |(_, message)| message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    /// One conversation: who listens, the commands, the bytes that come back, the replies in them.
    struct Conversation {
        cli: Cli,
        commands: Vec<Command>,
        received: Vec<u8>,
        replies: Vec<&'static str>,
    }

    fn greeting() -> Vec<Command> {
        vec![command::interactive(), command::show_cli_level()]
    }

    fn conversation(
        cli: Cli,
        received: &str,
        commands: impl IntoIterator<Item = Command>,
        replies: &[&'static str],
    ) -> Conversation {
        Conversation {
            cli,
            commands: greeting().into_iter().chain(commands).collect(),
            received: received.as_bytes().to_vec(),
            replies: ["", "admin"].iter().chain(replies).copied().collect(),
        }
    }

    fn conversations() -> Vec<Conversation> {
        let cert_id = [0x30, 0x00];
        let attach = || command::set_certificate_ocsp("a", &[1]);
        vec![
            // 3.2: silent, a dump without an empty line, an empty reply, an error to a dump.
            conversation(
                Cli::Worker,
                "\nadmin\n\nMAA=\nUpdated!\n\n\nno such\n\nlast\nlines\n\n",
                [
                    command::show_ocsp_response_base64(&cert_id),
                    command::set_ocsp_response(&[1]),
                    command::without_severity(),
                    command::show_ocsp_response_base64(&cert_id),
                    command::show_info(),
                ],
                &["MAA=", "Updated!", "", "no such", "last\nlines"],
            ),
            // A later version that ends the dump like everything else.
            conversation(
                Cli::Worker,
                "\nadmin\n\nMAA=\n\nUpdated!\n\n",
                [
                    command::show_ocsp_response_base64(&cert_id),
                    command::set_ocsp_response(&[1]),
                ],
                &["MAA=", "Updated!"],
            ),
            // Up to 3.1: the prompt, continuation marks, the same dumps.
            conversation(
                Cli::Worker,
                "\n> admin\n\n> + + created\n\n> MAA=\n> no such\n\n> \n> a\n> b\n\n> ",
                [
                    attach(),
                    command::show_ocsp_response_base64(&cert_id),
                    command::show_ocsp_response_base64(&cert_id),
                    command::without_severity(),
                    command::show_info(),
                ],
                &["created", "MAA=", "no such", "", "a\n> b"],
            ),
            // 2.2 and an Ed25519 key: broken off, and another certificate after it.
            conversation(
                Cli::Worker,
                "\n> admin\n\n> Filename: a\nAlgorithm: \n> Filename: b\nAlgorithm: EC256\n\n> ",
                [
                    command::show_certificate("a"),
                    command::show_certificate("b"),
                ],
                &["Filename: a\nAlgorithm: ", "Filename: b\nAlgorithm: EC256"],
            ),
            // The master CLI with its prompts, one of them after a failed reload.
            conversation(
                Cli::Master,
                "master> admin\n\nmaster> + + created\n\nmaster[ReloadFailed]> MAA=\n123> \nmaster> master> [3]: no\n\nmaster> ",
                [
                    attach(),
                    command::show_ocsp_response_base64(&cert_id),
                    command::without_severity(),
                    command::show_info(),
                    command::show_info(),
                ],
                &["created", "MAA=", "", "", "no"],
            ),
            // The master CLI of 3.2, silent: `prompt i` is answered by nothing at all.
            conversation(
                Cli::Master,
                "admin\n\n[info]: fine\n\n\n",
                [command::show_info(), command::without_severity()],
                &["fine", ""],
            ),
        ]
    }

    /// Feeds `received` in pieces that end at `cuts`, giving each command once all earlier ones are
    /// answered, as a session does.
    fn replies(conversation: &Conversation, cuts: &[usize]) -> Result<Vec<String>, CodecError> {
        let mut codec = Codec::new(conversation.cli);
        let mut sent = BytesMut::new();
        let mut commands = conversation.commands.iter().cloned();
        for command in commands.by_ref().take(2) {
            codec.encode(command, &mut sent)?;
        }
        let mut buffer = BytesMut::new();
        let mut replies = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([conversation.received.len()]) {
            buffer.extend_from_slice(&conversation.received[from..cut]);
            from = cut;
            loop {
                let expected = codec.expected.len();
                if expected == 0 {
                    match commands.next() {
                        Some(command) => codec.encode(command, &mut sent)?,
                        None => break,
                    }
                }
                match codec.decode(&mut buffer)? {
                    Some(reply) => replies.push(reply),
                    None => break,
                }
            }
        }
        Ok(replies)
    }

    #[test]
    fn replies_are_the_same_however_the_bytes_are_cut() {
        for conversation in conversations() {
            let length = conversation.received.len();
            let every_byte: Vec<usize> = (1..length).collect();
            assert_eq!(
                replies(&conversation, &every_byte).unwrap(),
                conversation.replies
            );
            assert_eq!(replies(&conversation, &[]).unwrap(), conversation.replies);
            for first in 0..length {
                for second in first..length {
                    assert_eq!(
                        replies(&conversation, &[first, second]).unwrap(),
                        conversation.replies,
                        "cut at {first} and {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_master_is_asked_for_its_worker_and_payloads_end_with_one_empty_line() {
        let mut codec = Codec::new(Cli::Master);
        let mut sent = BytesMut::new();
        for command in [
            command::interactive(),
            command::set_certificate_ocsp("a", &[0x30]),
        ] {
            codec.encode(command, &mut sent).unwrap();
        }
        assert_eq!(&sent[..], b"prompt i\n@1 set ssl cert a.ocsp <<\nMA==\n\n");
    }

    fn greeted() -> Codec {
        let mut codec = Codec::new(Cli::Worker);
        let mut sent = BytesMut::new();
        for command in greeting() {
            codec.encode(command, &mut sent).unwrap();
        }
        let mut buffer = BytesMut::from(&b"\nadmin\n\n"[..]);
        codec.decode(&mut buffer).unwrap().unwrap();
        codec.decode(&mut buffer).unwrap().unwrap();
        codec
    }

    #[test]
    fn bytes_nobody_asked_for_are_an_error() {
        let error = greeted().decode(&mut BytesMut::from(&b"late\n\n"[..]));
        assert!(matches!(error, Err(CodecError::OutOfStep)));
    }

    #[test]
    fn the_end_of_the_connection_is_an_error_wherever_a_reply_is_due() {
        for received in ["", "half a line", "a line\n", "+ "] {
            let mut codec = greeted();
            codec
                .encode(command::show_info(), &mut BytesMut::new())
                .unwrap();
            let error = codec.decode_eof(&mut BytesMut::from(received));
            assert!(
                matches!(error, Err(CodecError::ClosedInReply)),
                "{received}"
            );
        }
        let end = greeted().decode_eof(&mut BytesMut::new());
        assert!(matches!(end, Ok(None)));
    }

    #[test]
    fn a_reply_without_end_is_refused_at_the_bound() {
        let mut codec = greeted();
        codec
            .encode(command::show_info(), &mut BytesMut::new())
            .unwrap();
        let mut buffer = BytesMut::new();
        let piece = vec![b'x'; MAX_REPLY_BYTES / 4];
        for _ in 0..4 {
            buffer.extend_from_slice(&piece);
            assert!(matches!(codec.decode(&mut buffer), Ok(None)));
        }
        buffer.extend_from_slice(b"x");
        assert!(matches!(
            codec.decode(&mut buffer),
            Err(CodecError::ReplyTooLarge)
        ));
    }

    #[test]
    fn who_answers_the_greeting_otherwise_is_no_haproxy() {
        for received in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 400 Bad Request\r\n"] {
            let mut codec = Codec::new(Cli::Worker);
            for command in greeting() {
                codec.encode(command, &mut BytesMut::new()).unwrap();
            }
            let error = codec.decode(&mut BytesMut::from(received));
            assert!(matches!(error, Err(CodecError::NotHaproxy)));
        }
    }
}
