//! What tells where a reply ends: a question after it whose answer could not be known before.
//!
//! Pure. HAProxy prints subjects, names and paths as they are, so a reply can contain any mark that
//! ends a reply. Each command is therefore followed by a sentinel, drawn at random when it is sent:
//! `echo` with a nonce where HAProxy has it (3.1 and later), before that a sequence of questions
//! with short answers that always stay the same. The content of the reply was written before the
//! draw. Which answers there are is found out on every connection, before anything is asked whose
//! answer others choose: they differ with the version, the level and the prompt.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::collections::BTreeMap;

use super::command::{self, Command, CommandReply};

/// How unlikely it is that content contains the answer to a sequence: 2 to the power of minus this
/// many. A sequence costs its questions, and the master CLI makes a connection for each. Content
/// that guesses right gains little: the reply after it is found by another sentinel again.
const SEQUENCE_BITS: u32 = 32;

/// Fewer different answers are not enough to tell a sequence from another.
const MIN_ANSWERS: usize = 4;

/// The longest answer that is of use in a sequence: all have less than half of this.
const MAX_ANSWER_BYTES: usize = 160;

/// The questions of this connection whose answers are known.
#[derive(Clone, Debug)]
pub(super) enum Sentinel {
    /// What stands before and behind the nonce in the answer to `echo`.
    Echo { before: Vec<u8>, after: Vec<u8> },
    /// Questions with their answers, all different.
    Sequence(Vec<(Command, Vec<u8>)>),
}

/// One sentinel: what is sent behind a command, and what then ends the reply to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    /// What is sent.
    pub questions: Vec<Command>,
    /// What comes back for it, byte by byte.
    pub answer: Vec<u8>,
}

impl Sentinel {
    /// Reads the answer to `echo` with `nonce`; `None` where this HAProxy knows no `echo`.
    pub(super) fn from_echo(nonce: u64, reply: &CommandReply) -> Option<Self> {
        if reply.text != word(nonce) {
            return None;
        }
        let word = word(nonce).into_bytes();
        let at = memchr::memmem::find(&reply.raw, &word)?;
        let (before, from) = reply.raw.split_at_checked(at)?;
        Some(Sentinel::Echo {
            before: before.to_vec(),
            after: from.strip_prefix(word.as_slice())?.to_vec(),
        })
    }

    /// Reads the answers to [`command::constant_questions`]; `None` where too few of them differ.
    pub(super) fn from_answers(replies: Vec<CommandReply>) -> Option<Self> {
        let questions = command::constant_questions();
        let known: BTreeMap<Vec<u8>, Command> = replies
            .into_iter()
            .map(|reply| reply.raw.to_vec())
            .zip(questions)
            .filter(|(answer, _)| (2..MAX_ANSWER_BYTES).contains(&answer.len()))
            .collect();
        if known.len() < MIN_ANSWERS {
            return None;
        }
        let sequence = known
            .into_iter()
            .map(|(answer, question)| (question, answer));
        Some(Sentinel::Sequence(sequence.collect()))
    }

    /// The sentinel that `random` makes; to be drawn anew for every command.
    pub(super) fn draw(&self, random: u64) -> Guard {
        match self {
            Sentinel::Echo { before, after } => Guard {
                questions: vec![command::echo(&word(random))],
                answer: [before, word(random).as_bytes(), after].concat(),
            },
            Sentinel::Sequence(known) => sequence(known, random),
        }
    }
}

/// As many of the questions, one after the other, as have [`SEQUENCE_BITS`] of the random number.
fn sequence(known: &[(Command, Vec<u8>)], mut random: u64) -> Guard {
    let count = u64::try_from(known.len()).unwrap_or(u64::MAX).max(1);
    let mut guard = Guard {
        questions: Vec::new(),
        answer: Vec::new(),
    };
    let mut drawn: u64 = 1;
    while drawn >> SEQUENCE_BITS == 0 {
        let digit = random.checked_rem(count).unwrap_or_default();
        let digit = usize::try_from(digit).unwrap_or_default();
        if let Some((question, answer)) = known.get(digit) {
            guard.questions.push(question.clone());
            guard.answer.extend_from_slice(answer);
        }
        random = random.checked_div(count).unwrap_or_default();
        drawn = drawn.saturating_mul(count);
    }
    guard
}

/// The nonce as `echo` gets it: letters and digits only.
pub(super) fn word(nonce: u64) -> String {
    format!("{nonce:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> CommandReply {
        CommandReply {
            text: text.to_owned(),
            raw: format!("{text}\n\n> ").into_bytes().into(),
            length: text.len() + 2,
        }
    }

    fn answers(texts: &[&str]) -> Vec<CommandReply> {
        texts.iter().map(|text| reply(text)).collect()
    }

    #[test]
    fn an_echo_is_known_by_its_nonce_and_framed_as_the_connection_frames() {
        let sentinel = Sentinel::from_echo(7, &reply(&word(7))).unwrap();
        let guard = sentinel.draw(0xabc);
        assert_eq!(guard.answer, b"0000000000000abc\n\n> ");
        assert_eq!(guard.questions[0].line(), "echo 0000000000000abc");
        assert!(Sentinel::from_echo(7, &reply("Unknown command: 'echo'")).is_none());
        assert!(Sentinel::from_echo(7, &reply(&word(8))).is_none());
    }

    #[test]
    fn a_sequence_has_enough_bits_whatever_the_number_of_answers() {
        let many = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        for count in MIN_ANSWERS..many.len() {
            let sentinel = Sentinel::from_answers(answers(&many[..count])).unwrap();
            let guard = sentinel.draw(u64::MAX / 3);
            let bits = (guard.questions.len() as f64) * (count as f64).log2();
            assert!(bits >= f64::from(SEQUENCE_BITS), "{count} answers: {bits}");
            assert_ne!(guard, sentinel.draw(u64::MAX / 5));
        }
    }

    #[test]
    fn answers_that_do_not_differ_make_no_sequence() {
        let denied = [
            "admin",
            "Permission denied",
            "Permission denied",
            "no",
            "no",
        ];
        assert!(Sentinel::from_answers(answers(&denied)).is_none());
        let long = "x".repeat(MAX_ANSWER_BYTES);
        assert!(Sentinel::from_answers(answers(&["a", "b", "c", &long])).is_none());
    }
}
