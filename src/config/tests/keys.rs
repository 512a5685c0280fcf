//! Every key of the file: read, shown in the example, and refused where it is wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::config::document::ASKED_FOR;

/// The example with its settings in use, in place of being commented out.
fn example_in_use() -> String {
    let example = include_str!("../../../haproxy/staplerd.yaml");
    // A setting stands right behind its mark or is indented below one; prose has one space.
    let is_setting = |line: &str| !line.starts_with(' ') || line.starts_with("  ");
    example
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|line| is_setting(line))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn the_example_is_valid_as_it_is() {
    let config = file(include_str!("../../../haproxy/staplerd.yaml"));
    assert_eq!(config.sources.len(), 1);
    assert_eq!(config.sockets.len(), 1);
}

#[test]
fn the_example_is_valid_with_every_key_in_use_and_shows_the_defaults() {
    let config = file(&example_in_use());
    let plain = file("");
    assert_eq!(config.renewal_threads, plain.renewal_threads);
    assert_eq!(config.control_socket, plain.control_socket);
    assert_eq!(config.refresh_interval, plain.refresh_interval);
    assert_eq!(config.connect_timeout, plain.connect_timeout);
    assert_eq!(config.request_timeout, plain.request_timeout);
    assert_eq!(config.schedule, plain.schedule);
    assert_eq!(config.file_mode, plain.file_mode);
    assert_eq!(config.recycle, plain.recycle);
    assert_eq!(config.hooks.timeout, plain.hooks.timeout);
    assert_eq!(config.hooks.expiring_within, plain.hooks.expiring_within);
    let responder = config.responder.unwrap();
    assert_eq!(responder.listen, responder::LISTEN);
    assert_eq!(responder.validity, responder::VALIDITY);
    assert_eq!(responder.authorities.len(), 3);
    let Source::Masks(masks) = &config.sources.last().unwrap().source else {
        panic!("{:?}", config.sources)
    };
    let defaults = file("scan_keys: [{folder: /etc/ssl/sites}]\nocsp_folder: /var/lib/staplerd\n");
    assert_eq!(defaults.sources[0].source, Source::Masks(masks.clone()));
}

#[test]
fn the_example_shows_every_key() {
    let example = example_in_use();
    for table in [
        "zzzzzzzz: 1",
        "directories: [{path: /a, zzzzzzzz: 1}]",
        "hooks: {zzzzzzzz: 1}",
        "domains: {d: {cert: a, ocsp: b, zzzzzzzz: 1}}",
        "scan_keys: [{zzzzzzzz: 1}]",
        "responder: {zzzzzzzz: 1, authorities: [{issuer: a, key: b, index: c}]}",
        "responder: {authorities: [{issuer: a, key: b, index: c, zzzzzzzz: 1}]}",
    ] {
        let refusal = mistakes(table).remove(0);
        let refusal = refusal.lines().next().unwrap();
        // A short list, however many keys there are.
        assert!(refusal.contains("the nearest keys are ") || refusal.contains("expected one of "));
        assert!(refusal.matches(", ").count() < 6, "{refusal}");
    }
    let keys = ASKED_FOR.with_borrow(Clone::clone);
    for key in [
        "directories",
        "path",
        "renewed",
        "cert",
        "folder",
        "authorities",
        "index",
    ] {
        assert!(keys.contains(key), "{key} was not asked for");
    }
    for key in keys {
        let shown = example
            .split(|character: char| !(character.is_alphanumeric() || character == '_'))
            .any(|word| word == key);
        // What means the same as another key, or contradicts one that is shown.
        let is_elsewhere = ["parallel_threads", "quiet"].contains(&key);
        assert!(shown || is_elsewhere, "the example lacks {key}");
    }
}

/// The names in the first column of the tables between two headings of a page.
fn named_between<'a>(page: &'a str, heading: &str, next: &str) -> BTreeSet<&'a str> {
    let (_, section) = page.split_once(heading).unwrap();
    let (section, _) = section.split_once(next).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let reference = include_str!("../../../docs/reference.md");
    let documented = named_between(reference, "\n## Configuration file\n", "\n## ");
    file(&example_in_use());
    let keys = ASKED_FOR.with_borrow(Clone::clone);
    assert_eq!(documented, keys);
}

#[test]
fn the_configuration_that_the_readme_shows_is_valid() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config = file(example);
    assert_eq!(config.sources.len(), 1);
    assert!(config.hooks.expiring.is_some());
}

