//! Why a program has no status for a certificate.
//!
//! Pure.

/// The most serial numbers that are asked for at a time.
pub(super) const MAX_WAITING: usize = 256;

/// Why a program has no status.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProgramError {
    /// No process.
    #[error(
        "{program} cannot be started: {error}; check its path and first line (#!), and that the \
         responder's user may execute it"
    )]
    NotStarted {
        /// The program.
        program: String,
        /// What the system says.
        error: String,
    },
    /// It is not there any more.
    #[error("{program} {how}")]
    Ended {
        /// The program.
        program: String,
        /// In what way.
        how: String,
    },
    /// It took too long over an answer.
    #[error("{program} has not answered within five seconds")]
    Timeout {
        /// The program.
        program: String,
    },
    /// What it wrote is no answer.
    #[error("{program} does not answer as it should: {text}")]
    Malformed {
        /// The program.
        program: String,
        /// What is wrong with the line.
        text: String,
    },
    /// It says so itself.
    #[error("{program} says: {text}")]
    Unavailable {
        /// The program.
        program: String,
        /// Its words.
        text: String,
    },
    /// So many questions wait for it that this one is not asked.
    #[error("{program} has {MAX_WAITING} questions to answer")]
    Busy {
        /// The program.
        program: String,
    },
}

impl ProgramError {
    /// The kind in snake_case: log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            ProgramError::NotStarted { .. } => "status_command_not_started",
            ProgramError::Ended { .. } => "status_command_ended",
            ProgramError::Timeout { .. } => "status_command_timeout",
            ProgramError::Malformed { .. } => "status_command_malformed",
            ProgramError::Unavailable { .. } => "status_command_unavailable",
            ProgramError::Busy { .. } => "status_command_busy",
        }
    }
}
