//! `openssl ocsp` as oracle and as foreign responder.
//!
//! Promises: on responses made here, right and wrong, staplerd and OpenSSL agree, except where
//! OpenSSL's command line is known to be laxer, which is listed case by case; what OpenSSL's own
//! responder signs is judged by its algorithm; our requests are the bytes OpenSSL makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use staplerd::ocsp::{CertId, CertificateStatus, Note, Policy, Subject, encode_request, verify};
use staplerd::time::Timestamp;
use staplerd::x509::{Bundle, Certificate, find_issuer};
use tempfile::TempDir;

use crate::pki::{
    self, CertificateBuilder, DAY, HOUR, OCSP_SIGNING, ResponseBuilder, Single, World, by_key,
    extended_key_usage, extension, responder_error, revoked, time, time_text, unknown,
};
use crate::skip::skipped;

/// Whether there is an OpenSSL 3 to ask; a visible line if not.
fn have_openssl() -> bool {
    let found = Command::new("openssl")
        .arg("version")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"OpenSSL 3"));
    if !found {
        skipped("there is no openssl 3 command on this machine");
    }
    found
}

fn ours(response: &[u8], world: &World) -> &'static str {
    let subject = Subject {
        certificate: &world.leaf,
        issuer: &world.issuer,
    };
    match verify(response, subject, None, world.now, Policy::default()) {
        Ok(assessment) => match assessment.status {
            CertificateStatus::Good => "good",
            CertificateStatus::Revoked { .. } => "revoked",
            CertificateStatus::Unknown => "unknown",
        },
        Err(_) => "reject",
    }
}

