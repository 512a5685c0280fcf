//! Where strangers stand beside honest certificates: a CA and its responders, a real HAProxy behind
//! a relay, and the daemon that looks after it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::cast::Cast;
use super::judge::Authority;
use super::recorder::{Recorder, Relay};
use super::stranger::Trial;
use super::tree::Tree;
use crate::daemon::Daemon;
use crate::scripted_responder::ScriptedResponder;
use crate::support::haproxy::{Haproxy, Installation};

/// How the daemon reaches HAProxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Stats,
    Master,
}

/// On what a scene is set.
pub struct Ground {
    pub installation: Installation,
    pub way: Way,
}

impl fmt::Display for Ground {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.installation.version;
        write!(formatter, "{major}.{minor} ({:?})", self.way)
    }
}

/// A certificate that must not suffer.
pub struct Honest {
    pub name: &'static str,
    pub serial: Vec<u8>,
}

/// Everything that runs for one test.
pub struct Scene {
    pub daemon: Daemon,
    pub relay: Relay,
    pub recorder: Recorder,
    pub haproxy: Haproxy,
    pub authority: Arc<Authority>,
    pub honest: Vec<Honest>,
    /// HAProxy could be started again with what lies there now.
    pub reloads: bool,
    /// Everything that was there before the daemon was.
    pub before: Tree,
    /// Directories that the daemon is told of, and one that it is not.
    grounds: TempDir,
    _responders: Vec<ScriptedResponder>,
}

impl Scene {
    /// Puts everything in its place and starts everybody, the daemon last.
    pub fn set(ground: &Ground, trials: &[Trial]) -> Scene {
        let grounds = tempfile::Builder::new()
            .prefix("staplerd-grounds-")
            .tempdir()
            .unwrap();
        for name in ["others", "victim"] {
            fs::create_dir(grounds.path().join(name)).unwrap();
        }
        let recorder = Recorder::start();
        let mut cast = Cast::new(&recorder, grounds.path().join("victim"));
        for (number, trial) in trials.iter().enumerate() {
            cast.stranger(number, trial);
        }
        let cast = cast.with_shared_responder();
        let haproxy = cast.start_haproxy(ground);
        cast.plant(&haproxy, &grounds.path().join("others"));
        let socket = match ground.way {
            Way::Stats => "admin.sock",
            Way::Master => "master.sock",
        };
        let relay = Relay::start(
            grounds.path().join("relay.sock"),
            &haproxy.dir.path().join(socket),
        );
        let configuration = configuration(grounds.path(), &haproxy, ground.way);
        let before = Tree::of(&[&haproxy.dir.path().join("certs"), grounds.path()]);
        Scene {
            daemon: Daemon::start_configured(&configuration),
            relay,
            recorder,
            haproxy,
            reloads: cast.can_be_loaded(),
            authority: cast.authority,
            honest: cast.honest,
            before,
            grounds,
            _responders: cast.responders,
        }
    }

    /// What there is now where [`before`](Self::before) looked.
    pub fn tree(&self) -> Tree {
        Tree::of(&[&self.haproxy.dir.path().join("certs"), self.grounds.path()])
    }

    /// Runs a command of the program against the daemon; what it prints.
    pub fn ask(&self, command: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .args(command)
            .arg("--control-socket")
            .arg(self.grounds.path().join("control.sock"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The daemon's configuration for this scene.
fn configuration(grounds: &Path, haproxy: &Haproxy, way: Way) -> PathBuf {
    let file = grounds.join("staplerd.yaml");
    let prefix = match way {
        Way::Stats => "",
        Way::Master => "master:",
    };
    let grounds = grounds.display();
    let text = format!(
        "directories:\n\
         \x20 - path: {certs}\n    sockets: ['{prefix}{grounds}/relay.sock']\n\
         \x20 - path: {grounds}/others\n    recursive: true\n\
         control_socket: {grounds}/control.sock\nallow_addresses: [loopback]\n\
         refresh_interval: 1s\nverbosity: 3\n",
        certs = haproxy.path("certs"),
    );
    fs::write(&file, text).unwrap();
    file
}
