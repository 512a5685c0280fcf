//! What a responder can answer: statuses, headers, bodies, timings, redirects, validators.

use std::time::Duration;

use super::judge::Signer;
use super::stranger::{FORGERY, Known, ORDER, Row, Stranger};
use crate::pki::{extension, octets, responder_error, revoked, sequence, time_text, unknown};
use crate::scripted_responder::{Step, answer, ocsp_answer};

const TYPE: &str = "Content-Type: application/ocsp-response\r\n";

/// Always this answer.
fn always(known: &Known, bytes: Vec<u8>) -> Stranger {
    Stranger::answering(known, move |_, _| vec![Step::Send(bytes.clone())])
}

/// A true answer with these header lines.
fn with_headers(known: &Known, headers: &'static str) -> Stranger {
    Stranger::answering(known, move |request, signer| {
        let is_conditional = request.header("if-none-match").is_some()
            || request.header("if-modified-since").is_some();
        let headers = format!("{TYPE}{headers}");
        vec![Step::Send(match is_conditional {
            true => answer("304 Not Modified", &headers, b""),
            false => answer("200 OK", &headers, &signer.good()),
        })]
    })
}

/// A body that is made by the signer.
fn with_body(known: &Known, body: fn(&Signer) -> Vec<u8>) -> Stranger {
    Stranger::answering(known, move |_, signer| {
        vec![Step::Send(ocsp_answer(&body(signer)))]
    })
}

fn redirect(known: &Known, status: &'static str, to: String) -> Stranger {
    let location = format!("Location: {to}\r\n");
    always(known, answer(status, &location, b""))
}

