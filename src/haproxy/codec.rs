//! Framing of HAProxy's command line: one command out, one reply in, over any cutting of the bytes.
//!
//! Pure; it neither connects nor knows what a command means. Three ways of speaking exist
//! (management guide §9.3, §9.4): silent interactive (`prompt i`, HAProxy 3.2 and later), where a
//! reply ends with an empty line; prompt mode (earlier), where `> ` follows it; and the master CLI,
//! whose prompt is `master> ` or `<pid>> `. The answer to `prompt i` tells which one it is.
//!
//! The end of a reply is not looked for in it, since others choose what stands there: a [`Guard`]
//! follows every command, and all bytes before its answer are the reply, with any content and any
//! end. Only the greeting, in which HAProxy alone speaks, is read by its empty lines. If commands
//! and replies can be out of step, decoding fails and the connection has to go.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::collections::VecDeque;

use tokio_util::bytes::{Buf, Bytes, BytesMut};

use super::address::Cli;
use super::command::{self, Command, CommandReply};
use super::sentinel::Guard;

/// The longest reply that is read. `show ssl cert` is the longest one asked for: this is room for
/// sixty thousand certificates with the longest path names there are.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// The longest reply in the greeting: 2.2 answers what it does not know with all that it knows.
const MAX_GREETING_BYTES: usize = 64 * 1024;

/// The longest prompt: `master[ReloadFailed]> ` or a process id.
const MAX_PROMPT_BYTES: usize = 64;

/// The longest severity mark before a message: `[warning]: `.
const MAX_SEVERITY_BYTES: usize = 12;

/// Why the bytes on a connection cannot be read as replies.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
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
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Mode {
    Undecided,
    Silent,
    /// Every reply has this behind it.
    Prompt(Bytes),
}

/// How the end of the next reply is known.
#[derive(Debug)]
enum Expected {
    /// The answer to `prompt i`.
    Interactive,
    /// By an empty line: in the greeting only.
    EmptyLine,
    /// By the answer to the sentinel behind it.
    Guarded {
        sentinel: Vec<u8>,
        /// Lines followed the command, each of which HAProxy may have answered with `+ `.
        has_payload: bool,
    },
}

/// The codec of one connection; it starts anew with every connection.
#[derive(Debug)]
pub struct Codec {
    cli: Cli,
    mode: Mode,
    expected: VecDeque<Expected>,
    /// Bytes at the start of the buffer that need no second look.
    scanned: usize,
}

enum PromptMatch {
    Complete(usize),
    Partial,
    None,
}

impl Codec {
    /// The codec for a fresh connection to `cli`, which begins with [`greet`](Self::greet).
    pub fn new(cli: Cli) -> Self {
        Codec {
            cli,
            mode: Mode::Undecided,
            expected: VecDeque::new(),
            scanned: 0,
        }
    }

    /// The first two commands: `prompt i`, whose answer tells how the others are framed, and one
    /// with an answer that is not empty, since `prompt i` alone cannot be told from a prompt that
    /// is still on its way.
    pub fn greet(&mut self, buffer: &mut BytesMut) {
        put(buffer, &command::interactive());
        self.expected.push_back(Expected::Interactive);
        self.ask_plainly(&command::show_cli_level(), buffer);
    }

    /// A command of the greeting, whose answer is HAProxy's own and ends with an empty line.
    pub fn ask_plainly(&mut self, command: &Command, buffer: &mut BytesMut) {
        self.put_for_worker(command, buffer);
        self.expected.push_back(Expected::EmptyLine);
    }

    /// A command with a sentinel behind it.
    pub fn ask(&mut self, command: &Command, guard: Guard, buffer: &mut BytesMut) {
        self.put_for_worker(command, buffer);
        for question in &guard.questions {
            self.put_for_worker(question, buffer);
        }
        self.expected.push_back(Expected::Guarded {
            sentinel: guard.answer,
            has_payload: command.payload().is_some(),
        });
    }

    fn put_for_worker(&self, command: &Command, buffer: &mut BytesMut) {
        if self.cli == Cli::Master && !command.is_for_any_process() {
            buffer.extend_from_slice(b"@1 ");
        }
        put(buffer, command);
    }

