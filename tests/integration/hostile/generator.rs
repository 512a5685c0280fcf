//! Strangers put together at random: each field from another row of the table, or spliced together
//! from what means something to somebody on the way.

use super::stranger::{Content, Known, ORDER, Row, Stranger, Trial};
use super::{answers, certificates, files};

/// How many seeds are run when nobody says how many.
const SEEDS: u64 = 3;
/// Strangers of one seed.
const STRANGERS: usize = 6;
/// A stranger of several copies is here one of so many at most.
const COPIES: usize = 3;

/// What means something to HAProxy's command line, a terminal, a log, a shell, HTTP or a URL.
const FRAGMENTS: [&str; 28] = [
    "\n",
    "\n\n",
    "> ",
    "\n> ",
    "+ ",
    ";",
    "\\",
    "\\n",
    " <<",
    "<<\n",
    "*",
    "@1 ",
    "@",
    "\t",
    " ",
    "\r\n",
    "\x1b[2J",
    "\u{9b}",
    "\u{202e}",
    "\u{2028}",
    "admin\n\n",
    "SHA1 FingerPrint: ",
    "OCSP Response Key: \n",
    "Status: Used\n",
    "Success!\n",
    "%0a",
    "$(x)",
    "x",
];

/// The seeds that the environment asks for.
pub fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    match number("STAPLERD_HOSTILE_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("STAPLERD_HOSTILE_SEEDS").unwrap_or(SEEDS),
    }
}

/// What a seed stands for.
pub fn trials(seed: u64) -> Vec<Trial> {
    (0..STRANGERS).map(|place| trial(seed, place)).collect()
}

fn trial(seed: u64, place: usize) -> Trial {
    let mut random = fastrand::Rng::with_seed(seed * STRANGERS as u64 + place as u64);
    let said = row(&mut random, certificates::ROWS);
    let named = row(&mut random, certificates::ROWS);
    let asking = row(&mut random, certificates::ROWS);
    let lying = row(&mut random, files::ROWS);
    let answering = row(&mut random, answers::ROWS);
    let splices: [Option<String>; 4] =
        std::array::from_fn(|_| random.bool().then(|| splice(&mut random)));
    let name = format!(
        "stranger {place} of seed {seed} ({} / {} / {} / {} / {} / {splices:?})",
        said.name, named.name, asking.name, lying.name, answering.name
    );
    let stranger = move |known: &Known| {
        let [said, named, asking, lying, answering] =
            [said, named, asking, lying, answering].map(|row| (row.stranger)(known));
        let loaded = lying.loaded && !is_another(&said) && !is_another(&named);
        let stranger = Stranger {
            serial: named.serial,
            urls: asking.urls,
            copies: asking.copies.min(COPIES),
            file: lying.file,
            in_place: lying.in_place,
            beside: lying.beside,
            script: answering.script,
            loaded,
            names: named.names,
            ..said
        };
        spliced(stranger, &splices, place)
    };
    Trial {
        name,
        stranger: std::sync::Arc::new(stranger),
    }
}

/// Whether HAProxy gives this certificate to the clients of another one, or does not start with it:
/// it reads a name up to its first zero byte (2.2 then takes the file that it has read last).
fn is_another(stranger: &Stranger) -> bool {
    let mut names = stranger.names.iter().chain([&stranger.subject]);
    !stranger.loaded || names.any(|name| name.contains(&0))
}

fn row(random: &mut fastrand::Rng, rows: &'static [Row]) -> Row {
    rows[random.usize(..rows.len())]
}

/// Some fragments in a row, with an order among them now and then.
fn splice(random: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    for _ in 0..random.usize(1..8) {
        text += match random.usize(0..10) {
            0 => ORDER,
            _ => FRAGMENTS[random.usize(..FRAGMENTS.len())],
        };
    }
    text
}

/// With the splices in subject, DNS names, URL and file name, where there are any.
fn spliced(mut stranger: Stranger, splices: &[Option<String>; 4], place: usize) -> Stranger {
    let [subject, name, url, file] = splices;
    if let Some(text) = subject {
        stranger.subject = text.clone().into_bytes();
    }
    if let Some(text) = name {
        stranger.names.push(text.clone().into_bytes());
    }
    if let (Some(text), Some(first)) = (url, stranger.urls.first_mut()) {
        *first = format!("{first}/{text}");
    }
    let name = match (file, &stranger.file, &stranger.in_place) {
        (Some(text), _, Content::Own) => text.clone().into_bytes(),
        (_, Some(name), _) => name.clone(),
        _ => b"g".to_vec(),
    };
    // Each has a name of its own, which begins as HAProxy's directories want it.
    let place = format!("{place}").into_bytes();
    stranger.file = Some([&name[..], &place].concat());
    stranger
}
