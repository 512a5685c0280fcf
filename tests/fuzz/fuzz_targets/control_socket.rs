//! No bytes from a control socket make the codec or the readers of replies panic; whatever stands
//! in replies, and however the bytes are cut, each is found between its sentinel and the one
//! before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::haproxy::address::Cli;
use staplerd::haproxy::codec::Codec;
use staplerd::haproxy::command::CommandReply;
use staplerd::haproxy::sentinel::Guard;
use staplerd::haproxy::{command, reply};
use tokio_util::bytes::BytesMut;

/// Ends a content in the input.
const SEPARATOR: u8 = 0xff;

fuzz_target!(|bytes: &[u8]| {
    let Some((setting, input)) = bytes.split_first() else {
        return;
    };
    let (cli, greeting): (_, &[u8]) = match setting & 3 {
        0 => (Cli::Worker, b"\nadmin\n\n"),
        1 => (Cli::Worker, b"\n> admin\n\n> "),
        2 => (Cli::Master, b"master> admin\n\nmaster> "),
        _ => (Cli::Master, b"admin\n\n"),
    };
    let step = usize::from(setting >> 2) + 1;
    // As they come, which is not how HAProxy greets.
    let _ = replies(cli, input, &[], step);
    let contents: Vec<&[u8]> = input.split(|byte| *byte == SEPARATOR).collect();
    let mut received = greeting.to_vec();
    for (number, content) in contents.iter().enumerate() {
        received.extend_from_slice(content);
        received.extend_from_slice(&guard(number).answer);
    }
    let replies = replies(cli, &received, &contents, step);
    assert_eq!(replies.len(), contents.len() + 2);
    for (reply, content) in replies.iter().skip(2).zip(contents) {
        assert_eq!(reply.raw, content);
        read(reply);
    }
});

/// What cannot be in the input: it has the separator in it.
fn guard(number: usize) -> Guard {
    Guard {
        questions: Vec::new(),
        answer: [&[SEPARATOR], format!("{number}\n\n").as_bytes()].concat(),
    }
}

/// The replies in `received`, fed `step` bytes at a time, up to the first error.
fn replies(cli: Cli, received: &[u8], contents: &[&[u8]], step: usize) -> Vec<CommandReply> {
    let mut codec = Codec::new(cli);
    let mut sent = BytesMut::new();
    codec.greet(&mut sent);
    for number in 0..contents.len() {
        codec.ask(&command::show_info(), guard(number), &mut sent);
    }
    let mut buffer = BytesMut::new();
    let mut replies = Vec::new();
    for piece in received.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(_) => return replies,
            }
        }
    }
    let _ = codec.decode_eof(&mut buffer);
    replies
}

fn read(said: &CommandReply) {
    let text = &said.text;
    let _ = reply::info(text);
    let _ = reply::cli_level(text);
    let _ = reply::buffer_size(text);
    let _ = reply::certificates(text);
    let _ = reply::certificate(said, 16384);
    let _ = reply::listed_transaction(text);
    let _ = reply::ocsp_response_base64(text);
    let _ = reply::ocsp_response_signature(text);
    let _ = reply::ocsp_response_period(text);
    let _ = reply::updated(text);
    let _ = reply::transaction_created(text, "/certs/a.pem");
    let _ = reply::committed(text);
    let _ = reply::open_transaction(text);
    assert!(!reply::first_line(text).contains('\n'));
}
