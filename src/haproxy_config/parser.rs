//! The lines of a configuration, read one after the other as HAProxy reads them.
//!
//! Pure: texts in, what they ask for out. Each line counts for those after it, in later files too:
//! a `crt-base` holds from its line on, as it does in HAProxy. Sections and keywords that say
//! nothing about certificates or control sockets are passed over without a word.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::blocks::Blocks;
use super::condition::{Truth, evaluate};
use super::environment::{Alterations, Environment, VariableValue};
use super::notice::{ConfigNotice, LineLocation, Remark, note};
use super::testimony::Testimony;
use super::wanted::{CertificateOptions, Settings, Wanted, WantedCertificate, What, known};
use super::words::{Word, split};
use super::{ControlSocket, control_socket};
use crate::discovery::source::Naming;
use crate::haproxy::Level;

/// The keywords that begin a section (the manual's chapters 3, 4, 11 and 12).
const SECTIONS: &[&str] = &[
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
];
/// Keywords of a `bind` line whose value may be any word, one that looks like a keyword too.
const NAMING_KEYWORDS: &[&str] = &[
    "ca-file",
    "ca-verify-file",
    "crl-file",
    "group",
    "guid-prefix",
    "id",
    "interface",
    "name",
    "namespace",
    "tls-ticket-keys",
    "user",
];

/// At most so many names are taken from one reading: a variable can hold thousands of them.
const MOST_WANTED: usize = 200_000;
/// At most so many open conditions are told.
const MOST_OPEN: usize = 100;

/// What a configuration asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parsed {
    /// What it loads, in its order.
    pub wanted: Vec<Wanted>,
    /// The names of the certificates that it shows to servers.
    pub servers: Vec<String>,
    /// Its control sockets, the most powerful first.
    pub sockets: Vec<ControlSocket>,
    /// What there is to say about its lines.
    pub notices: Vec<ConfigNotice>,
    /// The conditions that were left open, in their order.
    pub open: Vec<OpenCondition>,
    /// How others were taken that cannot be known.
    pub choices: Choices,
    /// The variables that it changes.
    pub alterations: Alterations,
}

/// What stands for a condition that is the same wherever it stands.
pub type Condition = String;

/// How conditions are taken that are open.
pub type Choices = BTreeMap<Condition, bool>;

/// A condition that cannot be decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenCondition {
    /// What stands for it.
    pub condition: Condition,
    /// What there is to say about its line.
    pub notice: ConfigNotice,
}

/// The state between two lines.
pub struct Parser<'a> {
    start: PathBuf,
    environment: Environment<'a>,
    testimony: &'a Testimony,
    /// Whether it has been said that there are too many names.
    is_full_told: bool,
    default_path: DefaultPath,
    settings: Rc<Settings>,
    section: Section,
    section_name: String,
    parsed: Parsed,
}

/// `default-path`.
enum DefaultPath {
    Current,
    Config,
    Parent,
    Origin(String),
}

enum Section {
    Global,
    /// One that can have `bind` and `server` lines.
    Binding,
    /// One that can have `server` lines only.
    Serving,
    Store {
        name: Option<String>,
        crt_base: Option<Word>,
    },
    Other,
}

impl<'a> Parser<'a> {
    /// A parser for the files of one HAProxy, started in the folder `start` with environment
    /// variables as `variable` says them, so far as they are known, and what its process says.
    pub fn new(
        start: &Path,
        variable: &'a dyn Fn(&str) -> Option<String>,
        testimony: &'a Testimony,
    ) -> Self {
        Parser {
            start: start.to_owned(),
            environment: Environment::new(variable, testimony),
            testimony,
            is_full_told: false,
            default_path: DefaultPath::Current,
            settings: Rc::new(Settings {
                crt_base: None,
                naming: Naming::default(),
                bundles: true,
                folder: start.to_owned(),
                depends_on_start: true,
                has_stores: testimony.is_version_at_least("3.0") != Some(false),
            }),
            section: Section::Other,
            section_name: String::new(),
            parsed: Parsed::default(),
        }
    }

