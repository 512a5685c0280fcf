//! Options and files together.

mod keys;
mod ocspbot;

use super::*;
use crate::discovery::source::{Directory, Source};

fn options(directories: &[&str], sockets: &[&str]) -> Options {
    Options {
        directories: directories.iter().map(PathBuf::from).collect(),
        sockets: sockets.iter().map(ToString::to_string).collect(),
        ..Options::default()
    }
}

/// Options and a file in a world without files and variables.
fn read(options: Options, text: &str) -> Result<Config, Vec<Error>> {
    let surroundings = Surroundings {
        variable: &|_| None,
        is_file: &|_| false,
        read_folder: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    Config::read(options, Some(("staplerd.yaml", text)), &surroundings)
}

fn check(options: Options) -> Result<Config, Vec<Error>> {
    read(options, "")
}

/// What a file says, alone.
fn file(text: &str) -> Config {
    read(Options::default(), text).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// The mistakes of a file, each as it is shown.
fn mistakes(text: &str) -> Vec<String> {
    let errors = read(Options::default(), text).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

/// The n-th source, which is a directory.
fn directory(config: &Config, place: usize) -> &Directory {
    match &config.sources[place].source {
        Source::Directory(directory) => directory,
        other => panic!("{other:?} is no directory"),
    }
}

#[test]
fn the_nth_socket_belongs_to_the_nth_directory() {
    let config = check(options(&["/a/", "/b"], &["/1.sock", "/2.sock"])).unwrap();
    assert_eq!(directory(&config, 0).path, Path::new("/a"));
    assert_eq!(config.sources[0].sockets, [0]);
    assert_eq!(config.sources[1].sockets, [1]);
    assert_eq!(config.sockets.len(), 2);
}

#[test]
fn one_socket_for_two_directories_is_opened_once() {
    let config = check(options(&["/a", "/b"], &["/1.sock", "/1.sock"])).unwrap();
    assert_eq!(config.sockets.len(), 1);
    assert_eq!(config.sources[1].sockets, [0]);
}

#[test]
fn a_directory_named_twice_serves_both_sockets() {
    let config = check(options(&["/a", "/a/"], &["/1.sock", "/2.sock"])).unwrap();
    assert_eq!(config.sources.len(), 1);
    assert_eq!(config.sources[0].sockets, [0, 1]);
}

#[test]
fn directories_without_sockets_are_files_only() {
    let config = check(options(&["/a"], &[])).unwrap();
    assert!(config.sources[0].sockets.is_empty());
}

#[test]
fn counts_that_differ_are_named_and_all_mistakes_come_at_once() {
    let mut wrong = options(&["/a", "/b"], &["/1.sock"]);
    wrong.allow_addresses = vec!["neighbours".into()];
    wrong.refresh_interval = Some(Duration::ZERO);
    wrong.renewal_threads = Some(100_000);
    let errors = check(wrong).unwrap_err();
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 4, "{text:?}");
    assert!(
        text[0].contains("2 certificate directories but 1 HAProxy socket:"),
        "{text:?}"
    );
    assert!(text[1].contains("neighbours"), "{text:?}");
    assert_eq!(
        text[2],
        "--renewal-threads: 100000 is not between 1 and 512"
    );
    assert_eq!(text[3], "--refresh-interval: 0s is not between 1s and 1d");
}

#[test]
fn recursion_and_selection_come_from_either_and_a_directory_may_differ() {
    let text = "recursive: true\nfile_extensions: [.pem]\nignore: [old.pem]\n\
                file_mode: 0640\nfile_group: haproxy\n\
                directories:\n- path: /f\n- path: /g\n  recursive: false\n";
    let config = read(Options::default(), text).unwrap();
    assert!(directory(&config, 0).recursive && !directory(&config, 1).recursive);
    assert_eq!(config.selection.extensions, Some(vec!["pem".to_owned()]));
    assert_eq!(config.selection.ignored, [Pattern::new("old.pem")]);
    assert_eq!(config.file_mode, 0o640);
    let mut given = options(&["/a"], &[]);
    given.recursive = true;
    given.file_extensions = vec!["crt".into()];
    let both = read(given, text).unwrap();
    assert!(directory(&both, 0).recursive);
    assert_eq!(both.selection.extensions, Some(vec!["crt".to_owned()]));
    let plain = check(options(&["/a"], &[])).unwrap();
    assert!(!directory(&plain, 0).recursive);
    assert_eq!(plain.selection, Selection::default());
    assert_eq!(plain.file_mode, 0o644);
}

#[test]
fn a_socket_path_that_the_kernel_cannot_take_is_refused() {
    let long = format!("/{}", "x".repeat(200));
    let errors = check(options(&["/a"], &[&long])).unwrap_err();
    assert!(errors[0].to_string().contains("107"), "{}", errors[0]);
}

#[test]
fn where_the_certificates_come_from_is_said() {
    let origin = |options| check(options).unwrap().origin();
    assert_eq!(origin(options(&["/a"], &["/1.sock"])), Origin::Named);
    assert_eq!(origin(options(&[], &["/1.sock"])), Origin::Processes);
    assert_eq!(origin(options(&[], &[])), Origin::Nothing);
    let read = Options {
        haproxy_config: vec!["/etc/haproxy/haproxy.cfg".into()],
        ..Options::default()
    };
    assert_eq!(origin(read), Origin::Named);
}

#[test]
fn the_command_line_beats_the_file_and_the_file_the_default() {
    let text = "directories:\n- path: /f\n  sockets: [/1.sock, /2.sock]\nminimum_validity: 1h\nrefresh_interval: 5\n";
    let from_file = read(Options::default(), text).unwrap();
    assert_eq!(from_file.sources[0].sockets, [0, 1]);
    assert_eq!(
        from_file.schedule.minimum_validity,
        Duration::from_secs(3600)
    );
    assert_eq!(from_file.refresh_interval, Duration::from_secs(5));
    assert_eq!(from_file.connect_timeout, fetch::CONNECT_TIMEOUT);
    let mut given = options(&["/a"], &[]);
    given.refresh_interval = Some(Duration::from_secs(7));
    let both = read(given, text).unwrap();
    assert_eq!(directory(&both, 0).path, Path::new("/a"));
    assert_eq!(both.refresh_interval, Duration::from_secs(7));
    assert_eq!(both.schedule.minimum_validity, Duration::from_secs(3600));
}

#[test]
fn proxies_come_from_the_environment_unless_the_file_has_any() {
    let environment = |name: &str| (name == "http_proxy").then(|| "http://outer:3128".to_owned());
    let read = |text| {
        let surroundings = Surroundings {
            variable: &environment,
            is_file: &|_| false,
            read_folder: &|_| Err(io::ErrorKind::NotFound.into()),
        };
        Config::read(Options::default(), Some(("x.yaml", text)), &surroundings).unwrap()
    };
    let outer = read("");
    let expected = Proxies::parse(Some("http://outer:3128"), None, "").unwrap();
    assert_eq!(outer.proxies, expected);
    let own = read("http_proxy: http://own:3128\nno_proxy: [.internal, 10.0.0.0/8]\n");
    let expected = Proxies::parse(Some("http://own:3128"), None, ".internal,10.0.0.0/8").unwrap();
    assert_eq!(own.proxies, expected);
}

#[test]
fn a_path_of_the_command_line_is_a_certificate_file_where_there_is_one() {
    let surroundings = Surroundings {
        variable: &|_| None,
        is_file: &|path| path == Path::new("/c/site.pem"),
        read_folder: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    let given = Options {
        directories: vec!["/a".into()],
        certificate_paths: vec!["/c/site.pem".into(), "/b".into()],
        sockets: vec!["/1.sock".into(), "/2.sock".into(), "/3.sock".into()],
        ..Options::default()
    };
    let config = Config::read(given, None, &surroundings).unwrap();
    let Source::File(file) = &config.sources[1].source else {
        panic!("{:?}", config.sources)
    };
    assert_eq!(file.path, Path::new("/c/site.pem"));
    assert_eq!(file.companions.staple, Path::new("/c/site.pem.ocsp"));
    assert_eq!(directory(&config, 2).path, Path::new("/b"));
    let sockets: Vec<_> = config.sources.iter().map(|it| it.sockets.clone()).collect();
    assert_eq!(sockets, [[0], [1], [2]]);
}

#[test]
fn sockets_of_the_whole_file_are_for_sources_without_their_own() {
    let text = "haproxy_sockets: [/all.sock]\n\
                directories: [{path: /a, sockets: [/1.sock]}, /b]\n\
                domains: {d: {cert: d.pem, ocsp: d.ocsp}}\n";
    let config = file(text);
    let of = |place: usize| {
        let sockets = config.sources[place].sockets.iter();
        let sockets: Vec<&Address> = sockets.map(|socket| &config.sockets[*socket]).collect();
        sockets
    };
    let all: Address = "/all.sock".parse().unwrap();
    assert_eq!(of(0), [&"/1.sock".parse().unwrap()]);
    assert_eq!(of(1), [&all]);
    assert_eq!(of(2), [&all]);
    assert_eq!(
        file("haproxy_sockets: [/all.sock]").origin(),
        Origin::Processes
    );
}

#[test]
fn the_mistakes_of_the_file_and_of_the_command_line_come_together() {
    let mut wrong = options(&["/a"], &["nowhere:1"]);
    wrong.file_extensions = vec!["a/b".into()];
    let errors = read(wrong, "renewal_threads: many\n").unwrap_err();
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(
        text[0].starts_with("staplerd.yaml:1:18: renewal_threads: "),
        "{text:?}"
    );
    assert!(
        text[1].starts_with("--haproxy-sockets: 'nowhere:1' is no"),
        "{text:?}"
    );
    assert!(
        text[2].starts_with("--file-extensions: 'a/b': "),
        "{text:?}"
    );
    assert_eq!(text.len(), 3, "{text:?}");
}

#[test]
fn an_address_that_the_command_line_allows_is_not_refused_by_the_file() {
    let text = "refuse_private_addresses: true\n";
    let mut given = Options::default();
    assert!(
        file(text)
            .address_rules
            .check(([10, 0, 0, 1], 80).into(), false)
            .is_err()
    );
    given.allow_addresses = vec!["private".into()];
    let config = read(given, text).unwrap();
    assert!(
        config
            .address_rules
            .check(([10, 0, 0, 1], 80).into(), false)
            .is_ok()
    );
}

#[test]
fn backups_never_lie_where_haproxy_loads_a_whole_directory() {
    let staples = "make_backups: True\nocsp_folder: /certs\n\
                   domains: {d: {cert: /x/d.pem, ocsp: d.ocsp}}\n";
    assert_eq!(file(staples).backups, Some(Backups { keep: None }));
    for text in [
        format!("{staples}directories: [/certs]\n"),
        "make_backups: yes\ndirectories: [/certs]\n".to_owned(),
    ] {
        let text = mistakes(&text);
        assert!(
            text[0].starts_with("staplerd.yaml:1:15: make_backups: "),
            "{text:?}"
        );
        assert!(
            text[0].contains("/certs would be loaded by HAProxy"),
            "{text:?}"
        );
    }
    for text in [
        format!("{staples}haproxy_config: /etc/haproxy/haproxy.cfg\n"),
        "make_backups: true\nhaproxy_sockets: [/1.sock]\n".to_owned(),
    ] {
        let text = mistakes(&text);
        assert!(
            text[0].contains("certificates that HAProxy names"),
            "{text:?}"
        );
    }
    let kept = format!("{staples}keep_backups: 3\n");
    assert_eq!(file(&kept).backups, Some(Backups { keep: Some(3) }));
    // The command line's directories count as well.
    assert!(read(options(&["/certs"], &[]), staples).is_err());
}

#[test]
fn the_control_socket_can_be_turned_off_on_the_command_line_as_in_the_file() {
    let socket = |given: &str| {
        let options = Options {
            control_socket: Some(given.into()),
            ..options(&["/a"], &[])
        };
        check(options).unwrap().control_socket
    };
    assert_eq!(socket("null"), None);
    assert_eq!(socket("./null"), Some("./null".into()));
    assert_eq!(socket("/run/s.sock"), Some("/run/s.sock".into()));
}

#[test]
fn the_state_directory_is_the_files_or_else_systemds_first() {
    let of = |variable: Option<&str>, text: &str| {
        let given = |name: &str| {
            let is_it = name == "STATE_DIRECTORY";
            variable.filter(|_| is_it).map(str::to_owned)
        };
        let surroundings = Surroundings {
            variable: &given,
            is_file: &|_| false,
            read_folder: &|_| Err(io::ErrorKind::NotFound.into()),
        };
        let config = Config::read(Options::default(), Some(("f", text)), &surroundings);
        config.unwrap().state_directory
    };
    assert_eq!(of(None, ""), None);
    assert_eq!(of(Some(""), ""), None);
    assert_eq!(of(Some("/a:/b"), ""), Some("/a".into()));
    assert_eq!(of(Some("/a"), "state_directory: /c"), Some("/c".into()));
}
