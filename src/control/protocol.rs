//! What is said over the control socket, and its form: JSON, a line each.
//!
//! Pure. A request names its `command`; a reply is an object with one key that says what it is.

use serde::{Deserialize, Serialize};

use super::status::StatusView;

/// The longest request: room for the names of tens of thousands of files.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;

/// What a client wants.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(
    tag = "command",
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "expected an object with the key command, such as {\"command\":\"status\"}"
)]
pub enum ControlRequest {
    /// How it stands with everything, or with the certificates of these names.
    Status {
        /// Certificate files as [`Names`](super::Names) understands them; all where it is empty.
        #[serde(default)]
        names: Vec<String>,
    },
    /// Renew the responses of these certificates now.
    Renew {
        /// Certificate files as [`Names`](super::Names) understands them; all where it is empty.
        #[serde(default)]
        names: Vec<String>,
    },
    /// Read the configuration again.
    Reload,
}

/// A line that is no request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidRequest {
    /// No JSON, or not that of a request.
    #[error("not a request: {0}")]
    Malformed(String),
    /// More than [`MAX_REQUEST_BYTES`].
    #[error("the request has more than {MAX_REQUEST_BYTES} bytes")]
    TooLong,
}

impl ControlRequest {
    /// Reads one line, with or without its end.
    ///
    /// # Errors
    /// [`InvalidRequest`] with what is wrong.
    pub fn parse(line: &[u8]) -> Result<Self, InvalidRequest> {
        if line.len() > MAX_REQUEST_BYTES {
            return Err(InvalidRequest::TooLong);
        }
        serde_json::from_slice(line).map_err(|error| InvalidRequest::Malformed(error.to_string()))
    }
}

/// What the daemon says to a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply {
    /// To [`ControlRequest::Status`].
    Status(StatusView),
    /// To [`ControlRequest::Renew`]: it is under way.
    Renewal(Renewal),
    /// To [`ControlRequest::Reload`]: the configuration as it is now is gone by.
    Reloaded(Reloaded),
    /// Nothing is done.
    Refused(ControlRefusal),
}

/// What came of reading the configuration again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// What the operator should know about it, a sentence each.
    pub warnings: Vec<String>,
}

/// What is being renewed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Renewal {
    /// The number of certificate files that are meant.
    pub certificates: usize,
    /// Those of them that are not asked for now.
    #[serde(default)]
    pub not_asked: Vec<NotAsked>,
}

/// Certificate files that are not asked for, because their responder has failed repeatedly and is
/// left alone. One request goes there all the same; should it be answered, the others follow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotAsked {
    /// The responder: scheme, host and port.
    pub responder: String,
    /// How many certificate files wait for it.
    pub certificates: usize,
    /// For how many seconds it is left alone; zero while it is being probed.
    pub seconds: u64,
}

impl std::fmt::Display for NotAsked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NotAsked {
            responder,
            certificates,
            seconds,
        } = self;
        write!(
            formatter,
            "not asked for {certificates} of them: {responder} has failed repeatedly and is "
        )?;
        match seconds {
            0 => write!(formatter, "being probed")?,
            _ => write!(formatter, "left alone for {seconds} s more")?,
        }
        write!(
            formatter,
            "; one request goes there, and when it is answered the others follow"
        )
    }
}

/// Why nothing is done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ControlRefusal {
    /// A sentence for the operator.
    pub message: String,
}

impl From<InvalidRequest> for ControlReply {
    fn from(invalid: InvalidRequest) -> Self {
        ControlReply::Refused(ControlRefusal {
            message: invalid.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_read_as_they_are_documented() {
        let all = ControlRequest::Status { names: Vec::new() };
        assert_eq!(
            ControlRequest::parse(b"{\"command\":\"status\"}\n"),
            Ok(all)
        );
        let one = ControlRequest::Renew {
            names: vec!["site.pem".to_owned()],
        };
        let line = br#"{"command": "renew", "names": ["site.pem"]}"#;
        assert_eq!(ControlRequest::parse(line), Ok(one));
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_reason() {
        for (line, reason) in [
            ("", "EOF"),
            ("status", "expected value"),
            ("{}", "command"),
            (r#"{"command":"stop"}"#, "`stop`"),
            (r#"{"command":"status","certificates":[]}"#, "certificates"),
            (r#"{"command":"status","names":"site.pem"}"#, "sequence"),
            (r#"{"command":"status"} {"command":"status"}"#, "trailing"),
        ] {
            let refused = ControlRequest::parse(line.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(refused.contains(reason), "{line}: {refused}");
        }
    }

    #[test]
    fn a_request_that_is_too_long_is_refused_before_it_is_read() {
        let long = vec![b' '; MAX_REQUEST_BYTES + 1];
        assert_eq!(ControlRequest::parse(&long), Err(InvalidRequest::TooLong));
    }

    proptest! {
        #[test]
        fn any_request_is_one_line_and_read_as_it_was_written(
            kind in 0..3,
            names in prop::collection::vec(".*", 0..4),
        ) {
            let request = match kind {
                0 => ControlRequest::Status { names },
                1 => ControlRequest::Renew { names },
                _ => ControlRequest::Reload,
            };
            let line = serde_json::to_string(&request).unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(ControlRequest::parse(line.as_bytes()), Ok(request));
        }

        #[test]
        fn no_bytes_make_the_reading_of_a_request_fail_otherwise_than_by_a_refusal(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = ControlRequest::parse(&bytes);
        }
    }
}