    /// Reads with this in mind of what an earlier reading has found out: what the configuration
    /// changes of its environment, and how open conditions are to be taken.
    pub fn again(mut self, alterations: Alterations, choices: Choices) -> Self {
        self.environment.altered_by(alterations);
        self.parsed.choices = choices;
        self
    }

    /// Reads the next file.
    pub fn file(&mut self, path: &Path, text: &str) {
        let path: Arc<Path> = path.into();
        self.section = Section::Other;
        self.section_name.clear();
        self.change_folder(&path);
        let mut blocks = Blocks::default();
        for (index, line) in text.split('\n').enumerate() {
            let place = LineLocation {
                file: path.clone(),
                line: index.saturating_add(1),
            };
            if let Err(remark) = self.line(&place, line, &mut blocks) {
                self.remark(&place, remark);
            }
        }
        for line in blocks.unended() {
            let file = path.clone();
            self.remark(&LineLocation { file, line }, Remark::Unended);
        }
    }

    /// What the files ask for.
    pub fn finish(mut self) -> Parsed {
        let sockets = &mut self.parsed.sockets;
        sockets.sort_by_key(|socket| std::cmp::Reverse(socket.level));
        if let Some(best) = sockets.first()
            && best.level < Level::Admin
        {
            let (place, level) = (best.place.clone(), best.level);
            self.remark(&place, Remark::LevelTooLow(level));
        }
        self.parsed.alterations = self.environment.changes().clone();
        self.parsed
    }

    fn remark(&mut self, place: &LineLocation, remark: Remark) {
        let place = place.clone();
        note(&mut self.parsed.notices, ConfigNotice { place, remark });
    }

    fn line(
        &mut self,
        place: &LineLocation,
        line: &str,
        blocks: &mut Blocks,
    ) -> Result<(), Remark> {
        let value = |name: &str| match name {
            ".FILE" => VariableValue::Known(place.file.to_string_lossy().into_owned()),
            ".LINE" => VariableValue::Known(place.line.to_string()),
            ".SECTION" => VariableValue::Known(self.section_name.clone()),
            _ => self.environment.get(name),
        };
        let words = match split(line, value) {
            Ok(words) => words,
            Err(_) if !blocks.is_reading() => return Ok(()),
            Err(remark) => return Err(remark),
        };
        let Some((keyword, arguments)) = words.split_first() else {
            return Ok(());
        };
        let keyword = keyword.text.as_str();
        if keyword.starts_with('.') {
            return self.directive(place, line, keyword, arguments, blocks);
        }
        if !blocks.is_reading() {
            return Ok(());
        }
        if SECTIONS.contains(&keyword) {
            self.begin_section(keyword, arguments);
            return Ok(());
        }
        match &self.section {
            Section::Global => self.global(place, keyword, arguments),
            Section::Binding => self.binding(place, keyword, arguments),
            Section::Serving => self.serving(keyword, arguments),
            Section::Store { .. } => self.store(place, keyword, arguments),
            Section::Other => Ok(()),
        }
    }

    /// A line that begins with a dot (§2.4); `.notice` and its like mean nothing here.
    fn directive(
        &mut self,
        place: &LineLocation,
        line: &str,
        keyword: &str,
        arguments: &[Word],
        blocks: &mut Blocks,
    ) -> Result<(), Remark> {
        let mut open = None;
        let mut condition = || {
            let words: Vec<&str> = arguments.iter().map(|word| word.text.as_str()).collect();
            let text = words.join(" ");
            // A variable can come to hold something else before the next line.
            let (truth, condition) = if arguments.iter().any(|word| word.unknown.is_some()) {
                (Truth::Unknown, format!("{place}: {text}"))
            } else {
                (evaluate(&text, &self.environment, self.testimony), text)
            };
            if truth != Truth::Unknown {
                return truth;
            }
            let chosen = self.parsed.choices.get(&condition).copied();
            if chosen.is_none() {
                open = Some(condition);
            }
            Truth::from(chosen)
        };
        let result = match keyword {
            ".if" => {
                blocks.begin(place.line, &mut condition);
                Ok(())
            }
            ".elif" => blocks.otherwise_if(&mut condition),
            ".else" => blocks.otherwise(),
            ".endif" => blocks.end(),
            _ => Ok(()),
        };
        if let Some(condition) = open {
            let text = line.trim().trim_start_matches(keyword).trim();
            let notice = ConfigNotice {
                place: place.clone(),
                remark: Remark::Undecided(text.to_owned()),
            };
            if self.parsed.open.len() < MOST_OPEN {
                self.parsed.open.push(OpenCondition { condition, notice });
            }
        }
        result.map_err(|_| Remark::StrayDirective(keyword.to_owned()))
    }

