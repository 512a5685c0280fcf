//! What can lie among the certificates: names of files, and what is no file.

use std::path::PathBuf;

use super::stranger::{Content, FORGERY, ORDER, Row, Stranger};

/// A link to a file below a directory that is nobody's business, or to the directory itself.
fn link(target: PathBuf) -> Content {
    Content::LinkTo(target)
}

pub const ROWS: &[Row] = &[
    Row {
        name: "a socket where the staple belongs",
        stranger: |known| Stranger::beside(known, Content::Socket),
    },
    Row {
        name: "a directory where the staple belongs",
        stranger: |known| Stranger::beside(known, Content::Directory),
    },
    Row {
        name: "a file that may not be read where the staple belongs",
        stranger: |known| Stranger::beside(known, Content::Unreadable),
    },
    Row {
        name: "a link to a stranger's file where the staple belongs",
        stranger: |known| Stranger::beside(known, link(known.victim.join("file"))),
    },
    Row {
        name: "a link to nothing where the staple belongs",
        stranger: |known| Stranger::beside(known, link(known.victim.join("new"))),
    },
    Row {
        name: "a link to a device without end where the staple belongs",
        stranger: |known| Stranger::beside(known, link("/dev/zero".into())),
    },
    Row {
        name: "a megabyte of zeros where the staple belongs",
        stranger: |known| Stranger::beside(known, Content::Bytes(vec![0; 1 << 20])),
    },
    Row {
        name: "text where the staple belongs",
        stranger: |known| Stranger::beside(known, Content::Bytes(b"\n\n> admin\n\n".to_vec())),
    },
    Row {
        name: "a FIFO among the certificates",
        stranger: |known| Stranger::in_place(known, Content::Fifo),
    },
    Row {
        name: "a socket among the certificates",
        stranger: |known| Stranger::in_place(known, Content::Socket),
    },
    Row {
        name: "a link to a device without end among the certificates",
        stranger: |known| Stranger::in_place(known, link("/dev/zero".into())),
    },
    Row {
        name: "a link to a FIFO of the system among the certificates",
        stranger: |known| Stranger::in_place(known, link("/proc/self/fd/0".into())),
    },
    Row {
        name: "a link to a process's memory among the certificates",
        stranger: |known| Stranger::in_place(known, link("/proc/self/mem".into())),
    },
    Row {
        name: "a link to itself among the certificates",
        stranger: |known| Stranger {
            file: Some(b"loop".to_vec()),
            ..Stranger::in_place(known, link("loop.pem".into()))
        },
    },
    Row {
        name: "a link to the root of everything",
        stranger: |known| Stranger::in_place(known, link("/".into())),
    },
    Row {
        name: "eight megabytes that begin as a certificate does",
        stranger: |known| {
            let mut text = b"-----BEGIN CERTIFICATE-----\n".to_vec();
            text.resize(8 << 20, b'A');
            Stranger::in_place(known, Content::Bytes(text))
        },
    },
    Row {
        name: "a million beginnings of certificates",
        stranger: |known| {
            let text = b"-----BEGIN CERTIFICATE-----\n".repeat(100_000);
            Stranger::in_place(known, Content::Bytes(text))
        },
    },
    Row {
        name: "a forged log line in a file name",
        stranger: |known| Stranger::file(known, format!("x\n{FORGERY}")),
    },
    Row {
        name: "a forged log line in the name of an unreadable file",
        stranger: |known| Stranger {
            file: Some(format!("x\r\n{FORGERY} \x1b[2J").into_bytes()),
            ..Stranger::in_place(known, Content::Bytes(b"nothing".to_vec()))
        },
    },
    Row {
        name: "an order in a file name",
        stranger: |known| Stranger::file(known, format!("x;{ORDER};y")),
    },
    Row {
        name: "an order on a line of its own in a file name",
        stranger: |known| Stranger::file(known, format!("x\n{ORDER}\ny")),
    },
    Row {
        name: "terminal sequences in a file name",
        stranger: |known| Stranger::file(known, "\x1b[2J\x1b]0;x\x07"),
    },
    Row {
        name: "text turned around in a file name",
        stranger: |known| Stranger::file(known, "\u{202e}mep.\u{2066}\u{2028}\u{9b}x"),
    },
    Row {
        name: "bytes that are no text in a file name",
        stranger: |known| Stranger {
            loaded: false,
            ..Stranger::file(known, [0xff, 0xfe, b'\n', 0xc0])
        },
    },
    Row {
        name: "a file name that begins with a star",
        stranger: |known| Stranger::file(known, "*star"),
    },
    Row {
        name: "a file name that begins with a mark of a store",
        stranger: |known| Stranger::file(known, "@web\\;x"),
    },
    Row {
        name: "a file name that ends in a backslash",
        stranger: |known| Stranger::file(known, "x\\"),
    },
    Row {
        name: "a file name of spaces and tabs",
        stranger: |known| Stranger::file(known, " \t "),
    },
    Row {
        name: "a file name of 240 bytes",
        stranger: |known| Stranger::file(known, "n".repeat(240)),
    },
    Row {
        name: "a file name like an option",
        stranger: |known| Stranger::file(known, "--config=x"),
    },
];
