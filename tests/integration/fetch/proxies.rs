//! Through a forward proxy: what goes over the wire, and real ones from Debian's packages.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use staplerd::fetch::Proxies;

use super::*;
use crate::scripted_responder::{ScriptedResponder, Step, answer, ocsp_answer};
use crate::skip::skipped;
use crate::tls_responder::TlsResponder;

fn through(proxy: &str) -> Settings {
    Settings {
        proxies: Proxies::parse(Some(proxy), Some(proxy), "").unwrap(),
        ..settings()
    }
}

#[test]
fn a_proxy_is_asked_in_absolute_form_and_told_who_asks() {
    let proxy = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let settings = Settings {
        // The responder's name is the proxy's to resolve.
        lookup: Arc::new(|host| panic!("'{host}' was looked up")),
        ..through(&format!("http://user:secret@{}", proxy.address))
    };
    let outcome = fetch_one(settings, &["http://ocsp.test:81/path".to_owned()]);
    assert_eq!(body(&outcome), RESPONSE);
    let request = &proxy.requests()[0];
    assert_eq!(request.target, "http://ocsp.test:81/path/MAMMAf8%3D");
    assert_eq!(request.header("host"), Some("ocsp.test:81"));
    assert_eq!(
        request.header("proxy-authorization"),
        Some("Basic dXNlcjpzZWNyZXQ=")
    );
}

#[test]
fn a_post_through_a_proxy_keeps_its_body() {
    let proxy = ScriptedResponder::start(|request| {
        vec![Step::Send(match request.method.as_str() {
            "POST" => ocsp_answer(RESPONSE),
            _ => answer("404 Not Found", "", b""),
        })]
    });
    let settings = through(&proxy.url());
    let outcome = fetch_one(settings, &["http://ocsp.test/path".to_owned()]);
    assert_eq!(body(&outcome), RESPONSE);
    let request = &proxy.requests()[1];
    assert_eq!(request.target, "http://ocsp.test/path");
    assert_eq!(request.body, REQUEST);
}

#[test]
fn exceptions_go_straight_and_without_credentials() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let settings = Settings {
        proxies: Proxies::parse(Some("http://u:p@127.0.0.1:1"), None, "127.0.0.0/8").unwrap(),
        ..settings()
    };
    assert_eq!(body(&fetch_one(settings, &[responder.url()])), RESPONSE);
    let request = &responder.requests()[0];
    assert_eq!(request.header("proxy-authorization"), None);
    assert!(request.target.starts_with('/'));
}

