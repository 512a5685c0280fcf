//! ocspbot's files, which work unchanged.

use super::*;
use crate::discovery::source::{CertificateFile, Companions, Masks};

/// The example of ocspbot's documentation.
const DOCUMENTED: &str = "---
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

fn files(config: &Config) -> Vec<&CertificateFile> {
    let files = config.sources.iter().map(|it| match &it.source {
        Source::File(file) => file,
        other => panic!("{other:?} is no file"),
    });
    files.collect()
}

#[test]
fn the_documented_example_names_the_documented_files() {
    let config = file(DOCUMENTED);
    let expected = |name: &str| CertificateFile {
        path: format!("/var/www/tls/certs/{name}.pem").into(),
        companions: Companions {
            staple: format!("/var/www/ocsp/responses/{name}.ocsp-resp").into(),
            issuer: None,
            issuers_chain_path: None,
            chains: vec![
                format!("/var/www/tls/certs/{name}-chain.pem").into(),
                format!("/var/www/tls/certs/{name}-rootchain.pem").into(),
            ],
        },
    };
    let (com, org) = (expected("example.com"), expected("example.org"));
    assert_eq!(files(&config), [&com, &org]);
    assert_eq!(config.renewal_threads, 1);
    assert_eq!(config.backups, Some(Backups { keep: None }));
    let three_days = Some(Duration::from_secs(3 * 86_400));
    let rule = schedule::SingleRun::new(three_days, Some(42.8));
    assert_eq!(config.single_run, rule);
    // A cron job mails every line: its key for openssl is passed over silently.
    assert!(config.warnings.is_empty());
}

#[test]
fn scan_keys_have_ocspbots_defaults_and_staples_go_to_the_folder() {
    let config =
        file("ocsp_folder: responses\nscan_keys:\n- folder: certs/\n  recursive: no\n- {}\n");
    let masks = Masks {
        folder: "certs".into(),
        recursive: false,
        certificate: "{domain}.pem".into(),
        chain: "{domain}-chain.pem".into(),
        rootchain: "{domain}-rootchain.pem".into(),
        staple: "{domain}.ocsp-resp".into(),
        staple_folder: "responses".into(),
    };
    assert_eq!(config.sources[0].source, Source::Masks(masks.clone()));
    let here = Masks {
        folder: ".".into(),
        recursive: true,
        ..masks
    };
    assert_eq!(config.sources[1].source, Source::Masks(here));
}

#[test]
fn a_responder_is_a_url_or_the_certificates_own() {
    let of = |responder: &str| {
        let text =
            format!("domains: {{d: {{cert: c, ocsp: o, ocsp_responder_uri: {responder}}}}}\n");
        read(Options::default(), &text).map(|config| config.sources[0].responder.clone())
    };
    let url = ResponderOverride::Url("http://10.0.0.1/ocsp".to_owned());
    assert_eq!(of("http://10.0.0.1/ocsp").unwrap(), Some(url));
    assert_eq!(
        of("certificate").unwrap(),
        Some(ResponderOverride::Certificate)
    );
    let error = of("somewhere").unwrap_err().remove(0).to_string();
    assert!(
        error.starts_with("staplerd.yaml:1:53: domains.d.ocsp_responder_uri: "),
        "{error}"
    );
    assert_eq!(
        file("domains: {d: {cert: c, ocsp: o}}\n").sources[0].responder,
        None
    );
}

