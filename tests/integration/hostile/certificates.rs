//! What a certificate can say: names, serial numbers, extensions, URLs.

use super::stranger::{Content, FORGERY, ORDER, Row, Stranger};
use crate::pki::{extension, octets};

/// What was seen to break the framing of HAProxy's command line, and its siblings.
pub const FRAMING: &[Row] = &[
    Row {
        name: "an empty line in a DNS name",
        stranger: |known| Stranger::name(known, "evil.test\n\nx"),
    },
    Row {
        name: "an empty line in the subject",
        stranger: |known| Stranger::subject(known, "evil\n\nx"),
    },
    Row {
        name: "an empty line and a prompt in a DNS name",
        stranger: |known| Stranger::name(known, "\n\n> x"),
    },
    Row {
        name: "an empty line, a prompt and an empty line in a DNS name",
        stranger: |known| Stranger::name(known, "x\n\n> \n\n> "),
    },
    Row {
        name: "an empty line in the issuer",
        stranger: |known| Stranger {
            authority: Some(b"Evil CA\n\n> x".to_vec()),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "another certificate's fingerprint in a DNS name",
        stranger: |known| {
            let forged = format!(
                "x\nSHA1 FingerPrint: {}\nOCSP Response Key: ",
                known.fingerprint
            );
            Stranger::name(known, forged)
        },
    },
    Row {
        name: "another certificate's fingerprint in the subject",
        stranger: |known| {
            let forged = format!(
                "x\nSHA1 FingerPrint: {}\nOCSP Response Key: \n",
                known.fingerprint
            );
            Stranger::subject(known, forged)
        },
    },
    Row {
        name: "the answer to another question in a DNS name",
        stranger: |known| Stranger::name(known, "x\n\nadmin\n\nadmin\n\n> admin\n\n> "),
    },
    Row {
        name: "a payload mark in a file name",
        stranger: |known| Stranger::file(known, "a <<x"),
    },
    Row {
        name: "a payload mark at the end of a file name's word",
        stranger: |known| Stranger::file(known, "b << x"),
    },
    Row {
        name: "an empty line in a file name",
        stranger: |known| Stranger::file(known, "m\n\nx"),
    },
    Row {
        name: "twelve slots that hold nothing",
        stranger: |known| Stranger {
            copies: 12,
            ..Stranger::beside(known, Content::Bytes(Vec::new()))
        },
    },
];

/// Everything else.
pub const ROWS: &[Row] = &[
    Row {
        name: "a forged log line in the subject",
        stranger: |known| Stranger::subject(known, format!("x\n{FORGERY}")),
    },
    Row {
        name: "a forged log line in a DNS name",
        stranger: |known| Stranger::name(known, format!("x\n{FORGERY}")),
    },
    Row {
        name: "a forged log line in the issuer",
        stranger: |known| Stranger {
            authority: Some(format!("x\n{FORGERY}").into_bytes()),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "an order in the subject",
        stranger: |known| Stranger::subject(known, format!("x;{ORDER};\n{ORDER}\n")),
    },
    Row {
        name: "an order in a DNS name",
        stranger: |known| Stranger::name(known, format!("\n{ORDER}\n;{ORDER};")),
    },
    Row {
        name: "terminal sequences in every name",
        stranger: |known| Stranger {
            subject: "\x1b[2J\x1b]0;x\x07\u{9b}2J".as_bytes().to_vec(),
            authority: Some(b"\x1b[31mEvil\x7f".to_vec()),
            names: vec![b"\x1b[1A\r\x08\x08evil.test".to_vec()],
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "text turned around in the subject",
        stranger: |known| Stranger::subject(known, "\u{202e}tset\u{2066}\u{2028}x\u{85}y"),
    },
    Row {
        name: "a zero byte in every name",
        stranger: |known| Stranger {
            subject: b"a.honest.test\0.evil.test".to_vec(),
            names: vec![b"a.honest.test\0.evil.test".to_vec()],
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "bytes that are no text in every name",
        stranger: |known| Stranger {
            subject: vec![0xff, 0xfe, 0xc0, 0x80],
            // HAProxy takes such names only of what is no subject.
            loaded: false,
            names: vec![vec![0xff, 0xfe, 0xc0, 0x80]],
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "no name at all",
        stranger: |known| Stranger {
            subject: Vec::new(),
            names: Vec::new(),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "a severity mark and a success in a DNS name",
        stranger: |known| Stranger::name(known, "x\n[3]: Success!\n+ Transaction created"),
    },
    Row {
        name: "the end of everything HAProxy shows of a certificate",
        stranger: |known| {
            Stranger::name(
                known,
                "x\nStatus: Empty\nFilename: y\nSerial: 00\nOCSP Response Key: ",
            )
        },
    },
    Row {
        name: "a subject of 12 KB",
        stranger: |known| Stranger::subject(known, "x".repeat(12_000)),
    },
    Row {
        name: "a subject longer than HAProxy's buffer",
        stranger: |known| Stranger {
            // HAProxy does not start with it.
            loaded: false,
            ..Stranger::subject(known, "y".repeat(20_000))
        },
    },
    Row {
        name: "a thousand DNS names",
        stranger: |known| Stranger {
            names: (0..1000)
                .map(|n| format!("n{n}.evil.test").into_bytes())
                .collect(),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "two thousand DNS names of line feeds",
        stranger: |known| Stranger {
            names: (0..2000).map(|_| b"\n\n".to_vec()).collect(),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "ten certificates of 256 KiB in an unknown extension",
        stranger: |known| Stranger {
            extensions: vec![extension(
                "1.3.6.1.4.1.11129.9",
                false,
                &octets(&vec![0x2a; 256 * 1024]),
            )],
            copies: 10,
            loaded: false,
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "six certificates with 60,000 names each",
        stranger: |known| Stranger {
            names: (0..60_000u32).map(|n| n.to_be_bytes().to_vec()).collect(),
            copies: 6,
            loaded: false,
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "a serial number of zero",
        stranger: |known| Stranger::serial(known, &[0]),
    },
    Row {
        name: "a negative serial number",
        stranger: |known| Stranger::serial(known, &[0x80, 0x01]),
    },
    Row {
        name: "a serial number of nothing",
        stranger: |known| Stranger {
            loaded: false,
            ..Stranger::serial(known, &[])
        },
    },
    Row {
        name: "a serial number of 400 octets",
        stranger: |known| Stranger::serial(known, &[0x41; 400]),
    },
    Row {
        name: "an order as serial number, asked of HAProxy by a query",
        stranger: |known| Stranger {
            serial: Some(format!("\n{ORDER}\n").into_bytes()),
            urls: vec![format!("http://{}/;prompt;?x", known.stats)],
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "an order as serial number, asked of HAProxy by a long URL",
        stranger: |known| Stranger {
            serial: Some(format!("\n{ORDER}\n").into_bytes()),
            urls: vec![format!(
                "http://{}/{};prompt;",
                known.stats,
                "x".repeat(300)
            )],
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "an order as serial number, asked of a listener",
        stranger: |known| Stranger {
            serial: Some(format!("\n{ORDER}\n").into_bytes()),
            urls: vec![
                format!("http://{}/?x", known.recorder),
                format!("http://{}/{}", known.recorder, "x".repeat(300)),
            ],
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "an order in a URL's path",
        stranger: |known| {
            Stranger::url(
                known,
                format!("http://{}/;{ORDER};/\n{ORDER}\n", known.stats),
            )
        },
    },
    Row {
        name: "an order in the path of a URL without spaces",
        stranger: |known| {
            let order = ORDER.replace(' ', "\t");
            Stranger::url(known, format!("http://{}/;{order};x", known.stats))
        },
    },
    Row {
        name: "a header of its own in a URL",
        stranger: |known| {
            let url = format!("http://{}/x HTTP/1.1\r\n{ORDER}\r\nX: y", known.recorder);
            Stranger::url(known, url)
        },
    },
    Row {
        name: "an order as user and password of a URL",
        stranger: |known| Stranger::url(known, format!("http://x;{ORDER};:y@{}/", known.recorder)),
    },
    Row {
        name: "an order as fragment of a URL",
        stranger: |known| Stranger::url(known, format!("http://{}/#\n{ORDER}\n", known.recorder)),
    },
    Row {
        name: "another certificate's fingerprint in a URL",
        stranger: |known| {
            let line = format!("SHA1 FingerPrint: {}\nSerial: 11", known.fingerprint);
            Stranger::url(known, format!("{}/\n{line}\n\n", known.own_url))
        },
    },
    Row {
        name: "terminal sequences and a forged log line in a URL",
        stranger: |known| Stranger::url(known, format!("http://\x1b[2J/\n{FORGERY}")),
    },
    Row {
        name: "URLs of other schemes",
        stranger: |known| Stranger {
            urls: [
                "file:///etc/passwd",
                "ldap://127.0.0.1/",
                "unix:/run/x",
                "javascript:1",
                "//x",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "URLs that are hardly any",
        stranger: |known| Stranger {
            urls: [
                "",
                "http://",
                "http:///",
                "http://:0/",
                "http://127.0.0.1:0/",
                "http://127.0.0.1:65536/",
                "http://[::1",
                "http://[::1%25lo]:1/",
                "http://%00/",
                "http://127.0.0.1:-1/",
                "http://a@b@c/",
                "http://\u{212a}\u{ff0e}test/",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "a URL of 8 KB",
        stranger: |known| Stranger::url(known, known.own_url.clone() + &"/x".repeat(4000)),
    },
    Row {
        name: "a hundred URLs where nobody answers",
        stranger: |known| Stranger {
            urls: (0..100)
                .map(|n| format!("http://127.0.0.1:1/{n}"))
                .collect(),
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "fourteen certificates that ask the honest responder's port for TLS",
        stranger: |known| Stranger {
            urls: vec![known.shared_url.replace("http:", "https:")],
            copies: 14,
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "forty certificates with hosts that nobody knows",
        stranger: |known| Stranger {
            urls: vec!["http://nobody.invalid/".to_owned()],
            copies: 40,
            loaded: false,
            ..Stranger::harmless(known)
        },
    },
    Row {
        name: "the honest certificates' CA by name, with another key",
        stranger: |known| Stranger {
            authority: Some(b"Honest CA".to_vec()),
            serial: Some(vec![0x11, 0]),
            urls: vec![known.shared_url.clone()],
            ..Stranger::harmless(known)
        },
    },
];