    fn begin_section(&mut self, keyword: &str, arguments: &[Word]) {
        let name = arguments.first().map(|word| word.text.clone());
        self.section_name = name.clone().unwrap_or_else(|| keyword.to_owned());
        self.section = match keyword {
            "global" => Section::Global,
            "frontend" | "listen" | "peers" | "log-forward" => Section::Binding,
            "backend" | "defaults" | "ring" => Section::Serving,
            "crt-store" => Section::Store {
                name,
                crt_base: None,
            },
            _ => Section::Other,
        };
    }

    fn settings(&mut self) -> &mut Settings {
        Rc::make_mut(&mut self.settings)
    }

    fn change_folder(&mut self, file: &Path) {
        let config = || file.parent().unwrap_or(Path::new(""));
        let folder = match &self.default_path {
            DefaultPath::Current => self.start.clone(),
            DefaultPath::Config => self.start.join(config()),
            DefaultPath::Parent => self.start.join(config()).join(".."),
            DefaultPath::Origin(path) => self.start.join(path),
        };
        let depends_on_start = match &self.default_path {
            DefaultPath::Current => true,
            DefaultPath::Config | DefaultPath::Parent => false,
            DefaultPath::Origin(path) => !path.starts_with('/'),
        };
        let settings = self.settings();
        settings.folder = folder;
        settings.depends_on_start = depends_on_start;
    }

    fn global(
        &mut self,
        place: &LineLocation,
        keyword: &str,
        arguments: &[Word],
    ) -> Result<(), Remark> {
        let first = arguments.first();
        match keyword {
            "crt-base" => self.settings().crt_base = first.cloned(),
            "issuers-chain-path" => {
                let chains = known(first, keyword)?;
                let chains = self.settings.locate(&chains);
                self.settings().naming.issuers_chain_path = Some(chains);
            }
            "ssl-load-extra-del-ext" => self.settings().naming.deletes_crt = true,
            "ssl-load-extra-files" => {
                known(first, keyword)?;
                let has = |kind| {
                    arguments
                        .iter()
                        .any(|word| word.text == kind || word.text == "all")
                };
                self.settings().bundles = has("bundle");
                self.settings().naming.ignores_issuers = !has("issuer");
                if !has("ocsp") {
                    return Err(Remark::StaplesNotRead);
                }
            }
            "ocsp-update.mode" | "tune.ssl.ocsp-update.mode"
                if first.is_some_and(|word| word.text == "on") =>
            {
                return Err(Remark::AllRenewedByHaproxy(keyword.to_owned()));
            }
            "default-path" => {
                self.default_path = match known(first, keyword)?.as_str() {
                    "current" => DefaultPath::Current,
                    "config" => DefaultPath::Config,
                    "parent" => DefaultPath::Parent,
                    "origin" => DefaultPath::Origin(known(arguments.get(1), keyword)?),
                    other => return Err(Remark::UnknownDefaultPath(other.to_owned())),
                };
                self.change_folder(&place.file);
            }
            "stats" if first.is_some_and(|word| word.text == "socket") => {
                let (sockets, remark) = control_socket::read(
                    place,
                    arguments.get(1..).unwrap_or_default(),
                    &self.start,
                );
                self.parsed.sockets.extend(sockets);
                // It may speak TLS itself.
                let named = self.bind(place, arguments.get(2..).unwrap_or_default());
                return remark.map_or(named, Err);
            }
            "setenv" | "presetenv" => {
                let name = known(first, keyword)?;
                let value = match arguments.get(1) {
                    Some(word) if word.unknown.is_some() => VariableValue::Unknown,
                    word => {
                        VariableValue::Known(word.map(|word| word.text.clone()).unwrap_or_default())
                    }
                };
                return match keyword {
                    "setenv" => self.environment.set(&name, value),
                    _ => self.environment.preset(&name, value),
                };
            }
            "unsetenv" => arguments
                .iter()
                .for_each(|word| self.environment.unset(&word.text)),
            "resetenv" => {
                let kept = arguments.iter().map(|word| word.text.as_str());
                self.environment.reset(kept);
            }
            _ => {}
        }
        Ok(())
    }