#[test]
fn a_forbidden_literal_is_refused_before_the_proxy_hears_of_it() {
    let proxy = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let settings = Settings {
        addresses: AddressRules::default(),
        ..through(&proxy.url())
    };
    for url in [
        "http://169.254.169.254/",
        "http://localhost/",
        "http://[::1]/",
    ] {
        let error = error(fetch_one(settings.clone(), &[url.to_owned()]));
        assert_eq!(error.kind(), "address_refused", "{url}");
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn an_https_responder_is_reached_by_a_tunnel() {
    let proxy = ScriptedResponder::always(answer("403 Forbidden", "", b"no"));
    let settings = through(&format!("http://user:secret@{}", proxy.address));
    let error = error(fetch_one(settings, &["https://ocsp.test/".to_owned()]));
    assert_eq!(
        error.to_string(),
        "the proxy refuses: HTTP/1.1 403 Forbidden"
    );
    let request = &proxy.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("CONNECT", "ocsp.test:443")
    );
    assert_eq!(
        request.header("proxy-authorization"),
        Some("Basic dXNlcjpzZWNyZXQ=")
    );
}

#[test]
fn a_dead_proxy_is_an_error_of_connecting() {
    let vacated = ScriptedResponder::always(Vec::new()).url();
    let error = error(fetch_one(
        through(&vacated),
        &["http://ocsp.test/".to_owned()],
    ));
    assert_eq!(error, Error::ConnectRefused);
}

/// A proxy of the distribution, in its stock configuration but for the port and the places it
/// writes to.
struct RealProxy {
    process: Child,
    address: SocketAddr,
    _files: tempfile::TempDir,
}

impl RealProxy {
    /// `None`, visibly, where `program` is not installed.
    fn start(
        program: &str,
        stock_configuration: &str,
        adapt: impl Fn(&str, u16, &Path) -> String,
        arguments: &[&str],
    ) -> Option<Self> {
        let Ok(stock) = std::fs::read_to_string(stock_configuration) else {
            skipped(format!("{program} is not installed"));
            return None;
        };
        let files = tempfile::tempdir().unwrap();
        // A proxy started by root drops its privileges, and still writes here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(files.path(), open).unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let configuration = files.path().join("proxy.conf");
        let adapted = adapt(&stock, address.port(), files.path());
        std::fs::write(&configuration, adapted).unwrap();
        let mut process = Command::new(program)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(arguments)
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            let ended = process.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let _ = process.kill();
                let mut text = String::new();
                process
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
                panic!("{program} does not listen: {text}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(RealProxy {
            process,
            address,
            _files: files,
        })
    }
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// GET, POST and a kept connection through `proxy` to a responder on this machine.
fn exercise(proxy: &RealProxy) {
    let responder = ScriptedResponder::start(|request| {
        let known = request.method == "POST" || !request.target.starts_with("/post-only/");
        vec![Step::Send(match known {
            true => ocsp_answer(RESPONSE),
            false => answer("404 Not Found", "", b""),
        })]
    });
    let settings = Settings {
        renewal_threads: 1,
        ..through(&format!("http://{}", proxy.address))
    };
    let jobs = (0..20)
        .map(|key| match key % 2 {
            0 => job(key, &[format!("{}{key}", responder.url())]),
            _ => job(key, &[format!("{}post-only/{key}", responder.url())]),
        })
        .collect();
    for report in fetch_all(settings, jobs) {
        assert_eq!(body(&report.outcome), RESPONSE);
    }
    let requests = responder.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.header("via").is_some())
    );
    let posts = requests.iter().filter(|request| request.method == "POST");
    assert_eq!(posts.filter(|request| request.body == REQUEST).count(), 10);
}

#[test]
fn a_stock_tinyproxy_carries_requests() {
    let adapt = |stock: &str, port: u16, files: &Path| {
        stock
            .lines()
            .map(|line| match line.split(' ').next() {
                Some("Port") => format!("Port {port}\n"),
                Some("LogFile") => format!("LogFile \"{}/log\"\n", files.display()),
                Some("PidFile") => format!("PidFile \"{}/pid\"\n", files.display()),
                _ => format!("{line}\n"),
            })
            .collect()
    };
    let stock = "/etc/tinyproxy/tinyproxy.conf";
    if let Some(proxy) = RealProxy::start("tinyproxy", stock, adapt, &["-d", "-c"]) {
        exercise(&proxy);
        // Through the tunnel it is the responder's certificate that is judged.
        let responder = TlsResponder::start(RESPONSE);
        let settings = through(&format!("http://{}", proxy.address));
        let error = error(fetch_one(settings, &[responder.url()]));
        assert_eq!(error.kind(), "tls", "{error}");
    }
}

#[test]
fn a_stock_squid_carries_requests() {
    let adapt = |stock: &str, port: u16, files: &Path| {
        let files = files.display();
        let stock = stock.replace("http_port 3128", &format!("http_port 127.0.0.1:{port}"));
        format!(
            "{stock}\npid_filename {files}/pid\naccess_log none\ncache_log {files}/log\n\
             coredump_dir {files}\nshutdown_lifetime 1 second\n"
        )
    };
    let stock = "/etc/squid/squid.conf";
    if let Some(proxy) = RealProxy::start("squid", stock, adapt, &["-N", "-f"]) {
        exercise(&proxy);
    }
}
