//! Nothing that stands in a certificate, or in a file's name, keeps the others of a HAProxy from
//! their staples: every version, the stats socket and the master CLI.

use rcgen::{CertificateParams, DnType, SanType};
use staplerd::haproxy::{Arrival, DeliveryError, Quarantine, SessionReport};

use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Installation, Setup, installations};
use crate::support::pki::{Authority, Issued, Response, StapleOffer};
use crate::support::session::Session;

/// How a session reaches HAProxy.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Way {
    Stats,
    Master,
}

const WAYS: [Way; 2] = [Way::Stats, Way::Master];

/// A HAProxy with certificates in files of these names.
struct Scene {
    authority: Authority,
    certificates: Vec<(String, Issued)>,
    files: Vec<(String, Vec<u8>)>,
}

impl Scene {
    fn new() -> Scene {
        let mut scene = Scene {
            authority: Authority::new(),
            certificates: Vec::new(),
            files: Vec::new(),
        };
        // The first and the last in every list.
        scene.add("00.pem", "first.example", |_| {});
        scene.add("zz.pem", "last.example", |_| {});
        scene
    }

    fn add(&mut self, file: &str, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let issued = self.authority.issue_changed(name, change);
        self.files
            .push((file.to_owned(), issued.pem().into_bytes()));
        self.certificates.push((file.to_owned(), issued));
    }

    fn issued(&self, file: &str) -> &Issued {
        let mut certificates = self.certificates.iter();
        &certificates.find(|(it, _)| it == file).unwrap().1
    }

    fn offer(&self, file: &str) -> StapleOffer {
        let issued = self.issued(file);
        self.authority.staple(issued, Response::default())
    }

    fn start(&self, installation: &Installation, way: Way, global: &str) -> (Haproxy, Session) {
        let files: Vec<(&str, &[u8])> = self
            .files
            .iter()
            .map(|(name, content)| (name.as_str(), content.as_slice()))
            .collect();
        let setup = Setup {
            global: global.to_owned(),
            master: way == Way::Master,
            ..Setup::default()
        };
        let haproxy = Haproxy::start(installation, setup, &files);
        let target = match way {
            Way::Stats => haproxy.path("admin.sock"),
            Way::Master => {
                haproxy.wait_for_master();
                format!("master:{}", haproxy.path("master.sock"))
            }
        };
        (haproxy, Session::start(&target))
    }

    /// Delivers to every certificate but those in the files `but`, and sees each staple on the
    /// wire.
    async fn serve_all(&self, haproxy: &Haproxy, session: &mut Session, but: &[&str]) {
        for (file, issued) in &self.certificates {
            if but.contains(&file.as_str()) {
                continue;
            }
            let offer = self.offer(file);
            let outcome = session.deliver(&offer).await;
            let version = haproxy.installation.version;
            assert!(outcome.is_ok(), "{version:?}: {file:?}: {outcome:?}");
            let staple = haproxy.staple(&issued.name);
            assert_eq!(staple, offer.der(), "{version:?}: {file:?}");
        }
    }
}

/// A session whose connection was never lost says so.
async fn stop_undisturbed(mut session: Session, case: &str) {
    let lost = session.kept(|report| matches!(report, SessionReport::Disconnected(_)));
    assert_eq!(lost, None, "{case}");
    session.stop().await;
}

