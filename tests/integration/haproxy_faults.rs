//! Every answer and every fault of the tables, played by a scripted HAProxy.

use std::time::Duration;

use staplerd::haproxy::codec::MAX_REPLY_BYTES;
use staplerd::haproxy::{Arrival, DeliveryError, Error, ProcessNotice};

use crate::support::fake_haproxy::{Answer, FakeHaproxy, Line, STORE, Script};
use crate::support::pki::{Authority, Response, StapleOffer};
use crate::support::session::Session;

const PUSH: &str = "set ssl ocsp-response ";
const READ_BACK: &str = "show ssl ocsp-response ";
const SET: &str = "set ssl cert ";
const COMMIT: &str = "commit ssl cert ";
const LOCKED: &str = "Can't do it!\nOperations on certificates are currently locked!";

/// One certificate, its staple, and a script that knows it.
fn scene(slot: bool, lines: Vec<Line>) -> (StapleOffer, Script) {
    let authority = Authority::new();
    let issued = authority.issue("a.example", None);
    let fingerprint = issued.certificate.sha1_fingerprint();
    let hex: Vec<String> = fingerprint
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let script = Script {
        version: "3.2.26-1",
        prompt: false,
        in_pieces: false,
        fingerprint: hex.concat(),
        slot,
        lines,
    };
    (authority.staple(&issued, Response::default()), script)
}

fn text(text: &str) -> Answer {
    Answer::Text(text.to_owned())
}

/// Delivers to a fresh fake.
async fn deliver(slot: bool, lines: Vec<Line>) -> (Result<Arrival, DeliveryError>, FakeHaproxy) {
    let (staple, script) = scene(slot, lines);
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    let outcome = session.deliver(&staple).await;
    session.stop().await;
    assert!(fake.script_is_used_up(), "{:?}", fake.commands());
    (outcome, fake)
}

#[tokio::test]
async fn a_delivery_works_in_either_mode_and_byte_by_byte() {
    for (prompt, version) in [(false, "3.2.26-1"), (true, "3.0.11-1")] {
        for in_pieces in [false, true] {
            for (slot, expected) in [(true, Arrival::Pushed), (false, Arrival::Attached)] {
                let (staple, mut script) = scene(slot, Vec::new());
                script.prompt = prompt;
                script.version = version;
                script.in_pieces = in_pieces;
                let fake = FakeHaproxy::start(script);
                let mut session = Session::start(&fake.socket());
                session.connected().await;
                assert_eq!(session.deliver(&staple).await, Ok(expected));
                assert_eq!(session.deliver(&staple).await, Ok(Arrival::AlreadyHeld));
                session.stop().await;
            }
        }
    }
}

#[tokio::test]
async fn every_refusal_of_a_push_is_reported_as_what_it_is() {
    for (reply, expected) in [
        (
            "OCSP single response: no longer valid..",
            DeliveryError::Expired,
        ),
        (
            "OCSP single response: no longer valid. Must be valid during at least 300s..",
            DeliveryError::ShortLived,
        ),
        (
            "OCSP single response: certificate status is unknown.",
            DeliveryError::StatusUnknown,
        ),
        ("Unable to parse OCSP response.", DeliveryError::Malformed),
        ("Permission denied", DeliveryError::PermissionDenied),
        (LOCKED, DeliveryError::Locked),
        (
            "The command line is too big for the buffer size.",
            DeliveryError::TooBig,
        ),
        (
            "What no version says",
            DeliveryError::UnexpectedReply("What no version says".into()),
        ),
    ] {
        let (outcome, fake) = deliver(true, vec![(PUSH, text(reply))]).await;
        assert_eq!(outcome, Err(expected));
        let commands = fake.commands();
        assert!(
            !commands.iter().any(|command| command.starts_with(SET)),
            "{commands:?}"
        );
    }
}

#[tokio::test]
async fn a_yes_is_not_believed_when_another_response_is_held() {
    let nothing = "Certificate ID or path does not match any certificate.";
    for held in ["MAMKAQA=", nothing, ""] {
        let (outcome, _) = deliver(
            true,
            vec![(READ_BACK, text(nothing)), (READ_BACK, text(held))],
        )
        .await;
        assert_eq!(outcome, Err(DeliveryError::NotHeld), "{held}");
    }
    let (outcome, _) = deliver(
        true,
        vec![(READ_BACK, text(LOCKED)), (READ_BACK, text(LOCKED))],
    )
    .await;
    assert_eq!(outcome, Err(DeliveryError::Locked));
}

