//! What the lines of configurations ask for. Whether HAProxy sees it the same way is judged by
//! HAProxy itself, in the integration tests.

use std::path::Path;

use proptest::prelude::*;

use super::parser::{Parsed, Parser};
use super::wanted::{Wanted, What};
use super::{MOST_NOTICES, Remark, Testimony};
use crate::haproxy::Level;

fn outside(name: &str) -> Option<String> {
    (name == "CERTS").then(|| "/certs".to_owned())
}

fn parse(text: &str) -> Parsed {
    parse_files(&[("/etc/haproxy/haproxy.cfg", text)])
}

fn parse_files(files: &[(&str, &str)]) -> Parsed {
    let nothing = Testimony::default();
    let mut parser = Parser::new(Path::new("/start"), &outside, &nothing);
    for (path, text) in files {
        parser.file(Path::new(path), text);
    }
    parser.finish()
}

/// The store's name and the file of a certificate, or a crt-list with its file.
fn said(wanted: &Wanted) -> (&str, String) {
    let (name, file) = match &wanted.what {
        What::Certificate(entry) => (entry.name.as_str(), &entry.file),
        What::List(list) => ("crt-list", list),
    };
    let file = wanted.settings.locate(file);
    (name, file.to_str().unwrap().to_owned())
}

fn names(parsed: &Parsed) -> Vec<&str> {
    parsed.wanted.iter().map(|wanted| said(wanted).0).collect()
}

fn files(parsed: &Parsed) -> Vec<String> {
    parsed.wanted.iter().map(|wanted| said(wanted).1).collect()
}

/// Line and kind of each notice.
fn remarks(parsed: &Parsed) -> Vec<(usize, &'static str)> {
    parsed
        .notices
        .iter()
        .map(|notice| (notice.place.line, notice.remark.kind()))
        .collect()
}

#[test]
fn every_way_to_name_a_certificate_on_a_bind_line_is_seen() {
    let parsed = parse(
        "global # main\n\
         \tcrt-base /base/\n\
         frontend one\n\
         \tbind :443 ssl crt a.pem crt '/x/b c.pem' default-crt \"$CERTS/d.pem\" alpn h2\n\
         \tbind quic4@:443 name crt crt e.pem ssl crt-list list\n\
         \tno option crt f.pem\n\
         listen two\n\
         \tbind :444 ssl crt @web/g\n\
         \tssl-f-use alpn h2 crt h.pem\n\
         peers three\n\
         \tbind :445 ssl crt i.pem\n\
         \tdefault-bind ssl crt j.pem\n\
         log-forward four\n\
         \tbind :446 ssl crt k.pem\n\
         backend five\n\
         \tserver s 10.0.0.1:443 ssl crt client.pem\n\
         userlist six\n\
         \tbind :447 ssl crt none.pem\n",
    );
    assert_eq!(
        parsed.wanted.iter().map(said).collect::<Vec<_>>(),
        [
            ("/base//a.pem", "/base//a.pem".to_owned()),
            ("/x/b c.pem", "/x/b c.pem".to_owned()),
            ("/certs/d.pem", "/certs/d.pem".to_owned()),
            ("/base//e.pem", "/base//e.pem".to_owned()),
            ("crt-list", "/start/list".to_owned()),
            ("@web/g", "/start/@web/g".to_owned()),
            ("/base//h.pem", "/base//h.pem".to_owned()),
            ("/base//i.pem", "/base//i.pem".to_owned()),
            ("/base//j.pem", "/base//j.pem".to_owned()),
            ("/base//k.pem", "/base//k.pem".to_owned()),
        ]
    );
    assert_eq!(remarks(&parsed), []);
}

