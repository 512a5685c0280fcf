//! Hooks as they are run, with real processes, and the order in which they come.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::process::{Error, Tail, execute};
use super::*;
use crate::agent::{
    Action, Agent, Answered, CacheValidators, Event as AgentEvent, Failure, FileContent, FoundFile,
    IssuedCertificate, RequestOrder, Settings,
};
use crate::ocsp::{self, Policy};
use crate::pki::{CertificateBuilder, Key, NOW, ResponseBuilder, basic_constraints};
use crate::schedule;
use crate::time::Now;

/// Far beyond what any hook here takes.
const AMPLE: Duration = Duration::from_secs(60);

/// The reports of a certificate's first minutes: no answer twice, then a staple, which is written.
fn reports() -> Vec<(Notice, Option<HookFacts>)> {
    let key = Key::p256();
    let issuer = CertificateBuilder::new("Issuer", "Issuer", &[1])
        .with(basic_constraints(true))
        .sign(&key, &key);
    let leaf = CertificateBuilder::new("Issuer", "leaf\n", &[0x10, 1]).sign(&Key::p256(), &key);
    let urls = leaf.ocsp_urls().to_vec();
    let subject = Arc::new(IssuedCertificate::new(
        leaf,
        issuer.clone(),
        urls,
        Policy::default(),
    ));
    let bytes = ResponseBuilder::good(&subject.cert_id, &issuer).sign(&key);
    let settings = Settings {
        schedule: schedule::Settings::default(),
        recycle: true,
        expiring_within: Duration::from_secs(86_400),
        single_run: None,
    };
    let mut agent = Agent::new(settings, 1);
    let now = Now {
        wall: NOW,
        monotonic: Duration::ZERO,
    };
    let mut told = Vec::new();
    let mut number = None;
    let mut give = |event: AgentEvent| {
        for action in agent.handle(event, now) {
            match action {
                Action::Request(RequestOrder { certificate, .. }) => number = Some(certificate),
                Action::Report(report) => {
                    let facts = HookEvent::of(&report).and_then(|(event, path)| {
                        HookFacts::new(event, &report, &agent.status_of(path, NOW)?)
                    });
                    told.push((report, facts));
                }
                _ => {}
            }
        }
        number.unwrap()
    };
    let path = PathBuf::from("/certs/a.pem");
    let number = give(AgentEvent::FileFound(FoundFile {
        path: path.clone(),
        staple_path: "/certs/a.pem.ocsp".into(),
        targets: Arc::default(),
        content: FileContent::Certificate {
            subject: Arc::clone(&subject),
            staple: None.into(),
        },
    }));
    for _ in 0..2 {
        let failure = Failure {
            kind: "timeout",
            message: "no\nanswer".to_owned(),
        };
        give(AgentEvent::Answered {
            certificate: number,
            result: Err(failure.into()),
        });
        give(AgentEvent::RenewAll);
    }
    let assessment = ocsp::verify(&bytes, subject.as_ocsp(), None, NOW, Policy::default()).unwrap();
    give(AgentEvent::Answered {
        certificate: number,
        result: Ok(Answered {
            assessment: Some(assessment),
            fresh_for: None,
            validators: CacheValidators::default(),
        }),
    });
    give(AgentEvent::Written {
        certificate: number,
        path,
        result: Ok(()),
    });
    told
}

fn facts() -> HookFacts {
    let told = reports();
    told.into_iter().find_map(|(_, facts)| facts).unwrap()
}

fn order_for(certificate: &str, event: HookEvent, command: &[&str]) -> HookRun {
    let mut facts = facts();
    facts.certificate = certificate.into();
    facts.event = event;
    HookRun {
        command: Invocation {
            program: command[0].into(),
            arguments: command[1..].iter().map(ToString::to_string).collect(),
        },
        timeout: AMPLE,
        facts,
    }
}

/// A hook whose words are for the shell that it starts itself.
fn script(text: &str) -> HookRun {
    order_for("/a.pem", HookEvent::Renewed, &["/bin/sh", "-c", text])
}