#[tokio::test]
async fn a_refused_transaction_is_neither_committed_nor_aborted() {
    let updated = format!("Transaction updated for certificate {STORE}!");
    let other = "Transaction created for certificate /certs/b.pem!";
    for (reply, expected) in [
        (updated.as_str(), DeliveryError::ForeignTransaction),
        (other, DeliveryError::UnexpectedReply(other.into())),
        (LOCKED, DeliveryError::Locked),
        ("Permission denied", DeliveryError::PermissionDenied),
    ] {
        let (outcome, fake) = deliver(false, vec![(SET, text(reply))]).await;
        assert_eq!(outcome, Err(expected));
        let commands = fake.commands();
        let touching = |command: &&String| {
            command.starts_with(COMMIT) || **command == format!("abort ssl cert {STORE}")
        };
        assert_eq!(commands.iter().find(touching), None);
    }
}

#[tokio::test]
async fn a_commit_that_fails_is_followed_by_the_abort_of_the_own_transaction() {
    let ignored = format!(
        "Committing {STORE}.\nLoading: OCSP single response: Certificate ID does not match \
         certificate and issuer. Content will be ignored.\nSuccess!"
    );
    for (reply, expected) in [
        (LOCKED, DeliveryError::Locked),
        (ignored.as_str(), DeliveryError::OtherCertificate),
        (
            "Committing\nno issuer found\nFailed!",
            DeliveryError::IssuerMissing,
        ),
    ] {
        let (outcome, fake) = deliver(false, vec![(COMMIT, text(reply))]).await;
        assert_eq!(outcome, Err(expected));
        let last = fake.commands().pop();
        assert_eq!(last, Some(format!("abort ssl cert {STORE}")));
    }
}