#[test]
fn stores_are_named_as_haproxy_names_them_and_read_only_what_they_name() {
    let parsed = parse(
        "global\n\
         \tcrt-base /base\n\
         crt-store\n\
         \tload crt a.pem key \"$UNKNOWN/a.key\" ocsp a.ocsp issuer a.issuer\n\
         \tload crt b.pem alias bee ocsp-update on\n\
         crt-store web\n\
         \tcrt-base /web\n\
         \tload crt c.pem ocsp /elsewhere/c.ocsp\n\
         \tload crt /abs/d.pem\n\
         \tload alias e crt e.pem\n",
    );
    assert_eq!(
        parsed.wanted.iter().map(said).collect::<Vec<_>>(),
        [
            ("/base/a.pem", "/base/a.pem".to_owned()),
            ("@/bee", "/base/b.pem".to_owned()),
            ("@web/c.pem", "/web/c.pem".to_owned()),
            ("@web/abs/d.pem", "/abs/d.pem".to_owned()),
            ("@web/e", "/web/e.pem".to_owned()),
        ]
    );
    let companions: Vec<_> = parsed
        .wanted
        .iter()
        .map(|wanted| match &wanted.what {
            What::Certificate(entry) => {
                let file = wanted.settings.locate(&entry.file);
                let companions = wanted.settings.companions(&file, &entry.options);
                (companions.staple, companions.issuer)
            }
            What::List(_) => panic!("a list"),
        })
        .collect();
    assert_eq!(
        companions,
        [
            ("/base/a.ocsp".into(), Some("/base/a.issuer".into())),
            ("/base/b.pem.ocsp".into(), None),
            ("/elsewhere/c.ocsp".into(), None),
            ("/abs/d.pem.ocsp".into(), None),
            ("/web/e.pem.ocsp".into(), None),
        ]
    );
    let lacking = parsed
        .wanted
        .iter()
        .map(|wanted| matches!(&wanted.what, What::Certificate(entry) if entry.lacks_staple()));
    assert!(lacking.eq([false, false, false, true, true]));
}

#[test]
fn settings_hold_from_their_line_on() {
    let parsed = parse_files(&[
        (
            "/etc/haproxy/1.cfg",
            "frontend a\n\tbind :1 ssl crt a.crt\nglobal\n\tcrt-base /base\n\
             \tssl-load-extra-del-ext\n\tissuers-chain-path chains\n",
        ),
        (
            "/etc/haproxy/2.cfg",
            "frontend b\n\tbind :2 ssl crt a.crt\n",
        ),
    ]);
    assert_eq!(files(&parsed), ["/start/a.crt", "/base/a.crt"]);
    let [before, after] = [0, 1].map(|index| {
        let wanted = &parsed.wanted[index];
        wanted.settings.naming.companions(Path::new("/a.crt"))
    });
    assert_eq!(before.staple, Path::new("/a.crt.ocsp"));
    assert_eq!(before.issuers_chain_path, None);
    assert_eq!(after.staple, Path::new("/a.ocsp"));
    assert_eq!(after.issuers_chain_path, Some("/start/chains".into()));
}

#[test]
fn relative_names_follow_default_path() {
    let bind = "frontend f\n\tbind :1 ssl crt a.pem\n";
    for (policy, folder) in [
        ("current", "/start"),
        ("config", "/etc/haproxy"),
        ("parent", "/etc/haproxy/.."),
        ("origin /srv", "/srv"),
        ("origin srv", "/start/srv"),
    ] {
        let text = format!("global\n\tdefault-path {policy}\n{bind}");
        let files = files(&parse(&text));
        assert_eq!(files, [format!("{folder}/a.pem")], "{policy}");
    }
    let parsed = parse_files(&[
        ("/one/1.cfg", "global\n\tdefault-path config\n"),
        ("/two/2.cfg", bind),
    ]);
    assert_eq!(files(&parsed), ["/two/a.pem"]);
    let parsed = parse("global\n\tdefault-path sideways\n\tdefault-path origin\n");
    assert_eq!(
        remarks(&parsed),
        [(2, "unknown_default_path"), (3, "missing_value")]
    );
}

#[test]
fn variables_come_from_the_configuration_and_then_from_outside() {
    let parsed = parse(
        "global\n\
         \tsetenv A /a\n\
         \tpresetenv A /b\n\
         \tpresetenv B \"$A/b\"\n\
         \tsetenv UNSURE \"$NOPE/x\"\n\
         frontend \"f${.LINE}\"\n\
         \tbind \"$ADDRESS\" ssl crt \"$A/1\" crt \"${B}/2\" crt \"${CERTS}/3\" crt \"${NOPE-/4}\"\n\
         \tbind :1 ssl crt /5 crt \"$NOPE/6\" crt /7 crt \"$UNSURE/8\"\n\
         \tbind :2 ssl crt \"/${.SECTION}\"\n\
         global\n\
         \tunsetenv A\n\
         \tresetenv B\n\
         frontend g\n\
         \tbind :3 ssl crt \"${A-/9}\" crt \"$B\" crt \"${CERTS-/10}\"\n",
    );
    assert_eq!(
        names(&parsed),
        [
            "/a/1", "/a/b/2", "/certs/3", "/4", "/5", "/7", "/f6", "/9", "/a/b", "/10"
        ]
    );
    assert_eq!(remarks(&parsed), [(8, "unknown_variable")]);
    assert!(
        parsed.notices[0].to_string().starts_with(
            "/etc/haproxy/haproxy.cfg:8: the environment variable UNSURE is not set for this program"
        ),
        "{}",
        parsed.notices[0]
    );
}

