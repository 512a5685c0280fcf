//! Configurations as other people write them, read by staplerd and by real HAProxys of all
//! versions: both find the same certificates by the same names, and HAProxy finds the staples where
//! staplerd would write them.

mod generator;
mod packaged;
mod scene;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use staplerd::haproxy::Level;
use staplerd::haproxy::address::{Address, Endpoint};
use staplerd::haproxy_config::Testimony;

use crate::support::haproxy::{free_addresses, installations};
use scene::{DEFAULTS, HEAD, Scene, parts};

const ANY: (u16, u16) = (2, 2);

#[test]
fn files_and_folders_of_bind_lines_are_those_that_haproxy_loads() {
    let scene = Scene::new(&[
        "certs/a.pem",
        "certs/b.pem",
        "certs/no-extension",
        "other/c.pem",
        "other/d.pem",
    ]);
    // What a folder's loader passes over.
    scene.write("certs/b.pem.issuer", &scene.issuer_pem());
    scene.write("certs/notes.key", "not a key");
    scene.configure(
        "\tcrt-base {dir}/other\n\tca-base /nowhere\n",
        "frontend www\n\
         \t# the default certificate first\n\
         \tbind {dir}/1.sock ssl crt c.pem crt {dir}/certs alpn h2,http/1.1\n\
         \tbind {dir}/2.sock name crt ssl crt c.pem crt {dir}/certs/ crt {dir}/certs/a.pem\n\
         listen more\n\
         \tbind {dir}/3.sock user root ssl strict-sni crt ./d.pem crt {dir}/other//d.pem#two\n",
    );
    assert_eq!(scene.notices(), []);
    let sources = scene.read().sources();
    assert_eq!(sources.len(), 4, "{sources:?}");
    scene.agrees("files and folders", ANY, &[]);
}

