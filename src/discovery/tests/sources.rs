//! Single files, masks, and sources that come and go.

use std::ffi::OsStr;

use super::*;
use crate::discovery::source::{CertificateFile, Companions, Masks};

const FIRST: SourceId = SourceId(1);
const SECOND: SourceId = SourceId(2);

impl Bench {
    /// The same folder, looked at through these sources.
    fn with(mut self, sources: impl IntoIterator<Item = (SourceId, Source)>) -> Self {
        self.scanner = Scanner::new(sources, Selection::default());
        self
    }

    fn file(&self, name: &str) -> Source {
        let path = self.path(name);
        Source::File(CertificateFile {
            companions: Naming::default().companions(&path),
            path,
        })
    }

    fn flat(&self) -> Source {
        Source::Directory(Directory {
            path: self.directory.path().to_owned(),
            recursive: false,
            naming: Naming::default(),
        })
    }
}

#[test]
fn a_file_that_is_named_is_looked_at_whatever_lies_beside_it() {
    let bench = Bench::new();
    let source = bench.file("a.pem");
    let mut bench = bench.with([(FIRST, source)]);
    let issuer = bench.world.issuer.clone();
    bench.write("a.pem", &[&bench.leaf(1), &issuer]);
    bench.write("b.pem", &[&bench.leaf(2), &issuer]);
    assert_eq!(bench.scan(), ["+a.pem"]);
    bench.write("a.pem", &[&bench.leaf(3), &issuer]);
    assert_eq!(bench.scan(), ["+a.pem"]);
    let interests = bench.scanner.interests();
    let folder = fs::canonicalize(bench.directory.path()).unwrap();
    let Some(Interest::Names(names)) = interests.get(&folder) else {
        panic!("{interests:?}");
    };
    assert!(names.contains(OsStr::new("a.pem")) && names.contains(OsStr::new("a.pem.issuer")));
    assert!(!names.contains(OsStr::new("b.pem")));
}

#[test]
fn a_file_that_is_named_and_missing_is_reported_and_picked_up_when_it_comes() {
    let bench = Bench::new();
    let source = bench.file("a.pem");
    let mut bench = bench.with([(FIRST, source)]);
    assert_eq!(bench.settled(), ["!a.pem Io"]);
    assert!(bench.scan().is_empty());
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    assert_eq!(bench.scan(), ["+a.pem"]);
}

#[test]
fn the_issuer_may_lie_in_a_chain_elsewhere_and_its_change_is_noticed() {
    let bench = Bench::new();
    let source = Source::File(CertificateFile {
        path: bench.path("a.pem"),
        companions: Companions {
            staple: bench.path("a.ocsp-resp"),
            issuer: None,
            issuers_chain_path: None,
            chains: vec![bench.path("chain.pem"), bench.path("more.pem")],
        },
    });
    let mut bench = bench.with([(FIRST, source)]);
    bench.write("a.pem", &[&bench.leaf(1)]);
    bench.write("chain.pem", &[&bench.world.root]);
    assert_eq!(bench.settled(), ["!a.pem NoIssuer"]);
    bench.write("chain.pem", &[&bench.world.root, &bench.world.issuer]);
    assert_eq!(bench.scan(), ["+a.pem"]);
    fs::remove_file(bench.path("chain.pem")).unwrap();
    assert_eq!(bench.settled(), ["!a.pem NoIssuer"]);
    bench.write("more.pem", &[&bench.world.issuer]);
    assert_eq!(bench.scan(), ["+a.pem"]);
}