fn alternative_name(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

/// Names that imitate the ends of replies, prompts, answers, marks.
const ENDS: &[&str] = &[
    "evil.test\n\nx",
    "evil\n\n> x",
    "evil\n> x",
    "evil\n\nmaster> x",
    "evil\n\nadmin\n\n> No such table\n\n> ",
    "evil\n",
    "evil\n\n",
    "\n\n\n\n",
    "\r\n\r\n",
    "+ + x",
    "[3]: x",
    "a\u{1b}[2J\u{7}b",
    "x\nOperations on certificates are currently locked!",
    "Can't display the certificate: Not found",
];

#[tokio::test(flavor = "multi_thread")]
async fn names_in_certificates_end_no_reply() {
    for installation in installations("names that imitate the end of a reply") {
        for way in WAYS {
            let mut scene = Scene::new();
            for (number, end) in ENDS.iter().enumerate() {
                let name = format!("san{number}.example");
                scene.add(&format!("san{number}.pem"), &name, |params| {
                    params.subject_alt_names.push(alternative_name(end));
                });
                let name = format!("cn{number}.example");
                scene.add(&format!("cn{number}.pem"), &name, |params| {
                    params.distinguished_name.push(DnType::CommonName, *end);
                });
            }
            let (haproxy, mut session) = scene.start(&installation, way, "");
            session.connected().await;
            scene.serve_all(&haproxy, &mut session, &[]).await;
            stop_undisturbed(session, &format!("{installation:?} {way:?}")).await;
        }
    }
}

/// Names that imitate HAProxy's fields, about the certificate `of`.
fn imitations(of: &Issued) -> Vec<String> {
    let print: String = of
        .certificate
        .sha1_fingerprint()
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    let serial: String = of
        .certificate
        .serial()
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    vec![
        format!("x\nSHA1 FingerPrint: {print}\nOCSP Response Key: "),
        format!("x\nSHA1 FingerPrint: {print}"),
        format!("x\nSerial: {serial}\nAlgorithm: EC256\nSHA1 FingerPrint: {print}"),
        format!("x\nAlgorithm: OCSP Response Key: \nSHA1 FingerPrint: {print}"),
        "x\nOCSP Response Key: 3041".to_owned(),
        "x\n\nFilename: /etc/x\nStatus: Unused".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_certificates_forge_no_field() {
    for installation in installations("names that imitate fields") {
        for way in WAYS {
            let mut scene = Scene::new();
            let imitated = imitations(scene.issued("zz.pem"));
            for (number, imitation) in imitated.iter().enumerate() {
                let name = format!("san{number}.example");
                scene.add(&format!("san{number}.pem"), &name, |params| {
                    params.subject_alt_names.push(alternative_name(imitation));
                });
                let name = format!("cn{number}.example");
                scene.add(&format!("cn{number}.pem"), &name, |params| {
                    params
                        .distinguished_name
                        .push(DnType::CommonName, imitation.as_str());
                });
            }
            let (haproxy, mut session) = scene.start(&installation, way, "");
            session.connected().await;
            let quarantined = session.quarantined().await;
            assert!(quarantined.len() > imitated.len(), "{quarantined:?}");
            assert!(quarantined.values().all(|why| why.kind() == "ambiguous"));
            scene.serve_all(&haproxy, &mut session, &[]).await;
            stop_undisturbed(session, &format!("{installation:?} {way:?}")).await;
        }
    }
}

/// Names of files that no version of HAProxy can be asked about, and such as it can.
const UNSENDABLE: &[&str] = &[
    "a <<x.pem",
    "a <<",
    "b <<x y.pem",
    "c\n\nd.pem",
    "e\n# filename\nf.pem",
    "g\nshow info",
    "h\r",
];
const SENDABLE: &[&str] = &[
    "i j;k\\l.pem",
    "'m\"n#$.pem",
    "*o.pem",
    "@p.pem",
    "q<r.pem",
    "ü.pem",
];

#[tokio::test(flavor = "multi_thread")]
async fn names_of_files_lead_no_command_astray() {
    for installation in installations("odd file names") {
        for way in WAYS {
            let mut scene = Scene::new();
            for (number, file) in UNSENDABLE.iter().chain(SENDABLE).enumerate() {
                scene.add(file, &format!("n{number}.example"), |_| {});
            }
            // With a slot from the start, a staple needs no name.
            let with_slot = UNSENDABLE[0];
            scene.files.push((format!("{with_slot}.ocsp"), Vec::new()));
            let (haproxy, mut session) = scene.start(&installation, way, "");
            session.connected().await;
            let quarantined = session.quarantined().await;
            assert!(
                quarantined
                    .values()
                    .all(|why| why.kind() == "unsendable_name")
            );
            assert!(quarantined.contains_key(&haproxy.certificate(with_slot)));
            scene
                .serve_all(&haproxy, &mut session, &UNSENDABLE[1..])
                .await;
            for file in &UNSENDABLE[1..] {
                let outcome = session.deliver(&scene.offer(file)).await;
                assert_eq!(outcome, Err(DeliveryError::NotDescribed), "{file:?}");
            }
            let loaded = session.loaded().await;
            let honest = haproxy.certificate("00.pem");
            assert!(loaded.contains(&honest));
            // A part of a name is no store, even where a file has that name.
            assert!(
                !loaded
                    .iter()
                    .any(|store| store == "f.pem" || store == "d.pem")
            );
            stop_undisturbed(session, &format!("{installation:?} {way:?}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_hold_nothing_are_told_from_those_that_do() {
    for installation in installations("empty slots") {
        for way in WAYS {
            let mut scene = Scene::new();
            let foreign = Authority::new();
            let theirs = foreign.issue("x.example", None);
            let expired = Response {
                this_update: -7 * 24 * 3600,
                next_update: -3600,
                ..Response::default()
            };
            for number in 0..12 {
                let (file, name) = (format!("{number}.pem"), format!("e{number}.example"));
                scene.add(&file, &name, |_| {});
                let held = match number % 4 {
                    0 => Vec::new(),
                    1 => foreign.respond(&theirs, Response::default()),
                    2 => scene.authority.respond(scene.issued(&file), expired),
                    _ => scene.offer(&file).der().to_vec(),
                };
                scene.files.push((format!("{file}.ocsp"), held));
            }
            let (haproxy, mut session) = scene.start(&installation, way, "");
            session.connected().await;
            // All at once, so that they are asked about in one write.
            let offers: Vec<StapleOffer> = scene
                .certificates
                .iter()
                .map(|(file, _)| scene.offer(file))
                .collect();
            for offer in &offers {
                session.send(offer);
            }
            for (offer, (file, issued)) in offers.iter().zip(&scene.certificates) {
                let outcome = session.outcome(offer).await;
                let version = installation.version;
                assert!(outcome.is_ok(), "{version:?} {way:?} {file}: {outcome:?}");
                assert_eq!(haproxy.staple(&issued.name), offer.der());
            }
            stop_undisturbed(session, &format!("{installation:?} {way:?}")).await;
        }
    }
}

/// The description of the certificate in `file`, as HAProxy gives it.
fn description(haproxy: &Haproxy, file: &str) -> String {
    haproxy.cli(&format!("show ssl cert {}", haproxy.certificate(file)))
}

/// A certificate with `count` names of one length, and one of `last` octets.
fn padded(scene: &mut Scene, file: &str, count: usize, last: usize) {
    let name = format!("{}.example", file.trim_end_matches(".pem"));
    scene.add(file, &name, |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "padded");
        for number in 0..count {
            let name = format!("{number:04}.{}", "n".repeat(60));
            params.subject_alt_names.push(alternative_name(&name));
        }
        params
            .subject_alt_names
            .push(alternative_name(&"x".repeat(last)));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_is_cut_costs_no_staple() {
    for installation in installations("cut descriptions") {
        for (buffer, global) in [(16384, ""), (4096, "tune.bufsize 4096")] {
            // What the description has beside its padding, by HAProxy's own count.
            let mut scene = Scene::new();
            let count = buffer / 85;
            padded(&mut scene, "p00010.pem", count, 10);
            let (haproxy, session) = scene.start(&installation, Way::Stats, global);
            let beside = description(&haproxy, "p00010.pem").len() - 10;
            assert!(beside < buffer, "{beside} of {buffer}");
            session.stop().await;
            for way in WAYS {
                let mut scene = Scene::new();
                for length in buffer - 4..=buffer + 4 {
                    let file = format!("p{length:05}.pem");
                    padded(&mut scene, &file, count, length - beside);
                }
                padded(&mut scene, "far.pem", count, buffer / 2);
                // As authorities sell them. Of some of these 2.6.12 ends with an abort, whoever
                // asks; 2.7.0 and 2.8.0, too.
                let names = if ((2, 6)..=(2, 8)).contains(&installation.version) {
                    let version = installation.version;
                    skipped(format!(
                        "a certificate of many names with HAProxy {version:?}, which may end over it"
                    ));
                    0
                } else {
                    buffer / 64
                };
                scene.add("many.pem", "many.example", |params| {
                    for number in 0..names {
                        let name = format!("{number}.{}.wide.example", "n".repeat(44));
                        params.subject_alt_names.push(alternative_name(&name));
                    }
                });
                // A long chain, as long as the client of this test still takes it.
                if buffer < 16384 {
                    let long = scene.authority.issue("chain.example", None);
                    let chain = scene.authority.pem().repeat(buffer / 60);
                    let pem = format!("{}{chain}", long.pem());
                    scene.files.push(("chain.pem".to_owned(), pem.into_bytes()));
                    scene.certificates.push(("chain.pem".to_owned(), long));
                }
                let (haproxy, mut session) = scene.start(&installation, way, global);
                session.connected().await;
                scene.serve_all(&haproxy, &mut session, &[]).await;
                // Again, now that each has its slot.
                scene.serve_all(&haproxy, &mut session, &[]).await;
                stop_undisturbed(session, &format!("{installation:?} {way:?} {buffer}")).await;
            }
        }
    }
}

/// 2.6.12 ends over the description of some of these, whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn what_haproxy_2_6_ends_over_is_not_asked_of_it() {
    for installation in installations("descriptions that end HAProxy") {
        if installation.version != (2, 6) {
            continue;
        }
        for way in WAYS {
            let mut scene = Scene::new();
            // Every length from too short to end it to too long.
            for (number, last) in (2350..2650).step_by(15).enumerate() {
                padded(&mut scene, &format!("p{number:05}.pem"), 192, last);
            }
            let (haproxy, mut session) = scene.start(&installation, way, "");
            session.connected().await;
            let quarantined = session.quarantined().await;
            let why = |why: &Quarantine| why.kind() == "fatal_description";
            assert!(quarantined.values().all(why), "{quarantined:?}");
            assert!((4..10).contains(&quarantined.len()), "{quarantined:?}");
            let is_left_alone = |file: &&str| quarantined.contains_key(&haproxy.certificate(file));
            let files = scene.certificates.iter().map(|(file, _)| file.as_str());
            let left_alone: Vec<&str> = files.filter(is_left_alone).collect();
            scene.serve_all(&haproxy, &mut session, &left_alone).await;
            stop_undisturbed(session, &format!("{way:?}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_number_of_somebody_else_is_no_way_to_his_staple() {
    for installation in installations("serial number of another") {
        let mut scene = Scene::new();
        let serial = scene.issued("zz.pem").certificate.serial().to_vec();
        let imitation = imitations(scene.issued("zz.pem")).remove(2);
        scene.add("copy.pem", "copy.example", |params| {
            params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial));
            params.subject_alt_names.push(alternative_name(&imitation));
        });
        let (haproxy, mut session) = scene.start(&installation, Way::Stats, "");
        session.connected().await;
        let offer = scene.offer("zz.pem");
        assert_eq!(session.deliver(&offer).await, Ok(Arrival::Attached));
        assert_eq!(haproxy.staple("last.example"), offer.der());
        assert!(haproxy.staple("copy.example").is_empty());
        stop_undisturbed(session, &format!("{installation:?}")).await;
    }
}