#[test]
fn domains_and_masks_that_cannot_be_meant_are_refused() {
    for (text, begin, part) in [
        (
            "domains: {d: {cert: c}}",
            "1:14: domains.d: ",
            "'ocsp' is missing",
        ),
        (
            "domains: {d: {ocsp: c}}",
            "1:14: domains.d: ",
            "'cert' is missing",
        ),
        (
            "domains: {d: {cert: c, ocsp: c}}",
            "1:30: domains.d.ocsp: ",
            "written over",
        ),
        (
            "domains: {d: {cert: c, chain: ./o, ocsp: o}}",
            "1:42: domains.d.ocsp: ",
            "written over",
        ),
        (
            "domains: {d: {cert: c, ocsp: o}, e: {cert: d, ocsp: o}}",
            "1:53: domains.e.ocsp: ",
            "another domain's staple already, at staplerd.yaml:1",
        ),
        (
            "domains: {d: {cert: c, ocsp: o}, d: {cert: d, ocsp: p}}",
            "1:34: domains.d: ",
            "twice",
        ),
        (
            "scan_keys: [{cert_mask: x.pem}]",
            "1:25: scan_keys[0].cert_mask: ",
            "{domain}",
        ),
        (
            "scan_keys: [{cert_mask: 'a/{domain}'}]",
            "1:25: ",
            "without folders",
        ),
        (
            "scan_keys: [{chain_mask: '{domain}{x}'}]",
            "1:26: ",
            "{domain}",
        ),
        (
            "scan_keys: [{ocsp_mask: '{domain}.pem'}]",
            "1:13: scan_keys[0]: ",
            "written over",
        ),
    ] {
        let found = mistakes(text);
        let begin = format!("staplerd.yaml:{begin}");
        assert!(
            found.len() == 1 && found[0].starts_with(&begin) && found[0].contains(part),
            "{text}: {found:#?}"
        );
    }
}

/// A world with two folders to include, one beside the file.
fn with_folders(text: &str) -> Result<Config, Vec<Error>> {
    let surroundings = Surroundings {
        variable: &|_| None,
        is_file: &|_| false,
        read_folder: &|folder| match folder.to_str() {
            Some("/etc/ocspbot/sites") => Ok(vec![
                (
                    "/etc/ocspbot/sites/a.yaml".into(),
                    "domains: {a: {cert: a, ocsp: a.o}}".into(),
                ),
                (
                    "/etc/ocspbot/sites/b.yml".into(),
                    "scan_keys: [{}]\nquiet: true".into(),
                ),
            ]),
            Some("elsewhere") => Ok(vec![(
                "elsewhere/c.yaml".into(),
                "domains: {c: {cert: c, ocsp: c.o}}".into(),
            )]),
            Some("/etc/ocspbot") => Ok(vec![("/etc/ocspbot/main.yaml".into(), text.into())]),
            Some("/broken") => Ok(vec![(
                "/broken/x.yaml".into(),
                "domains: 5\nnonsense: 1".into(),
            )]),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
    };
    let file = Some(("/etc/ocspbot/main.yaml", text));
    Config::read(Options::default(), file, &surroundings)
}

#[test]
fn includes_are_looked_for_beside_the_file_and_then_in_the_working_directory() {
    let text = "ocsp_folder: /o\nincludes: [sites, elsewhere, missing, .]\n\
                domains: {m: {cert: m, ocsp: m.o}}\n";
    let config = with_folders(text).unwrap();
    let staples = config.sources.iter().filter_map(|it| match &it.source {
        Source::File(file) => file.companions.staple.to_str(),
        _ => None,
    });
    let staples: Vec<&str> = staples.collect();
    // The file itself lies in the last folder and is not read twice.
    assert_eq!(staples, ["/o/m.o", "/o/a.o", "/o/c.o"]);
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(
        warnings
            .iter()
            .any(|it| it.starts_with("/etc/ocspbot/main.yaml:2:30: includes[2]: ")),
        "{warnings:#?}"
    );
    assert!(
        warnings
            .iter()
            .any(|it| it.starts_with("/etc/ocspbot/sites/b.yml:2:8: quiet: passed over")),
        "{warnings:#?}"
    );
}

#[test]
fn mistakes_in_included_files_have_their_names() {
    let errors = with_folders("includes: [/broken, sites]\ndomains: {a: {cert: m, ocsp: m.o}}\n");
    let errors: Vec<String> = errors
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors.len(), 3, "{errors:#?}");
    assert!(
        errors[0].starts_with("/broken/x.yaml:1:10: domains: expected keys"),
        "{errors:#?}"
    );
    assert!(
        errors[1].starts_with("/broken/x.yaml:2:1: nonsense: unknown key"),
        "{errors:#?}"
    );
    assert!(
        errors[2].starts_with("/etc/ocspbot/sites/a.yaml:1:14: domains.a: there is a domain of this name at /etc/ocspbot/main.yaml:2"),
        "{errors:#?}"
    );
}