    /// The next reply, once it is complete.
    ///
    /// # Errors
    /// Every [`CodecError`] but [`CodecError::ClosedInReply`]; the connection must be dropped.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<CommandReply>, CodecError> {
        let mut longest = MAX_GREETING_BYTES;
        let reply = match self.expected.front() {
            None if buffer.is_empty() => return Ok(None),
            None => return Err(CodecError::OutOfStep),
            Some(Expected::Interactive) => self.decide(buffer)?,
            Some(Expected::EmptyLine) => self.plain_reply(buffer),
            Some(Expected::Guarded { .. }) => {
                longest = MAX_REPLY_BYTES;
                self.guarded_reply(buffer)
            }
        };
        let length = reply.as_ref().map_or(buffer.len(), |reply| reply.raw.len());
        if length > longest {
            return Err(CodecError::ReplyTooLarge);
        }
        if reply.is_some() {
            self.expected.pop_front();
            self.scanned = 0;
        }
        Ok(reply)
    }

    /// The last reply of a connection that has ended.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode), and [`CodecError::ClosedInReply`].
    pub fn decode_eof(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<CommandReply>, CodecError> {
        match self.decode(buffer)? {
            Some(reply) => Ok(Some(reply)),
            None if self.expected.is_empty() => Ok(None),
            None => Err(CodecError::ClosedInReply),
        }
    }

    /// Reads the answer to `prompt i`: `\n` or (master CLI) nothing where it was understood, a
    /// prompt where the argument was ignored. The bytes after it, which answer the second command,
    /// tell a bare `\n` from a prompt that is still on its way.
    fn decide(&mut self, buffer: &mut BytesMut) -> Result<Option<CommandReply>, CodecError> {
        let line_feed = usize::from(buffer.first() == Some(&b'\n'));
        let after = buffer.get(line_feed..).unwrap_or_default();
        if after.is_empty() {
            return Ok(None);
        }
        if line_feed == 0 && self.cli == Cli::Worker {
            return Err(CodecError::NotHaproxy);
        }
        match prompt(after, self.cli) {
            PromptMatch::Complete(length) => {
                buffer.advance(line_feed);
                self.mode = Mode::Prompt(buffer.split_to(length).freeze());
            }
            PromptMatch::Partial => return Ok(None),
            PromptMatch::None => {
                buffer.advance(line_feed);
                self.mode = Mode::Silent;
            }
        }
        Ok(Some(self.reply(Bytes::new(), false)))
    }

    /// A reply that ends at its first empty line and the prompt behind it.
    fn plain_reply(&self, buffer: &mut BytesMut) -> Option<CommandReply> {
        let prompt = self.prompt();
        let is_end = |at: usize| {
            let (before, from) = buffer.split_at_checked(at).unwrap_or_default();
            let is_empty_line = before.last().is_none_or(|last| *last == b'\n');
            let after = from.strip_prefix(b"\n").unwrap_or_default();
            is_empty_line && from.starts_with(b"\n") && after.starts_with(prompt)
        };
        let end = (0..buffer.len()).find(|at| is_end(*at))?;
        let length = end.saturating_add(1).saturating_add(prompt.len());
        let raw = buffer.split_to(length.min(buffer.len()));
        Some(self.reply(raw.freeze(), false))
    }

    /// A reply that ends where the answer to its sentinel begins.
    fn guarded_reply(&mut self, buffer: &mut BytesMut) -> Option<CommandReply> {
        let Some(Expected::Guarded {
            sentinel,
            has_payload,
        }) = self.expected.front()
        else {
            return None;
        };
        let unseen = buffer.get(self.scanned..)?;
        let Some(at) = memchr::memmem::find(unseen, sentinel) else {
            // The sentinel may have begun in the last bytes.
            let seen = buffer.len().saturating_add(1);
            let seen = seen.saturating_sub(sentinel.len());
            self.scanned = self.scanned.max(seen);
            return None;
        };
        let raw = buffer.split_to(self.scanned.saturating_add(at)).freeze();
        buffer.advance(sentinel.len());
        Some(self.reply(raw, *has_payload))
    }

    fn prompt(&self) -> &[u8] {
        match &self.mode {
            Mode::Prompt(prompt) => prompt,
            Mode::Undecided | Mode::Silent => b"",
        }
    }

    fn reply(&self, raw: Bytes, has_payload: bool) -> CommandReply {
        let content = raw.strip_suffix(self.prompt()).unwrap_or(&raw);
        let mut text = content;
        while let (true, Some(rest)) = (has_payload, text.strip_prefix(b"+ ")) {
            text = rest;
        }
        let text = String::from_utf8_lossy(text);
        CommandReply {
            text: without_severity(text.trim_end_matches('\n')),
            length: content.len(),
            raw,
        }
    }
}

