//! The ways to read a configuration whose conditions are open, and which of them HAProxy has read.
//!
//! Pure. A condition that only HAProxy can decide may change every later line: a `crt-base` behind
//! it names other certificates, `ssl-load-extra-del-ext` other staples. So each way to decide is a
//! reading of its own, and those count that agree best with what the process has loaded; several of
//! them count together.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::environment::Alterations;
use super::parser::{Choices, OpenCondition, Parsed, Parser};
use super::testimony::Testimony;
use super::{ConfigNotice, HaproxyConfig, Store};
use crate::discovery::source::Source;

/// At most so many times a configuration is parsed, and so many bytes altogether.
const MOST_PARSES: usize = 64;
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// What a name takes beside the text, more or less.
const BYTES_OF_A_NAME: usize = 256;

/// The files of one process, with all that is known of it.
pub struct ConfigTexts<'a> {
    /// The folder in which it was started.
    pub start: &'a Path,
    /// The environment of this program.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What it says.
    pub testimony: &'a Testimony,
    /// Paths and texts, in its order.
    pub texts: &'a [(PathBuf, String)],
}

/// A reading with all its conditions decided one way or the other, and what they are.
pub type Reading<Content> = (Choices, Content);

impl ConfigTexts<'_> {
    /// Every reading that is possible, and the conditions that are open; where there are too many,
    /// the one that takes all branches.
    pub fn readings(&self) -> (Vec<Parsed>, Vec<OpenCondition>) {
        let mut first = self.parse(Alterations::default(), Choices::new());
        let alterations = first.alterations.clone();
        if self.testimony.environment.is_some() && alterations != Alterations::default() {
            first = self.parse(alterations.clone(), Choices::new());
        }
        let open = first.open.clone();
        let readings = self.decided(first.clone(), &alterations);
        (readings.unwrap_or_else(|| vec![first]), open)
    }

    /// All ways to decide what this reading has left open; none where there are too many.
    fn decided(&self, first: Parsed, alterations: &Alterations) -> Option<Vec<Parsed>> {
        let bytes = self.texts.iter().map(|(_, text)| text.len()).sum::<usize>();
        let bytes = bytes + first.wanted.len() * BYTES_OF_A_NAME;
        let mut parses = MOST_PARSES.min(MOST_BYTES / bytes.max(1));
        let mut readings = Vec::new();
        let mut undecided = vec![first];
        while let Some(parsed) = undecided.pop() {
            let Some(open) = parsed.open.first() else {
                readings.push(parsed);
                continue;
            };
            parses = parses.checked_sub(2)?;
            for choice in [false, true] {
                let mut choices = parsed.choices.clone();
                choices.insert(open.condition.clone(), choice);
                undecided.push(self.parse(alterations.clone(), choices));
            }
        }
        Some(readings)
    }

    fn parse(&self, alterations: Alterations, choices: Choices) -> Parsed {
        let parser = Parser::new(self.start, self.variable, self.testimony);
        let mut parser = parser.again(alterations, choices);
        for (path, text) in self.texts {
            parser.file(path, text);
        }
        parser.finish()
    }
}

/// Those readings that differ least from what is loaded, where that is known.
pub fn most_likely(
    mut readings: Vec<Reading<HaproxyConfig>>,
    loaded: Option<&BTreeSet<String>>,
) -> Vec<Reading<HaproxyConfig>> {
    if let (Some(loaded), 2..) = (loaded, readings.len()) {
        let differences = readings.iter().map(|(_, it)| it.differences(loaded));
        let differences: Vec<usize> = differences.collect();
        let least = differences.iter().min().copied();
        let mut differences = differences.into_iter();
        readings.retain(|_| differences.next() == least);
    }
    readings
}

/// What all of these readings say. If they ask for the same, the open conditions do not matter.
pub fn merged(readings: Vec<Reading<HaproxyConfig>>, open: Vec<OpenCondition>) -> HaproxyConfig {
    let taken = |condition: &str| -> HashSet<Option<bool>> {
        let choices = readings.iter().map(|(choices, _)| choices);
        choices.map(|it| it.get(condition).copied()).collect()
    };
    let is_open = |it: &OpenCondition| {
        let taken = taken(&it.condition);
        taken.contains(&None) && taken.len() == 1
            || taken.contains(&Some(true)) && taken.contains(&Some(false))
    };
    let open: Vec<ConfigNotice> = open
        .into_iter()
        .filter(is_open)
        .map(|it| it.notice)
        .collect();
    let is_one = readings.len() == 1;
    let mut configs = readings.into_iter().map(|(_, config)| config);
    let mut all = configs.next().unwrap_or_default();
    let stores = all.stores.clone();
    let mut are_same = !is_one;
    for config in configs {
        are_same &= config.stores == stores;
        all.join(config);
    }
    if !are_same {
        all.notices.extend(open);
    }
    all
}