#[test]
fn every_key_is_read() {
    let config = file(
        "directories: [/a]\nhaproxy_config: /etc/haproxy\ncontrol_socket: null\n\
         state_directory: /srv/state\n\
         minimum_validity: 1w 3d 5h\nminimum_validity_percentage: 42.8\nmaximum_age: 30d\non_revoked: staple\npush: fixed\n\
         refresh_interval: 30\nno_recycle: true\nrenewal_threads: 16\n\
         connect_timeout: 3s\nrequest_timeout: 8 sec\nallow_addresses: [loopback]\n\
         allow_ports: [80, 8000-8100]\n\
         responders:\n  ocsp.example.net: null\n  CN=Example CA: http://10.0.0.1/ocsp\n\
         allow_sha1: [CN=Old CA]\nfile_group: 1000\nstop_on_error: True\n\
         verbosity: 3\nlogdir: /var/log/staplerd\nsyslog: on\n\
         output_log: out-{year}.log\nerror_log: err.log\n",
    );
    assert_eq!(config.haproxy_config, [Path::new("/etc/haproxy")]);
    assert_eq!(config.control_socket, None);
    assert_eq!(config.state_directory, Some("/srv/state".into()));
    let validity = Duration::from_secs(10 * 86_400 + 5 * 3600);
    assert_eq!(config.schedule.minimum_validity, validity);
    assert_eq!(config.schedule.minimum_validity_percentage, 42.8);
    assert_eq!(
        config.schedule.maximum_age,
        Duration::from_secs(30 * 86_400)
    );
    assert_eq!(
        config.single_run,
        schedule::SingleRun::new(Some(validity), Some(42.8))
    );
    assert_eq!(config.refresh_interval, Duration::from_secs(30));
    assert_eq!(config.push, Push::Fixed);
    assert!(!config.recycle && config.stop_on_error);
    assert_eq!(config.renewal_threads, 16);
    assert_eq!(config.connect_timeout, Duration::from_secs(3));
    assert_eq!(config.request_timeout, Duration::from_secs(8));
    let may_be_asked = |port: u16| {
        let destination = ([127, 0, 0, 1], port).into();
        config.address_rules.check(destination, false).is_ok()
    };
    assert!(may_be_asked(80) && may_be_asked(8100) && !may_be_asked(8101));
    assert_eq!(
        config.responder_urls(),
        ["http://10.0.0.1/ocsp".to_owned()].into()
    );
    let urls = ["http://ocsp.example.net/".to_owned()];
    assert!(config.overrides.apply("CN=Other", &urls).is_empty());
    assert_eq!(
        config.overrides.apply("CN=Example CA", &urls),
        ["http://10.0.0.1/ocsp"]
    );
    assert_eq!(config.file_group.as_deref(), Some("1000"));
    let logging = Logging {
        verbosity: Some(3),
        quiet: false,
        directory: Some("/var/log/staplerd".into()),
        syslog: true,
    };
    assert_eq!(config.logging, logging);
    assert_eq!(
        config.output_log,
        LogFilePattern::parse("out-{year}.log").ok()
    );
    assert_eq!(config.error_log, LogFilePattern::parse("err.log").ok());
}

