//! Set-ups drawn from seeds: what a real HAProxy loads from each is what staplerd says, or the
//! difference is explained.
//!
//! A set-up has several files and folders, crt-lists with options and filters, crt-stores, bases,
//! variables, conditions and names that mean something to somebody on the way. HAProxy has to
//! accept it: what it refuses is the generator's mistake, or staplerd's where it looks for a staple
//! elsewhere.
//!
//! `tests/configurations 500` runs so many seeds, `STAPLERD_CONFIGURATION_SEED=7` replays one.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

use super::scene::{DEFAULTS, HEAD, Scene, parts};
use crate::support::haproxy::installations;

/// How many seeds are run when nobody says how many.
const SEEDS: u64 = 20;
/// Each of them has every certificate's name, so that whatever base holds, there is a file.
const FOLDERS: [&str; 3] = ["certs", "other", "conf.d/certs"];
/// Names of certificate files. Those with white space cannot stand in a crt-list.
const NAMES: [&str; 28] = [
    "a.pem",
    "b.crt",
    "c",
    "d e.pem",
    "f#g.pem",
    "h'i.pem",
    "j\"k.pem",
    "l\\m.pem",
    "n$o.pem",
    "p;q.pem",
    "*r.pem",
    AT,
    "é.pem",
    "t\u{a0}u.pem",
    "v[w].pem",
    "-x.pem",
    "y,z.pem",
    "A=B.pem",
    "C%D.pem",
    "E<F.pem",
    "G:H.pem",
    "~I.pem",
    "J{K}.pem",
    "L.pem.pem",
    "M.ocsp.pem",
    "N*O.pem",
    "P!Q.pem",
    "crt",
];
/// A name that looks like a crt-store's.
const AT: &str = "@s.pem";
/// A name that can stand everywhere.
const PLAIN: &str = "plain.pem";
/// Conditions that every version since 2.4 can read, but for the first, which is of 2.8.
const CONDITIONS: [&str; 16] = [
    "enabled(POLL)",
    "1",
    "0",
    "!0 && 1",
    "version_atleast(2.8)",
    "version_atleast(3.2-dev4)",
    "version_before(3.1)",
    "version_atleast(2.6.12)",
    "feature(QUIC)",
    "!feature(PROMEX) || 0",
    "feature(WURFL)",
    "defined(CERTS)",
    "defined(THEIRS) && !defined(NOBODYS)",
    "streq(\"$THEIRS\",{dir}/other)",
    "streq(\"$OURS\",one)",
    "defined(LATER)",
];

type Version = (u16, u16);

/// The seeds that the environment asks for.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    match number("STAPLERD_CONFIGURATION_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("STAPLERD_CONFIGURATION_SEEDS").unwrap_or(SEEDS),
    }
}

#[test]
fn what_haproxy_loads_of_a_drawn_set_up_is_named_or_the_difference_explained() {
    let installations = installations("drawn configurations");
    if installations.is_empty() {
        return;
    }
    let mut broken = Vec::new();
    for seed in seeds() {
        let installation = &installations[seed as usize % installations.len()];
        let held = catch_unwind(AssertUnwindSafe(|| {
            draw(seed, installation.version).differs_only_as_explained(installation);
        }));
        if held.is_err() {
            println!(
                "HAProxy {:?}: STAPLERD_CONFIGURATION_SEED={seed}",
                installation.version
            );
            broken.push(seed);
        }
    }
    assert!(
        broken.is_empty(),
        "these seeds broke the promise: {broken:?}"
    );
}