fn run_alone(order: &HookRun) -> (Result<(), Error>, Vec<String>) {
    block_on(async {
        let mut output = Tail::default();
        let result = execute(order, &CancellationToken::new(), &mut output).await;
        (result, output.lines())
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

#[test]
fn hooks_are_for_written_staples_and_for_the_first_failure_of_a_kind() {
    let told = reports();
    let events: Vec<HookEvent> = told
        .iter()
        .filter_map(|(_, facts)| facts.as_ref().map(|facts| facts.event))
        .collect();
    assert_eq!(events, [HookEvent::Failing, HookEvent::Renewed]);
    assert!(
        told.iter()
            .any(|(report, facts)| { matches!(report, Notice::Renewed { .. }) && facts.is_none() }),
        "the staple is not on disk yet"
    );
}

#[test]
fn the_facts_are_the_same_in_the_environment_and_on_standard_input() {
    let told = reports();
    let all: Vec<&HookFacts> = told
        .iter()
        .filter_map(|(_, facts)| facts.as_ref())
        .collect();
    let [failing, renewed] = all[..] else {
        panic!("{all:?}")
    };
    let json: serde_json::Value = serde_json::from_slice(&failing.json()).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["event"], "failing");
    assert_eq!(json["certificate"], "/certs/a.pem");
    assert_eq!(json["staple"], "/certs/a.pem.ocsp");
    assert_eq!(json["state"], "failing");
    assert_eq!(json["reason"], "timeout");
    assert_eq!(json["message"], r"no\nanswer");
    assert_eq!(json["valid_until"], serde_json::Value::Null);
    assert_eq!(json["serial"], "1001");
    assert!(json["subject"].as_str().unwrap().starts_with("CN=leaf"));
    assert!(!json["subject"].as_str().unwrap().contains('\n'));
    for facts in all {
        let json: serde_json::Value = serde_json::from_slice(&facts.json()).unwrap();
        let variables = facts.variables();
        // The form's version is the JSON's alone.
        assert_eq!(json.as_object().unwrap().len(), variables.len() + 1);
        for (name, value) in variables {
            let key = name.strip_prefix("STAPLERD_").unwrap().to_lowercase();
            let expected = json[&key].as_str().unwrap_or_default();
            assert_eq!(value.to_str(), Some(expected), "{name}");
        }
    }
    let json: serde_json::Value = serde_json::from_slice(&renewed.json()).unwrap();
    assert_eq!(json["state"], "fresh");
    assert_eq!(json["reason"], serde_json::Value::Null);
    for time in ["valid_until", "this_update", "next_request"] {
        let text = json[time].as_str().unwrap();
        assert!(text.ends_with('Z') && text.contains('T'), "{time}: {text}");
    }
}

#[test]
fn a_hook_gets_its_words_as_they_are_and_the_facts_twice() {
    let order = order_for(
        "/a b;$(false).pem",
        HookEvent::Renewed,
        &[
            "/bin/sh",
            "-c",
            "echo \"$0|$STAPLERD_CERTIFICATE\"; cat",
            "$HOME; *",
        ],
    );
    let (result, lines) = run_alone(&order);
    result.unwrap();
    assert_eq!(lines[0], "$HOME; *|/a b;$(false).pem");
    assert_eq!(lines[1].as_bytes(), order.facts.json().trim_ascii_end());
    assert_eq!(lines.len(), 2);
}

#[test]
fn what_is_between_systemd_and_this_program_is_not_handed_on() {
    let (result, lines) = run_alone(&script("env"));
    result.unwrap();
    assert!(lines.iter().any(|line| line.starts_with("PATH=")));
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "JOURNAL_STREAM",
    ] {
        assert!(!process::is_for_hooks(name.as_ref()), "{name}");
    }
    assert!(process::is_for_hooks("HOME".as_ref()));
}

#[test]
fn of_the_output_of_both_kinds_the_end_is_kept_in_order() {
    let (result, lines) = run_alone(&script(
        "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; \
         printf 'to \\033[31mstderr' >&2; echo; echo; echo last; exit 3",
    ));
    assert!(matches!(result, Err(Error::Failed(status)) if status.code() == Some(3)));
    let end = &lines[lines.len() - 3..];
    assert_eq!(end, ["line 2999", r"to \u{1b}[31mstderr", "last"]);
    assert!(lines[0].starts_with('\u{2026}'), "{}", lines[0]);
    let kept: usize = lines.iter().map(String::len).sum();
    assert!(kept <= 4096 + 16, "{kept}");
}

#[test]
fn a_hook_that_cannot_be_started_is_one_clear_line() {
    let order = order_for("/a.pem", HookEvent::Renewed, &["/nowhere/hook"]);
    let (result, lines) = run_alone(&order);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), "hook_not_started");
    let message = error.to_string();
    assert!(
        message.starts_with("/nowhere/hook cannot be started: No such file"),
        "{message}"
    );
    assert_eq!(lines.len(), 0);
}

#[test]
fn a_hook_that_reads_nothing_or_closes_everything_is_none_the_worse() {
    let (result, _) = run_alone(&script("exec <&- >&- 2>&-; true"));
    result.unwrap();
}

