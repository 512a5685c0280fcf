//! What people see: tables of all widths, bars, colours.

use std::time::Duration;

use super::style::{Style, width_of};
use super::{table, timeline};
use crate::control::{
    CertificateView, DirectoryStatus, LiveStatus, PlaceView, Problem, ProcessView, SCHEMA,
    SocketStatus, StapleStatus, StatusView,
};
use crate::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// 2026-11-20T12:00:00Z.
const NOW: Timestamp = Timestamp::from_unix(1_795_176_000);

const PLAIN: Style = Style {
    width: None,
    has_colours: false,
};

fn wide(width: usize) -> Style {
    Style {
        width: Some(width),
        has_colours: false,
    }
}

fn place(error: Option<(&str, &str)>) -> PlaceView {
    PlaceView {
        current: error.is_none(),
        error: error.map(|(reason, message)| Problem {
            reason: reason.to_owned(),
            message: message.to_owned(),
        }),
    }
}

fn live(socket: &str, error: Option<(&str, &str)>) -> LiveStatus {
    LiveStatus {
        socket: socket.to_owned(),
        place: place(error),
    }
}

/// A certificate with a staple from a day ago until in three days, renewed in a day.
fn fresh(path: &str) -> CertificateView {
    let until = NOW.saturating_add(3 * DAY);
    CertificateView {
        path: path.to_owned(),
        state: "fresh".to_owned(),
        message: "a valid staple is held".to_owned(),
        staple: Some(StapleStatus {
            status: "good".to_owned(),
            this_update: NOW.saturating_sub(DAY),
            next_update: until,
            until,
        }),
        next_request: Some(NOW.saturating_add(DAY)),
        disk: Some(place(None)),
        live: vec![live("/run/haproxy/admin.sock", None)],
        ..CertificateView::default()
    }
}

fn failing(path: &str) -> CertificateView {
    CertificateView {
        state: "failing".to_owned(),
        message: "http://ocsp.example: connection refused".to_owned(),
        reason: Some("connect_refused".to_owned()),
        needs_attention: true,
        staple: None,
        next_request: Some(NOW.saturating_add(HOUR)),
        failures: 3,
        live: vec![live("/run/haproxy/admin.sock", Some(("x", "")))],
        ..fresh(path)
    }
}

fn status(certificates: Vec<CertificateView>) -> StatusView {
    StatusView {
        schema: SCHEMA,
        version: "1.2.3".to_owned(),
        pid: 7,
        time: NOW,
        needs_attention: certificates.iter().any(|it| it.needs_attention),
        certificates,
        sockets: vec![SocketStatus {
            socket: "/run/haproxy/admin.sock".to_owned(),
            needs_attention: false,
            process: Some(ProcessView {
                version: "3.2".to_owned(),
                release: "3.2.26-1".to_owned(),
                pid: 4711,
            }),
            error: None,
            notices: Vec::new(),
            stores: Some(2),
            not_loaded: vec!["/certs/new.pem".to_owned()],
            not_looked_after: vec!["/else/where.pem".to_owned()],
            differences: Vec::new(),
            quarantined: Vec::new(),
        }],
        unusable_directories: Vec::new(),
    }
}