fn draw(seed: u64, version: Version) -> Scene {
    let mut random = Rng::with_seed(seed);
    let mut names: Vec<&'static str> = NAMES.to_vec();
    random.shuffle(&mut names);
    names.truncate(5);
    names.push(PLAIN);
    let paths: Vec<String> = FOLDERS
        .iter()
        .flat_map(|folder| names.iter().map(move |name| format!("{folder}/{name}")))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut scene = Scene::new(&paths);
    scene.link("conf.d/certs", "conf.d/other");
    // A HAProxy that has crt-stores puts no base before such a name.
    if version >= (3, 0) && names.contains(&AT) {
        for folder in ["", "conf.d/"] {
            scene.certificate(&format!("{folder}{AT}"), |issued| issued.pem());
        }
    }
    scene.environment("CERTS", "{dir}/certs");
    scene.environment("OURS", "one");
    scene.environment_of_haproxy("THEIRS", "{dir}/other");
    scene.environment_of_haproxy("OURS", "two");
    Draft {
        random,
        version,
        names,
        scene,
        bases: vec![None],
        block: 0,
        base_block: None,
        references: Vec::new(),
        sockets: 0,
        lists: 0,
        stores: 0,
        depth: 0,
    }
    .set_up()
}

/// A set-up that is being drawn.
struct Draft {
    random: Rng,
    version: Version,
    names: Vec<&'static str>,
    scene: Scene,
    /// The `crt-base`s that may hold, as they are written.
    bases: Vec<Option<String>>,
    /// The number of the present lines of settings, and of those that set it: HAProxy takes one.
    block: usize,
    base_block: Option<usize>,
    /// What crt-stores have loaded.
    references: Vec<String>,
    sockets: usize,
    lists: usize,
    stores: usize,
    depth: usize,
}

impl Draft {
    fn set_up(mut self) -> Scene {
        let mut first = String::from(HEAD);
        if self.may(30) {
            let _ = writeln!(first, "\tsetenv LATER {{dir}}/certs");
        }
        first += &self.settings();
        if self.may(20) {
            let name = self.certificate();
            let name = self.quoted(&name);
            let _ = writeln!(first, "\tstats socket {{dir}}/tls.sock ssl crt {name}");
        }
        if self.since((2, 4)) && self.may(30) {
            let policy = ["current", "origin {dir}", "origin {dir}/conf.d", "config"];
            let policy = policy[self.random.usize(..policy.len())];
            let _ = writeln!(first, "\tdefault-path {policy}");
        }
        first += DEFAULTS;
        first += &self.sections();
        self.scene.write("haproxy.cfg", &first);
        let mut arguments = vec!["haproxy.cfg"];
        if self.may(40) {
            let text = self.global_again() + &self.sections();
            self.scene.write("conf.d/10-more.cfg", &text);
            let text = self.sections();
            self.scene.write("conf.d/20 last.cfg", &text);
            self.scene.write("conf.d/.no.cfg", "nonsense\n");
            arguments.push("conf.d");
        }
        if self.may(40) {
            let text = self.global_again() + &self.sections();
            self.scene.write("last", &text);
            arguments.push("last");
        }
        self.scene.arguments(&arguments);
        self.scene
    }

