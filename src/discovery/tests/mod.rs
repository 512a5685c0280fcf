//! Scans of real directories: what is found, what is waited for, what is told once.

mod sources;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use tempfile::TempDir;

use super::source::{Directory, Naming, Source};
use super::*;
use crate::pki::{
    CertificateBuilder, World, authority_key_identifier, basic_constraints, dns_names, ocsp_access,
};
use crate::x509::Certificate;

/// A directory and a scanner for it.
struct Bench {
    directory: TempDir,
    scanner: Scanner,
    world: World,
    now: Instant,
    /// Whether the last scan found something half-written.
    is_awaiting: bool,
    /// What was seen beside each file last.
    staples: HashMap<PathBuf, Option<Stamp>>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = Source::Directory(Directory {
            path: directory.path().to_owned(),
            recursive: false,
            naming: Naming::default(),
        });
        let scanner = Scanner::new([(SourceId(0), source)], Selection::default());
        Bench {
            directory,
            scanner,
            world: World::new(),
            now: Instant::now(),
            is_awaiting: false,
            staples: HashMap::new(),
        }
    }

    /// The same directory with the folders in it.
    fn recursive(mut self, selection: Selection) -> Self {
        let source = Source::Directory(Directory {
            path: self.directory.path().to_owned(),
            recursive: true,
            naming: Naming::default(),
        });
        self.scanner = Scanner::new([(SourceId(0), source)], selection);
        self
    }

    /// A scan after what may be half-written has been given its time.
    fn settled(&mut self) -> Vec<String> {
        let mut words = self.scan();
        self.now += PATIENCE;
        words.extend(self.scan());
        words
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, parts: &[&Certificate]) {
        fs::write(self.path(name), pem(parts)).unwrap();
    }

    fn leaf(&self, serial: u8) -> Certificate {
        CertificateBuilder::new("Issuer", "leaf", &[serial])
            .with(ocsp_access(&["http://ocsp.example"]))
            .sign(&self.world.leaf_key, &self.world.issuer_key)
    }

    /// What a scan reports, as words: `+name` for a usable certificate, `!name why` for one
    /// that is not, `-name` for one that is gone.
    fn scan(&mut self) -> Vec<String> {
        let base = self.directory.path().to_owned();
        let name = |path: &Path| {
            let below = path.strip_prefix(&base).unwrap();
            below.to_str().unwrap().to_owned()
        };
        let mut words = Vec::new();
        self.is_awaiting = self.scanner.scan(self.now, |change| {
            words.push(match change {
                Change::Found {
                    path,
                    content: Ok(_),
                    staple,
                    ..
                } => {
                    self.staples.insert(path.clone(), staple);
                    format!("+{}", name(&path))
                }
                Change::Found {
                    path,
                    content: Err(refusal),
                    ..
                } => {
                    let why = format!("{refusal:?}");
                    let end = why.find('(').unwrap_or(why.len());
                    format!("!{} {}", name(&path), &why[..end])
                }
                Change::Gone { path, .. } => format!("-{}", name(&path)),
                Change::StapleSeen { path, staple, .. } => {
                    let known = self.staples.insert(path.clone(), staple);
                    if known.is_none_or(|known| known == staple) {
                        return;
                    }
                    format!(
                        "staple {} {}",
                        if staple.is_some() { "other" } else { "gone" },
                        name(&path)
                    )
                }
                Change::DirectoryFailed { error, .. } => format!("failed {}", error.kind()),
                Change::DirectoryRecovered { .. } => "recovered".to_owned(),
                Change::DirectoryEmptied { .. } => "emptied".to_owned(),
                Change::Shortage { .. } => "short".to_owned(),
            });
        });
        words
    }
}

fn pem(parts: &[&Certificate]) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    parts
        .iter()
        .map(|certificate| {
            let body = STANDARD.encode(certificate.der());
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        })
        .collect()
}

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n";