#[test]
fn the_table_says_how_long_where_and_what_is_wrong() {
    let mut bad = failing("/certs/bad.pem");
    bad.disk = Some(place(Some(("no_space", "/certs: no space left on device"))));
    bad.live = vec![
        live("/1.sock", None),
        live("/2.sock", Some(("not_loaded", "not loaded"))),
    ];
    let shown = table::lines(&status(vec![bad, fresh("/certs/good.pem")]), PLAIN);
    let expected = [
        "CERTIFICATE       STATE    STAPLE LEFT  RENEWAL IN  LIVE",
        "/certs/bad.pem    failing  -            1h 0m       1 of 2",
        "  http://ocsp.example: connection refused (3 times in a row)",
        "  not on disk: /certs: no space left on device",
        "  not live in /2.sock: not loaded",
        "/certs/good.pem   fresh    3d 0h        1d 0h       yes",
        "",
        "/run/haproxy/admin.sock: HAProxy 3.2.26-1, process 4711, 2 certificates loaded",
        "  not loaded: /certs/new.pem",
        "  loaded, but not looked after: /else/where.pem",
        "",
        "2 certificate files: 1 failing, 1 fresh; 1 file needs attention",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_names_and_states_are_always_there() {
    let mut long = failing("/etc/haproxy/certificates/of/a/customer/www.example.com.pem");
    long.message = "no answer from http://ocsp.example/".to_owned() + &"x".repeat(300);
    let shown = status(vec![long, fresh("/certs/good.pem")]);
    for width in 40..200 {
        for lines in [
            table::lines(&shown, wide(width)),
            timeline::lines(&shown, wide(width)),
        ] {
            for line in &lines {
                assert!(width_of(line) <= width, "{width}: {line}");
            }
            let whole = lines.join("\n");
            for word in ["example.com.pem", "failing", "good.pem", "fresh"] {
                assert!(whole.contains(word), "{width}: no {word} in {whole}");
            }
        }
    }
}

#[test]
fn a_bar_shows_past_now_renewal_and_end() {
    let shown = timeline::lines(&status(vec![fresh("/certs/good.pem")]), wide(67));
    assert_eq!(shown[0], "/certs/good.pem  fresh");
    // Four days on 41 characters: ten for each.
    assert_eq!(
        shown[1],
        "  11-19 12:00 ├━━━━━━━━━●─────────R───────────────────┤ 11-23 12:00"
    );
    assert!(shown[3].contains("● now"), "{shown:?}");
}

#[test]
fn a_bar_shows_an_end_before_next_update_and_a_renewal_that_is_due() {
    let mut certificate = fresh("/certs/good.pem");
    let staple = certificate.staple.as_mut().unwrap();
    staple.until = NOW.saturating_add(DAY);
    certificate.next_request = Some(NOW);
    let shown = timeline::lines(&status(vec![certificate]), wide(67));
    assert_eq!(
        shown[1],
        "  11-19 12:00 ├━━━━━━━━━●─────────╳───────────────────┤ 11-23 12:00"
    );
}

#[test]
fn a_certificate_without_a_staple_has_no_bar_but_its_reason() {
    let shown = timeline::lines(&status(vec![failing("/certs/bad.pem")]), wide(80));
    assert_eq!(shown[..2], ["/certs/bad.pem  failing", "  no staple"]);
    assert!(shown[2].contains("connection refused"));
}

#[test]
fn colours_are_used_only_where_they_may_be() {
    let shown = status(vec![failing("/certs/bad.pem"), fresh("/certs/good.pem")]);
    let painted = Style {
        width: Some(80),
        has_colours: true,
    };
    let lines = table::lines(&shown, painted);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("\x1b[31mfailing\x1b[0m"))
    );
    assert!(lines.iter().any(|line| line.contains("\x1b[32mfresh")));
    let plain = table::lines(&shown, wide(80));
    assert!(plain.iter().all(|line| !line.contains('\x1b')));
}

#[test]
fn names_from_elsewhere_cannot_take_over_the_terminal() {
    let mut certificate = failing("/certs/\x1b[2J.pem");
    certificate.message = "said \x1b]0;x\x07".to_owned();
    let shown = status(vec![certificate]);
    for lines in [
        table::lines(&shown, wide(80)),
        timeline::lines(&shown, wide(80)),
    ] {
        assert!(lines.iter().all(|line| !line.contains(char::is_control)));
    }
}

#[test]
fn what_is_too_much_for_a_screen_is_left_out_at_the_end() {
    let mut lines: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    table::shorten(&mut lines, 10);
    assert_eq!(lines.len(), 10);
    table::shorten(&mut lines, 4);
    assert_eq!(lines, ["0", "1", "2", "… 7 more lines"]);
}

#[test]
fn directories_and_processes_in_trouble_are_counted_and_explained() {
    let mut shown = status(Vec::new());
    let problem = Problem {
        reason: "missing".to_owned(),
        message: "does not exist".to_owned(),
    };
    shown.sockets[0].needs_attention = true;
    shown.sockets[0].process = None;
    shown.sockets[0].stores = None;
    shown.sockets[0].error = Some(problem.clone());
    shown.sockets[0].not_loaded.clear();
    shown.sockets[0].not_looked_after.clear();
    shown.unusable_directories.push(DirectoryStatus {
        path: "/missing".to_owned(),
        error: problem,
    });
    let expected = [
        "/run/haproxy/admin.sock: no connection",
        "  does not exist",
        "/missing",
        "  does not exist",
        "",
        "0 certificate files; 1 socket and 1 directory need attention",
    ];
    assert_eq!(table::lines(&shown, PLAIN), expected);
}

#[test]
fn nothing_to_look_after_is_said() {
    let mut empty = status(Vec::new());
    empty.sockets.clear();
    assert_eq!(table::lines(&empty, PLAIN), ["0 certificate files"]);
}