#[tokio::test]
async fn the_issuer_goes_along_with_a_first_staple() {
    let (outcome, fake) = deliver(false, Vec::new()).await;
    assert_eq!(outcome, Ok(Arrival::Attached));
    let changes: Vec<String> = fake
        .commands()
        .into_iter()
        .filter(|command| command.contains(STORE) && !command.starts_with("show"))
        .collect();
    let expected = [
        format!("set ssl cert {STORE}.issuer <<"),
        format!("set ssl cert {STORE}.ocsp <<"),
        format!("commit ssl cert {STORE}"),
    ];
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn an_old_version_is_not_touched_again_after_a_commit_that_failed() {
    let failed = "Committing\nno issuer found\nFailed!";
    let (staple, mut script) = scene(false, vec![(COMMIT, text(failed))]);
    script.version = "2.2.9";
    script.prompt = true;
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    let outcome = session.deliver(&staple).await;
    assert_eq!(outcome, Err(DeliveryError::IssuerMissing));
    let outcome = session.deliver(&staple).await;
    assert_eq!(outcome, Err(DeliveryError::CommitFailed));
    session.stop().await;
    let commands = fake.commands();
    let commit = commands
        .iter()
        .position(|command| command.starts_with(COMMIT))
        .unwrap();
    let touching = |command: &&String| {
        command.starts_with("set ssl cert") || command.contains(&format!("abort ssl cert {STORE}"))
    };
    assert_eq!(commands[commit..].iter().find(touching), None);
}

#[tokio::test]
async fn an_own_transaction_that_could_not_be_ended_is_ended_later() {
    let abort = "abort ssl cert /certs";
    let (staple, script) = scene(false, vec![(COMMIT, text(LOCKED)), (abort, text(LOCKED))]);
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    assert_eq!(session.deliver(&staple).await, Err(DeliveryError::Locked));
    assert!(fake.script_is_used_up());
    assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
    session.stop().await;
}

#[tokio::test]
async fn a_connection_lost_between_set_and_commit_leaves_no_transaction_behind() {
    let set = "set ssl cert /certs/a.pem.ocsp";
    let (staple, script) = scene(false, vec![(set, Answer::Close(Vec::new()))]);
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    assert_eq!(
        session.deliver(&staple).await,
        Err(DeliveryError::Disconnected)
    );
    session.connected().await;
    assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
    let aborted = format!("abort ssl cert {STORE}");
    assert!(fake.commands().contains(&aborted), "{:?}", fake.commands());
    session.stop().await;
}

#[tokio::test]
async fn a_locked_answer_to_any_command_leaves_no_transaction_behind() {
    let procedure = [
        "abort ssl cert /dev/null",
        "show ssl cert /certs",
        "set ssl cert /certs/a.pem.issuer",
        "set ssl cert /certs/a.pem.ocsp",
        COMMIT,
        "abort ssl cert /certs",
    ];
    // Whatever is locked when an attachment fails, the abort may be too, again and again.
    for times in 1..4 {
        for first in procedure {
            for second in procedure {
                let lines = std::iter::repeat_n((first, text(LOCKED)), times);
                let lines = lines.chain(std::iter::repeat_n((second, text(LOCKED)), times));
                let (staple, script) = scene(false, lines.collect());
                let fake = FakeHaproxy::start(script);
                let mut session = Session::start(&fake.socket());
                session.connected().await;
                let mut outcome = session.deliver(&staple).await;
                while outcome == Err(DeliveryError::Locked) {
                    outcome = session.deliver(&staple).await;
                }
                let commands = fake.commands();
                assert_eq!(outcome, Ok(Arrival::Attached), "{commands:?}");
                assert!(!fake.has_transaction(), "{commands:?}");
                session.stop().await;
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_end_was_not_seen_is_followed_by_no_abort_and_no_commit() {
    let cut_off = format!("Committing {STORE}......");
    for received in ["", &cut_off] {
        let answer = Answer::Close(received.into());
        let (staple, script) = scene(false, vec![(COMMIT, answer)]);
        let fake = FakeHaproxy::start(script);
        let mut session = Session::refreshing(&fake.socket(), Duration::from_millis(500));
        session.connected().await;
        let outcome = session.deliver(&staple).await;
        assert_eq!(outcome, Err(DeliveryError::Disconnected));
        session.connected().await;
        let notice = session
            .noticed(|notice| matches!(notice, ProcessNotice::CommitUnseen { .. }))
            .await;
        assert!(notice.to_string().contains("reload HAProxy"), "{notice}");
        assert_eq!(
            session.deliver(&staple).await,
            Err(DeliveryError::CommitUnseen)
        );
        let touching = |command: &&String| {
            command.starts_with(COMMIT) || **command == format!("abort ssl cert {STORE}")
        };
        let commands = fake.commands();
        assert_eq!(commands.iter().filter(touching).count(), 1, "{commands:?}");

        // It came to its end after all: the list of stores shows it.
        fake.end_transaction();
        let mut outcome = session.deliver(&staple).await;
        while outcome == Err(DeliveryError::CommitUnseen) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            outcome = session.deliver(&staple).await;
        }
        assert_eq!(outcome, Ok(Arrival::Attached));
        session.stop().await;
    }
}

#[tokio::test]
async fn the_end_of_a_connection_anywhere_is_survived() {
    for command in [
        "prompt i",
        "show cli level",
        "show info",
        "show ssl cert",
        READ_BACK,
        PUSH,
    ] {
        for received in [&b""[..], b"\n", b"half a repl", b"a line\n"] {
            let (staple, script) = scene(true, vec![(command, Answer::Close(received.to_vec()))]);
            let fake = FakeHaproxy::start(script);
            let mut session = Session::start(&fake.socket());
            session.connected().await;
            let outcome = session.deliver_again(&staple).await;
            assert_eq!(
                outcome,
                Ok(Arrival::Pushed),
                "{command}: {:?}",
                fake.commands()
            );
            session.stop().await;
            assert!(fake.script_is_used_up());
        }
    }
}

#[tokio::test]
async fn a_second_reply_is_not_taken_for_the_next_commands() {
    let twice = b"OCSP Response updated!\n\nOCSP Response updated!\n\n".to_vec();
    let (staple, script) = scene(true, vec![(PUSH, Answer::Bytes(twice))]);
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    let unexpected = DeliveryError::UnexpectedReply("OCSP Response updated!".to_owned());
    assert_eq!(session.deliver(&staple).await, Err(unexpected));
    assert_eq!(session.deliver(&staple).await, Ok(Arrival::Pushed));
    session.stop().await;
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_drop_the_connection() {
    let (staple, script) = scene(true, Vec::new());
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    assert_eq!(session.deliver(&staple).await, Ok(Arrival::Pushed));
    fake.say(b"late\n\n");
    assert_eq!(session.disconnected().await, Error::OutOfStep);
    session.connected().await;
    session.stop().await;
}

#[tokio::test]
async fn a_reply_without_bound_drops_the_connection() {
    let (staple, script) = scene(
        true,
        vec![(READ_BACK, Answer::Bytes(vec![b'x'; MAX_REPLY_BYTES + 1]))],
    );
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    assert_eq!(
        session.deliver(&staple).await,
        Err(DeliveryError::Disconnected)
    );
    assert_eq!(
        session.disconnected().await,
        Error::ReplyTooLarge(MAX_REPLY_BYTES)
    );
    session.connected().await;
    session.stop().await;
}

#[tokio::test]
async fn who_is_no_haproxy_is_told_so() {
    for said in ["220 mail ESMTP\r\n", "SSH-2.0-x\r\n"] {
        let (_, script) = scene(true, vec![("prompt i", Answer::Bytes(said.into()))]);
        let fake = FakeHaproxy::start(script);
        let mut session = Session::start(&fake.socket());
        let error = session.disconnected().await;
        assert_eq!(error, Error::NotHaproxy(said.trim().into()));
        session.connected().await;
        session.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_the_connection() {
    let (staple, script) = scene(true, vec![(PUSH, Answer::Silence)]);
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    assert_eq!(
        session.deliver(&staple).await,
        Err(DeliveryError::Disconnected)
    );
    let error = session.disconnected().await;
    assert!(
        error.to_string().contains("'set ssl ocsp-response'"),
        "{error}"
    );
    session.connected().await;
    assert_eq!(session.deliver(&staple).await, Ok(Arrival::Pushed));
    session.stop().await;
}

#[tokio::test]
async fn locked_stores_are_read_when_they_are_needed() {
    for locked in ["show ssl cert", "show ssl cert /certs"] {
        let (staple, script) = scene(true, vec![(locked, text(LOCKED)), (locked, text(LOCKED))]);
        let fake = FakeHaproxy::start(script);
        let mut session = Session::start(&fake.socket());
        session.connected().await;
        assert_eq!(session.deliver(&staple).await, Err(DeliveryError::Locked));
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Pushed));
        session.stop().await;
    }
}

#[tokio::test]
async fn a_stopping_process_is_left_at_once() {
    let stopping = "Version: 3.2.1\nPid: 4711\nStopping: 1";
    let fine = "Version: 3.2.1\nPid: 4711\nStopping: 0";
    let (staple, script) = scene(
        true,
        vec![("show info", text(fine)), ("show info", text(stopping))],
    );
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    assert_eq!(
        session.deliver(&staple).await,
        Err(DeliveryError::Disconnected)
    );
    let pushed = |command: &String| command.starts_with(PUSH);
    assert!(!fake.commands().iter().any(pushed));
    session.connected().await;
    assert_eq!(session.deliver(&staple).await, Ok(Arrival::Pushed));
    session.stop().await;
}

#[tokio::test]
async fn a_certificate_replaced_just_before_its_attachment_is_not_touched() {
    let other = format!(
        "Filename: {STORE}\nAlgorithm: EC256\nSHA1 FingerPrint: {}\nOCSP Response Key: ",
        "AB".repeat(20)
    );
    let (staple, script) = scene(false, Vec::new());
    let same = format!(
        "Filename: {STORE}\nAlgorithm: EC256\nSHA1 FingerPrint: {}\nOCSP Response Key: ",
        script.fingerprint
    );
    let script = Script {
        lines: vec![
            ("show ssl cert /certs", text(&same)),
            ("show ssl cert /certs", text(&other)),
        ],
        ..script
    };
    let fake = FakeHaproxy::start(script);
    let mut session = Session::start(&fake.socket());
    session.connected().await;
    assert_eq!(
        session.deliver(&staple).await,
        Err(DeliveryError::OtherCertificate)
    );
    let set = |command: &String| command.starts_with(SET);
    assert!(!fake.commands().iter().any(set));
    session.stop().await;
}