#[test]
fn what_a_directory_holds_is_found_once_and_then_only_its_changes() {
    let mut bench = Bench::new();
    let issuer = bench.world.issuer.clone();
    bench.write("a.pem", &[&bench.leaf(1), &issuer]);
    bench.write("b.pem", &[&bench.leaf(2), &bench.world.root, &issuer]);
    fs::create_dir(bench.path("folder.pem")).unwrap();
    assert_eq!(bench.scan(), ["+a.pem", "+b.pem"]);
    assert!(bench.scan().is_empty());
    bench.write("b.pem", &[&bench.leaf(3), &issuer]);
    bench.write("c.pem", &[&bench.leaf(4), &issuer]);
    fs::remove_file(bench.path("a.pem")).unwrap();
    assert_eq!(bench.scan(), ["-a.pem", "+b.pem", "+c.pem"]);
}

#[test]
fn a_file_written_anew_with_the_same_content_is_no_change() {
    let mut bench = Bench::new();
    let (leaf, issuer) = (bench.leaf(1), bench.world.issuer.clone());
    bench.write("a.pem", &[&leaf, &issuer]);
    bench.scan();
    fs::remove_file(bench.path("a.pem")).unwrap();
    fs::write(
        bench.path("a.pem"),
        format!("{KEY}{}", pem(&[&leaf, &issuer])),
    )
    .unwrap();
    assert!(bench.scan().is_empty());
}

#[test]
fn the_issuer_may_lie_beside_and_makes_the_certificate_usable_when_it_comes() {
    let mut bench = Bench::new();
    bench.write("a.pem", &[&bench.leaf(1)]);
    assert_eq!(bench.settled(), ["!a.pem NoIssuer"]);
    bench.write("a.pem.issuer", &[&bench.world.issuer]);
    assert_eq!(bench.scan(), ["+a.pem"]);
}

#[test]
fn a_wrong_issuer_file_refuses_even_beside_a_right_chain() {
    // HAProxy reads it as soon as there is a .ocsp, and does not start with it.
    let mut bench = Bench::new();
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    bench.write("a.pem.issuer", &[&bench.world.root, &bench.world.issuer]);
    assert_eq!(bench.settled(), ["!a.pem WrongIssuerFile"]);
    fs::write(bench.path("a.pem.issuer"), "rubbish").unwrap();
    assert_eq!(bench.scan(), Vec::<String>::new(), "the same refusal again");
}

