//! A configuration with its files, read by staplerd and by every HAProxy there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use staplerd::discovery::is_loaded_by_haproxy;
use staplerd::discovery::source::{Companions, Source};
use staplerd::haproxy::reply;
use staplerd::haproxy_config::{HaproxyConfig, Store, Testimony, read};
use tempfile::TempDir;

use crate::skip::skipped;
use crate::support::haproxy::{Installation, ask, installations, wait_for};
use crate::support::pki::{Authority, Issued, Response};

/// What the configurations begin with: a control socket to ask HAProxy by, and proxies that work.
pub const HEAD: &str = "global\n\tstats socket {dir}/admin.sock mode 600 level admin\n";
/// The section after the global one.
pub const DEFAULTS: &str = "defaults\n\tmode http\n\ttimeout connect 5s\n\ttimeout client 5s\n\t\
    timeout server 5s\n";

/// The answer of one HAProxy about one store.
struct Loaded {
    name: String,
    /// Some line uses it.
    is_used: bool,
    has_slot: bool,
}

/// A temporary folder in which both are started.
pub struct Scene {
    dir: TempDir,
    authority: Authority,
    issued: BTreeMap<PathBuf, Issued>,
    /// What follows `-f`, below the folder.
    arguments: Vec<&'static str>,
    environment: Vec<(&'static str, String)>,
    /// What only HAProxy is started with, or with another value.
    environment_of_haproxy: Vec<(&'static str, String)>,
}

impl Scene {
    /// A scene with these certificate files, whose staples are written where staplerd says.
    pub fn new(certificates: &[&str]) -> Self {
        let mut scene = Scene {
            dir: tempfile::Builder::new()
                .prefix("staplerd-")
                .tempdir()
                .unwrap(),
            authority: Authority::new(),
            issued: BTreeMap::new(),
            arguments: vec!["haproxy.cfg"],
            environment: Vec::new(),
            environment_of_haproxy: Vec::new(),
        };
        for path in certificates {
            scene.certificate(path, |issued| issued.pem());
        }
        scene
    }

    /// A certificate file with what `content` makes of the certificate.
    pub fn certificate(&mut self, path: &str, mut content: impl FnMut(&Issued) -> String) {
        let name = format!("{}.example", self.issued.len());
        let issued = self.authority.issue(&name, Some("http://127.0.0.1:9/"));
        self.write(path, &content(&issued));
        self.issued.insert(self.path(path), issued);
    }

    /// The authority's own certificate.
    pub fn issuer_pem(&self) -> String {
        let pem = self.issued.values().next().unwrap().pem();
        parts(&pem)[1].clone()
    }

    /// Writes a file; `{dir}` in it stands for the folder.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.resolve(text)).unwrap();
    }

    /// The configuration: after [`HEAD`] what the global section says more, after [`DEFAULTS`] the
    /// rest.
    pub fn configure(&self, global: &str, rest: &str) {
        self.write("haproxy.cfg", &format!("{HEAD}{global}{DEFAULTS}{rest}"));
    }

    /// Gives other files to read.
    pub fn arguments(&mut self, arguments: &[&'static str]) {
        self.arguments = arguments.to_vec();
    }

    /// Sets an environment variable for both.
    pub fn environment(&mut self, name: &'static str, value: &str) {
        let value = self.resolve(value);
        self.environment.push((name, value));
    }

    /// Sets an environment variable for HAProxy alone.
    pub fn environment_of_haproxy(&mut self, name: &'static str, value: &str) {
        let value = self.resolve(value);
        self.environment_of_haproxy.push((name, value));
    }

    /// Has another name lead to a folder.
    pub fn link(&self, folder: &str, name: &str) {
        std::os::unix::fs::symlink(self.path(folder), self.path(name)).unwrap();
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn resolve(&self, text: &str) -> String {
        text.replace("{dir}", self.dir.path().to_str().unwrap())
    }

    /// The configuration as staplerd reads it that has not met its HAProxy.
    pub fn read(&self) -> HaproxyConfig {
        self.read_with(&Testimony::default())
    }

    fn read_with(&self, testimony: &Testimony) -> HaproxyConfig {
        let paths: Vec<PathBuf> = self.arguments.iter().map(|path| self.path(path)).collect();
        let variable = |name: &str| {
            let found = self.environment.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| value.clone())
        };
        read(&paths, self.dir.path(), &variable, testimony).unwrap()
    }

    /// The kinds of the notices, each with its line.
    pub fn notices(&self) -> Vec<(usize, &'static str)> {
        self.notices_by(&Testimony::default())
    }

    /// The same for a HAProxy that says this of itself.
    pub fn notices_by(&self, testimony: &Testimony) -> Vec<(usize, &'static str)> {
        let notices = self.read_with(testimony).notices;
        notices
            .iter()
            .map(|notice| (notice.place.line, notice.remark.kind()))
            .collect()
    }

    /// Every HAProxy since a version loads exactly what staplerd says, by the same names, and finds
    /// each staple where staplerd would write it, but for the stores named in `without_staple`.
    pub fn agrees(&self, test: &str, since: (u16, u16), without_staple: &[&str]) {
        for installation in since_version(test, since) {
            self.agrees_with(&installation, without_staple);
        }
    }

    /// One HAProxy does.
    pub fn agrees_with(&self, installation: &Installation, without_staple: &[&str]) {
        let version = installation.version;
        let (told, loaded) = self.compare(installation);
        let names: BTreeSet<String> = loaded.iter().map(|store| store.name.clone()).collect();
        assert_eq!(told, names, "HAProxy {version:?}");
        for Loaded { name, has_slot, .. } in loaded {
            let is_without = |without: &&str| self.resolve(without) == name;
            let expected = !without_staple.iter().any(is_without);
            // HAProxy 2.2 does not tell.
            assert!(
                has_slot == expected || version < (2, 6),
                "HAProxy {version:?}: the staple of {name} was {}read",
                if has_slot { "" } else { "not " }
            );
        }
    }

    /// One HAProxy that is started again after staplerd has met it loads what staplerd says and
    /// finds each staple where staplerd would write it, or a notice explains the difference.
    pub fn differs_only_as_explained(&self, installation: &Installation) {
        let met = self.start(installation, &self.read()).testimony();
        let config = self.read_with(&met);
        let process = self.start(installation, &config);
        let kinds: BTreeSet<&str> = config.notices.iter().map(|it| it.remark.kind()).collect();
        let explain = |what: &str, names: Vec<&String>, by: &str| {
            assert!(
                names.is_empty() || kinds.contains(by),
                "HAProxy {:?}: {what}: {names:?}, and the notices are {:#?}\n{}",
                installation.version,
                config.notices,
                self.configuration()
            );
        };
        let told: BTreeSet<String> = config.stores.iter().flat_map(store_names).collect();
        let names = process.names();
        let unnamed = names.difference(&told);
        let unnamed = unnamed.filter(|name| !config.servers.contains(name.as_str()));
        explain("loaded and not named", unnamed.collect(), "");
        let missing = told.difference(&names).collect();
        explain("named and not loaded", missing, "undecided");
        let loaded: Vec<Loaded> = names.iter().map(|name| process.loaded(name)).collect();
        // HAProxy makes no room for the staple of what no line uses; 2.2 does not tell.
        let without = loaded.iter().filter(|it| it.is_used && !it.has_slot);
        let without =
            without.filter(|it| installation.version >= (2, 6) && told.contains(&it.name));
        let without = without.map(|it| &it.name).collect();
        explain("its staple was not read", without, "staple_not_named");
    }

    /// The texts that HAProxy reads.
    fn configuration(&self) -> String {
        let mut files = self.read().files;
        files.retain(|path| path.is_file());
        let texts = files.iter().map(|path| {
            let text = fs::read_to_string(path).unwrap();
            format!("--- {}\n{text}", path.display())
        });
        texts.collect()
    }

    /// No HAProxy since a version loads anything that staplerd does not say.
    pub fn covers(&self, test: &str, since: (u16, u16)) {
        for installation in since_version(test, since) {
            let (told, loaded) = self.compare(&installation);
            assert!(!loaded.is_empty());
            for store in loaded {
                let version = installation.version;
                assert!(
                    told.contains(&store.name),
                    "HAProxy {version:?}: {}",
                    store.name
                );
            }
        }
    }

    /// Calls `look` while each HAProxy since a version runs.
    pub fn each_running(&self, test: &str, since: (u16, u16), mut look: impl FnMut()) {
        for installation in since_version(test, since) {
            let _running = self.start(&installation, &self.read());
            look();
        }
    }

    /// The names staplerd tells, and what HAProxy has loaded.
    fn compare(&self, installation: &Installation) -> (BTreeSet<String>, Vec<Loaded>) {
        let config = self.read();
        let process = self.start(installation, &config);
        let names = process.names();
        let loaded = names.iter().map(|name| process.loaded(name)).collect();
        let told = config.stores.iter().flat_map(store_names).collect();
        (told, loaded)
    }

    fn start(&self, installation: &Installation, config: &HaproxyConfig) -> Process {
        self.write_staples(config);
        self.check(installation);
        Process::start(self.command(installation), &config.sockets[0].address)
    }

    /// HAProxy itself finds nothing wrong with the configuration.
    fn check(&self, installation: &Installation) {
        let output = self.command(installation).arg("-c").output().unwrap();
        assert!(
            output.status.success(),
            "haproxy -c {:?}: {}",
            installation.version,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn command(&self, installation: &Installation) -> Command {
        let mut command = Command::new(&installation.binary);
        command.arg("-db");
        for argument in &self.arguments {
            command.arg("-f").arg(self.path(argument));
        }
        command
            .envs(self.environment.iter().cloned())
            .envs(self.environment_of_haproxy.iter().cloned())
            .current_dir(self.dir.path());
        command
    }

    /// Writes the staples of all certificates that staplerd finds to where it finds that they
    /// belong.
    fn write_staples(&self, config: &HaproxyConfig) {
        for (certificate, companions) in config.stores.iter().flat_map(files) {
            // What is not there HAProxy does not load either.
            let Ok(real) = fs::canonicalize(&certificate) else {
                continue;
            };
            let issued = self.issued.iter().find_map(|(path, issued)| {
                (fs::canonicalize(path).unwrap() == real).then_some(issued)
            });
            let response = self.authority.respond(issued.unwrap(), Response::default());
            fs::write(companions.staple, response).unwrap();
        }
    }
}

/// The HAProxys there are since a version.
fn since_version(test: &str, since: (u16, u16)) -> Vec<Installation> {
    let mut found = installations(test);
    found.retain(|installation| installation.version >= since);
    if found.is_empty() {
        skipped(format!("{test}: there is no HAProxy since {since:?}"));
    }
    found
}

/// The parts of a PEM file: the certificate, its issuer, the key.
pub fn parts(pem: &str) -> Vec<String> {
    pem.split_inclusive("-----\n")
        .collect::<Vec<_>>()
        .chunks(2)
        .map(|lines| lines.concat())
        .collect()
}

/// The certificate files of a store and where their companions are.
fn files(store: &Store) -> Vec<(PathBuf, Companions)> {
    match &store.source {
        Source::File(file) => vec![(file.path.clone(), file.companions.clone())],
        Source::Directory(directory) => loaded_from(&directory.path)
            .into_iter()
            .map(|name| directory.path.join(name))
            .map(|path| (path.clone(), directory.naming.companions(&path)))
            .collect(),
        Source::Masks(_) => panic!("HAProxy knows no masks"),
    }
}

/// The names under which HAProxy loads a store.
fn store_names(store: &Store) -> Vec<String> {
    match &store.source {
        Source::Directory(directory) => loaded_from(&directory.path)
            .into_iter()
            .map(|file| format!("{}/{file}", store.name))
            .collect(),
        _ => vec![store.name.clone()],
    }
}

/// The files that HAProxy loads from a folder.
fn loaded_from(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|item| item.unwrap())
        .filter(|item| item.file_type().unwrap().is_file())
        .map(|item| item.file_name().into_string().unwrap())
        .filter(|name| is_loaded_by_haproxy(name.as_bytes()))
        .collect()
}

/// A running HAProxy, ended when dropped.
struct Process {
    child: Child,
    socket: String,
}

impl Process {
    fn start(mut command: Command, socket: &str) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process {
            child,
            socket: socket.to_owned(),
        };
        wait_for("HAProxy to answer", || {
            assert_eq!(process.child.try_wait().unwrap(), None, "HAProxy ended");
            let id = process.child.id();
            ask(&process.socket, "show info")
                .is_some_and(|info| info.contains(&format!("\nPid: {id}\n")))
        });
        process
    }

    fn ask(&self, command: &str) -> String {
        ask(&self.socket, command).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        let listing = self.ask("show ssl cert");
        // HAProxy 2.2 has not even a heading where nothing is loaded.
        if listing.trim().is_empty() {
            return BTreeSet::new();
        }
        let names = reply::certificates(&listing).unwrap();
        let parts = names
            .into_iter()
            .flat_map(|name| match reply::bundle(&name) {
                Some(parts) => parts,
                None => vec![name],
            });
        parts.collect()
    }

    /// What it says of itself.
    fn testimony(&self) -> Testimony {
        let build = self.ask("show dev");
        let info = reply::info(&self.ask("show info")).unwrap();
        Testimony {
            version: Some(info.release.text().to_owned()),
            features: reply::features(&build),
            library: reply::library(&build),
            environment: reply::environment(&self.ask("show env")),
            loaded: Some(self.names()),
        }
    }

    fn loaded(&self, name: &str) -> Loaded {
        let argument = name
            .replace('\\', r"\\")
            .replace(' ', r"\ ")
            .replace(';', r"\;");
        let shown = self.ask(&format!("show ssl cert {argument}"));
        let key = shown
            .lines()
            .find_map(|line| line.strip_prefix("OCSP Response Key: "));
        Loaded {
            name: name.to_owned(),
            is_used: shown.contains("\nStatus: Used\n"),
            has_slot: key.is_some_and(|key| !key.is_empty()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