#[test]
fn hooks_are_programs_with_their_words() {
    let hooks = file(
        "hooks:\n  renewed: /usr/local/bin/renewed\n  revoked: [/bin/mail, '-s', gone]\n  timeout: 5\n",
    )
    .hooks;
    let command = |program: &str, arguments: &[&str]| Invocation {
        program: program.into(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(hooks.renewed, Some(command("/usr/local/bin/renewed", &[])));
    assert_eq!(hooks.revoked, Some(command("/bin/mail", &["-s", "gone"])));
    assert_eq!(hooks.failing, None);
    assert_eq!(hooks.timeout, Duration::from_secs(5));
    let wrong = mistakes("hooks: {renewed: '/bin/mail root', failing: [], expiring: ['']}\n");
    assert!(
        wrong
            .iter()
            .any(|it| it.contains("hooks.renewed: no shell")),
        "{wrong:?}"
    );
    assert!(
        wrong
            .iter()
            .any(|it| it.contains("hooks.failing: the list is empty")),
        "{wrong:?}"
    );
    assert!(
        wrong
            .iter()
            .any(|it| it.contains("hooks.expiring: expected a program")),
        "{wrong:?}"
    );
}

#[test]
fn the_responder_has_one_source_of_statuses_for_each_authority() {
    let config = file(
        "responder:\n  listen: '[::1]:80'\n  validity: 12h\n  nonce: true\n  archive_cutoff: 365d\n  authorities:\n  \
         - {issuer: ca.pem, key: ca.key, index: index.txt}\n  \
         - {issuer: b.pem, signer: s.pem, key: s.key, crl: b.crl, certificates: issued}\n  \
         - {issuer: c.pem, key: c.key, status_command: [/usr/bin/python3, status.py]}\n",
    );
    let responder = config.responder.unwrap();
    assert_eq!(responder.listen, "[::1]:80".parse().unwrap());
    assert_eq!(
        responder.authorities[0].statuses,
        Statuses::Index("index.txt".into())
    );
    assert_eq!(responder.authorities[1].signer, Some("s.pem".into()));
    assert_eq!(
        responder.authorities[2].statuses,
        Statuses::Command(Invocation {
            program: "/usr/bin/python3".into(),
            arguments: vec!["status.py".to_owned()],
        })
    );
    for wrong in [
        "",
        "index: i, crl: c, certificates: d",
        "crl: c",
        "index: i, certificates: d",
        "index: i, status_command: c",
    ] {
        let text = mistakes(&format!(
            "responder: {{authorities: [{{issuer: a, key: b, {wrong}}}]}}\n"
        ));
        assert!(text[0].contains("expected one of 'index'"), "{text:?}");
    }
    assert!(mistakes("responder: {listen: here}\n")[0].contains("'authorities' is missing"));
}

/// Each mistake with what its message begins with, behind the file's name, and what it holds.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "directorys: [/a]\n",
        "1:1: directorys: unknown key",
        "did you mean directories?",
    ),
    (
        "refresh_intervall: 5\n",
        "1:1: ",
        "did you mean refresh_interval?",
    ),
    (
        "directories:\n  - path: /a\n    sockt: [x]\n",
        "3:5: directories[0].sockt: ",
        "sockets?",
    ),
    (
        "directories:\n  - sockets: [/x]\n",
        "2:5: directories[0]: ",
        "'path' is missing",
    ),
    (
        "directories: [/a, {path: /a/, sockets: [/s]}]\n",
        "1:19: ",
        "named at staplerd.yaml:1",
    ),
    (
        "directories: /a\n",
        "1:14: directories: expected a list",
        "found '/a'",
    ),
    (
        "directories: []\n",
        "1:14: directories: the list is empty",
        "leave the key out",
    ),
    (
        "recursive: 5\n",
        "1:12: recursive: expected true or false",
        "found '5'",
    ),
    (
        "recursive: 'yes'\n",
        "1:12: recursive: expected true or false",
        "'yes'",
    ),
    ("file_mode: 0666\n", "1:12: file_mode: '0666'", "octal"),
    ("file_mode: 640x\n", "1:12: file_mode: '640x'", "octal"),
    (
        "file_extensions: [a/b]\n",
        "1:19: file_extensions[0]: 'a/b'",
        "pem",
    ),
    (
        "minimum_validity: soon\n",
        "1:19: minimum_validity: ",
        "a duration such as",
    ),
    (
        "minimum_validity: 3y\n",
        "1:19: minimum_validity: ",
        "a duration such as",
    ),
    (
        "minimum_validity: 400d\n",
        "1:19: minimum_validity: 400d is not",
        "between 0s and 366d",
    ),
    (
        "maximum_age: 1h\n",
        "1:14: maximum_age: 1h is not",
        "between 1d and 366d",
    ),
    (
        "minimum_validity_percentage: 101\n",
        "1:30: ",
        "between 0 and 100",
    ),
    (
        "minimum_validity_percentage: .nan\n",
        "1:30: ",
        "between 0 and 100",
    ),
    (
        "push: sometimes\n",
        "1:7: push: expected always, fixed or never",
        "'sometimes'",
    ),
    (
        "on_revoked: panic\n",
        "1:13: on_revoked: expected withhold or staple",
        "'panic'",
    ),
    (
        "renewal_threads: 0\n",
        "1:18: renewal_threads: 0 is not",
        "between 1 and 512",
    ),
    (
        "renewal_threads: '16'\n",
        "1:18: renewal_threads: expected a whole number",
        "'16'",
    ),
    (
        "renewal_threads: 1\nparallel_threads: 2\n",
        "2:19: parallel_threads: ",
        "renewal_threads",
    ),
    (
        "renewal_threads: 1\nrenewal_threads: 2\n",
        "2:1: renewal_threads: ",
        "first in line 1",
    ),
    (
        "request_timeout: 1d\n",
        "1:18: request_timeout: 1d is not between 1s and 5m",
        "",
    ),
    (
        "allow_addresses: [neighbours]\n",
        "1:19: allow_addresses[0]: ",
        "neighbours",
    ),
    (
        "allow_ports: [80, 90-80]\n",
        "1:19: allow_ports[1]: ",
        "such as 8000-8100",
    ),
    (
        "refuse_private_addresses: true\nallow_addresses: [10.0.0.0/8, private]\n",
        "2:31: allow_addresses[1]: ",
        "contradicts refuse_private_addresses",
    ),
    ("http_proxy: socks5://x\n", "1:13: http_proxy: ", "socks5"),
    (
        "responders: {nonsense key: null}\n",
        "1:28: responders.nonsense key: ",
        "neither an issuer",
    ),
    (
        "responders: {a.example: 'ftp://x'}\n",
        "1:25: responders.a.example: ",
        "ftp",
    ),
    (
        "allow_sha1: [everyone]\n",
        "1:14: allow_sha1[0]: 'everyone'",
        "CN=Old CA",
    ),
    (
        "haproxy_sockets: ['nowhere:1']\n",
        "1:19: haproxy_sockets[0]: ",
        "no control socket",
    ),
    (
        "keep_backups: 5\n",
        "1:15: keep_backups: ",
        "make_backups: true",
    ),
    (
        "verbosity: 5\n",
        "1:12: verbosity: 5 is not between 0 and 4",
        "",
    ),
    (
        "quiet: true\nverbosity: 2\n",
        "2:12: verbosity: ",
        "contradicts quiet",
    ),
    (
        "output_log: 'x-{week}.log'\n",
        "1:13: output_log: ",
        "{year}",
    ),
    (
        "control_socket: ''\n",
        "1:17: control_socket: expected a path",
        "",
    ),
    (
        "file_group: [a]\n",
        "1:13: file_group: expected text",
        "found a list",
    ),
    ("- 1\n", "1:1: expected keys with values", "found a list"),
    (
        "just words\n",
        "1:1: expected keys with values",
        "'just words'",
    ),
    (
        "? [a]\n: 1\n",
        "1:3: ?: expected text as a key",
        "found a list",
    ),
    ("quiet: [\n", "2:1: ", ""),
    (
        "quiet: true\n--- \nquiet: true\n",
        "2:1: ",
        "second document",
    ),
];