    fn may(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn since(&self, version: Version) -> bool {
        self.version >= version
    }

    fn global_again(&mut self) -> String {
        match self.may(50) {
            true => format!("global\n{}", self.settings()),
            false => String::new(),
        }
    }

    /// Lines of a global section.
    fn settings(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.random.usize(..3) {
            self.block += 1;
            text += &self.conditional(Self::setting);
        }
        text
    }

    fn setting(&mut self) -> String {
        match self.random.u8(..8) {
            0..=3 if self.base_block.is_none_or(|block| block == self.block) => {
                self.base_block = Some(self.block);
                let folder = ["certs", "other"][self.random.usize(..2)];
                let base = match self.random.u8(..4) {
                    0 if self.bases.len() == 1 => folder.to_owned(),
                    1 => format!("{{dir}}/{folder}/"),
                    _ => format!("{{dir}}/{folder}"),
                };
                if self.depth == 0 {
                    self.bases.clear();
                }
                self.bases.push(Some(base.clone()));
                format!("\tcrt-base {}\n", self.quoted(&base))
            }
            4 if self.since((2, 4)) => "\tssl-load-extra-del-ext\n".to_owned(),
            5 => "\tssl-load-extra-files bundle ocsp issuer\n".to_owned(),
            6 => {
                let value = ["{dir}/certs", "{dir}/other"][self.random.usize(..2)];
                let keyword = ["setenv", "presetenv"][self.random.usize(..2)];
                format!("\t{keyword} LATER {value}\n")
            }
            _ => "\tsetenv crt-base /nowhere\n".to_owned(),
        }
    }

    /// Some lines, perhaps among conditions.
    fn conditional(&mut self, lines: fn(&mut Self) -> String) -> String {
        if !self.since((2, 4)) || self.depth > 1 || !self.may(35) {
            return lines(self);
        }
        self.depth += 1;
        let condition = self.condition();
        let mut text = format!(".if {condition}\n{}", self.conditional(lines));
        if self.may(40) {
            let condition = self.condition();
            let _ = write!(text, ".elif {condition}\n{}", self.conditional(lines));
        }
        if self.may(60) {
            let _ = write!(text, "  .else # otherwise\n{}", self.conditional(lines));
        }
        self.depth -= 1;
        text + ".endif\n"
    }

    fn condition(&mut self) -> &'static str {
        let first = usize::from(!self.since((2, 8)));
        CONDITIONS[self.random.usize(first..CONDITIONS.len())]
    }

    fn sections(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.random.usize(1..4) {
            text += &match self.random.u8(..10) {
                0..=2 if self.since((3, 0)) => self.crt_store(),
                3 => self.backend(),
                _ => self.frontend(),
            };
        }
        text
    }

    fn frontend(&mut self) -> String {
        let mut text = format!("frontend f{}\n", self.random.u32(..));
        for _ in 0..self.random.usize(1..4) {
            text += &self.conditional(Self::bind);
        }
        text
    }

    fn backend(&mut self) -> String {
        let name = self.certificate();
        let name = self.quoted(&name);
        format!(
            "backend b{}\n\tserver s 127.0.0.1:9 ssl verify none crt {name}\n",
            self.random.u32(..)
        )
    }

    fn bind(&mut self) -> String {
        self.sockets += 1;
        let mut line = format!("\tbind {{dir}}/{}.sock ssl", self.sockets);
        if self.may(20) {
            line += ["  name crt", "\talpn h2,http/1.1", " user root"][self.random.usize(..3)];
        }
        for place in 0..self.random.usize(1..4) {
            let word = match self.random.u8(..10) {
                // A list may name none.
                _ if place == 0 => self.certificate(),
                0 => {
                    let folder = ["certs", "other/", "certs//"][self.random.usize(..3)];
                    format!("{{dir}}/{folder}")
                }
                1 | 2 => {
                    let list = self.list();
                    let _ = write!(line, " crt-list {}", self.quoted(&list));
                    continue;
                }
                3 if !self.references.is_empty() && self.depth == 0 => {
                    self.references[self.random.usize(..self.references.len())].clone()
                }
                _ => self.certificate(),
            };
            let keyword = match self.since((3, 0)) && self.may(10) {
                true => "default-crt",
                false => "crt",
            };
            let _ = write!(line, " {keyword} {}", self.quoted(&word));
        }
        line + ["\n", " # crt /no\n", "\r\n", " \t \n"][self.random.usize(..4)]
    }

    /// A certificate's name as a line has it.
    fn certificate(&mut self) -> String {
        let name = self.names[self.random.usize(..self.names.len())];
        let is_based = self.bases.iter().all(Option::is_some);
        // Without a base it is relative to where HAProxy was started, or to what default-path says.
        if is_based && self.may(50) {
            return name.to_owned();
        }
        let folder = ["certs", "other"][self.random.usize(..2)];
        format!("{{dir}}/{folder}/{name}")
    }

