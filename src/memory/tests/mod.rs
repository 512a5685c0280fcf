//! What is remembered is there after a restart, with any damage to the file.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::ocsp::{CertificateStatus, RevocationReason, Standing};
use crate::time::Timestamp;

fn certificate(number: u8) -> Record {
    Record::Certificate(CertificateRecord {
        identity: Digest([number; 32]),
        not_after: Timestamp::from_unix(2_000_000_000),
        standing: Standing {
            status: CertificateStatus::Revoked {
                at: Timestamp::from_unix(1_700_000_000),
                reason: Some(RevocationReason::KeyCompromise),
            },
            this_update: Timestamp::from_unix(1_700_000_100),
            expires: Timestamp::from_unix(1_700_100_000),
        },
    })
}

fn transaction(pid: u32) -> Record {
    Record::Transaction(TransactionRecord {
        process: ProcessRecord {
            pid,
            started: Some(Timestamp::from_unix(1_700_000_000)),
            node: "web-1".to_owned(),
        },
        store: "/certs/a \"quoted\"\nname.pem".to_owned(),
        stage: Stage::Begun,
        certificate: Vec::new(),
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// Another process would find this directory: the lock goes with the last handle, after a moment.
fn reopened(directory: &Path) -> Memory {
    loop {
        match Memory::open(directory) {
            Err(Error::InUse(_)) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn directory_with(text: &[u8]) -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("memory.jsonl"), text).unwrap();
    directory
}

#[test]
fn what_is_remembered_outlives_the_process_and_what_is_forgotten_does_not() {
    let directory = TempDir::new().unwrap();
    let memory = Memory::open(directory.path()).unwrap();
    for number in 0..3 {
        memory.remember(certificate(number));
        memory.remember(transaction(number.into()));
    }
    memory.forget(&certificate(1).key());
    memory.forget(&transaction(2).key());
    let before = memory.recall_all();
    assert_eq!(before.len(), 4);
    assert!(block_on(memory.settled()));
    drop(memory);
    assert_eq!(reopened(directory.path()).recall_all(), before);
}

#[test]
fn what_is_settled_is_in_the_file_while_the_process_lives() {
    let directory = TempDir::new().unwrap();
    let memory = Memory::open(directory.path()).unwrap();
    memory.remember(transaction(7));
    assert!(block_on(memory.settled()));
    let bytes = fs::read(directory.path().join("memory.jsonl")).unwrap();
    let reading = record::read(&bytes);
    assert_eq!(reading.mistake, None);
    assert_eq!(reading.records.values().next(), Some(&transaction(7)));
}

#[test]
fn wherever_the_file_is_torn_the_lines_before_count() {
    let whole = whole(&[certificate(1), transaction(2), certificate(3)]);
    for length in 0..whole.len() {
        let torn = &whole[..length];
        let reading = record::read(torn.as_bytes());
        let lines = torn.matches('\n').count();
        assert_eq!(
            reading.records.len(),
            lines.saturating_sub(1),
            "after {length}"
        );
        let is_torn = lines == 0 || !torn.ends_with('\n');
        assert_eq!(reading.mistake.is_some(), is_torn, "after {length}");
    }
}

#[test]
fn a_torn_file_is_set_aside_and_written_anew() {
    let whole = whole(&[certificate(1), transaction(2), certificate(3)]);
    let torn = &whole.as_bytes()[..whole.len() - 9];
    let directory = directory_with(torn);
    let memory = Memory::open(directory.path()).unwrap();
    assert_eq!(memory.recall_all().len(), 2);
    let aside = directory.path().join("memory.jsonl.broken");
    assert_eq!(fs::read(aside).unwrap(), torn);
    memory.remember(certificate(9));
    assert!(block_on(memory.settled()));
    drop(memory);
    assert_eq!(reopened(directory.path()).recall_all().len(), 3);
}

#[test]
fn a_foreign_file_is_set_aside_and_does_no_harm() {
    let of_a_later_version = b"{\"staplerd_memory\":2}\n{\"remember\":{}}\n".as_slice();
    let with_bytes_in_it = [whole(&[certificate(1)]).as_bytes(), b"\xff\0\n"].concat();
    for (text, expected) in [
        (of_a_later_version, 0),
        (b"\0\0\0\0".as_slice(), 0),
        (b"[]\n", 0),
        (&with_bytes_in_it, 1),
    ] {
        let directory = directory_with(text);
        let memory = Memory::open(directory.path()).unwrap();
        assert_eq!(memory.recall_all().len(), expected);
        let aside = directory.path().join("memory.jsonl.broken");
        assert_eq!(fs::read(aside).unwrap(), text);
    }
}

fn whole(records: &[Record]) -> String {
    record::write(records.iter())
}

#[test]
fn a_fifo_or_a_link_in_the_place_of_the_file_is_neither_waited_for_nor_followed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("memory.jsonl");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    drop(Memory::open(directory.path()).unwrap());
    let linked = TempDir::new().unwrap();
    let elsewhere = linked.path().join("elsewhere");
    fs::write(&elsewhere, whole(&[certificate(1)])).unwrap();
    std::os::unix::fs::symlink(&elsewhere, linked.path().join("memory.jsonl")).unwrap();
    let memory = Memory::open(linked.path()).unwrap();
    assert_eq!(memory.recall_all(), []);
    assert_eq!(
        fs::read_to_string(elsewhere).unwrap(),
        whole(&[certificate(1)])
    );
}

#[test]
fn one_process_at_a_time_remembers_in_a_directory() {
    let directory = TempDir::new().unwrap();
    let memory = Memory::open(directory.path()).unwrap();
    let second = Memory::open(directory.path());
    assert!(matches!(second, Err(Error::InUse(_))), "{second:?}");
    drop(memory);
    reopened(directory.path());
}

#[test]
fn without_a_directory_all_is_known_until_the_end_of_the_process() {
    let missing = Memory::open(Path::new("/nonexistent/staplerd"));
    assert!(matches!(missing, Err(Error::Unusable { .. })));
    let memory = Memory::default();
    assert!(!memory.is_lasting());
    memory.remember(transaction(1));
    assert!(!block_on(memory.settled()));
    assert_eq!(memory.recall(&transaction(1).key()), Some(transaction(1)));
}

#[test]
fn the_file_stays_small_however_often_a_record_changes() {
    let directory = TempDir::new().unwrap();
    let memory = Memory::open(directory.path()).unwrap();
    for round in 0..200 {
        for number in 0..50 {
            memory.remember(transaction(number));
            memory.forget(&transaction(number + round % 2).key());
        }
        assert!(block_on(memory.settled()));
    }
    let file = fs::read_to_string(directory.path().join("memory.jsonl")).unwrap();
    assert!(
        file.lines().count() < 2500,
        "{} lines",
        file.lines().count()
    );
    assert_eq!(
        record::read(file.as_bytes()).records.len(),
        memory.recall_all().len()
    );
}
