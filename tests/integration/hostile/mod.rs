//! One certificate's trouble is its own: hostile things beside two honest certificates.
//!
//! A table of [`stranger`]s (names, serials, URLs, files, answers), each put beside two honest
//! certificates on a real HAProxy that the real program looks after. The [`promise`] is one and the
//! same for every row: clients get the honest certificates' staples, these are renewed and reported
//! right, and nothing happens that nobody ordered. Many rows share a HAProxy and a daemon; where a
//! shared run breaks the promise, halves of it are run until the guilty rows are known.
//!
//! `STAPLERD_HOSTILE_ROW=serial` runs only the rows with this word in their names. The
//! [`generator`] puts strangers together at random: `STAPLERD_HOSTILE_SEEDS=100` runs so many
//! seeds, `STAPLERD_HOSTILE_SEED=7` replays one.

mod answers;
mod cast;
mod certificates;
mod files;
mod generator;
mod judge;
mod promise;
mod recorder;
mod scene;
mod stranger;
mod tree;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::scene::{Ground, Scene, Way};
use self::stranger::{Row, Trial};
use crate::support::haproxy::installations;

/// The versions on which all rows run, and how they are reached: one with a prompt, one silent.
const BOTH_MODES: [((u16, u16), Way); 2] = [((3, 0), Way::Master), ((3, 2), Way::Stats)];

/// Sets the scene and holds it to the promise.
fn live_through(ground: &Ground, trials: &[Trial]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| {
        let scene = Scene::set(ground, trials);
        promise::hold(&scene);
    }))
    .map_err(|panic| words(panic.as_ref()))
}

fn words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}

/// The trials that break the promise by themselves, or the smallest shared runs that do.
fn guilty(ground: &Ground, trials: &[Trial], error: String) -> Vec<String> {
    let together = |error: String| {
        let names: Vec<&str> = trials.iter().map(|trial| trial.name.as_str()).collect();
        vec![format!("{}: {error}", names.join(" + "))]
    };
    if trials.len() == 1 {
        return together(error);
    }
    let (first, second) = trials.split_at(trials.len() / 2);
    let found: Vec<String> = [first, second]
        .into_iter()
        .filter_map(|half| Some(guilty(ground, half, live_through(ground, half).err()?)))
        .flatten()
        .collect();
    if found.is_empty() {
        return together(error);
    }
    found
}

/// Runs the trials together, and names the guilty ones.
fn hold_to_the_promise(ground: &Ground, trials: &[Trial]) {
    if let Err(error) = live_through(ground, trials) {
        let guilty = guilty(ground, trials, error);
        panic!("HAProxy {ground}:\n{}", guilty.join("\n"));
    }
}

/// The rows that are wanted.
fn wanted(rows: &[Row]) -> Vec<Trial> {
    let word = std::env::var("STAPLERD_HOSTILE_ROW").unwrap_or_default();
    rows.iter()
        .filter(|row| row.name.contains(&word))
        .map(Trial::from)
        .collect()
}

fn on_both_modes(test: &str, rows: &[Row]) {
    let installations = installations(test);
    for (version, way) in BOTH_MODES {
        let chosen = installations.iter().find(|it| it.version == version);
        if let Some(installation) = chosen.cloned() {
            hold_to_the_promise(&Ground { installation, way }, &wanted(rows));
        }
    }
}

fn on_every_version(test: &str, rows: &[Row]) {
    for installation in installations(test) {
        for way in [Way::Stats, Way::Master] {
            let installation = installation.clone();
            hold_to_the_promise(&Ground { installation, way }, &wanted(rows));
        }
    }
}

#[test]
fn what_certificates_say_hurts_nobody_else() {
    on_both_modes("hostile certificates", certificates::ROWS);
}

#[test]
fn what_lies_among_the_certificates_hurts_nobody_else() {
    on_both_modes("hostile files", files::ROWS);
}

#[test]
fn what_responders_answer_hurts_nobody_else() {
    on_both_modes("hostile answers", answers::ROWS);
}

#[test]
fn what_breaks_a_connection_is_survived_by_every_version_and_behind_every_master() {
    on_every_version("hostile framing", certificates::FRAMING);
}

#[test]
fn what_is_put_together_at_random_hurts_nobody_else() {
    let grounds = installations("hostile combinations");
    if grounds.is_empty() {
        return;
    }
    for seed in generator::seeds() {
        let installation = grounds[seed as usize % grounds.len()].clone();
        let way = [Way::Stats, Way::Master][seed as usize / grounds.len() % 2];
        println!("STAPLERD_HOSTILE_SEED={seed}");
        let ground = Ground { installation, way };
        hold_to_the_promise(&ground, &generator::trials(seed));
    }
}
