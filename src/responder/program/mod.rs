//! A source of statuses that is a program in any language.
//!
//! The program is started once and kept running. It reads questions from standard input and writes
//! answers to standard output, each a JSON object in a line of its own:
//! ```text
//! {"serial":"03A2EF","issuer":"CN=CA"}
//! {"serial":"03A2EF","status":"good"}
//! {"serial":"05","status":"revoked","revoked_at":"2026-01-15T12:00:00Z","reason":"keyCompromise"}
//! {"serial":"77","status":"unknown"}
//! {"serial":"80","error":"the database is away"}
//! ```
//! Questions do not wait for earlier answers, and answers may come in any order: `serial` says
//! whose they are. It is the number in hexadecimal ([`super::serial::to_hexadecimal`]). An answer
//! counts for `cache_seconds` (60 unless it says so, 3,600 at most), one that says `unknown` for
//! its question alone. A program that leaves a question unanswered for five seconds or writes what
//! is no answer is killed with its process group. It is started again, as one that has ended is,
//! after a pause that grows from a tenth of a second to thirty seconds while nothing is answered.
//! At most 256 questions wait for it at a time.

mod error;
mod lines;
mod process;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

pub use self::error::ProgramError;
use self::lines::ToldStatus;

use self::error::MAX_WAITING;
use self::process::{Asked, ProgramProcess};
use super::serial;
use super::status::{Inquiry, SourceError, Statement, StatementFuture, StatusSource};
use crate::ocsp::CertificateStatus;
use crate::text::Printable;

/// The first pause before a program is started again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The most answers that are remembered.
const MAX_REMEMBERED: usize = 100_000;
/// The longest serial number that is asked for, in octets; certificates have 20 at most (RFC 5280
/// §4.1.2.2), with a few exceptions.
const MAX_SERIAL_BYTES: usize = 64;

/// Statuses by serial number, and until when each counts.
type RememberedStatuses = HashMap<Box<[u8]>, (Instant, CertificateStatus)>;

/// A program that is asked.
pub struct Program {
    questions: mpsc::Sender<Asked>,
    name: String,
    remembered: Mutex<RememberedStatuses>,
}

impl Program {
    /// Starts the program (no shell is involved; a path without `/` is looked for in `PATH`), and
    /// keeps it running until this is dropped. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ProgramError::NotStarted`], this first time.
    pub fn start(program: &Path, arguments: &[String]) -> Result<Self, ProgramError> {
        let name = program.printable().to_string();
        let start = {
            let (program, arguments) = (program.to_owned(), arguments.to_owned());
            move || ProgramProcess::start(&program, &arguments)
        };
        let first = start()?;
        let (questions, receiver) = mpsc::channel(MAX_WAITING);
        tokio::spawn(keep(start, first, receiver));
        Ok(Program {
            questions,
            name,
            remembered: Mutex::default(),
        })
    }

    async fn status(&self, inquiry: Inquiry<'_>) -> Result<Statement, SourceError> {
        if inquiry.serial.len() > MAX_SERIAL_BYTES {
            return Ok(CertificateStatus::Unknown.into());
        }
        if let Some(status) = self.remembered(inquiry.serial) {
            return Ok(status.into());
        }
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            serial: serial::to_hexadecimal(inquiry.serial),
            issuer: inquiry.issuer.subject_display().to_owned(),
            reply,
        };
        let program = || self.name.clone();
        if self.questions.try_send(asked).is_err() {
            return Err(ProgramError::Busy { program: program() }.into());
        }
        // At the end there is no question left to answer.
        let ended = |_| ProgramError::Ended {
            program: program(),
            how: "is not kept running any more".to_owned(),
        };
        let told = answer.await.map_err(ended)??;
        self.remember(inquiry.serial, told);
        Ok(told.status.into())
    }

    fn remembered(&self, serial: &[u8]) -> Option<CertificateStatus> {
        let remembered = self.remembered.lock();
        let remembered = remembered.unwrap_or_else(PoisonError::into_inner);
        let (until, status) = remembered.get(serial)?;
        (Instant::now() < *until).then_some(*status)
    }

    /// Anybody can ask about numbers that no certificate has: they are not worth memory.
    fn remember(&self, serial: &[u8], told: ToldStatus) {
        if told.status == CertificateStatus::Unknown || told.cached.is_zero() {
            return;
        }
        let now = Instant::now();
        let remembered = self.remembered.lock();
        let mut remembered = remembered.unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, (until, _)| now < *until);
        }
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(serial.into(), (now + told.cached, told.status));
        }
    }
}

