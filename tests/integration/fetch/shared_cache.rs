//! A fleet behind one ordinary HTTP cache: HAProxy's own, with the configuration in `haproxy/`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;
use crate::scripted_responder::{ScriptedResponder, answer};
use crate::skip::skipped;

const AGENTS: usize = 3;
const CERTIFICATES: usize = 50;

/// HAProxy with the example's configuration, between a free port and a responder on this machine.
struct SharedCache {
    process: Child,
    address: SocketAddr,
    _files: tempfile::TempDir,
}

impl SharedCache {
    /// `None`, visibly, where HAProxy is not installed.
    fn start(responder: SocketAddr) -> Option<Self> {
        let path = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin";
        let mut haproxy = Command::new("haproxy");
        haproxy
            .env("PATH", path)
            .stderr(Stdio::inherit())
            .stdout(Stdio::null());
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/haproxy/shared-cache.cfg");
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let configuration = std::fs::read_to_string(example)
            .unwrap()
            .replace("bind :8889", &format!("bind {address}"))
            .replace("ocsp.example.com:80", &responder.to_string());
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).unwrap();
        let Ok(mut process) = haproxy.args(["-db", "-f"]).arg(&file).spawn() else {
            skipped("haproxy is not installed");
            return None;
        };
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(SharedCache {
            process,
            address,
            _files: files,
        })
    }
}

impl Drop for SharedCache {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn three_agents_behind_one_cache_cost_the_ca_one_request_per_certificate() {
    let headers = "Content-Type: application/ocsp-response\r\n\
                   Cache-Control: public, no-transform, must-revalidate, max-age=3600\r\n";
    let responder = ScriptedResponder::always(answer("200 OK", headers, RESPONSE));
    let Some(cache) = SharedCache::start(responder.address) else {
        return;
    };
    let entry = format!("http://{}/", cache.address);
    let overrides = Overrides::parse([("ocsp.example.com", Some(entry.as_str()))]).unwrap();
    let named = ["http://ocsp.example.com/".to_owned()];
    let urls = overrides.apply("CN=Example CA", &named);
    let jobs = || {
        (0..CERTIFICATES)
            .map(|key| {
                let mut job = job(key, &urls);
                let serial = u8::try_from(key).unwrap();
                job.request = Arc::from([0x30, 0x03, 0x02, 0x01, serial].as_slice());
                job
            })
            .collect()
    };
    for _agent in 0..AGENTS {
        for report in fetch_all(settings(), jobs()) {
            assert_eq!(body(&report.outcome), RESPONSE);
        }
    }
    let requests = responder.requests();
    assert_eq!(requests.len(), CERTIFICATES);
    assert!(
        requests
            .iter()
            .all(|request| request.header("host") == Some("ocsp.example.com"))
    );

    // Whoever is given something outdated passes the cache.
    let outdated = |_: &usize, body: &[u8]| Verdict::Outdated(body.to_vec());
    fetch_jobs(settings(), vec![job(0, &urls)], outdated);
    let last = responder.requests().pop().unwrap();
    assert_eq!(last.header("cache-control"), Some("no-cache"));
}