/// The lines of a command, and the empty line that ends those that follow it.
fn put(buffer: &mut BytesMut, command: &Command) {
    buffer.extend_from_slice(command.line().as_bytes());
    if let Some(payload) = command.payload() {
        buffer.extend_from_slice(b" <<\n");
        buffer.extend_from_slice(payload.as_bytes());
        buffer.extend_from_slice(b"\n");
    }
    buffer.extend_from_slice(b"\n");
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
        Some(at) => match head.get(at..).unwrap_or_default() {
            [] | [_] => PromptMatch::Partial,
            [_, b' ', ..] => PromptMatch::Complete(at.saturating_add(2)),
            [..] => PromptMatch::None,
        },
    }
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
    use proptest::prelude::*;

    use super::*;

    /// One conversation: who listens, the commands, the bytes that come back, the replies in them.
    struct Conversation {
        cli: Cli,
        commands: Vec<Command>,
        /// What stands between a text and the next: `echo` is answered with its word and this.
        end: &'static str,
        received: Vec<u8>,
        replies: Vec<&'static str>,
    }

    fn guard(number: usize, end: &str) -> Guard {
        Guard {
            questions: vec![command::echo(&number.to_string())],
            answer: format!("nonce {number}{end}").into_bytes(),
        }
    }

    /// Each of `pieces` is what comes for one command, up to the answer to its sentinel.
    fn conversation(
        cli: Cli,
        greeting: &str,
        end: &'static str,
        pieces: impl IntoIterator<Item = (Command, &'static str, &'static str)>,
    ) -> Conversation {
        let mut conversation = Conversation {
            cli,
            commands: Vec::new(),
            end,
            received: format!("{greeting}admin{end}").into_bytes(),
            replies: vec!["", "admin"],
        };
        for (number, (command, received, reply)) in pieces.into_iter().enumerate() {
            conversation.commands.push(command);
            let piece = format!("{received}nonce {number}{end}");
            conversation.received.extend(piece.into_bytes());
            conversation.replies.push(reply);
        }
        conversation
    }

    fn dump() -> Command {
        command::show_ocsp_response_base64(&[0x30, 0x00])
    }

    fn attach() -> Command {
        command::set_certificate_ocsp("a", &[1])
    }

    fn conversations() -> Vec<Conversation> {
        vec![
            // 3.2: silent; dumps without an empty line, dumps of nothing, an empty reply.
            conversation(
                Cli::Worker,
                "\n",
                "\n\n",
                [
                    (dump(), "MAA=\n", "MAA="),
                    (dump(), "\n", ""),
                    (dump(), "no such\n\n", "no such"),
                    (command::without_severity(), "\n", ""),
                    (attach(), "+ created\n\n", "created"),
                    (command::show_info(), "a\n\n\nb\n\n", "a\n\n\nb"),
                ],
            ),
            // Up to 3.1: the prompt, which content can imitate, and continuation marks.
            conversation(
                Cli::Worker,
                "\n> ",
                "\n\n> ",
                [
                    (attach(), "+ + created\n\n> ", "created"),
                    (dump(), "MAA=\n> ", "MAA="),
                    (dump(), "\n> ", ""),
                    (command::show_info(), "a\n\n> b\n\n> ", "a\n\n> b"),
                    // Cut at the buffer's size, and broken off (2.2, Ed25519).
                    (
                        command::show_certificate("a"),
                        "Filename: a\nChain Iss\n> ",
                        "Filename: a\nChain Iss",
                    ),
                    (
                        command::show_certificate("a"),
                        "Filename: a\nAlgorithm: \n> ",
                        "Filename: a\nAlgorithm: ",
                    ),
                    (command::show_certificate("a"), "+ + names", "+ + names"),
                ],
            ),
            // The master CLI, with a worker that cannot be reached and severity marks.
            conversation(
                Cli::Master,
                "master> ",
                "\n\nmaster> ",
                [
                    (attach(), "+ + created\n\nmaster> ", "created"),
                    (command::show_info(), "master> ", ""),
                    (command::show_info(), "[3]: no\n\nmaster> ", "no"),
                ],
            ),
            // The master CLI of 3.2, silent: `prompt i` is answered by nothing at all.
            conversation(
                Cli::Master,
                "",
                "\n\n",
                [
                    (command::show_info(), "[info]: fine\n\n", "fine"),
                    (dump(), "\n", ""),
                ],
            ),
        ]
    }

    /// Feeds `received` in pieces that end at `cuts`.
    fn replies(conversation: &Conversation, cuts: &[usize]) -> Result<Vec<String>, CodecError> {
        let mut codec = Codec::new(conversation.cli);
        let mut sent = BytesMut::new();
        codec.greet(&mut sent);
        for (number, command) in conversation.commands.iter().enumerate() {
            codec.ask(command, guard(number, conversation.end), &mut sent);
        }
        let mut buffer = BytesMut::new();
        let mut replies = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([conversation.received.len()]) {
            buffer.extend_from_slice(&conversation.received[from..cut]);
            from = cut;
            while let Some(reply) = codec.decode(&mut buffer)? {
                replies.push(reply.text);
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

    fn greeted() -> Codec {
        let mut codec = Codec::new(Cli::Worker);
        codec.greet(&mut BytesMut::new());
        let mut buffer = BytesMut::from(&b"\nadmin\n\n"[..]);
        codec.decode(&mut buffer).unwrap().unwrap();
        codec.decode(&mut buffer).unwrap().unwrap();
        codec
    }

    fn asked() -> Codec {
        let mut codec = greeted();
        codec.ask(
            &command::show_info(),
            guard(0, "\n\n"),
            &mut BytesMut::new(),
        );
        codec
    }

    proptest! {
        /// No content of a reply makes it taken for another one.
        #[test]
        fn content_cannot_move_the_end_of_a_reply(
            contents in proptest::collection::vec("[a\n> +]{0,12}(master> |nonce |\n\n> |admin\n\n){0,3}", 1..6),
        ) {
            let mut codec = greeted();
            let mut received = BytesMut::new();
            for (number, content) in contents.iter().enumerate() {
                let guard = guard(number, "\n\n");
                received.extend_from_slice(content.as_bytes());
                received.extend_from_slice(&guard.answer);
                codec.ask(&command::show_certificate("a"), guard, &mut BytesMut::new());
            }
            for content in &contents {
                let reply = codec.decode(&mut received).unwrap().unwrap();
                prop_assert_eq!(reply.raw.as_ref(), content.as_bytes());
                prop_assert_eq!(reply.length, content.len());
            }
            prop_assert_eq!(codec.decode(&mut received), Ok(None));
        }
    }

    #[test]
    fn a_worker_is_asked_through_its_master_and_payloads_end_with_one_empty_line() {
        let mut codec = Codec::new(Cli::Master);
        let mut sent = BytesMut::new();
        codec.greet(&mut sent);
        let attach = command::set_certificate_ocsp("a", &[0x30]);
        codec.ask(&attach, guard(7, ""), &mut sent);
        assert_eq!(
            &sent[..],
            b"prompt i\n@1 show cli level\n@1 set ssl cert a.ocsp <<\nMA==\n\necho 7\n"
        );
    }

    #[test]
    fn bytes_nobody_asked_for_are_an_error() {
        let error = greeted().decode(&mut BytesMut::from(&b"late\n\n"[..]));
        assert_eq!(error, Err(CodecError::OutOfStep));
    }

    #[test]
    fn the_end_of_the_connection_is_an_error_wherever_a_reply_is_due() {
        for received in ["", "half a line", "a line\n", "+ ", "a line\n\nnonce "] {
            let error = asked().decode_eof(&mut BytesMut::from(received));
            assert_eq!(error, Err(CodecError::ClosedInReply), "{received}");
        }
        let end = greeted().decode_eof(&mut BytesMut::new());
        assert_eq!(end, Ok(None));
    }

    #[test]
    fn a_reply_without_end_is_refused_at_the_bound() {
        let mut codec = asked();
        let mut buffer = BytesMut::new();
        let piece = vec![b'x'; MAX_REPLY_BYTES / 4];
        for _ in 0..4 {
            buffer.extend_from_slice(&piece);
            assert_eq!(codec.decode(&mut buffer), Ok(None));
        }
        buffer.extend_from_slice(b"x");
        assert_eq!(codec.decode(&mut buffer), Err(CodecError::ReplyTooLarge));
    }

    #[test]
    fn who_answers_the_greeting_otherwise_is_no_haproxy() {
        for received in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 400 Bad Request\r\n"] {
            let mut codec = Codec::new(Cli::Worker);
            codec.greet(&mut BytesMut::new());
            let error = codec.decode(&mut BytesMut::from(received));
            assert_eq!(error, Err(CodecError::NotHaproxy));
        }
    }
}
