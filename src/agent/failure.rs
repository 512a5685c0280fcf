//! What went wrong, as the agent is told of it and tells it on.
//!
//! Pure.

/// Something that failed, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The kind in snake_case: the log reason.
    pub kind: &'static str,
    /// A sentence for the operator.
    pub message: String,
}
