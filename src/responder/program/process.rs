//! One life of a program that knows statuses: from its start to its end.
//!
//! It is the leader of a process group of its own, which is killed with it. What it writes to
//! standard error goes where this program's goes.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_core::Stream;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::error::{MAX_WAITING, ProgramError};
use super::lines::{self, Line, MAX_LINE_BYTES, NoStatus, ToldStatus};
use crate::text::Printable;

/// How long an answer may take.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How many characters of a line that is no answer are shown.
const SHOWN: usize = 80;
/// How long a program that has closed its output has to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// A question with the place where its answer is awaited.
pub(super) struct Asked {
    /// In hexadecimal.
    pub(super) serial: String,
    /// The subject of the authority.
    pub(super) issuer: String,
    pub(super) reply: oneshot::Sender<Result<ToldStatus, ProgramError>>,
}

/// Those who wait for the status of one certificate.
struct Waiting {
    until: Instant,
    replies: Vec<oneshot::Sender<Result<ToldStatus, ProgramError>>>,
}

/// A program that runs.
pub(super) struct ProgramProcess {
    program: String,
    child: Child,
    input: ChildStdin,
    lines: FramedRead<ChildStdout, LinesCodec>,
    /// What the program has not taken yet.
    unsent: Vec<u8>,
    waiting: HashMap<String, Waiting>,
    /// Whether it has answered anything.
    pub(super) has_answered: bool,
}

impl ProgramProcess {
    /// Starts it. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ProgramError::NotStarted`].
    pub(super) fn start(program: &Path, arguments: &[String]) -> Result<Self, ProgramError> {
        let name = program.printable().to_string();
        let failed = |error: io::Error| ProgramError::NotStarted {
            program: name.clone(),
            error: error.to_string(),
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let codec = LinesCodec::new_with_max_length(MAX_LINE_BYTES);
        Ok(ProgramProcess {
            program: name,
            child,
            input,
            lines: FramedRead::new(output, codec),
            unsent: Vec::new(),
            waiting: HashMap::new(),
            has_answered: false,
        })
    }

    /// Asks and answers until the program has to be started again, and returns why. Waiting
    /// questions are answered with the same error. `None` if no question can come any more.
    pub(super) async fn serve(
        &mut self,
        questions: &mut mpsc::Receiver<Asked>,
    ) -> Option<ProgramError> {
        let error = loop {
            let first = self.waiting.values().map(|one| one.until).min();
            tokio::select! {
                // What it has said before its end is heard; however many ask, the work goes on.
                biased;
                line = next(&mut self.lines) => {
                    if let Err(error) = self.line(line).await {
                        break error;
                    }
                }
                // What it has started may hold its pipes open.
                status = self.child.wait() => break self.has_ended(status),
                written = self.input.write(&self.unsent), if !self.unsent.is_empty() => {
                    match written {
                        Ok(count) if count > 0 => drop(self.unsent.drain(..count)),
                        _ => break self.ended().await,
                    }
                }
                () = sleep_until(first.unwrap_or_else(Instant::now)), if first.is_some() => {
                    break ProgramError::Timeout { program: self.program.clone() };
                }
                asked = questions.recv() => self.ask(asked?),
            }
        };
        for (_, waiting) in self.waiting.drain() {
            waiting.tell(Err(&error));
        }
        Some(error)
    }

    fn ask(&mut self, asked: Asked) {
        if let Some(waiting) = self.waiting.get_mut(&asked.serial) {
            waiting.replies.push(asked.reply);
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            let program = self.program.clone();
            // A client that does not wait any more needs no answer; the same holds below.
            let _ = asked.reply.send(Err(ProgramError::Busy { program }));
            return;
        }
        let question = lines::question(&asked.serial, &asked.issuer);
        self.unsent.extend_from_slice(&question);
        let waiting = Waiting {
            until: Instant::now() + ANSWER_TIME,
            replies: vec![asked.reply],
        };
        self.waiting.insert(asked.serial, waiting);
    }

    async fn line(
        &mut self,
        line: Option<Result<String, LinesCodecError>>,
    ) -> Result<(), ProgramError> {
        let line = match line {
            Some(Ok(line)) => line,
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                let text = format!("a line is longer than {MAX_LINE_BYTES} bytes");
                return Err(self.malformed(&text));
            }
            Some(Err(LinesCodecError::Io(error))) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(self.malformed("a line is not UTF-8"));
            }
            Some(Err(LinesCodecError::Io(_))) | None => return Err(self.ended().await),
        };
        let answer = lines::read(&line);
        let Line { serial, answer } = answer.map_err(|text| {
            let start: String = line.chars().take(SHOWN).collect();
            self.malformed(&format!("'{start}': {text}"))
        })?;
        let Some(waiting) = self.waiting.remove(&serial) else {
            return Err(self.malformed("a line answers what was not asked"));
        };
        self.has_answered = true;
        match answer {
            Ok(told) => waiting.tell(Ok(told)),
            Err(NoStatus::Error(text)) => waiting.tell(Err(&ProgramError::Unavailable {
                program: self.program.clone(),
                text: text.printable().to_string(),
            })),
            Err(NoStatus::Malformed(text)) => waiting.tell(Err(&self.malformed(&text))),
        }
        Ok(())
    }

    fn malformed(&self, text: &str) -> ProgramError {
        ProgramError::Malformed {
            program: self.program.clone(),
            text: text.printable().to_string(),
        }
    }

    /// How it ended, where it did.
    async fn ended(&mut self) -> ProgramError {
        match timeout(GRACE, self.child.wait()).await {
            Ok(status) => self.has_ended(status),
            Err(_) => ProgramError::Ended {
                program: self.program.clone(),
                how: "closed its pipes".to_owned(),
            },
        }
    }

    fn has_ended(&self, status: io::Result<ExitStatus>) -> ProgramError {
        ProgramError::Ended {
            program: self.program.clone(),
            how: match status {
                Ok(status) => format!("ended with {status}"),
                Err(error) => error.to_string(),
            },
        }
    }
}

impl Drop for ProgramProcess {
    /// Kills what it has started, too.
    fn drop(&mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Waiting {
    fn tell(self, answer: Result<ToldStatus, &ProgramError>) {
        for reply in self.replies {
            let _ = reply.send(answer.map_err(ProgramError::clone));
        }
    }
}

/// The next line; `None` at the end.
async fn next(
    lines: &mut FramedRead<ChildStdout, LinesCodec>,
) -> Option<Result<String, LinesCodecError>> {
    poll_fn(|context| Pin::new(&mut *lines).poll_next(context)).await
}