#[test]
fn a_mistake_comes_with_file_line_column_key_what_is_expected_and_the_line() {
    for (text, begin, part) in MISTAKES {
        let found = mistakes(text);
        let begin = format!("staplerd.yaml:{begin}");
        assert!(
            found.len() == 1 && found[0].starts_with(&begin) && found[0].contains(part),
            "{text}: {found:#?}"
        );
        let line: usize = found[0].split(':').nth(1).unwrap().parse().unwrap();
        if let Some(line) = text.lines().nth(line - 1) {
            // What stands in a proxy's line may be a password.
            let line = match line.split_once("_proxy:") {
                Some((scheme, _)) => format!("{scheme}_proxy: \u{2026}"),
                None => line.trim_end().to_owned(),
            };
            let shown = format!("\n    {line}");
            assert!(found[0].ends_with(&shown), "{text}: {found:#?}");
        }
    }
}

#[test]
fn all_mistakes_come_at_once_in_their_order() {
    let text = "recursive: maybe\ndirectories:\n  - {path: /a, nonsense: 1}\n  - {sockets: []}\nrefresh_interval: 0\n";
    let found = mistakes(text);
    let lines: Vec<&str> = found
        .iter()
        .map(|it| it.split(':').nth(1).unwrap())
        .collect();
    assert_eq!(lines, ["1", "3", "4", "4", "5"], "{found:#?}");
}

#[test]
fn words_and_numbers_are_those_of_yaml_1_1_as_well() {
    for word in ["True", "yes", "ON", "true"] {
        assert!(!file(&format!("no_recycle: {word}\n")).recycle, "{word}");
    }
    for word in ["False", "no", "Off", "false"] {
        assert!(file(&format!("no_recycle: {word}\n")).recycle, "{word}");
    }
    for mode in ["0640", "640", "'0640'", "0o640"] {
        let config = file(&format!("file_mode: {mode}\n"));
        assert_eq!(config.file_mode, 0o640, "{mode}");
    }
    assert_eq!(file("file_group:\nignore: ~\n").file_group, None);
    assert_eq!(file("# nothing\n").origin(), Origin::Nothing);
}

#[test]
fn anchors_aliases_and_merge_keys_are_understood() {
    let config = file(
        "directories:\n  - &first\n    path: /a\n    sockets: [/1.sock]\n    recursive: true\n  \
         - <<: *first\n    path: /b\n",
    );
    assert_eq!(directory(&config, 1).path, Path::new("/b"));
    assert!(directory(&config, 1).recursive);
    assert_eq!(config.sources[1].sockets, [0]);
    let wrong = mistakes("directories: [{path: /a, <<: 5}]\n");
    assert!(
        wrong[0].contains("directories[0].<<: expected keys with values"),
        "{wrong:?}"
    );
}
