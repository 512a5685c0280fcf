//! Real HAProxy processes of the versions that `tests/haproxy-versions` unpacked.
//!
//! Every process runs in a temporary directory of its own, on 127.0.0.1 and unix sockets, and is
//! ended by its process id when dropped. Where no version was unpacked, the machine's own `haproxy`
//! is used; where there is none either, a line says that the test was skipped.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::handshake;
use crate::skip::skipped;

/// How long a test waits for anything of HAProxy's before it fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The list of versions is that of the script that unpacks them.
const VERSIONS_SCRIPT: &str = include_str!("../../haproxy-versions");

/// A HAProxy that can be started.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Installation {
    /// Such as (3, 2).
    pub version: (u16, u16),
    /// The program.
    pub binary: PathBuf,
}

/// Every version there is on this machine; says which are missing.
pub fn installations(test: &str) -> Vec<Installation> {
    let mut found = Vec::new();
    let wanted = VERSIONS_SCRIPT
        .lines()
        .skip_while(|line| *line != "versions='")
        .skip(1)
        .take_while(|line| *line != "'")
        .filter_map(|line| line.split(' ').next());
    for version in wanted {
        let binary = cache().join(version).join("usr/sbin/haproxy");
        match probe(&binary) {
            Some(version) => found.push(Installation { version, binary }),
            None => skipped(format!(
                "{test} with HAProxy {version}: run tests/haproxy-versions to unpack it"
            )),
        }
    }
    if found.is_empty() {
        let binary = PathBuf::from("haproxy");
        match probe(&binary) {
            Some(version) => found.push(Installation { version, binary }),
            None => skipped(format!("{test}: there is no haproxy on this machine")),
        }
    }
    found
}

fn cache() -> PathBuf {
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap_or_default()
        .join("staplerd/haproxy")
}

fn probe(binary: &Path) -> Option<(u16, u16)> {
    let output = Command::new(binary).arg("-v").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split_once("version ")?.1.split(['.', '-', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// How a HAProxy is to be started.
#[derive(Clone, Default)]
pub struct Setup {
    /// Lines for the global section.
    pub global: String,
    /// What follows `bind ADDRESS ssl`; default: `crt {dir}/certs`. Here and in `global`, `{dir}`
    /// is the temporary directory and `{other_tls}` a second free address.
    pub bind: Option<String>,
    /// Start a master with workers, and the master CLI at `{dir}/master.sock`.
    pub master: bool,
    /// What it has in its environment beside what the test has; `{dir}` is the same there.
    pub environment: Vec<(&'static str, &'static str)>,
    /// The level of `{dir}/admin.sock`; default: admin.
    pub level: Option<&'static str>,
}

/// A running HAProxy.
pub struct Haproxy {
    /// What it is.
    pub installation: Installation,
    /// Its directory: `certs/`, `admin.sock`, `master.sock`, `haproxy.cfg`.
    pub dir: TempDir,
    /// Where it accepts TLS.
    pub tls: SocketAddr,
    /// Where it accepts TLS, too, if the setup has a `bind` for it.
    pub other_tls: SocketAddr,
    setup: Setup,
    child: Option<Child>,
}

impl Haproxy {
    /// Writes `files` (name, content) into `certs/` and starts HAProxy.
    pub fn start(installation: &Installation, setup: Setup, files: &[(&str, &[u8])]) -> Haproxy {
        let dir = tempfile::Builder::new()
            .prefix("staplerd-")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("certs")).unwrap();
        let [tls, other_tls] = free_addresses();
        let mut haproxy = Haproxy {
            installation: installation.clone(),
            dir,
            tls,
            other_tls,
            setup,
            child: None,
        };
        for (name, content) in files {
            haproxy.write(name, content);
        }
        haproxy.write_configuration();
        haproxy.start_again();
        haproxy
    }

    /// Writes a file into `certs/`.
    pub fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.certificate(name), content).unwrap();
    }

    /// The path of a file in `certs/`, which is also its store's name in HAProxy.
    pub fn certificate(&self, name: &str) -> String {
        let path = self.dir.path().join("certs").join(name);
        path.to_str().unwrap().to_owned()
    }

    /// The path of a file in its directory.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write_configuration(&self) {
        let dir = self.dir.path().display();
        let bind = self.setup.bind.clone();
        let bind = bind.unwrap_or_else(|| "crt {dir}/certs".to_owned());
        let level = self.setup.level.unwrap_or("admin");
        let text = format!(
            "global\n  stats socket {dir}/admin.sock mode 600 level {level}\n  {global}\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n\
             frontend tls\n  bind {tls} ssl {bind}\n  http-request return status 200\n",
            global = self.setup.global,
            tls = self.tls,
        );
        let text = text
            .replace("{dir}", &dir.to_string())
            .replace("{other_tls}", &self.other_tls.to_string());
        fs::write(self.dir.path().join("haproxy.cfg"), text).unwrap();
    }

    /// Starts it after [`stop`](Self::stop) or [`kill`](Self::kill), and waits until it answers.
    pub fn start_again(&mut self) {
        let mut command = Command::new(&self.installation.binary);
        command.arg("-db").arg("-f").arg(self.path("haproxy.cfg"));
        if self.setup.master {
            command.arg("-W").arg("-S").arg(self.path("master.sock"));
        }
        let log = fs::File::create(self.path("haproxy.log")).unwrap();
        for (name, value) in &self.setup.environment {
            let dir = self.dir.path().display().to_string();
            command.env(name, value.replace("{dir}", &dir));
        }
        command
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        wait_for("HAProxy to answer", || {
            let child = self.child.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(self.path("haproxy.log")).unwrap();
                panic!("HAProxy ended with {status}: {log}");
            }
            self.try_cli("show info").is_some()
        });
    }

    /// The process id of the master, or of the only process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The process id of the worker that answers the stats socket now.
    pub fn worker(&self) -> u32 {
        let info = self.cli("show info");
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid: "));
        pid.unwrap().parse().unwrap()
    }

    /// Waits until the master answers: a worker can answer before, and a master that starts itself
    /// again loses connections and, in 2.6 and 3.0, signals.
    pub fn wait_for_master(&self) {
        wait_for("the master to answer", || {
            answers(&self.path("master.sock"), "show proc")
        });
    }

    /// Reloads a master and waits until another worker answers and the old one no longer does:
    /// for a while both accept connections from the same socket.
    pub fn reload(&self) {
        self.reload_noting_first_answer();
    }

    /// Reloads likewise, and tells when the new worker answered for the first time.
    pub fn reload_noting_first_answer(&self) -> Instant {
        let before = self.worker();
        self.wait_for_master();
        self.signal("USR2");
        wait_for("the new worker", || {
            self.try_cli("show info")
                .is_some_and(|info| !info.contains(&format!("\nPid: {before}\n")))
        });
        let answered = Instant::now();
        let socket = self.path("admin.sock");
        wait_for("the old worker to stop listening", || {
            !listens(before, &socket)
        });
        answered
    }

    /// Sends a signal to the process (the master, where there is one).
    pub fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Ends it with SIGTERM and waits for that.
    pub fn stop(&mut self) {
        self.end("TERM");
    }

    /// Ends it with SIGKILL, together with its workers.
    pub fn kill(&mut self) {
        let workers = children(self.pid());
        self.end("KILL");
        for worker in workers {
            send_signal(worker, "KILL");
            wait_for("the worker's end", || !is_alive(worker));
        }
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            send_signal(child.id(), signal);
            child.wait().unwrap();
        }
    }

    /// Gives one command over a connection of its own.
    pub fn cli(&self, command: &str) -> String {
        self.try_cli(command).unwrap()
    }

    fn try_cli(&self, command: &str) -> Option<String> {
        ask(&self.path("admin.sock"), command)
    }

    /// The staple a client gets for `name`; empty where it gets none.
    pub fn staple(&self, name: &str) -> Vec<u8> {
        handshake::staple(self.tls, name).unwrap()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let workers = children(child.id());
            send_signal(child.id(), "KILL");
            for worker in workers {
                send_signal(worker, "KILL");
            }
            let _ = child.wait();
        }
    }
}