#[test]
fn quotes_escapes_and_variables_mean_what_they_mean_to_haproxy() {
    let mut scene = Scene::new(&["a b.pem", "c#d.pem", "e.pem", "f.pem", "g$h.pem", "i'j.pem"]);
    scene.environment("CERTS", "{dir}");
    scene.environment("SITE", "e");
    scene.configure(
        "\tsetenv NAME f.pem\n\tpresetenv CERTS /nowhere\n\tpresetenv LAST \"i'j\"\n",
        "frontend www\n\
         \tbind {dir}/1.sock ssl crt {dir}/a\\ b.pem crt '{dir}/a b.pem' crt \"${CERTS}/a b.pem\"\n\
         \tbind {dir}/2.sock ssl crt {dir}/c\\#d.pem crt \"$CERTS/c\\x23d.pem\"# comment\n\
         \tbind {dir}/3.sock\tssl  crt\t\"$CERTS/${SITE}.p\"em crt {dir}/g$h.pem\n\
         \tbind {dir}/4.sock ssl crt \"$CERTS/$NAME\" crt \"$CERTS/${LAST}.pem\"\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("quotes and variables", ANY, &[]);
}

#[test]
fn defaults_of_variables_and_lists_in_variables_are_expanded() {
    let mut scene = Scene::new(&["a.pem", "b.pem", "c.pem", "d.pem"]);
    scene.environment("KEPT", "{dir}/c.pem");
    scene.environment("LOST", "/nowhere");
    scene.configure(
        "\tsetenv LIST \"crt {dir}/a.pem  crt {dir}/b.pem\"\n\
         \tresetenv KEPT LIST\n",
        "frontend www\n\
         \tbind {dir}/1.sock ssl \"${LIST[*]}\" crt \"${KEPT-/nowhere}\"\n\
         \tbind {dir}/2.sock ssl crt \"${LOST-{dir}/d.pem}\"\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("defaults of variables", (2, 6), &[]);
}

#[test]
fn a_variable_that_is_only_set_for_haproxy_is_told_and_loses_no_other_name() {
    let scene = Scene::new(&["a.pem", "b.pem"]);
    scene.configure(
        "",
        "frontend www\n\
         \tbind \"${ADDRESS}\" ssl crt {dir}/a.pem crt \"${SECRET}/c.pem\" crt {dir}/b.pem\n",
    );
    assert_eq!(scene.notices(), [(9, "unknown_variable")]);
    assert_eq!(scene.read().stores.len(), 2);
}

#[test]
fn crt_lists_name_the_certificates_that_haproxy_loads_from_them() {
    let scene = Scene::new(&["certs/a.pem", "certs/b.pem", "certs/c.pem", "d.pem"]);
    scene.write(
        "lists/one",
        "# the first is the default\n\
         a.pem\n\
         \n\
         \tb.pem [alpn h2,http/1.1 ssl-min-ver TLSv1.2] *.domain.tld !secure.domain.tld\r\n\
         b.pem secure.domain.tld\n\
         {dir}/d.pem [ alpn h2 ] x.tld y.tld\n\
         c.pem[curves X25519:P-256]z.tld\n",
    );
    scene.configure(
        "\tcrt-base {dir}/certs\n",
        "frontend www\n\
         \tbind {dir}/1.sock ssl crt-list lists/one\n\
         \tbind {dir}/2.sock ssl crt-list lists/one crt a.pem\n",
    );
    assert_eq!(scene.notices(), [(10, "relative_path")]);
    let files = scene.read().files;
    assert_eq!(files, [scene.path("haproxy.cfg"), scene.path("lists/one")]);
    scene.agrees("crt-list", ANY, &[]);
}

#[test]
fn words_end_where_haproxy_ends_them() {
    let scene = Scene::new(&["a.pem", "b\u{a0}c.pem", "d\u{3000}.pem", "e\u{85}.pem"]);
    scene.write(
        "list",
        "a.pem\x0ba.tld\n\x0cb\u{a0}c.pem\x0cb.tld\nd\u{3000}.pem d.tld\ne\u{85}.pem\n",
    );
    scene.configure(
        "\tcrt-base\x0b{dir}\n",
        "frontend www\n\tbind\x0b{dir}/1.sock\x0cssl crt-list {dir}/list\n",
    );
    scene.agrees("white space", ANY, &[]);
}

#[test]
fn a_crt_lists_own_companions_are_where_haproxy_looks() {
    let mut scene = Scene::new(&["certs/a.pem", "certs/b.pem", "certs/c.pem"]);
    // No chain in the file, so HAProxy needs the issuer that is named.
    scene.certificate("certs/d.pem", |issued| {
        let parts = parts(&issued.pem());
        format!("{}{}", parts[0], parts[2])
    });
    scene.write("ca.pem", &scene.issuer_pem());
    let parts = parts(&std::fs::read_to_string(scene.path("certs/a.pem")).unwrap());
    scene.write("a.key", &parts[2]);
    scene.write("certs/a.pem", &format!("{}{}", parts[0], parts[1]));
    scene.write(
        "list",
        "a.pem [key {dir}/a.key ocsp {dir}/staples-a alpn h2] a.tld\n\
         b.pem [ocsp-update on]\n\
         c.pem [crt ignored.pem key {dir}/a.key]\n\
         d.pem [issuer {dir}/ca.pem ocsp relative.ocsp] d.tld\n",
    );
    scene.configure(
        "\tcrt-base {dir}/certs\n",
        "frontend www\n\tbind {dir}/1.sock ssl crt-list {dir}/list\n",
    );
    assert_eq!(
        scene.notices(),
        [
            (2, "renewed_by_haproxy"),
            (3, "staple_not_named"),
            (4, "relative_path")
        ]
    );
    scene.agrees("crt-list with files", (3, 0), &["{dir}/certs/c.pem"]);
}

#[test]
fn a_first_staple_that_haproxy_2_2_does_not_use_is_told() {
    let scene = Scene::new(&["a.pem", "b.pem"]);
    scene.write("list", "{dir}/a.pem *\n{dir}/b.pem * b.tld\n");
    scene.configure(
        "",
        "frontend www\n\tbind {dir}/1.sock ssl crt-list {dir}/list\n",
    );
    for (version, notices) in [
        ("2.2.9-2+deb11u6", vec![(1, "first_staple_not_used")]),
        ("2.6.12-1+deb12u3", vec![]),
    ] {
        let testimony = Testimony {
            version: Some(version.to_owned()),
            ..Testimony::default()
        };
        assert_eq!(scene.notices_by(&testimony), notices, "{version}");
    }
}

#[test]
fn a_file_can_look_like_a_crt_stores_certificate() {
    for (files, since, before) in [
        (["@a.pem", "b.pem"], (3, 0), (u16::MAX, 0)),
        (["certs/@a.pem", "b.pem"], ANY, (3, 0)),
    ] {
        let scene = Scene::new(&files);
        scene.configure(
            "\tcrt-base {dir}/certs\n",
            "frontend www\n\tbind {dir}/1.sock ssl crt @a.pem crt {dir}/b.pem\n",
        );
        for installation in installations("names with an @") {
            if (since..before).contains(&installation.version) {
                scene.agrees_with(&installation, &[]);
            }
        }
    }
}

#[test]
fn certificates_of_control_sockets_are_seen() {
    let scene = Scene::new(&["a.pem", "b.pem"]);
    scene.configure(
        "\tstats socket {dir}/tls.sock ssl crt {dir}/b.pem level admin\n",
        "frontend www\n\tbind {dir}/1.sock ssl crt {dir}/a.pem\n",
    );
    assert_eq!(scene.notices(), [(3, "tls_socket")]);
    scene.agrees("certificates of control sockets", ANY, &[]);
}

#[test]
fn crt_stores_are_named_and_completed_as_haproxy_does() {
    let mut scene = Scene::new(&[
        "certs/a.pem",
        "certs/b.pem",
        "certs/c.pem",
        "certs/unused.pem",
        "web/d.pem",
        "web/e.pem",
        "web/f.pem",
        "web/g.pem",
    ]);
    scene.certificate("web/h.pem", |issued| {
        let parts = parts(&issued.pem());
        format!("{}{}", parts[0], parts[2])
    });
    scene.write("web/h.ca", &scene.issuer_pem());
    scene.write(
        "haproxy.cfg",
        &format!(
            "{HEAD}\tcrt-base {{dir}}/certs\n\tkey-base /nowhere\n\
             crt-store\n\
             \tload crt a.pem ocsp a.ocsp\n\
             \tload crt \"b.pem\" alias \"bee\" ocsp {{dir}}/b-staple\n\
             \tload crt unused.pem\n\
             crt-store web # another\n\
             \tcrt-base {{dir}}/web/\n\
             \tload crt d.pem ocsp d.ocsp\n\
             \tload alias ee crt e.pem ocsp-update on\n\
             \tload crt {{dir}}/web/f.pem ocsp f.der\n\
             \tload crt h.pem issuer h.ca ocsp h.ocsp alias h\n\
             {DEFAULTS}\
             frontend www\n\
             \tbind {{dir}}/1.sock ssl crt a.pem crt @/bee crt c.pem crt {{dir}}/certs/a.pem\n\
             \tbind {{dir}}/2.sock ssl crt @web/d.pem crt @web/ee crt @web{{dir}}/web/f.pem crt {{dir}}/web/g.pem\n\
             \tbind {{dir}}/3.sock ssl crt-list {{dir}}/list\n"
        ),
    );
    scene.write("list", "@web/d.pem [alpn h2] x.tld\n@web/h\n");
    assert_eq!(
        scene.notices(),
        [(8, "staple_not_named"), (12, "renewed_by_haproxy")]
    );
    // HAProxy makes room for a staple that it renews itself.
    scene.agrees("crt-store", (3, 0), &["{dir}/certs/unused.pem"]);
    let unknown = "frontend www\n\tbind {dir}/1.sock ssl crt @web/nothing crt {dir}/web/d.pem\n";
    scene.configure("", unknown);
    assert_eq!(scene.notices(), [(9, "unknown_store")]);
    assert_eq!(scene.read().stores.len(), 1);
}

#[test]
fn a_crt_store_without_a_name_calls_its_certificates_by_the_global_base() {
    let scene = Scene::new(&["certs/a.pem", "web/a.pem"]);
    scene.write(
        "haproxy.cfg",
        &format!(
            "{HEAD}\tcrt-base {{dir}}/certs\n\
             crt-store\n\
             \tcrt-base {{dir}}/web\n\
             \tload crt a.pem ocsp {{dir}}/staple\n\
             {DEFAULTS}\
             frontend www\n\
             \tbind {{dir}}/1.sock ssl crt a.pem crt {{dir}}/web/a.pem\n"
        ),
    );
    scene.agrees("crt-store with a base of its own", (3, 0), &[]);
}

#[test]
fn relative_names_are_where_default_path_puts_them() {
    let global = |policy: &str| format!("\tdefault-path {policy}\n\tcrt-base certs\n");
    let mut scene = Scene::new(&["conf/certs/a.pem", "certs/a.pem", "srv/certs/a.pem"]);
    for (policy, notices) in [
        ("config", vec![]),
        ("parent", vec![]),
        ("origin srv", vec![(10, "relative_path")]),
        ("origin {dir}/srv", vec![]),
        ("current", vec![(10, "relative_path")]),
    ] {
        let text = format!(
            "{HEAD}{}{DEFAULTS}frontend www\n\tbind {{dir}}/1.sock ssl crt a.pem\n",
            global(policy)
        );
        scene.write("conf/haproxy.cfg", &text);
        scene.arguments(&["conf/haproxy.cfg"]);
        let mut expected = notices;
        expected.iter_mut().for_each(|(line, _)| *line += 1);
        assert_eq!(scene.notices(), expected, "{policy}");
        scene.agrees("default-path", (2, 6), &[]);
    }
}

#[test]
fn several_files_and_folders_are_read_in_haproxys_order() {
    let mut scene = Scene::new(&["one/a.pem", "two/b.pem", "two/c.pem"]);
    scene.write(
        "base.cfg",
        &format!("{HEAD}\tcrt-base {{dir}}/one\n{DEFAULTS}"),
    );
    scene.write(
        "conf.d/10-first.cfg",
        "frontend one\n\tbind {dir}/1.sock ssl crt a.pem\n",
    );
    scene.write(
        "conf.d/20-second.cfg",
        "frontend two\n\tbind {dir}/2.sock ssl crt {dir}/two\n",
    );
    scene.write("conf.d/.hidden.cfg", "nonsense\n");
    scene.write("conf.d/30-off.cfg.bak", "nonsense\n");
    scene.arguments(&["base.cfg", "conf.d"]);
    assert_eq!(scene.notices(), []);
    let files = scene.read().files;
    for name in [
        "base.cfg",
        "conf.d",
        "conf.d/10-first.cfg",
        "conf.d/20-second.cfg",
    ] {
        assert!(files.contains(&scene.path(name)), "{name}: {files:?}");
    }
    assert_eq!(files.len(), 4);
    scene.agrees("several files", ANY, &[]);
}

#[test]
fn bundles_stand_for_their_parts_unless_that_is_switched_off() {
    let scene = Scene::new(&[
        "a.pem.rsa",
        "a.pem.ecdsa",
        "b.pem.ecdsa",
        "c.pem",
        "c.pem.rsa",
    ]);
    scene.write("list", "b.pem x.tld\n");
    scene.configure(
        "\tcrt-base {dir}\n",
        "frontend www\n\tbind {dir}/1.sock ssl crt a.pem crt c.pem crt-list {dir}/list\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("bundles", ANY, &[]);
    scene.configure(
        "\tcrt-base {dir}\n\tssl-load-extra-files ocsp issuer\n",
        "frontend www\n\tbind {dir}/1.sock ssl crt a.pem.rsa crt c.pem\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("no bundles", (2, 6), &[]);
}

#[test]
fn extra_files_that_haproxy_does_not_read_are_told() {
    let scene = Scene::new(&["a.pem"]);
    scene.configure(
        "\tssl-load-extra-files bundle sctl issuer\n",
        "frontend www\n\tbind {dir}/1.sock ssl crt {dir}/a.pem\n",
    );
    assert_eq!(scene.notices(), [(3, "staples_not_read")]);
    scene.agrees("ssl-load-extra-files", ANY, &["{dir}/a.pem"]);
}

#[test]
fn companions_without_the_extension_and_chains_in_a_folder_are_where_haproxy_looks() {
    let mut scene = Scene::new(&["a.crt", "b.pem"]);
    scene.certificate("certs/c.crt", |issued| {
        let parts = parts(&issued.pem());
        format!("{}{}", parts[0], parts[2])
    });
    scene.write("chains/ca.pem", &scene.issuer_pem());
    scene.configure(
        "\tssl-load-extra-del-ext\n\tissuers-chain-path {dir}/chains\n",
        "frontend www\n\tbind {dir}/1.sock ssl crt {dir}/a.crt crt {dir}/b.pem crt {dir}/certs\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("ssl-load-extra-del-ext", (2, 6), &[]);
    for staple in ["a.ocsp", "b.pem.ocsp", "certs/c.ocsp"] {
        assert!(scene.path(staple).exists(), "{staple}");
    }
}

#[test]
fn conditions_are_decided_as_haproxy_decides_them() {
    let mut scene = Scene::new(&["a.pem", "b.pem", "c.pem", "d.pem"]);
    scene.environment("STAGE", "live");
    scene.configure(
        "\tsetenv WITH_SSL yes\n\tunsetenv SSL_ONLY\n",
        "frontend www\n\
         .if feature(OPENSSL) && (streq(\"$WITH_SSL\",yes) || streq(\"$SSL_ONLY\",yes))\n\
         \tbind {dir}/1.sock ssl crt {dir}/a.pem\n\
         .else\n\
         \tbind {dir}/1.sock ssl crt /nowhere\n\
         .endif\n\
         .if streq(\"$STAGE\",test) # nested in what is not read\n\
         \t.if version_atleast(99)\n\
         \tbind {dir}/2.sock ssl crt /nowhere\n\
         \t.endif\n\
         .elif defined(STAGE) && !defined(SSL_ONLY)\n\
         \tbind {dir}/2.sock ssl crt {dir}/b.pem\n\
         .elif 1\n\
         \tbind {dir}/2.sock ssl crt /nowhere\n\
         .endif\n\
         .if strneq(a,'a') || ! 0x10 || ( 0 )\n\
         .alert \"never\"\n\
         .else\n\
         .notice \"$STAGE\"\n\
         .diag \"$STAGE\"\n\
         \tbind {dir}/3.sock ssl crt {dir}/c.pem\n\
         .endif\n\
         .if\n\
         \tbind {dir}/4.sock ssl crt /nowhere\n\
         .endif\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("conditions", (2, 6), &[]);
}

#[test]
fn where_a_condition_is_open_both_sides_are_read() {
    let scene = Scene::new(&["old.pem", "new.pem", "both.pem"]);
    scene.configure(
        "",
        "frontend www\n\
         .if version_atleast(3.0)\n\
         \tbind {dir}/1.sock ssl crt {dir}/new.pem\n\
         .else\n\
         \tbind {dir}/1.sock ssl crt {dir}/old.pem\n\
         .endif\n\
         \tbind {dir}/2.sock ssl crt {dir}/both.pem\n",
    );
    assert_eq!(scene.notices(), [(9, "undecided")]);
    assert_eq!(scene.read().stores.len(), 3);
    scene.covers("open conditions", (2, 6));
}

#[test]
fn certificates_of_a_frontends_own_list_are_seen() {
    let scene = Scene::new(&["certs/a.pem", "certs/b.pem", "certs/c.pem", "certs/d.pem"]);
    scene.configure(
        "\tcrt-base {dir}/certs\n",
        "frontend www\n\
         \tbind {dir}/1.sock ssl\n\
         \tbind {dir}/2.sock ssl crt d.pem\n\
         \tssl-f-use crt a.pem alpn h2 ssl-min-ver TLSv1.2\n\
         \tssl-f-use crt \"b.pem\" ocsp {dir}/b-staple\n\
         \tssl-f-use alpn h2 crt {dir}/certs/c.pem\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("ssl-f-use", (3, 2), &[]);
}

#[test]
fn default_certificates_are_seen() {
    let scene = Scene::new(&["a.pem", "b.pem"]);
    scene.configure(
        "\tcrt-base {dir}\n",
        "frontend www\n\tbind {dir}/1.sock ssl default-crt a.pem crt b.pem\n",
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("default-crt", (3, 0), &[]);
}

#[test]
fn peers_and_log_forwards_have_certificates_too() {
    let scene = Scene::new(&["a.pem", "b.pem", "c.pem"]);
    let [one, two] = free_addresses();
    scene.configure(
        "\tlocalpeer me\n\tcrt-base {dir}\n",
        &format!(
            "frontend www\n\
             \tbind {{dir}}/1.sock ssl crt a.pem\n\
             userlist people\n\
             \tuser bind insecure-password \"ssl crt # nothing\"\n\
             peers friends\n\
             \tdefault-bind ssl crt b.pem\n\
             \tbind {one}\n\
             \tserver me\n\
             log-forward logs\n\
             \tbind {two} ssl crt c.pem\n"
        ),
    );
    assert_eq!(scene.notices(), []);
    scene.agrees("peers", (2, 6), &[]);
}

#[test]
fn control_sockets_answer_at_the_addresses_that_are_told() {
    let scene = Scene::new(&["a.pem"]);
    let [tcp, other] = free_addresses();
    let name = format!("staplerd-{}", std::process::id());
    scene.configure(
        &format!(
            "\tstats socket ipv4@{tcp} level user\n\
             \tstats socket *:{} level operator\n\
             \tstats socket abns@{name} level admin\n\
             \tstats socket unix@relative.sock mode 600 level admin expose-fd listeners\n\
             \tstats timeout 30s\n",
            other.port()
        ),
        "frontend www\n\tbind {dir}/1.sock ssl crt {dir}/a.pem\n",
    );
    assert_eq!(scene.notices(), [(6, "relative_path")]);
    let config = scene.read();
    let levels: Vec<Level> = config.sockets.iter().map(|socket| socket.level).collect();
    use Level::{Admin, Operator, User};
    assert_eq!(levels, [Admin, Admin, Admin, Operator, User]);
    let mut answered = 0;
    scene.each_running("control sockets", (2, 6), || {
        for socket in &config.sockets {
            let address: Address = socket.address.parse().unwrap();
            let connected = match address.endpoint() {
                Endpoint::Unix(path) => UnixStream::connect(path).map(drop),
                Endpoint::Abstract(name) => SocketAddr::from_abstract_name(name)
                    .and_then(|address| UnixStream::connect_addr(&address))
                    .map(drop),
                Endpoint::Tcp(host, port) => {
                    std::net::TcpStream::connect((host.as_str(), *port)).map(drop)
                }
            };
            assert!(connected.is_ok(), "{}: {connected:?}", socket.address);
            answered += 1;
        }
    });
    assert_eq!(answered % config.sockets.len(), 0);
}