impl StatusSource for Program {
    fn statement<'a>(&'a self, inquiry: Inquiry<'a>) -> StatementFuture<'a> {
        Box::pin(self.status(inquiry))
    }
}

/// Keeps the program running while questions may come.
async fn keep(
    start: impl Fn() -> Result<ProgramProcess, ProgramError>,
    first: ProgramProcess,
    mut questions: mpsc::Receiver<Asked>,
) {
    let mut process = Ok(first);
    let mut pause = SHORTEST_PAUSE;
    loop {
        let error = match process {
            Ok(mut process) => {
                let Some(error) = process.serve(&mut questions).await else {
                    return;
                };
                if process.has_answered {
                    pause = SHORTEST_PAUSE;
                }
                error
            }
            Err(error) => error,
        };
        tracing::warn!(
            reason = error.kind(),
            "{error}; it is started again in {pause:?}"
        );
        if refuse(&error, Instant::now() + pause, &mut questions)
            .await
            .is_none()
        {
            return;
        }
        pause = LONGEST_PAUSE.min(pause * 2);
        process = start();
    }
}

/// Answers every question that comes before `end` with the error that keeps the program from
/// running; `None` if no question can come any more.
async fn refuse(
    error: &ProgramError,
    end: Instant,
    questions: &mut mpsc::Receiver<Asked>,
) -> Option<()> {
    loop {
        tokio::select! {
            asked = questions.recv() => {
                // A client that does not wait any more needs no answer.
                let _ = asked?.reply.send(Err(error.clone()));
            }
            () = sleep_until(end) => return Some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;
    use crate::pki::World;
    use crate::time::Timestamp;

    /// What a program in the language of the shell says about these numbers, asked at once.
    async fn said(script: &str, serials: impl Iterator<Item = u16>) -> Vec<String> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let program = Arc::new(Program::start(Path::new("sh"), &arguments).unwrap());
        let world = Arc::new(World::new());
        let mut asking = JoinSet::new();
        for serial in serials {
            let (program, world) = (Arc::clone(&program), Arc::clone(&world));
            asking.spawn(async move {
                let inquiry = Inquiry {
                    serial: &serial.to_be_bytes(),
                    issuer: &world.issuer,
                    now: Timestamp::from_unix(0),
                };
                match program.status(inquiry).await {
                    Ok(statement) => format!("{:?}", statement.status),
                    Err(error) => error.kind().to_owned(),
                }
            });
        }
        asking.join_all().await
    }

    #[tokio::test]
    async fn questions_beyond_the_bound_are_refused_at_once() {
        // It answers nothing, and does not even read: until it is killed for that.
        let said = said("exec sleep 60", 0x100..0x300).await;
        let count = |kind: &str| said.iter().filter(|one| *one == kind).count();
        assert_eq!(count("status_command_busy"), 512 - MAX_WAITING, "{said:?}");
        assert_eq!(count("status_command_timeout"), MAX_WAITING, "{said:?}");
    }

    #[tokio::test]
    async fn answers_in_another_order_find_their_questions() {
        // The second question is answered first.
        let script = r#"
            read -r first; read -r second
            for line in "$second" "$first"; do
                case $line in *0101*) status=unknown;; *) status=good;; esac
                serial=${line#*:\"}; serial=${serial%%\"*}
                echo "{\"serial\":\"$serial\",\"status\":\"$status\"}"
            done
            cat > /dev/null"#;
        let mut said = said(script, [0x101, 0x102].into_iter()).await;
        said.sort();
        assert_eq!(said, ["Good", "Unknown"]);
    }
}