#[test]
fn what_a_hook_leaves_behind_is_neither_waited_for_nor_killed() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let order = script(&format!(
        "mkfifo {fifo}; {{ read word < {fifo}; echo $word > {fifo}.out; }} & echo started",
        fifo = fifo.display()
    ));
    let (result, lines) = run_alone(&order);
    result.unwrap();
    assert_eq!(lines, ["started"]);
    fs::write(&fifo, "alive\n").unwrap();
    let written = directory.path().join("fifo.out");
    wait_for(|| fs::read(&written).is_ok_and(|word| word == b"alive\n"));
}

/// Whether a process runs (a zombie does not).
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < AMPLE, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_hook_that_takes_too_long_is_killed_with_whatever_it_has_started() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let mut order = script(&format!(
        "trap '' TERM; echo before; sleep 1000 & echo $! $$ > {}; wait; wait",
        pids.display()
    ));
    // The clock begins to run before the shell does, which may be slow under load.
    order.timeout = Duration::from_secs(2);
    let (result, lines) = run_alone(&order);
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        ("hook_timeout", "killed, for it had not ended within 2s")
    );
    if let Ok(pids) = fs::read_to_string(&pids) {
        assert_eq!(lines, ["before"]);
        for pid in pids.split_whitespace() {
            wait_for(|| !is_alive(pid));
        }
    }
}

#[test]
fn at_the_end_running_hooks_are_killed_after_a_moment_and_waiting_ones_are_not_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (sender, orders) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let token = stop.clone();
    let worker = std::thread::spawn(move || block_on(run(orders, token)));
    let give = |event, text: &str| {
        let order = order_for("/a.pem", event, &["/bin/sh", "-c", text]);
        sender.send(order).unwrap();
    };
    give(
        HookEvent::Renewed,
        &format!("echo $$ > {}; sleep 1000", path("pid")),
    );
    give(HookEvent::Failing, &format!("echo > {}", path("never")));
    wait_for(|| fs::read_to_string(path("pid")).is_ok_and(|pid| pid.ends_with('\n')));
    stop.cancel();
    worker.join().unwrap();
    let pid = fs::read_to_string(path("pid")).unwrap();
    wait_for(|| !is_alive(&pid));
    assert!(!fs::exists(path("never")).unwrap());
}

#[test]
fn one_hook_at_a_time_runs_for_a_certificate_eight_at_once_over_all() {
    let mut queue = Queue::default();
    for number in 0..10 {
        let certificate = format!("/{number}.pem");
        for event in [HookEvent::Failing, HookEvent::Expiring] {
            assert!(queue.push(order_for(&certificate, event, &["/bin/true"])));
        }
    }
    let first: Vec<(PathBuf, HookEvent)> = std::iter::from_fn(|| queue.next())
        .map(|order| (order.facts.certificate, order.facts.event))
        .collect();
    let expected: Vec<(PathBuf, HookEvent)> = (0..8)
        .map(|number| (format!("/{number}.pem").into(), HookEvent::Failing))
        .collect();
    assert_eq!(first, expected);
    queue.finished(Path::new("/3.pem"));
    let next = queue.next().unwrap();
    assert_eq!(
        next.facts.certificate,
        Path::new("/3.pem"),
        "the first that may"
    );
    assert_eq!(next.facts.event, HookEvent::Expiring);
    assert!(queue.next().is_none());
    assert_eq!(queue.waiting(), 11);
}

#[test]
fn of_two_events_of_a_kind_the_newer_one_waits_in_the_place_of_the_older() {
    let mut queue = Queue::default();
    let order = |certificate, event, word| order_for(certificate, event, &["/bin/echo", word]);
    queue.push(order("/a.pem", HookEvent::Renewed, "running"));
    let running = queue.next().unwrap();
    queue.push(order("/a.pem", HookEvent::Renewed, "old"));
    queue.push(order("/a.pem", HookEvent::Failing, "other"));
    queue.push(order("/a.pem", HookEvent::Renewed, "new"));
    assert_eq!(queue.waiting(), 2);
    queue.finished(&running.facts.certificate);
    assert_eq!(queue.next().unwrap().command.arguments, ["new"]);
    assert!(queue.next().is_none());
    queue.finished(Path::new("/a.pem"));
    assert_eq!(queue.next().unwrap().command.arguments, ["other"]);
}

#[test]
fn a_full_queue_takes_no_more_but_newer_facts_of_what_waits() {
    let mut queue = Queue::default();
    let order = order_for("/0.pem", HookEvent::Renewed, &["/bin/true"]);
    let numbered = |number: usize| {
        let mut order = order.clone();
        order.facts.certificate = format!("/{number}.pem").into();
        order
    };
    for number in 0..queue::LONGEST {
        assert!(queue.push(numbered(number)));
    }
    assert!(!queue.push(numbered(queue::LONGEST)));
    assert!(queue.push(numbered(0)));
    assert!(queue.next().is_some());
    assert!(queue.push(numbered(queue::LONGEST)));
}