/// Gives one command over a connection of its own; `None` while nobody answers.
pub fn ask(socket: &str, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    stream.write_all(format!("{command}\n").as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    (!reply.is_empty()).then_some(reply)
}

/// Whether a process has a listening unix socket of this name open.
fn listens(pid: u32, socket: &str) -> bool {
    /// `__SO_ACCEPTCON` in the column Flags of `/proc/net/unix`.
    const LISTENING: &str = "00010000";
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let listening: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&LISTENING))
        .filter(|fields| fields.get(7).is_some_and(|path| path.starts_with(socket)))
        .filter_map(|fields| Some(format!("socket:[{}]", fields.get(6)?)))
        .collect();
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .any(|link| {
            listening
                .iter()
                .any(|socket| link.as_os_str() == socket.as_str())
        })
}

/// Whether anything at all comes back: the master CLI of 2.2 does not close after its reply. What
/// a process has accepted that then starts itself again is never answered.
fn answers(socket: &str, command: &str) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    stream
        .write_all(format!("{command}\n").as_bytes())
        .and_then(|()| stream.read(&mut [0]))
        .is_ok_and(|count| count > 0)
}

/// Addresses on 127.0.0.1 at which nobody listens.
pub fn free_addresses() -> [SocketAddr; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

/// Waits until `condition` holds; fails the test after [`DEADLINE`].
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Waits until a response that is signed now is newer than one that was signed before: thisUpdate
/// has whole seconds, of a clock that may be some milliseconds behind this one.
pub fn wait_for_a_newer_second() {
    let now = || {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH).unwrap()
    };
    let next = Duration::from_secs(now().as_secs() + 1) + Duration::from_millis(50);
    wait_for("the next second", || now() >= next);
}

/// Sends a signal to one process.
pub fn send_signal(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    status.unwrap();
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// Whether a process runs (a zombie does not).
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}