/// OpenSSL's verdict, as a careful script would read it: it prints a status also where the
/// verification failed or the times are wrong.
fn theirs(directory: &Path, response: &[u8]) -> &'static str {
    let path = directory.join("response.der");
    fs::write(&path, response).unwrap();
    let output = Command::new("openssl")
        .current_dir(directory)
        .args(["ocsp", "-no_nonce", "-partial_chain"])
        .args(["-CAfile", "issuer.pem", "-issuer", "issuer.pem"])
        .args(["-cert", "leaf.pem", "-respin", "response.der"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if !text.contains("Response verify OK") || text.contains("Status times invalid") {
        return "reject";
    }
    ["good", "revoked", "unknown"]
        .into_iter()
        .find(|status| text.contains(&format!("leaf.pem: {status}")))
        .unwrap_or("reject")
}

struct Case {
    name: &'static str,
    response: Vec<u8>,
    ours: &'static str,
    theirs: &'static str,
}

/// Both say the same.
fn agreed(name: &'static str, verdict: &'static str, response: Vec<u8>) -> Case {
    Case {
        name,
        response,
        ours: verdict,
        theirs: verdict,
    }
}

/// A known difference: we refuse what OpenSSL's command line lets through.
fn laxer(name: &'static str, theirs: &'static str, response: Vec<u8>) -> Case {
    Case {
        name,
        response,
        ours: "reject",
        theirs,
    }
}

fn cases(world: &World) -> Vec<Case> {
    let now = world.now;
    let direct = |change: &dyn Fn(&mut ResponseBuilder)| {
        let mut builder = world.direct();
        change(&mut builder);
        builder.sign(&world.issuer_key)
    };
    let delegated = |delegate: CertificateBuilder| {
        let delegate = delegate.sign(&world.delegate_key, &world.issuer_key);
        world.delegated(&delegate).sign(&world.delegate_key)
    };
    let delegate = || World::delegate_builder().around(now);
    let plain = direct(&|_| {});
    let mut expired_delegate = delegate();
    expired_delegate.not_after = time(now.saturating_sub(DAY));
    let mut future_delegate = delegate();
    future_delegate.not_before = time(now.saturating_add(DAY));
    let foreign = {
        let foreign = delegate().sign(&world.delegate_key, &world.root_key);
        world.delegated(&foreign).sign(&world.delegate_key)
    };
    let by_the_root = {
        let mut builder = delegate();
        builder.issuer = pki::name("Root");
        let delegate = builder.sign(&world.delegate_key, &world.root_key);
        world.delegated(&delegate).sign(&world.delegate_key)
    };
    let other =
        CertificateBuilder::new("Issuer", "other", &[9]).sign(&world.leaf_key, &world.issuer_key);
    let other = CertId::new(&other, &world.issuer);
    let second = |status: Vec<u8>| {
        direct(&|builder| {
            let again = Single {
                status: status.clone(),
                ..builder.singles[0].clone()
            };
            builder.singles.push(again);
        })
    };
    let mut flipped = plain.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    vec![
        agreed("by the issuer", "good", plain.clone()),
        agreed(
            "by key hash",
            "good",
            direct(&|b| b.responder_id = by_key(&world.issuer)),
        ),
        agreed("by a delegate", "good", delegated(delegate())),
        agreed(
            "revoked",
            "revoked",
            direct(&|b| b.singles[0].status = revoked(now, Some(1))),
        ),
        agreed(
            "unknown",
            "unknown",
            direct(&|b| b.singles[0].status = unknown()),
        ),
        agreed(
            "without nextUpdate",
            "good",
            direct(&|b| b.singles[0].next_update = None),
        ),
        agreed(
            "version written out",
            "good",
            direct(&|b| b.version = pki::tagged(0, &pki::integer(&[0]))),
        ),
        agreed(
            "after an unrelated entry",
            "good",
            direct(&|b| {
                b.singles.insert(
                    0,
                    Single {
                        cert_id: other.der().to_vec(),
                        ..b.singles[0].clone()
                    },
                )
            }),
        ),
        agreed("try later", "reject", responder_error(3)),
        agreed("unauthorized", "reject", responder_error(6)),
        agreed("cut off", "reject", plain[..plain.len() - 1].to_vec()),
        agreed("a flipped bit", "reject", flipped),
        agreed(
            "by the leaf's key",
            "reject",
            world.direct().sign(&world.leaf_key),
        ),
        agreed(
            "about another certificate",
            "reject",
            direct(&|b| b.singles[0].cert_id = other.der().to_vec()),
        ),
        agreed("about nothing", "reject", direct(&|b| b.singles.clear())),
        agreed(
            "expired",
            "reject",
            direct(&|b| {
                b.singles[0].this_update = time(now.saturating_sub(2 * DAY));
                b.singles[0].next_update = Some(time(now.saturating_sub(DAY)));
            }),
        ),
        agreed(
            "not valid yet",
            "reject",
            direct(&|b| b.singles[0].this_update = time(now.saturating_add(DAY))),
        ),
        agreed(
            "nextUpdate before thisUpdate",
            "reject",
            direct(&|b| b.singles[0].next_update = Some(time(now.saturating_sub(2 * HOUR)))),
        ),
        agreed("a delegate that is not sent along", "reject", {
            let mut builder = world.delegated(&world.delegate);
            builder.certificates.clear();
            builder.sign(&world.delegate_key)
        }),
        agreed(
            "a delegate without OCSPSigning",
            "reject",
            delegated(CertificateBuilder::new("Issuer", "Responder", &[4]).around(now)),
        ),
        agreed("an expired delegate", "reject", delegated(expired_delegate)),
        agreed(
            "a delegate of tomorrow",
            "reject",
            delegated(future_delegate),
        ),
        agreed("a delegate by another key", "reject", foreign),
        agreed("a delegate of the root", "reject", by_the_root),
        agreed(
            "a delegate with an unknown critical extension",
            "reject",
            delegated(delegate().with(extension("1.2.3.4", true, &[]))),
        ),
        // What OpenSSL's command line lets through.
        laxer(
            "a time without seconds",
            "good",
            direct(&|b| b.singles[0].this_update = time_text("202601151100Z")),
        ),
        laxer("trailing bytes", "good", [&plain[..], &[0]].concat()),
        laxer("twice the response", "good", plain.repeat(2)),
        laxer(
            "a BER length",
            "good",
            // A delegate's certificate makes it longer than 255 bytes whatever the signatures are.
            [&[0x30, 0x83, 0x00], &delegated(delegate())[2..]].concat(),
        ),
        laxer(
            "an unknown critical extension",
            "good",
            direct(&|b| b.extensions = vec![extension("1.2.3.4", true, &[])]),
        ),
        laxer(
            "one in the entry",
            "good",
            direct(&|b| b.singles[0].extensions = vec![extension("1.2.3.4", true, &[])]),
        ),
        laxer(
            "produced tomorrow",
            "good",
            direct(&|b| b.produced_at = time(now.saturating_add(DAY))),
        ),
        laxer(
            "no nextUpdate for eight days",
            "good",
            direct(&|b| {
                b.singles[0].this_update = time(now.saturating_sub(8 * DAY));
                b.singles[0].next_update = None;
            }),
        ),
        laxer(
            "a delegate without digitalSignature",
            "good",
            delegated(
                CertificateBuilder::new("Issuer", "Responder", &[4])
                    .around(now)
                    .with(pki::key_usage(0x40))
                    .with(extended_key_usage(&[OCSP_SIGNING])),
            ),
        ),
        // OpenSSL takes the first of several entries about the certificate, we the worst.
        Case {
            name: "good, then revoked",
            response: second(revoked(now, None)),
            ours: "revoked",
            theirs: "good",
        },
        Case {
            name: "good, then unknown",
            response: second(unknown()),
            ours: "unknown",
            theirs: "good",
        },
    ]
}

#[test]
fn openssl_agrees_except_where_it_is_laxer() {
    if !have_openssl() {
        return;
    }
    let directory = TempDir::new().unwrap();
    // OpenSSL compares a response's times with the machine's clock, whatever -attime says.
    let world = World::at(Timestamp::from(SystemTime::now()));
    fs::write(directory.path().join("issuer.pem"), world.issuer.pem()).unwrap();
    fs::write(directory.path().join("leaf.pem"), world.leaf.pem()).unwrap();
    let surprises: Vec<String> = cases(&world)
        .into_iter()
        .filter_map(|case| {
            let found = (
                ours(&case.response, &world),
                theirs(directory.path(), &case.response),
            );
            (found != (case.ours, case.theirs))
                .then(|| format!("{}: (ours, theirs) = {found:?}", case.name))
        })
        .collect();
    assert_eq!(surprises, Vec::<String>::new());
}

/// A CA made by OpenSSL, whose responder OpenSSL plays as well.
struct Authority {
    directory: TempDir,
}

impl Authority {
    /// With a key as `openssl req` makes it with these options.
    fn new(key: &str) -> Self {
        let authority = Authority {
            directory: TempDir::new().unwrap(),
        };
        authority.run(&format!(
            "req -x509 -nodes -subj /CN=CA -days 30 {key} -keyout ca.key -out ca.pem"
        ));
        authority.certify("leaf", "0x1234", "");
        let line = "V\t490101000000Z\t\t1234\tunknown\t/CN=leaf\n";
        fs::write(authority.path("index.txt"), line).unwrap();
        authority.run("ocsp -issuer ca.pem -cert leaf.pem -no_nonce -reqout request.der");
        authority
    }

    /// Issues a certificate for a new RSA key.
    fn certify(&self, name: &str, serial: &str, options: &str) {
        self.run(&format!(
            "req -nodes -newkey rsa:2048 -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {serial} -days 20 \
             {options} -out {name}.pem"
        ));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &str) {
        let output = Command::new("openssl")
            .current_dir(self.directory.path())
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// What `openssl x509` prints of a certificate with these options.
    fn printed(&self, name: &str, options: &str) -> String {
        let output = Command::new("openssl")
            .current_dir(self.directory.path())
            .args(["x509", "-noout", "-in", name])
            .args(options.split_whitespace())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn certificate(&self, name: &str) -> Certificate {
        let pem = fs::read(self.path(name)).unwrap();
        Bundle::from_pem(&pem).unwrap().leaf().clone()
    }

    /// The verdict on what OpenSSL's responder signs as `signer` with these options.
    fn verdict(&self, signer: &str, options: &str, allow_sha1: bool) -> &'static str {
        self.run(&format!(
            "ocsp -index index.txt -CA ca.pem -rsigner {signer}.pem -rkey {signer}.key \
             -reqin request.der -respout response.der -ndays 1 {options}"
        ));
        let (leaf, issuer) = (self.certificate("leaf.pem"), self.certificate("ca.pem"));
        let subject = Subject {
            certificate: &leaf,
            issuer: &issuer,
        };
        let policy = Policy {
            allow_sha1,
            staple_revoked: false,
        };
        let now = Timestamp::from(SystemTime::now());
        let response = fs::read(self.path("response.der")).unwrap();
        match verify(&response, subject, None, now, policy) {
            Ok(assessment) => {
                assert_eq!(assessment.status, CertificateStatus::Good);
                let weak = assessment.notes.contains(&Note::WeakSignature);
                assert!(assessment.stapling.unwrap().matches_by_cert_id());
                if weak { "good, but weak" } else { "good" }
            }
            Err(rejection) => rejection.kind(),
        }
    }
}

#[test]
fn what_openssl_signs_is_judged_by_its_algorithm() {
    if !have_openssl() {
        return;
    }
    let rsa = Authority::new("-newkey rsa:2048");
    for digest in ["sha256", "sha384", "sha512"] {
        let pkcs1 = format!("-rmd {digest}");
        assert_eq!(rsa.verdict("ca", &pkcs1, false), "good", "{digest}");
        let pss = format!("{pkcs1} -rsigopt rsa_padding_mode:pss -rsigopt rsa_pss_saltlen:digest");
        assert_eq!(rsa.verdict("ca", &pss, false), "good", "PSS with {digest}");
    }
    assert_eq!(rsa.verdict("ca", "-resp_key_id", false), "good");
    assert_eq!(rsa.verdict("ca", "-rmd sha1", false), "weak_signature");
    assert_eq!(rsa.verdict("ca", "-rmd sha1", true), "good, but weak");
    for allow_sha1 in [false, true] {
        for digest in ["-rmd md5", "-rmd sha224"] {
            let verdict = rsa.verdict("ca", digest, allow_sha1);
            assert_eq!(verdict, "unsupported_signature", "{digest}");
        }
    }

    let short = Authority::new("-newkey rsa:1024");
    for digest in ["-rmd sha256", "-rmd sha512", "-rmd sha1"] {
        assert_eq!(short.verdict("ca", digest, false), "weak_signature");
        assert_eq!(short.verdict("ca", digest, true), "good, but weak");
    }

    for curve in ["P-256", "P-384", "P-521"] {
        let ec = Authority::new(&format!("-newkey ec -pkeyopt ec_paramgen_curve:{curve}"));
        for digest in ["-rmd sha256", "-rmd sha384", "-rmd sha512"] {
            assert_eq!(ec.verdict("ca", digest, false), "good", "{curve} {digest}");
        }
        if curve == "P-256" {
            assert_eq!(ec.verdict("ca", "-rmd sha1", false), "weak_signature");
            assert_eq!(ec.verdict("ca", "-rmd sha1", true), "good, but weak");
        }
    }
}

#[test]
fn a_delegates_certificate_is_judged_by_its_algorithm_too() {
    if !have_openssl() {
        return;
    }
    let authority = Authority::new("-newkey rsa:2048");
    fs::write(
        authority.path("delegate.cnf"),
        "extendedKeyUsage = OCSPSigning\nnoCheck = ignored\n",
    )
    .unwrap();
    authority.certify("modern", "2", "-sha256 -extfile delegate.cnf");
    authority.certify("weak", "3", "-sha1 -extfile delegate.cnf");
    assert_eq!(authority.verdict("modern", "", false), "good");
    assert_eq!(authority.verdict("weak", "", false), "weak_signature");
    assert_eq!(authority.verdict("weak", "", true), "good, but weak");
    authority.certify("plain", "4", "");
    let refused = "delegate_no_ocsp_signing";
    assert_eq!(authority.verdict("plain", "", true), refused);
}

#[test]
fn our_requests_are_openssls_bytes() {
    if !have_openssl() {
        return;
    }
    let authority = Authority::new("-newkey ec -pkeyopt ec_paramgen_curve:P-256");
    let (leaf, issuer) = (
        authority.certificate("leaf.pem"),
        authority.certificate("ca.pem"),
    );
    let request = encode_request(&CertId::new(&leaf, &issuer), None);
    assert_eq!(fs::read(authority.path("request.der")).unwrap(), request);
    // And with a nonce, OpenSSL reads them.
    let with_nonce = encode_request(&CertId::new(&leaf, &issuer), Some(&[7; 32]));
    fs::write(authority.path("nonce.der"), with_nonce).unwrap();
    authority.run("ocsp -reqin nonce.der -req_text -noverify");
}

#[test]
fn a_certificates_facts_are_what_openssl_reads() {
    if !have_openssl() {
        return;
    }
    let authority = Authority::new("-newkey ec -pkeyopt ec_paramgen_curve:P-384");
    let extensions = "subjectAltName = DNS:www.example.org, IP:192.0.2.1, DNS:*.example.org\n\
                      authorityInfoAccess = OCSP;URI:http://b.example.org/, \
                      caIssuers;URI:http://c.example.org/, OCSP;URI:http://a.example.org/x\n\
                      tlsfeature = status_request\n\
                      subjectKeyIdentifier = hash\n\
                      authorityKeyIdentifier = keyid\n";
    fs::write(authority.path("rich.cnf"), extensions).unwrap();
    authority.certify("rich", "0x00f374542e3c7a6836", "-extfile rich.cnf");
    let (rich, ca) = (
        authority.certificate("rich.pem"),
        authority.certificate("ca.pem"),
    );
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02X}")).collect() };
    let last = |options: &str| {
        let printed = authority.printed("rich.pem", options);
        let value = printed.rsplit(['=', '\n']).next().unwrap_or_default();
        value.trim().replace(':', "")
    };
    assert_eq!(hex(rich.serial()), format!("00{}", last("-serial")));
    assert_eq!(hex(&rich.sha1_fingerprint()), last("-fingerprint -sha1"));
    assert_eq!(
        hex(&rich.sha256_fingerprint()),
        last("-fingerprint -sha256")
    );
    let identifier = rich.subject_key_identifier().unwrap();
    assert_eq!(hex(identifier), last("-ext subjectKeyIdentifier"));
    assert_eq!(rich.authority_key_identifier(), ca.subject_key_identifier());
    let urls = authority.printed("rich.pem", "-ocsp_uri");
    assert_eq!(rich.ocsp_urls(), urls.lines().collect::<Vec<_>>());
    assert_eq!(rich.names(), ["www.example.org", "*.example.org"]);
    assert!(rich.must_staple());
    assert!(!rich.is_self_signed() && !rich.is_certificate_authority());
    assert!(ca.is_self_signed() && ca.is_certificate_authority());
    let candidates = [rich.clone(), ca.clone()];
    assert_eq!(find_issuer(&rich, &candidates), Some(&ca));
}