#[test]
fn each_kind_of_bad_file_has_its_own_reason() {
    let mut bench = Bench::new();
    let whole = pem(&[&bench.leaf(1), &bench.world.issuer]);
    fs::write(bench.path("empty"), "").unwrap();
    fs::write(bench.path("half"), &whole[..100]).unwrap();
    fs::write(bench.path("key"), KEY).unwrap();
    fs::write(bench.path("large"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    fs::write(bench.path("text"), "hello").unwrap();
    symlink("/nowhere/a.pem", bench.path("link")).unwrap();
    bench.write("root", &[&bench.world.root]);
    let authority = CertificateBuilder::new("Issuer", "sub CA", &[9])
        .with(basic_constraints(true))
        .sign(&bench.world.leaf_key, &bench.world.issuer_key);
    bench.write("ca", &[&authority, &bench.world.issuer]);
    let silent = CertificateBuilder::new("Issuer", "leaf", &[8])
        .sign(&bench.world.leaf_key, &bench.world.issuer_key);
    bench.write("silent", &[&silent]);
    bench.write("turned", &[&bench.world.issuer, &bench.leaf(2)]);
    fs::write(bench.path("der"), bench.leaf(3).der()).unwrap();
    let mut found = bench.settled();
    found.sort();
    assert_eq!(
        found,
        [
            "!ca CertificateAuthority",
            "!der NotACertificate",
            "!empty NotACertificate",
            "!half Incomplete",
            "!key KeyOnly",
            "!large Io",
            "!link Io",
            "!root CertificateAuthority",
            "!silent NoResponder",
            "!text NotACertificate",
            "!turned IssuerFirst",
        ]
    );
    assert!(bench.scan().is_empty(), "each is reported once");
}

#[test]
fn a_half_written_file_waits_and_is_picked_up_when_it_is_whole() {
    let mut bench = Bench::new();
    let whole = pem(&[&bench.leaf(1), &bench.world.issuer]);
    for length in [0, 200, whole.len() - 50] {
        fs::write(bench.path("a.pem"), &whole[..length]).unwrap();
        assert!(bench.scan().is_empty());
        assert!(bench.is_awaiting);
        bench.now += PATIENCE / 2;
    }
    fs::write(bench.path("a.pem"), &whole).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
    assert!(!bench.is_awaiting);
}

#[test]
fn a_file_that_stays_half_is_reported_once_and_still_picked_up_later() {
    let mut bench = Bench::new();
    let whole = pem(&[&bench.leaf(1), &bench.world.issuer]);
    fs::write(bench.path("a.pem"), &whole[..whole.len() - 50]).unwrap();
    assert_eq!(bench.settled(), ["!a.pem Incomplete"]);
    assert!(bench.settled().is_empty());
    assert!(!bench.is_awaiting);
    fs::write(bench.path("a.pem"), &whole).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
}

#[test]
fn a_certificate_being_written_anew_is_kept_until_the_new_one_is_whole() {
    let mut bench = Bench::new();
    let issuer = bench.world.issuer.clone();
    bench.write("a.pem", &[&bench.leaf(1), &issuer]);
    bench.scan();
    let (same, new) = (
        pem(&[&bench.leaf(1), &issuer]),
        pem(&[&bench.leaf(2), &issuer]),
    );
    fs::write(bench.path("a.pem"), "").unwrap();
    assert!(bench.scan().is_empty());
    fs::write(bench.path("a.pem"), &new[..100]).unwrap();
    assert!(bench.scan().is_empty());
    fs::write(bench.path("a.pem"), new).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
    fs::write(bench.path("a.pem"), "").unwrap();
    assert!(bench.scan().is_empty());
    fs::write(bench.path("a.pem"), same).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
}

#[test]
fn a_file_whose_time_goes_backwards_is_noticed() {
    let mut bench = Bench::new();
    let issuer = bench.world.issuer.clone();
    bench.write("a.pem", &[&bench.leaf(1), &issuer]);
    bench.scan();
    let other = bench.path(".restored");
    fs::write(&other, pem(&[&bench.leaf(2), &issuer])).unwrap();
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    fs::rename(&other, bench.path("a.pem")).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
}

#[test]
fn links_are_followed_and_their_changes_found() {
    let mut bench = Bench::new();
    let issuer = bench.world.issuer.clone();
    let archive = tempfile::tempdir().unwrap();
    let version = |number: u8| archive.path().join(format!("fullchain{number}.pem"));
    for number in [1, 2] {
        fs::write(version(number), pem(&[&bench.leaf(number), &issuer])).unwrap();
    }
    symlink(version(1), bench.path("a.pem")).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
    let interests = bench.scanner.interests();
    let real = fs::canonicalize(archive.path()).unwrap();
    assert_eq!(
        interests.get(&real),
        Some(&Interest::Names(["fullchain1.pem".into()].into()))
    );
    assert_eq!(
        interests.get(bench.directory.path()),
        Some(&Interest::Everything)
    );
    fs::remove_file(bench.path("a.pem")).unwrap();
    symlink(version(2), bench.path("a.pem")).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
    fs::write(version(2), pem(&[&bench.leaf(3), &issuer])).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
    assert!(bench.scan().is_empty());
}

#[test]
fn a_swap_of_kubernetes_data_folders_is_one_change_for_each_file() {
    let mut bench = Bench::new().recursive(Selection::default());
    let issuer = bench.world.issuer.clone();
    for (folder, serials) in [("..1", [1, 2]), ("..2", [3, 2])] {
        fs::create_dir(bench.path(folder)).unwrap();
        for (name, serial) in ["a.pem", "b.pem"].iter().zip(serials) {
            bench.write(&format!("{folder}/{name}"), &[&bench.leaf(serial), &issuer]);
        }
    }
    // The same signature twice: what is not swapped has the same content.
    fs::copy(bench.path("..1/b.pem"), bench.path("..2/b.pem")).unwrap();
    symlink("..1", bench.path("..data")).unwrap();
    for name in ["a.pem", "b.pem"] {
        symlink(format!("..data/{name}"), bench.path(name)).unwrap();
    }
    assert_eq!(bench.scan(), ["+a.pem", "+b.pem"]);
    symlink("..2", bench.path("..data_tmp")).unwrap();
    fs::rename(bench.path("..data_tmp"), bench.path("..data")).unwrap();
    assert_eq!(bench.scan(), ["+a.pem"]);
}

#[test]
fn folders_are_scanned_only_when_asked_for_and_not_in_circles() {
    let mut bench = Bench::new();
    let issuer = bench.world.issuer.clone();
    fs::create_dir_all(bench.path("sites/deep")).unwrap();
    fs::create_dir(bench.path(".hidden")).unwrap();
    symlink("..", bench.path("sites/circle")).unwrap();
    for (name, serial) in [
        ("a.pem", 1),
        ("sites/b.pem", 2),
        ("sites/deep/c.pem", 3),
        (".hidden/d.pem", 4),
    ] {
        bench.write(name, &[&bench.leaf(serial), &issuer]);
    }
    assert_eq!(bench.scan(), ["+a.pem"]);
    let mut bench = bench.recursive(Selection::default());
    assert_eq!(
        bench.scan(),
        ["+a.pem", "+sites/b.pem", "+sites/deep/c.pem"]
    );
    assert!(bench.scan().is_empty());
    fs::remove_dir_all(bench.path("sites")).unwrap();
    assert_eq!(bench.scan(), ["-sites/b.pem", "-sites/deep/c.pem"]);
}

#[test]
fn extensions_and_patterns_take_files_away_and_bundles_are_several_certificates() {
    let selection = Selection {
        extensions: Some(vec!["pem".into()]),
        ignored: vec![Pattern::new("sites/old.pem")],
    };
    let mut bench = Bench::new().recursive(selection);
    let issuer = bench.world.issuer.clone();
    fs::create_dir(bench.path("sites")).unwrap();
    for (name, serial) in [
        ("a.crt", 1),
        ("b.pem.ecdsa", 2),
        ("b.pem.rsa", 3),
        ("sites/new.pem", 4),
        ("sites/old.pem", 5),
    ] {
        bench.write(name, &[&bench.leaf(serial), &issuer]);
    }
    assert_eq!(
        bench.scan(),
        ["+b.pem.ecdsa", "+b.pem.rsa", "+sites/new.pem"]
    );
    let staple = |name: &str| Naming::default().companions(&bench.path(name)).staple;
    assert_ne!(staple("b.pem.ecdsa"), staple("b.pem.rsa"));
}

#[test]
fn ten_certificates_of_one_issuer_share_it() {
    let mut bench = Bench::new();
    let issuer = bench.world.issuer.clone();
    for serial in 1..=10 {
        bench.write(&format!("{serial}.pem"), &[&bench.leaf(serial), &issuer]);
    }
    let mut places = std::collections::BTreeSet::new();
    bench.scanner.scan(bench.now, |change| {
        if let Change::Found {
            content: Ok(finding),
            ..
        } = change
        {
            places.insert(finding.issuer.der().as_ptr());
        }
    });
    assert_eq!(places.len(), 1);
}

#[test]
fn what_is_to_be_reported_again_is() {
    let mut bench = Bench::new();
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    bench.scan();
    bench.scanner.report_again(SourceId(0));
    assert_eq!(bench.scan(), ["+a.pem"]);
    assert!(bench.scan().is_empty());
}

#[test]
fn a_directory_that_goes_is_reported_once_and_forgets_nothing() {
    let mut bench = Bench::new();
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    bench.scan();
    let here = bench.directory.path().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let away = elsewhere.path().join("away");
    fs::rename(&here, &away).unwrap();
    assert_eq!(bench.scan(), ["failed missing"]);
    assert!(bench.scan().is_empty());
    fs::rename(&away, &here).unwrap();
    assert_eq!(bench.scan(), ["recovered"]);
}

#[test]
fn an_emptied_directory_says_so() {
    let mut bench = Bench::new();
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    bench.scan();
    fs::remove_file(bench.path("a.pem")).unwrap();
    assert_eq!(bench.scan(), ["-a.pem", "emptied"]);
    assert!(bench.scan().is_empty());
}

#[test]
fn a_staple_that_was_there_and_goes_is_noticed() {
    let mut bench = Bench::new();
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    bench.scan();
    fs::write(bench.path("a.pem.ocsp"), "x").unwrap();
    assert_eq!(bench.scan(), ["staple other a.pem"]);
    fs::remove_file(bench.path("a.pem.ocsp")).unwrap();
    assert_eq!(bench.scan(), ["staple gone a.pem"]);
    assert!(bench.scan().is_empty());
}

#[test]
fn a_staple_is_missed_also_where_another_directory_has_come_in_the_place_of_the_one_that_had_it() {
    let mut bench = Bench::new();
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    fs::write(bench.path("a.pem.ocsp"), "x").unwrap();
    bench.scan();
    let pem = fs::read(bench.path("a.pem")).unwrap();
    // The content is the same, and everything else about the file is not.
    fs::remove_file(bench.path("a.pem")).unwrap();
    fs::remove_file(bench.path("a.pem.ocsp")).unwrap();
    fs::write(bench.path("other"), "takes the inode").unwrap();
    fs::write(bench.path("a.pem"), pem).unwrap();
    fs::remove_file(bench.path("other")).unwrap();
    assert_eq!(bench.scan(), ["staple gone a.pem"]);
    assert!(bench.scan().is_empty());
}

#[test]
fn what_lies_in_a_staples_place_is_told_at_every_scan_also_while_its_certificate_changes() {
    let mut bench = Bench::new();
    let certificates = [bench.leaf(1), bench.world.issuer.clone()];
    bench.write("a.pem", &[&certificates[0], &certificates[1]]);
    fs::write(bench.path("a.pem.ocsp"), "x").unwrap();
    bench.scan();
    bench.scan();
    // Others of the same size, and of another: as with a link to another release.
    for content in ["y", "", "yy"] {
        let new = bench.path(".new.ocsp");
        fs::write(&new, content).unwrap();
        fs::rename(new, bench.path("a.pem.ocsp")).unwrap();
        fs::remove_file(bench.path("a.pem")).unwrap();
        bench.write("a.pem", &[&certificates[0], &certificates[1]]);
        assert_eq!(bench.scan(), ["staple other a.pem"]);
    }
    fs::remove_file(bench.path("a.pem.ocsp")).unwrap();
    bench.write("a.pem", &[&certificates[0], &certificates[1]]);
    assert_eq!(bench.scan(), ["staple gone a.pem"]);
}

#[test]
fn certificates_take_no_more_memory_than_they_may_and_those_without_room_are_named() {
    let mut bench = Bench::new();
    let chain = bench.world.issuer.clone();
    let names: Vec<String> = (0..10)
        .map(|it| format!("{it}.{}", "n".repeat(3000)))
        .collect();
    let large = |bench: &Bench, serial: u8| {
        CertificateBuilder::new("Issuer", "leaf", &[serial])
            .with(ocsp_access(&["http://ocsp.example"]))
            .with(dns_names(&names))
            .sign(&bench.world.leaf_key, &bench.world.issuer_key)
    };
    let memory = large(&bench, 1).memory();
    assert!(memory > 30_000, "{memory}");
    bench.scanner.most_held(3 * memory + memory / 2);
    bench.write("a.pem", &[&bench.leaf(9), &chain]);
    for serial in 1..=5 {
        bench.write(&format!("l{serial}.pem"), &[&large(&bench, serial), &chain]);
    }
    let found = bench.scan();
    let without_room = |words: &[String]| words.iter().filter(|it| it.contains("NoRoom")).count();
    assert_eq!((found.len(), without_room(&found)), (6, 2), "{found:?}");
    assert!(found.contains(&"+a.pem".to_owned()), "{found:?}");
    assert_eq!(bench.scan(), Vec::<String>::new());
    // What is there has its place, also as another version of itself.
    bench.write("a.pem", &[&bench.leaf(10), &chain]);
    assert_eq!(bench.scan(), ["+a.pem"]);
    // When some of them go, others come in.
    fs::remove_file(bench.path("l1.pem")).unwrap();
    fs::remove_file(bench.path("l2.pem")).unwrap();
    let words = [bench.scan(), bench.scan()].concat();
    let came_in = words.iter().filter(|it| it.starts_with("+l")).count();
    assert_eq!((came_in, without_room(&words)), (2, 0), "{words:?}");
}