    /// A word in one of the ways to write it.
    fn quoted(&mut self, word: &str) -> String {
        let with_variable = [
            ("{dir}/certs", "${CERTS}"),
            ("{dir}/other", "$THEIRS"),
            ("{dir}/other", "${THEIRS}"),
            ("{dir}/certs", "${CERTS}"),
        ][self.random.usize(..4)];
        let escaped = |special: &str| {
            let mut text = String::new();
            for character in word.chars() {
                if special.contains(character) {
                    text.push('\\');
                }
                text.push(character);
            }
            text
        };
        match self.random.u8(..4) {
            0 if !word.contains('\'') => format!("'{word}'"),
            1 => format!("\"{}\"", escaped("\\\"$")),
            2 if word.starts_with(with_variable.0) => {
                let text = escaped("\\\"$");
                format!("\"{}\"", text.replacen(with_variable.0, with_variable.1, 1))
            }
            _ => escaped(" \\\"'#"),
        }
    }

    /// A crt-list of its own.
    fn list(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.random.usize(1..5) {
            if self.may(20) {
                text += ["# a.pem\n", "\n", "   \n"][self.random.usize(..2)];
            }
            let name = self.certificate();
            // The folder's own name has none of this.
            if name.contains([' ', '\u{a0}', '[', '#']) {
                continue;
            }
            text += ["", "", " ", "\t"][self.random.usize(..4)];
            text += &name;
            text += [
                "",
                " [alpn h2]",
                "\x0b[ alpn h2,http/1.1 ssl-min-ver TLSv1.2 ]",
                "[]",
            ][self.random.usize(..4)];
            let filters = ["", " *.tld !not.tld", " a.tld\x0cb.tld", "\t*"];
            text += filters[self.random.usize(..filters.len())];
            text += ["\n", "\n", "\r\n", " \n"][self.random.usize(..4)];
        }
        text += "# the end\n";
        self.lists += 1;
        let path = format!("lists/{} list", self.lists);
        self.scene.write(&path, &text);
        format!("{{dir}}/{path}")
    }

    /// A crt-store: its certificates are of a folder of their own.
    fn crt_store(&mut self) -> String {
        self.stores += 1;
        let (number, is_named) = (self.stores, self.may(60));
        let folder = format!("store{number}");
        let name = match is_named {
            true => format!("s{number}"),
            false => String::new(),
        };
        let mut text = format!("crt-store {name}\n");
        let based = self.may(50);
        if based {
            let _ = writeln!(text, "\tcrt-base {{dir}}/{folder}");
        }
        let has_keys = self.may(30);
        if has_keys {
            let _ = writeln!(text, "\tkey-base {{dir}}/keys");
        }
        for place in 0..self.random.usize(1..4) {
            let file = format!("{place}.pem");
            let path = format!("{folder}/{file}");
            let key = has_keys && self.may(50);
            if key {
                let mut pem = String::new();
                self.scene.certificate(&path, |issued| {
                    pem = issued.pem();
                    let parts = parts(&pem);
                    format!("{}{}", parts[0], parts[1])
                });
                self.scene
                    .write(&format!("keys/{number}-{place}.key"), &parts(&pem)[2]);
            } else {
                self.scene.certificate(&path, |issued| issued.pem());
            }
            let written = match based && self.may(70) {
                true => file.clone(),
                false => format!("{{dir}}/{path}"),
            };
            let _ = write!(text, "\tload crt {written}");
            if key {
                let _ = write!(text, " key {number}-{place}.key");
            }
            let alias = self.may(40).then(|| format!("alias{number}-{place}"));
            if let Some(alias) = &alias {
                let _ = write!(text, " alias {alias}");
            }
            match self.random.u8(..4) {
                0 => {}
                1 if based => text += &format!(" ocsp {place}.der"),
                _ => text += &format!(" ocsp {{dir}}/{folder}/{place}.staple"),
            }
            text.push('\n');
            let reference = match (alias, is_named) {
                (Some(alias), _) => format!("@{name}/{alias}"),
                (None, true) => format!("@{name}/{}", written.trim_start_matches('/')),
                (None, false) => continue,
            };
            if !reference.contains("{dir}") {
                self.references.push(reference);
            }
        }
        text
    }
}
