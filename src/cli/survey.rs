//! What lies in the places of a configuration now: one look at all of them, for commands that do
//! not watch.

use std::path::PathBuf;
use std::time::Instant;

use crate::discovery::source::Source;
use crate::discovery::{
    Change, DirectoryError, FileRefusal, Finding, PATIENCE, Scanner, Selection, SourceId,
};

/// What was found.
#[derive(Default)]
pub(super) struct Survey {
    /// The files that may hold certificates.
    pub(super) files: Vec<SurveyedFile>,
    /// The directories that cannot be read.
    pub(super) failed: Vec<(PathBuf, DirectoryError)>,
}

/// One file.
pub(super) struct SurveyedFile {
    /// The number of its source, counted from zero.
    pub(super) source: usize,
    /// Its path.
    pub(super) path: PathBuf,
    /// Where its staple belongs.
    pub(super) staple_path: PathBuf,
    /// What is in it.
    pub(super) content: Result<Finding, FileRefusal>,
}

impl Survey {
    /// Looks at these sources. A half-written file is taken as it is, without waiting for its
    /// writer.
    pub(super) fn of(sources: impl IntoIterator<Item = Source>, selection: Selection) -> Self {
        let sources = sources.into_iter().enumerate();
        let sources = sources.map(|(place, source)| (SourceId(place), source));
        let mut scanner = Scanner::new(sources, selection);
        let mut survey = Survey::default();
        let mut report = |change| match change {
            Change::Found {
                source,
                path,
                staple_path,
                content,
                ..
            } => survey.files.push(SurveyedFile {
                source: source.0,
                path,
                staple_path,
                content,
            }),
            Change::DirectoryFailed { path, error } => survey.failed.push((path, error)),
            _ => {}
        };
        let now = Instant::now();
        for moment in [now, now + PATIENCE] {
            scanner.scan(moment, &mut report);
        }
        survey
    }
}