#[test]
fn issuers_chain_path_is_used_only_as_haproxy_uses_it() {
    let bench = Bench::new();
    let source = Source::Directory(Directory {
        path: bench.directory.path().to_owned(),
        recursive: false,
        naming: Naming {
            issuers_chain_path: Some(bench.path("chains")),
            ..Naming::default()
        },
    });
    let mut bench = bench.with([(FIRST, source)]);
    let (issuer, root) = (bench.world.issuer.clone(), bench.world.root.clone());
    let leaf = CertificateBuilder::new("Issuer", "leaf", &[1])
        .with(ocsp_access(&["http://ocsp.example"]))
        .with(authority_key_identifier(b"key"))
        .sign(&bench.world.leaf_key, &bench.world.issuer_key);
    fs::create_dir(bench.path("chains")).unwrap();
    bench.write("a.pem", &[&leaf]);
    bench.write("b.pem", &[&bench.leaf(2)]);
    bench.write("c.pem", &[&leaf, &root]);
    // Behind another certificate it is no chain of the leaf's.
    bench.write("chains/1.pem", &[&root, &issuer]);
    let refused = ["!a.pem NoIssuer", "!b.pem NoIssuer", "!c.pem NoIssuer"];
    assert_eq!(bench.settled(), refused);
    // In front it is, for a certificate that names its issuer's key and has no chain of its own.
    bench.write("chains/2.pem", &[&issuer, &root]);
    assert_eq!(bench.settled(), ["+a.pem"]);
}

#[test]
fn masks_find_certificates_whose_chains_are_there_also_in_folders() {
    let bench = Bench::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let source = Source::Masks(Masks {
        folder: bench.directory.path().to_owned(),
        recursive: true,
        certificate: "{domain}.pem".into(),
        chain: "{domain}-chain.pem".into(),
        rootchain: "{domain}-rootchain.pem".into(),
        staple: "{domain}.ocsp-resp".into(),
        staple_folder: elsewhere.path().to_owned(),
    });
    let mut bench = bench.with([(FIRST, source)]);
    let (issuer, root) = (bench.world.issuer.clone(), bench.world.root.clone());
    fs::create_dir(bench.path("sites")).unwrap();
    for (name, serial) in [("a", 1), ("sites/b", 2), ("c", 3)] {
        bench.write(&format!("{name}.pem"), &[&bench.leaf(serial)]);
        if name != "c" {
            bench.write(&format!("{name}-chain.pem"), &[&issuer]);
            bench.write(&format!("{name}-rootchain.pem"), &[&issuer, &root]);
        }
    }
    let mut staples = Vec::new();
    bench.scanner.scan(bench.now, |change| {
        if let Change::Found {
            staple_path,
            content: Ok(_),
            ..
        } = change
        {
            staples.push(staple_path);
        }
    });
    let staple = |name: &str| elsewhere.path().join(name);
    assert_eq!(
        staples,
        [staple("a.ocsp-resp"), staple("sites/b.ocsp-resp")]
    );
    assert!(bench.scan().is_empty());
    fs::remove_file(bench.path("a-chain.pem")).unwrap();
    assert_eq!(bench.scan(), ["-a.pem"]);
}

#[test]
fn sources_that_stay_keep_what_was_seen_and_those_that_go_say_what_is_gone() {
    let bench = Bench::new();
    let (named, directory) = (bench.file("a.pem"), bench.flat());
    let mut bench = bench.with([(FIRST, named.clone())]);
    bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
    assert_eq!(bench.scan(), ["+a.pem"]);
    let none = |change| panic!("{change:?}");
    let both = [(FIRST, named), (SECOND, directory.clone())];
    bench.scanner.replace(both, Selection::default(), none);
    assert_eq!(bench.scan(), ["+a.pem"], "found by the second as well");
    let mut gone = Vec::new();
    let rest = [(SECOND, directory)];
    bench.scanner.replace(rest, Selection::default(), |change| {
        if let Change::Gone { source, path } = change {
            gone.push((source, path));
        }
    });
    assert_eq!(gone, [(FIRST, bench.path("a.pem"))]);
    assert!(bench.scan().is_empty());
    let a = bench.path("a.pem");
    bench.scanner.report_file_again(SECOND, &a);
    assert_eq!(bench.scan(), ["+a.pem"]);
}