#[test]
fn a_base_that_is_not_known_loses_only_the_names_that_need_it() {
    let parsed =
        parse("global\n\tcrt-base \"$NOPE\"\nfrontend f\n\tbind :1 ssl crt a.pem crt /b.pem\n");
    assert_eq!(names(&parsed), ["/b.pem"]);
    assert_eq!(remarks(&parsed), [(4, "unknown_variable")]);
}

#[test]
fn conditions_decide_what_is_read() {
    let parsed = parse(
        "global\n\
         \tsetenv TLS yes\n\
         frontend f\n\
         .if streq(\"$TLS\",yes)\n\
         \tbind :1 ssl crt /taken\n\
         .elif version_atleast(3.0)\n\
         \tbind :1 ssl crt /not\n\
         .else\n\
         \tbind :1 ssl crt \"/not\n\
         .endif\n\
         .if !feature(OPENSSL) # none\n\
         .alert \"needed\"\n\
         \tbind :1 ssl crt /not\n\
         .endif\n\
         .if version_atleast(3.0)\n\
         \tbind :1 ssl crt /new\n\
         .else\n\
         \tbind :1 ssl crt /old\n\
         .endif\n\
         .if \"$NOPE\"\n\
         \tbind :1 ssl crt /perhaps\n\
         .endif\n",
    );
    assert_eq!(names(&parsed), ["/taken", "/new", "/old", "/perhaps"]);
    assert_eq!(remarks(&parsed), []);
    let open: Vec<_> = parsed.open.iter().map(|it| &it.notice).collect();
    assert_eq!(
        open.iter().map(|it| it.place.line).collect::<Vec<_>>(),
        [15, 20]
    );
    assert_eq!(
        open[0].remark,
        Remark::Undecided("version_atleast(3.0)".into())
    );
}

#[test]
fn conditions_out_of_place_are_told_and_end_with_their_file() {
    let parsed = parse_files(&[
        ("/1.cfg", ".endif\n.else\nglobal\n.if 0\n\tcrt-base /no\n"),
        ("/2.cfg", "frontend f\n\tbind :1 ssl crt /a\n"),
    ]);
    assert_eq!(
        remarks(&parsed),
        [
            (1, "stray_directive"),
            (2, "stray_directive"),
            (4, "unended")
        ]
    );
    assert_eq!(names(&parsed), ["/a"]);
}

#[test]
fn one_bad_line_does_not_lose_the_rest() {
    let parsed = parse(
        "frontend f\n\
         \tbind :1 ssl crt \"/a\n\
         \tbind :1 ssl crt /b crt\n\
         \tbind\n\
         \tbind :1 ssl crt \"$\" crt /c\n\
         \tssl-f-use alpn h2\n\
         \tbind :1 ssl crt /d\n\
         crt-store\n\
         \tload ocsp x\n",
    );
    assert_eq!(names(&parsed), ["/b", "/d"]);
    assert_eq!(
        remarks(&parsed),
        [
            (2, "unclosed_quote"),
            (3, "missing_value"),
            (5, "invalid_variable"),
            (6, "missing_value"),
            (9, "missing_value"),
        ]
    );
}