impl HaproxyConfig {
    /// Takes in what another reading of the same files says.
    fn join(&mut self, other: HaproxyConfig) {
        fn add<T: PartialEq>(all: &mut Vec<T>, others: Vec<T>) {
            for it in others {
                if !all.contains(&it) {
                    all.push(it);
                }
            }
        }
        let mut known: HashSet<(String, Source)> = HashSet::new();
        let key = |store: &Store| (store.name.clone(), store.source.clone());
        known.extend(self.stores.iter().map(key));
        let new = other.stores.into_iter();
        self.stores.extend(new.filter(|it| known.insert(key(it))));
        self.servers.extend(other.servers);
        add(&mut self.sockets, other.sockets);
        self.sockets.sort_by_key(|socket| Reverse(socket.level));
        add(&mut self.notices, other.notices);
        add(&mut self.files, other.files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::source::{Directory, Naming};
    use crate::haproxy_config::wanted::What;
    use crate::haproxy_config::{LineLocation, Remark};

    /// The names of the certificates in each reading, and the lines of the conditions that are
    /// open.
    fn read(text: &str, testimony: &Testimony) -> (Vec<Vec<String>>, Vec<usize>) {
        let texts = ConfigTexts {
            start: Path::new("/"),
            variable: &|_| None,
            testimony,
            texts: &[("/haproxy.cfg".into(), text.to_owned())],
        };
        let (readings, open) = texts.readings();
        let names = readings.iter().map(|parsed| {
            let names = parsed.wanted.iter().map(|wanted| match &wanted.what {
                What::Certificate(entry) => entry.name.clone(),
                What::List(name) => name.clone(),
            });
            names.collect()
        });
        let lines = open.iter().map(|it| it.notice.place.line).collect();
        (names.collect(), lines)
    }

    const BIND: &str = "frontend f\n\tbind :1 ssl crt a\n";

    #[test]
    fn each_way_to_decide_is_a_reading_and_the_same_condition_is_decided_once() {
        let text = format!(
            "global\n.if enabled(POLL)\n\tcrt-base /poll\n.else\n\tcrt-base /no\n.endif\n{BIND}\
             .if enabled(POLL)\n\tbind :2 ssl crt b\n.endif\n"
        );
        let (mut readings, open) = read(&text, &Testimony::default());
        readings.sort();
        assert_eq!(readings, [vec!["/no/a"], vec!["/poll/a", "/poll/b"]]);
        assert_eq!(open, [2, 9]);
    }

    #[test]
    fn with_too_many_open_conditions_all_branches_are_read_as_one() {
        let conditions: String = (0..7)
            .map(|number| format!(".if enabled(N{number})\n\tbind :1 ssl crt /{number}\n.endif\n"))
            .collect();
        let text = format!("frontend f\n{conditions}");
        let (readings, open) = read(&text, &Testimony::default());
        assert_eq!(readings.len(), 1);
        assert_eq!(readings[0].len(), 7);
        assert_eq!(open.len(), 7);
    }

    #[test]
    fn what_is_loaded_chooses_among_the_readings() {
        let config = |name: &str| HaproxyConfig {
            servers: HashSet::from([name.to_owned()]),
            ..HaproxyConfig::default()
        };
        let choices = |choice| Choices::from([("c".to_owned(), choice)]);
        let readings = vec![
            (choices(true), config("/a")),
            (choices(false), config("/b")),
        ];
        let loaded = BTreeSet::from(["/b".to_owned()]);
        let likely = most_likely(readings.clone(), Some(&loaded));
        assert_eq!(likely, readings[1..]);
        assert_eq!(most_likely(readings.clone(), None), readings);
    }

    #[test]
    fn a_condition_is_told_only_where_it_matters() {
        let store = |name: &str| Store {
            name: name.to_owned(),
            source: Source::Directory(Directory {
                path: name.into(),
                recursive: false,
                naming: Naming::default(),
            }),
            place: place(),
        };
        let place = place();
        let open = vec![OpenCondition {
            condition: "c".to_owned(),
            notice: ConfigNotice {
                place,
                remark: Remark::Undecided("c".to_owned()),
            },
        }];
        for (names, told) in [(["/a", "/a"], 0), (["/a", "/b"], 1)] {
            let readings = names.into_iter().zip([true, false]).map(|(name, choice)| {
                let config = HaproxyConfig {
                    stores: vec![store(name)],
                    ..HaproxyConfig::default()
                };
                (Choices::from([("c".to_owned(), choice)]), config)
            });
            let all = merged(readings.collect(), open.clone());
            assert_eq!(all.notices.len(), told, "{names:?}");
            assert_eq!(all.stores.len(), 1 + told);
        }
    }

    fn place() -> LineLocation {
        LineLocation {
            file: Path::new("/haproxy.cfg").into(),
            line: 2,
        }
    }
}