    fn want(&mut self, place: &LineLocation, what: What) {
        let parsed = &self.parsed;
        match parsed.wanted.len().cmp(&MOST_WANTED) {
            Ordering::Less => {}
            Ordering::Equal if !self.is_full_told => {
                self.is_full_told = true;
                return self.remark(place, Remark::TooManyCertificates(MOST_WANTED));
            }
            Ordering::Equal | Ordering::Greater => return,
        }
        self.parsed.wanted.push(Wanted {
            place: place.clone(),
            settings: self.settings.clone(),
            what,
        });
    }

    fn binding(
        &mut self,
        place: &LineLocation,
        keyword: &str,
        arguments: &[Word],
    ) -> Result<(), Remark> {
        match keyword {
            // The first word is its address.
            "bind" => self.bind(place, arguments.get(1..).unwrap_or_default()),
            "default-bind" => self.bind(place, arguments),
            "ssl-f-use" => {
                let options = CertificateOptions::read(arguments)?;
                let name = self.settings.complete(options.certificate()?)?;
                self.want(
                    place,
                    What::Certificate(WantedCertificate::by_name(name, options)),
                );
                Ok(())
            }
            _ => self.serving(keyword, arguments),
        }
    }

    /// A certificate of a `server` line is loaded and never stapled.
    fn serving(&mut self, keyword: &str, arguments: &[Word]) -> Result<(), Remark> {
        // What stands before its options.
        let named = match keyword {
            "server" => 2,
            "server-template" => 3,
            "default-server" => 0,
            _ => return Ok(()),
        };
        let mut options = arguments.iter().skip(named);
        while let Some(option) = options.next() {
            if option.text == "crt" {
                let name = known(options.next(), "crt")?;
                let name = self.settings.complete(&name)?;
                if self.parsed.servers.len() < MOST_WANTED {
                    self.parsed.servers.push(name);
                }
            }
        }
        Ok(())
    }

    fn bind(&mut self, place: &LineLocation, arguments: &[Word]) -> Result<(), Remark> {
        let mut arguments = arguments.iter();
        // What is wrong with one name does not lose the others of the line.
        let mut result = Ok(());
        while let Some(keyword) = arguments.next() {
            let keyword = keyword.text.as_str();
            let what = match keyword {
                "crt" | "default-crt" => known(arguments.next(), keyword)
                    .and_then(|name| self.settings.complete(&name))
                    .map(|name| {
                        What::Certificate(WantedCertificate::by_name(
                            name,
                            CertificateOptions::default(),
                        ))
                    }),
                "crt-list" => known(arguments.next(), keyword).map(What::List),
                _ if NAMING_KEYWORDS.contains(&keyword) => {
                    arguments.next();
                    continue;
                }
                _ => continue,
            };
            match what {
                Ok(what) => self.want(place, what),
                Err(remark) => result = Err(remark),
            }
        }
        result
    }

    fn store(
        &mut self,
        place: &LineLocation,
        keyword: &str,
        arguments: &[Word],
    ) -> Result<(), Remark> {
        let Section::Store { name, crt_base } = &mut self.section else {
            return Ok(());
        };
        match keyword {
            "crt-base" => *crt_base = arguments.first().cloned(),
            "load" => {
                let global_base = self.settings.crt_base.as_ref();
                let bases = [crt_base.as_ref().or(global_base), global_base];
                let options = CertificateOptions::read(arguments)?;
                let entry = WantedCertificate::of_store(name.as_deref(), bases, options)?;
                self.want(place, What::Certificate(entry));
            }
            _ => {}
        }
        Ok(())
    }
}
