//! No bytes from a control socket make the codec or the readers of replies panic, and however the
//! bytes are cut, the replies are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::haproxy::address::Cli;
use staplerd::haproxy::codec::Codec;
use staplerd::haproxy::{command, reply};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

fuzz_target!(|bytes: &[u8]| {
    let Some((setting, received)) = bytes.split_first() else {
        return;
    };
    let cli = match setting & 1 {
        0 => Cli::Worker,
        _ => Cli::Master,
    };
    let whole = replies(cli, received, received.len());
    let step = usize::from(setting >> 1) + 1;
    assert_eq!(whole, replies(cli, received, step));
    for text in whole.0 {
        let _ = reply::info(&text);
        let _ = reply::cli_level(&text);
        let _ = reply::certificates(&text);
        let _ = reply::certificate(&text);
        let _ = reply::listed_transaction(&text);
        let _ = reply::ocsp_response_base64(&text);
        let _ = reply::ocsp_response_signature(&text);
        let _ = reply::ocsp_response_period(&text);
        let _ = reply::updated(&text);
        let _ = reply::transaction_created(&text, "/certs/a.pem");
        let _ = reply::committed(&text);
        let _ = reply::open_transaction(&text);
        assert!(!reply::first_line(&text).contains('\n'));
    }
});

/// The replies in `received`, fed `step` bytes at a time, and whether it ended with an error.
fn replies(cli: Cli, received: &[u8], step: usize) -> (Vec<String>, bool) {
    let mut codec = Codec::new(cli);
    let mut sent = BytesMut::new();
    for command in [
        command::interactive(),
        command::show_cli_level(),
        command::set_certificate_ocsp("/certs/a.pem", &[0x30, 0x00]),
        command::show_ocsp_response_base64(&[0x30, 0x00]),
        command::show_ocsp_response_base64(&[0x30, 0x00]),
        command::without_severity(),
        command::show_info(),
    ] {
        if codec.encode(command, &mut sent).is_err() {
            return (Vec::new(), true);
        }
    }
    let mut buffer = BytesMut::new();
    let mut replies = Vec::new();
    for piece in received.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(_) => return (replies, true),
            }
        }
    }
    let failed = codec.decode_eof(&mut buffer).is_err();
    (replies, failed)
}
