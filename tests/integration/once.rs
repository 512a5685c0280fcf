//! `staplerd once` in ocspbot's place: its files, its names, its exit codes; and `--one-off` in
//! stapled's.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::daemon::authority::{OpensslAuthority, Signer};
use crate::support::haproxy::{self, Haproxy, Setup};

/// A folder with ocspbot's certificates in it and a CA that answers for them.
struct Cron {
    authority: OpensslAuthority,
    directory: TempDir,
}

impl Cron {
    fn new(test: &str, names: &[&str]) -> Option<Cron> {
        let mut authority = OpensslAuthority::new(test)?;
        for name in names {
            authority.issue(name, "prime256v1");
        }
        authority.start_responder(Signer::Delegate);
        let cron = Cron {
            authority,
            directory: tempfile::tempdir().unwrap(),
        };
        for folder in ["tls/certs", "ocsp/responses", "ocsp/logs"] {
            fs::create_dir_all(cron.path(folder)).unwrap();
        }
        for name in names {
            cron.lay(name, "tls/certs");
        }
        Some(cron)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Certificate, chain and root chain, as ocspbot wants them: without keys, apart.
    fn lay(&self, name: &str, folder: &str) {
        let read = |name: &str| self.authority.read(name);
        let chain = read("issuer.pem");
        let rootchain = read("issuer.pem") + &read("root.pem");
        for (suffix, content) in [
            ("", read(&format!("{name}.pem"))),
            ("-chain", chain),
            ("-rootchain", rootchain),
        ] {
            let file = self.path(folder).join(format!("{name}{suffix}.pem"));
            fs::write(file, content).unwrap();
        }
    }

    fn configure(&self, text: &str) {
        let base = self.directory.path().to_str().unwrap();
        let text = text.replace("/var/www", base);
        fs::write(self.path("ocspbot.yaml"), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .current_dir(self.directory.path())
            .arg("once")
            .args(arguments)
            .output()
            .unwrap()
    }

    fn code(&self, arguments: &[&str]) -> i32 {
        let output = self.run(arguments);
        output.status.code().unwrap_or_else(|| panic!("{output:?}"))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let items = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = items
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The example of ocspbot's documentation, with responders on loopback allowed.
const EXAMPLE: &str = "---
allow_addresses: [loopback]
openssl_executable: openssl

minimum_validity: 3d
minimum_validity_percentage: 42.8

ocsp_folder: /var/www/ocsp/responses

parallel_threads: 1

output_log: /var/www/ocsp/logs/example-{year}{month}{day}-{hour}{minute}{second}.log

make_backups: True

domains:
  example.com:
    cert: /var/www/tls/certs/example.com.pem
    chain: /var/www/tls/certs/example.com-chain.pem
    rootchain: /var/www/tls/certs/example.com-rootchain.pem
    ocsp: example.com.ocsp-resp
  example.org:
    cert: /var/www/tls/certs/example.org.pem
    chain: /var/www/tls/certs/example.org-chain.pem
    rootchain: /var/www/tls/certs/example.org-rootchain.pem
    ocsp: example.org.ocsp-resp
";

#[test]
fn the_example_of_ocspbots_documentation_gives_its_exit_codes_and_names() {
    let Some(cron) = Cron::new("ocspbot's example", &["example.com", "example.org"]) else {
        return;
    };
    cron.configure(EXAMPLE);
    assert_eq!(cron.code(&["--dry-run"]), 0);
    assert!(cron.names("ocsp/responses").is_empty());
    // The configuration's name is ocspbot's default.
    assert_eq!(cron.code(&[]), 2, "two were renewed");
    let staples = ["example.com.ocsp-resp", "example.org.ocsp-resp"];
    let written = cron.names("ocsp/responses");
    for staple in staples {
        assert!(written.contains(&staple.to_owned()), "{written:?}");
        let response = fs::read(cron.path("ocsp/responses").join(staple)).unwrap();
        let name = staple.strip_suffix(".ocsp-resp").unwrap();
        assert!(cron.authority.accepts(name, &response));
    }
    let is_stamped = |name: &str| {
        name.strip_prefix("example-")
            .is_some_and(|rest| rest.len() == "20170415-060000.log".len() && rest.ends_with(".log"))
    };
    let logs = cron.names("ocsp/logs");
    assert!(
        !logs.is_empty() && logs.iter().all(|name| is_stamped(name)),
        "{logs:?}"
    );
    // The responder's answers live for four days, and three must remain.
    assert_eq!(cron.code(&["ocspbot.yaml"]), 0);
    // No answer lives for a week: they are due, and the responder has nothing newer.
    cron.configure(&EXAMPLE.replace("3d", "1w"));
    assert_eq!(cron.code(&["ocspbot.yaml"]), 0);
}

#[test]
fn what_is_good_for_longer_is_left_alone() {
    let Some(cron) = Cron::new("nothing due", &["a"]) else {
        return;
    };
    cron.configure(
        "allow_addresses: [loopback]\nminimum_validity: 1h\nocsp_folder: ocsp/responses\n\
         scan_keys:\n  - folder: tls/certs\n",
    );
    assert_eq!(cron.code(&[]), 1);
    let before = fs::read(cron.path("ocsp/responses/a.ocsp-resp")).unwrap();
    let again = cron.run(&[]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(text(&again.stdout).contains("0 renewed, 1 unchanged, 0 failed"));
    assert_eq!(
        fs::read(cron.path("ocsp/responses/a.ocsp-resp")).unwrap(),
        before
    );
}

#[test]
fn folders_are_scanned_with_their_structure_kept() {
    let Some(mut cron) = Cron::new("recursive scan", &["a"]) else {
        return;
    };
    cron.authority.issue("b", "prime256v1");
    fs::create_dir_all(cron.path("tls/certs/sites/deep")).unwrap();
    cron.lay("b", "tls/certs/sites/deep");
    cron.configure(
        "allow_addresses: [loopback]\nminimum_validity: 1h\nocsp_folder: ocsp/responses\n\
         scan_keys:\n  - folder: tls/certs\n    ocsp_mask: '{domain}.der'\n",
    );
    let output = cron.run(&[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(cron.path("ocsp/responses/a.der").is_file());
    assert!(cron.path("ocsp/responses/sites/deep/b.der").is_file());
}

#[test]
fn a_certificate_that_is_named_several_times_has_all_of_its_staples_by_one_request() {
    let Some(cron) = Cron::new("several staples", &["a"]) else {
        return;
    };
    cron.configure(
        "allow_addresses: [loopback]\nminimum_validity: 1h\nocsp_folder: ocsp/responses\n\
         scan_keys:\n  - folder: tls/certs\ndomains:\n\
         \x20 one: {cert: tls/certs/a.pem, chain: tls/certs/a-chain.pem, ocsp: one}\n\
         \x20 two: {cert: tls/certs/a.pem, chain: tls/certs/a-chain.pem, ocsp: two}\n",
    );
    let output = cron.run(&["ocspbot.yaml", "--verbose"]);
    assert_eq!(output.status.code(), Some(3), "as ocspbot: {output:?}");
    let log = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(log.matches("renewed: response of").count(), 1, "{log}");
    let names = ["a.ocsp-resp", "one", "two"];
    assert_eq!(cron.names("ocsp/responses"), names);
    let read = |name: &str| fs::read(cron.path("ocsp/responses").join(name)).unwrap();
    assert!(cron.authority.accepts("a", &read("one")));
    assert!(names.map(read).windows(2).all(|two| two[0] == two[1]));
    // One that was lost is there again, and nobody is asked for it.
    for lost in names {
        let before = read("one");
        fs::remove_file(cron.path("ocsp/responses").join(lost)).unwrap();
        let output = cron.run(&["ocspbot.yaml", "--verbose"]);
        let log = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(cron.names("ocsp/responses"), names, "{log}");
        assert!(!log.contains("renewed: response of"), "{log}");
        let all = names.map(read);
        assert!(all.iter().all(|one| *one == before), "{lost}: {log}");
    }
    let again = cron.run(&["ocspbot.yaml"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
}

#[test]
fn bare_names_are_files_of_the_working_directory() {
    let Some(cron) = Cron::new("bare names", &["a", "b"]) else {
        return;
    };
    for name in ["a.pem", "a-chain.pem", "b.pem"] {
        fs::copy(cron.path("tls/certs").join(name), cron.path(name)).unwrap();
    }
    for folder in ["", "ocsp_folder: ''\n", "ocsp_folder: .\n"] {
        cron.configure(&format!(
            "allow_addresses: [loopback]\nminimum_validity: 1h\n{folder}\
             domains:\n  a:\n    cert: a.pem\n    chain: a-chain.pem\n    ocsp: a.ocsp-resp\n"
        ));
        let output = cron.run(&[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let response = fs::read(cron.path("a.ocsp-resp")).unwrap();
        assert!(cron.authority.accepts("a", &response));
        fs::remove_file(cron.path("a.ocsp-resp")).unwrap();
    }
    let chained = cron.authority.bundle("b");
    fs::write(cron.path("b.pem"), chained).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .current_dir(cron.directory.path())
        .args(["--one-off", "--allow-addresses", "loopback", "-p", "b.pem"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(cron.path("b.pem.ocsp").is_file());
}

#[test]
fn errors_have_ocspbots_exit_codes_and_say_what_is_wrong() {
    let Some(cron) = Cron::new("exit codes", &["a"]) else {
        return;
    };
    assert_eq!(cron.code(&["missing.yaml"]), 254);
    assert_eq!(cron.code(&["a.yaml", "b.yaml"]), 252);
    assert_eq!(cron.code(&["--no-such-option"]), 252);
    assert_eq!(cron.code(&["--help"]), 0);
    cron.configure("minimum_validity_percentage: 120\n");
    let senseless = cron.run(&[]);
    assert_eq!(senseless.status.code(), Some(253), "{senseless:?}");
    assert!(text(&senseless.stderr).contains("ocspbot.yaml:1:"));
    let domain = |url: &str| {
        format!(
            "allow_addresses: [loopback]\nminimum_validity: 1h\nocsp_folder: ocsp/responses\n\
             error_log: errors.log\n\
             domains:\n  a:\n    cert: tls/certs/a.pem\n    chain: tls/certs/a-chain.pem\n    \
             rootchain: tls/certs/a-rootchain.pem\n    ocsp: a.ocsp-resp\n    \
             ocsp_responder_uri: {url}\n"
        )
    };
    // The certificate's own responder would answer; nobody does at the other.
    cron.configure(&domain("http://127.0.0.1:1/"));
    let failed = cron.run(&[]);
    assert_eq!(failed.status.code(), Some(255), "{failed:?}");
    assert!(text(&failed.stdout).contains("0 renewed, 0 unchanged, 1 failed"));
    let log = fs::read_to_string(cron.path("errors.log")).unwrap();
    assert!(
        log.contains("127.0.0.1:1") && log.contains("[a] tls/certs/a.pem"),
        "{log}"
    );
    assert_eq!(text(&failed.stderr), "", "errors go to their log");
    cron.configure(&domain("certificate"));
    assert_eq!(cron.code(&[]), 1);
    cron.configure(&domain("certificate").replace("errors.log", "no/such/folder.log"));
    assert_eq!(cron.code(&[]), 254);
}

#[test]
fn what_names_no_certificate_is_told_apart_as_ocspbot_does() {
    let cron = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .current_dir(cron.path())
            .env("HOME", cron.path())
            .arg("once")
            .args(arguments)
            .output()
            .unwrap();
        let code = output.status.code().unwrap();
        (code, text(&output.stdout), text(&output.stderr))
    };
    let configure = |text: &str| fs::write(cron.path().join("ocspbot.yaml"), text).unwrap();
    let (code, _, said) = run(&[]);
    assert_eq!(code, 254);
    assert!(said.contains("no ocspbot.yaml"), "{said}");
    for (content, expected, sentence) in [
        ("", 254, "names no certificates"),
        ("# nothing\n", 254, "names no certificates"),
        ("domains: {unfinished\n", 254, "ocspbot.yaml:"),
        ("domains: {}\n", 0, ""),
        ("scan_keys: []\n", 0, ""),
        ("includes: [empty]\n", 0, ""),
        ("domains: {}\nunheard_of: 1\n", 253, "unheard_of"),
    ] {
        configure(content);
        fs::create_dir_all(cron.path().join("empty")).unwrap();
        let (code, out, said) = run(&[]);
        assert_eq!(code, expected, "{content}: {out}{said}");
        assert!(said.contains(sentence), "{content}: {said}");
        assert_eq!(code == 0, out.contains("success: 0 renewed"), "{out}");
    }
    configure("error_log: wrong.log\ndomains: {}\nunheard_of: 1\n");
    let (code, _, said) = run(&[]);
    assert_eq!(code, 253);
    assert_eq!(
        fs::read_to_string(cron.path().join("wrong.log")).unwrap(),
        said
    );
    for version in ["-v", "-version", "--version"] {
        let (code, out, _) = run(&[version]);
        assert_eq!(
            (code, out),
            (0, format!("staplerd-once {}\n", env!("CARGO_PKG_VERSION")))
        );
    }
}

#[test]
fn a_one_off_run_of_the_daemon_fails_only_where_something_failed() {
    let Some(mut authority) = OpensslAuthority::new("one-off") else {
        return;
    };
    authority.issue("a", "prime256v1");
    authority.start_responder(Signer::Issuer);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.pem"), authority.bundle("a")).unwrap();
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .args(["--one-off", "--allow-addresses", "loopback", "-d"])
            .arg(directory.path())
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, log) = run();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("success: 1 renewed"), "{log}");
    assert_eq!(names(directory.path()), ["a.pem", "a.pem.ocsp"]);
    fs::write(directory.path().join("b.pem"), "half a certificate").unwrap();
    let (code, log) = run();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("failure: 0 renewed, 1 unchanged, 1 failed"),
        "{log}"
    );
}

#[test]
fn the_first_error_ends_a_run_that_is_to_stop_there_and_keeps_what_came_before() {
    let Some(cron) = Cron::new("stop_on_error", &["a", "m", "z"]) else {
        return;
    };
    let domain = |name: &str, url: &str| {
        format!(
            "  {name}:\n    cert: tls/certs/{name}.pem\n    chain: tls/certs/{name}-chain.pem\n    \
             ocsp: {name}.ocsp-resp\n    ocsp_responder_uri: {url}\n"
        )
    };
    // In the file's order, not in that of the names; nobody answers for the second.
    cron.configure(&format!(
        "allow_addresses: [loopback]\nminimum_validity: 1h\nocsp_folder: ocsp/responses\n\
         parallel_threads: 1\nstop_on_error: true\ndomains:\n{}{}{}",
        domain("z", "certificate"),
        domain("m", "http://127.0.0.1:1/"),
        domain("a", "certificate"),
    ));
    let output = cron.run(&[]);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    assert_eq!(cron.names("ocsp/responses"), ["z.ocsp-resp"]);
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    let expected = "cut off: 1 renewed, 0 unchanged, 1 failed, 0 without a responder, 1 not tried";
    assert!(out.contains(expected), "{out}");
    // What will not be done is not announced.
    for announcement in ["next attempt", "next request"] {
        assert!(!(out.clone() + &said).contains(announcement), "{out}{said}");
    }
}

#[test]
fn a_staple_is_called_renewed_only_when_it_is_written() {
    let Some(cron) = Cron::new("renewed", &["a"]) else {
        return;
    };
    fs::write(cron.path("file"), "no folder").unwrap();
    let configure = |folder: &str| {
        cron.configure(&format!(
            "allow_addresses: [loopback]\nminimum_validity: 1h\nocsp_folder: {folder}\n\
             scan_keys:\n  - folder: tls/certs\n"
        ));
    };
    configure("file");
    let output = cron.run(&[]);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    assert!(!text(&output.stdout).contains("renewed: "), "{output:?}");
    configure("ocsp/responses");
    let output = cron.run(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("renewed: "), "{output:?}");
}

#[test]
fn what_haproxy_has_not_loaded_is_no_failure_and_what_is_not_there_is_one() {
    let test = "places of a single run";
    let Some(mut authority) = OpensslAuthority::new(test) else {
        return;
    };
    let Some(installation) = haproxy::installations(test).pop() else {
        return;
    };
    authority.issue("a", "prime256v1");
    authority.issue("b", "prime256v1");
    authority.start_responder(Signer::Issuer);
    let loaded = authority.bundle("a");
    let haproxy = Haproxy::start(
        &installation,
        Setup::default(),
        &[("a.pem", loaded.as_bytes())],
    );
    // HAProxy would load it at its next start.
    haproxy.write("b.pem", authority.bundle("b").as_bytes());
    let (certs, socket) = (haproxy.path("certs"), haproxy.path("admin.sock"));
    let one_off = |certs: &str, socket: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .args([
                "--one-off",
                "--allow-addresses",
                "loopback",
                "-d",
                certs,
                "-s",
                socket,
            ])
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, log) = one_off(&certs, &socket);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("success: 2 renewed"), "{log}");
    assert!(log.contains("reason=\"not_loaded\""), "{log}");
    let missing = haproxy.path("no-such-place");
    for (certs, socket) in [(&missing, &socket), (&certs, &missing)] {
        let (code, log) = one_off(certs, socket);
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains("1 directories or control sockets unusable"),
            "{log}"
        );
    }
}

#[test]
fn a_url_that_the_operator_wrote_needs_no_permission_and_a_refusal_names_the_key() {
    let Some(cron) = Cron::new("permissions of a single run", &["a"]) else {
        return;
    };
    let scan = "minimum_validity: 1h\nocsp_folder: ocsp/responses\n\
         scan_keys:\n  - folder: tls/certs\n";
    cron.configure(scan);
    let refused = cron.run(&[]);
    assert_eq!(refused.status.code(), Some(255), "{refused:?}");
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(said.contains("'allow_addresses: ["), "{said}");
    assert!(!said.contains("--allow-addresses"), "{said}");
    let url = cron.authority.url();
    cron.configure(&format!("{scan}responders:\n  CN=issuer: {url}\n"));
    assert_eq!(cron.code(&[]), 1);
}