pub const ROWS: &[Row] = &[
    Row {
        name: "a redirect to HAProxy by POST",
        stranger: |known| Stranger {
            serial: Some(format!("\n{ORDER}\n").into_bytes()),
            urls: vec![format!("{}/?x", known.own_url)],
            ..redirect(
                known,
                "307 Temporary Redirect",
                format!("http://{}/;prompt;?x", known.stats),
            )
        },
    },
    Row {
        name: "a redirect to a listener, with validators",
        stranger: |known| {
            let to = format!("Location: http://{}/\r\n", known.recorder);
            let validators = format!("ETag: \";{ORDER};\"\r\nLast-Modified: ;{ORDER};\r\n");
            Stranger::answering(known, move |request, signer| {
                vec![Step::Send(match request.number {
                    0 => answer("200 OK", &format!("{TYPE}{validators}"), &signer.good()),
                    _ => answer("308 Permanent Redirect", &to, b""),
                })]
            })
        },
    },
    Row {
        name: "a redirect with an order in it",
        stranger: |known| {
            redirect(
                known,
                "302 Found",
                format!("http://{}/;{ORDER};x", known.stats),
            )
        },
    },
    Row {
        name: "a redirect to itself",
        stranger: |known| redirect(known, "301 Moved Permanently", "/".to_owned()),
    },
    Row {
        name: "a redirect to a file",
        stranger: |known| redirect(known, "302 Found", "file:///etc/passwd".to_owned()),
    },
    Row {
        name: "a redirect with a forged log line",
        stranger: |known| redirect(known, "302 Found", format!("http://\x1b[2J/\x0b{FORGERY}")),
    },
    Row {
        name: "validators that are no validators",
        stranger: |known| {
            with_headers(
                known,
                "ETag: ;disable frontend canary;\x0bx\r\nLast-Modified: disable frontend canary\r\n",
            )
        },
    },
    Row {
        name: "a validator of 8 KB",
        stranger: |known| {
            Stranger::answering(known, |_, signer| {
                let headers = format!("{TYPE}ETag: \"{}\"\r\n", "x".repeat(8000));
                vec![Step::Send(answer("200 OK", &headers, &signer.good()))]
            })
        },
    },
    Row {
        name: "nothing modified, ever",
        stranger: |known| {
            always(
                known,
                answer("304 Not Modified", "Cache-Control: max-age=600000\r\n", b""),
            )
        },
    },
    Row {
        name: "a promise of ten years",
        stranger: |known| {
            with_headers(known, "Cache-Control: max-age=315360000\r\nETag: \"x\"\r\n")
        },
    },
    Row {
        name: "a promise of more seconds than there are",
        stranger: |known| with_headers(known, "Cache-Control: max-age=99999999999999999999999\r\n"),
    },
    Row {
        name: "an age and an expiry of nonsense",
        stranger: |known| {
            with_headers(
                known,
                "Age: -1\r\nExpires: 0\r\nDate: Thu, 99 Foo 9999 99:99:99 GMT\r\n",
            )
        },
    },
    Row {
        name: "a Retry-After in the year 9999",
        stranger: |known| {
            always(
                known,
                answer(
                    "503 x",
                    "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
                    b"",
                ),
            )
        },
    },
    Row {
        name: "a forged log line as reason of a status",
        stranger: |known| always(known, answer(&format!("599 \x1b[2J\x0b{FORGERY}"), "", b"")),
    },
    Row {
        name: "a status of nonsense",
        stranger: |known| always(known, answer("999 x", "", b"")),
    },
    Row {
        name: "no HTTP at all",
        stranger: |known| always(known, format!("{FORGERY}\n\x1b[2J\n\n").into_bytes()),
    },
    Row {
        name: "a body with the order on lines of its own",
        stranger: |known| {
            always(
                known,
                answer("400 Bad Request", "", format!("\n{ORDER}\n").as_bytes()),
            )
        },
    },
    Row {
        name: "interim answers without end",
        stranger: |known| always(known, b"HTTP/1.1 100 Continue\r\n\r\n".repeat(20_000)),
    },
    Row {
        name: "headers without end",
        stranger: |known| {
            let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
            bytes.extend(b"X: y\r\n".repeat(500_000));
            always(known, bytes)
        },
    },
    Row {
        name: "a body without end",
        stranger: |known| {
            let mut bytes = format!("HTTP/1.1 200 OK\r\n{TYPE}\r\n").into_bytes();
            bytes.resize(32 << 20, 0x30);
            always(known, bytes)
        },
    },
    Row {
        name: "a chunk of more bytes than there are",
        stranger: |known| {
            let text = format!(
                "HTTP/1.1 200 OK\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
            );
            always(known, text.into_bytes())
        },
    },
    Row {
        name: "a length of more bytes than there are",
        stranger: |known| {
            let text =
                format!("HTTP/1.1 200 OK\r\n{TYPE}Content-Length: 18446744073709551615\r\n\r\nx");
            always(known, text.into_bytes())
        },
    },
    Row {
        name: "two lengths",
        stranger: |known| {
            let text = format!(
                "HTTP/1.1 200 OK\r\n{TYPE}Content-Length: 1\r\nContent-Length: 9\r\n\r\n123456789"
            );
            always(known, text.into_bytes())
        },
    },
    Row {
        name: "a body byte by byte",
        stranger: |known| {
            Stranger::answering(known, |_, signer| {
                vec![Step::Trickle(
                    ocsp_answer(&signer.good()),
                    Duration::from_millis(500),
                )]
            })
        },
    },
    Row {
        name: "forty certificates whose responder never answers",
        stranger: |known| Stranger {
            copies: 40,
            loaded: false,
            ..Stranger::answering(known, |_, _| vec![Step::Hang])
        },
    },
    Row {
        name: "connections that are reset",
        stranger: |known| Stranger::answering(known, |_, _| vec![Step::Reset]),
    },
    Row {
        name: "another certificate's response",
        stranger: |known| with_body(known, |signer| signer.for_another(&[0x11, 0])),
    },
    Row {
        name: "the answer that the certificate is revoked",
        stranger: |known| {
            with_body(known, |signer| {
                signer.changed(|it| {
                    it.singles[0].status = revoked(crate::pki::NOW, Some(1));
                })
            })
        },
    },
    Row {
        name: "the answer that the certificate is unknown",
        stranger: |known| {
            with_body(known, |signer| {
                signer.changed(|it| it.singles[0].status = unknown())
            })
        },
    },
    Row {
        name: "a response of 12 KB, which HAProxy cannot be told of",
        stranger: |known| {
            with_body(known, |signer| {
                signer.changed(|it| {
                    let padding = octets(&[0x2a; 12_000]);
                    it.extensions = vec![extension("1.3.6.1.4.1.57235.19.42", false, &padding)];
                })
            })
        },
    },
    Row {
        name: "a response of 60 KB",
        stranger: |known| {
            with_body(known, |signer| {
                signer.changed(|it| {
                    let padding = octets(&[0x2a; 60_000]);
                    it.extensions = vec![extension("1.3.6.1.4.1.57235.19.42", false, &padding)];
                })
            })
        },
    },
    Row {
        name: "a response until the year 9999",
        stranger: |known| {
            with_body(known, |signer| {
                signer.changed(|it| it.singles[0].next_update = Some(time_text("99991231235959Z")))
            })
        },
    },
    Row {
        name: "a response with times of nonsense",
        stranger: |known| {
            with_body(known, |signer| {
                signer.changed(|it| {
                    it.produced_at = time_text("\n\x1b[2J99999999Z");
                    it.singles[0].this_update = time_text("00000000000000Z");
                })
            })
        },
    },
    Row {
        name: "a response signed with nothing",
        stranger: |known| {
            with_body(known, |signer| {
                signer.changed(|it| it.signature = Some(Vec::new()))
            })
        },
    },
    Row {
        name: "tryLater, for ever",
        stranger: |known| always(known, ocsp_answer(&responder_error(3))),
    },
    Row {
        name: "DER within DER within DER",
        stranger: |known| {
            let nested = (0..2000).fold(Vec::new(), |inner, _| sequence(&[&inner]));
            always(known, ocsp_answer(&nested))
        },
    },
];