#[test]
fn control_sockets_are_found_and_the_most_powerful_is_first() {
    let parsed = parse(
        "global\n\
         \tstats socket /run/operator.sock mode 660\n\
         \tstats socket /run/user.sock level user\n\
         \tstats socket 127.0.0.1:9999,unix@rel.sock user crt level admin\n\
         \tstats socket fd@3 level admin\n\
         \tstats socket :9998 ssl crt /tls.pem level admin\n\
         \tstats socket \"$NOPE\" level admin\n\
         \tstats timeout 30s\n\
         frontend f\n\
         \tstats socket /run/not.sock level admin\n",
    );
    let sockets: Vec<_> = parsed
        .sockets
        .iter()
        .map(|socket| (socket.address.as_str(), socket.level, socket.place.line))
        .collect();
    assert_eq!(
        sockets,
        [
            ("tcp://127.0.0.1:9999", Level::Admin, 4),
            ("/start/rel.sock", Level::Admin, 4),
            ("/run/operator.sock", Level::Operator, 2),
            ("/run/user.sock", Level::User, 3),
        ]
    );
    assert_eq!(
        remarks(&parsed),
        [
            (4, "relative_path"),
            (5, "unusable_socket"),
            (6, "tls_socket"),
            (7, "unknown_variable"),
        ]
    );
}

#[test]
fn a_level_that_does_not_suffice_is_told() {
    let parsed = parse("global\n\tstats socket /run/h.sock\n");
    assert_eq!(remarks(&parsed), [(2, "level_too_low")]);
    assert!(parsed.notices[0].to_string().contains("level operator"));
}

#[test]
fn what_keeps_staples_from_working_is_told() {
    for (line, notices) in [
        ("ssl-load-extra-files none", vec![(2, "staples_not_read")]),
        (
            "ssl-load-extra-files bundle issuer",
            vec![(2, "staples_not_read")],
        ),
        ("ssl-load-extra-files ocsp issuer", vec![]),
        ("ssl-load-extra-files all", vec![]),
        ("ocsp-update.mode on", vec![(2, "all_renewed_by_haproxy")]),
        (
            "tune.ssl.ocsp-update.mode on",
            vec![(2, "all_renewed_by_haproxy")],
        ),
        ("ocsp-update.mode off", vec![]),
    ] {
        let parsed = parse(&format!("global\n\t{line}\n"));
        assert_eq!(remarks(&parsed), notices, "{line}");
    }
}

#[test]
fn a_notice_is_one_line_whatever_a_name_holds() {
    let parsed = parse("global\n\tdefault-path a\\nb\\x1bc\n");
    let notice = parsed.notices[0].to_string();
    assert!(notice.contains(r"a\nb\u{1b}c"), "{notice}");
    assert!(!notice.contains(char::is_control), "{notice}");
}

#[test]
fn notices_are_counted_and_cut() {
    let parsed = parse(&"'\n".repeat(5_000));
    assert_eq!(parsed.notices.len(), MOST_NOTICES + 1);
    let last = parsed.notices.last().unwrap();
    assert_eq!(last.remark, Remark::MoreNotices(5_000 - MOST_NOTICES));
    let parsed = parse(&format!("global\n\tdefault-path {}\n", "é".repeat(20_000)));
    assert!(parsed.notices[0].to_string().chars().count() < 1_100);
}

#[test]
fn names_and_variables_are_bounded() {
    let list = "crt a ".repeat(8_000);
    let text = format!("global\n\tsetenv LIST \"{list}\"\nfrontend f\n");
    let parsed = parse(&(text + &"\tbind :1 ssl \"${LIST[*]}\"\n".repeat(40)));
    assert_eq!(parsed.wanted.len(), 200_000);
    assert_eq!(remarks(&parsed), [(29, "too_many_certificates")]);
    let long = "x".repeat(60_000);
    let variables: String = (0..20)
        .map(|number| format!("\tsetenv A{number} {long}\n"))
        .collect();
    let parsed = parse(&format!("global\n{variables}"));
    assert_eq!(remarks(&parsed)[0], (19, "environment_too_large"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        lines in prop::collection::vec(
            prop_oneof![
                "[ -~é]{0,30}",
                "(bind :1|bind|load|ssl-f-use|crt-base|stats socket|setenv|\\.if|\\.elif|\\.else|\\.endif|\
                 global|frontend f|crt-store s|default-path|resetenv|issuers-chain-path)\
                 ( crt| a| ocsp| level| \"\\$A\"| 1| origin| ssl| crt-list| alias){0,4}",
            ],
            0..12,
        )
    ) {
        let parsed = parse(&lines.join("\n"));
        prop_assert!(parsed.wanted.iter().all(|wanted| wanted.place.line <= lines.len()));
        for notice in &parsed.notices {
            prop_assert!(notice.place.line <= lines.len());
            prop_assert!(!notice.to_string().contains(char::is_control));
        }
    }
}
