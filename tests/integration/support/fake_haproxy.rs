//! A HAProxy that exists only as a script: it says what a test tells it to, byte by byte.
//!
//! It speaks silent interactive mode (3.2) or the prompt of earlier versions, keeps one certificate
//! store with one certificate, and answers like a HAProxy without faults, except to the commands
//! for which the test has given an answer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The store's name.
pub const STORE: &str = "/certs/a.pem";

/// What 2.2 to 3.0 answer to questions about what there is not.
const CONSTANTS: [(&str, &str); 10] = [
    ("show env", "Variable not found"),
    ("show table", "No such table"),
    ("show resolvers", "Can't find that resolvers section"),
    ("show servers state", "Can't find backend."),
    ("show errors", "No such proxy."),
    ("show peers", "No such peers"),
    ("get weight", "No such backend."),
    (
        "show map",
        "Unknown map identifier. Please use #<id> or <file>.",
    ),
    (
        "show acl",
        "Unknown ACL identifier. Please use #<id> or <file>.",
    ),
    (
        "show tls-keys",
        "'show tls-keys' unable to locate referenced filename",
    ),
];

/// Between two bytes of an answer in pieces.
const PAUSE: Duration = Duration::from_micros(200);

/// What comes back for one command.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This text, with the terminator of the mode.
    Text(String),
    /// These bytes, as they are.
    Bytes(Vec<u8>),
    /// These bytes, and then the end of the connection.
    Close(Vec<u8>),
    /// Nothing, for ever.
    Silence,
}

/// An answer to the first command that starts with these words; used once.
pub type Line = (&'static str, Answer);

/// How the fake behaves.
#[derive(Clone)]
pub struct Script {
    /// What it says it is.
    pub version: &'static str,
    /// Answers with `> ` after them, as before 3.2.
    pub prompt: bool,
    /// One byte at a time.
    pub in_pieces: bool,
    /// SHA-1 fingerprint of the certificate in the store, in hexadecimal.
    pub fingerprint: String,
    /// The store has a slot from the start.
    pub slot: bool,
    /// Answers out of the ordinary.
    pub lines: Vec<Line>,
}

/// A running fake.
pub struct FakeHaproxy {
    dir: TempDir,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    script: Script,
    held: Option<String>,
    transaction: bool,
    commands: Vec<String>,
    /// What is to be said without being asked.
    unasked: Vec<u8>,
}

impl FakeHaproxy {
    /// Starts it; must be called within a runtime.
    pub fn start(script: Script) -> FakeHaproxy {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("admin.sock")).unwrap();
        let state = Arc::new(Mutex::new(State {
            script,
            held: None,
            transaction: false,
            commands: Vec::new(),
            unasked: Vec::new(),
        }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, shared.clone()));
            }
        });
        FakeHaproxy { dir, state, task }
    }

    /// Its control socket.
    pub fn socket(&self) -> String {
        let path: PathBuf = self.dir.path().join("admin.sock");
        path.to_str().unwrap().to_owned()
    }

    /// The commands it was given so far, payloads left out.
    pub fn commands(&self) -> Vec<String> {
        self.state.lock().unwrap().commands.clone()
    }

    /// Whether a transaction is open in it.
    pub fn has_transaction(&self) -> bool {
        self.state.lock().unwrap().transaction
    }

    /// Ends what was begun, as a commit does that comes to its end although nobody listens.
    pub fn end_transaction(&self) {
        self.state.lock().unwrap().transaction = false;
    }

    /// Says something behind the answer to the next command and its sentinel.
    pub fn say(&self, bytes: &[u8]) {
        self.state.lock().unwrap().unasked = bytes.to_vec();
    }

    /// Whether every answer of the script has been given.
    pub fn script_is_used_up(&self) -> bool {
        self.state.lock().unwrap().script.lines.is_empty()
    }
}

impl Drop for FakeHaproxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: UnixStream, state: Arc<Mutex<State>>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(command)) = lines.next_line().await {
        let mut payload = String::new();
        if command.ends_with("<<") {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.is_empty() {
                    break;
                }
                payload += &line;
            }
        }
        let (answer, in_pieces) = {
            let mut state = state.lock().unwrap();
            let in_pieces = state.script.in_pieces && state.sentinel(&command).is_none();
            (state.answer(&command, payload), in_pieces)
        };
        let (mut bytes, close) = match answer {
            Answer::Bytes(bytes) => (bytes, false),
            Answer::Close(bytes) => (bytes, true),
            Answer::Silence => std::future::pending().await,
            Answer::Text(text) => {
                let state = state.lock().unwrap();
                (state.framed(&command, &text), false)
            }
        };
        if command.starts_with("echo ") {
            bytes.append(&mut state.lock().unwrap().unasked);
        }
        let step = if in_pieces { 1 } else { bytes.len().max(1) };
        for piece in bytes.chunks(step) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            if in_pieces {
                sleep(PAUSE).await;
            }
        }
        if close {
            return;
        }
    }
}

impl State {
    fn framed(&self, command: &str, text: &str) -> Vec<u8> {
        let prompt = if self.script.prompt { "> " } else { "" };
        let continued = match (self.script.prompt, command.ends_with("<<")) {
            (true, true) => "+ + ",
            _ => "",
        };
        let dump = command.contains(" base64 ") && !text.contains(' ');
        let end = if text.is_empty() || dump {
            "\n"
        } else {
            "\n\n"
        };
        format!("{continued}{text}{end}{prompt}").into_bytes()
    }

    fn answer(&mut self, command: &str, payload: String) -> Answer {
        // What says where a reply ends stands in every conversation, and is not what a test is
        // about.
        if let Some(answer) = self.sentinel(command) {
            return Answer::Text(answer);
        }
        self.commands.push(command.to_owned());
        let scripted = self
            .script
            .lines
            .iter()
            .position(|(start, _)| command.starts_with(start));
        if let Some(position) = scripted {
            return self.script.lines.remove(position).1;
        }
        Answer::Text(self.ordinary(command, payload))
    }

    /// The answer to what is asked behind every command.
    fn sentinel(&self, command: &str) -> Option<String> {
        if let Some(word) = command.strip_prefix("echo ") {
            return match self.script.prompt {
                true => Some(unknown("echo")),
                false => Some(word.to_owned()),
            };
        }
        let (_, answer) = CONSTANTS
            .iter()
            .find(|(question, _)| command == format!("{question} /dev/null/nothing"))?;
        Some((*answer).to_owned())
    }

    fn ordinary(&mut self, command: &str, payload: String) -> String {
        let store = command.ends_with(STORE);
        if let Some(base64) = command.strip_prefix("set ssl ocsp-response ") {
            if !self.script.slot {
                return "OCSP single response: Certificate ID does not match any certificate or issuer.".into();
            }
            self.held = Some(base64.to_owned());
            return "OCSP Response updated!".into();
        }
        if command.starts_with("show ssl ocsp-response base64 ") {
            let nothing = || "Certificate ID or path does not match any certificate.".into();
            return self.held.clone().unwrap_or_else(nothing);
        }
        if command.starts_with("show ssl cert ") && store {
            let key = if self.script.slot { "3041" } else { "" };
            return format!(
                "Filename: {STORE}\nStatus: Used\nAlgorithm: EC256\nSHA1 FingerPrint: {}\nOCSP Response Key: {key}",
                self.script.fingerprint
            );
        }
        if command.starts_with("set ssl cert ") {
            let opened = !std::mem::replace(&mut self.transaction, true);
            if command.contains(".ocsp") {
                self.held = Some(payload);
            }
            let verb = if opened { "created" } else { "updated" };
            return format!("Transaction {verb} for certificate {STORE}!");
        }
        if command.starts_with("commit ssl cert ") && store {
            self.transaction = false;
            self.script.slot = true;
            return format!("Committing {STORE}.\nSuccess!");
        }
        if command.starts_with("abort ssl cert ") {
            return match (self.transaction, store) {
                (false, _) => "No ongoing transaction!".into(),
                (true, false) => format!(
                    "The ongoing transaction is about '{STORE}' but you are trying to abort a transaction for '/dev/null/x'"
                ),
                (true, true) => {
                    self.transaction = false;
                    format!("Transaction aborted for certificate '{STORE}'!")
                }
            };
        }
        match command {
            "prompt i" | "set severity-output none" => String::new(),
            "show cli level" => "admin".into(),
            "show info" => format!(
                "Name: HAProxy\nVersion: {}\nPid: 4711\nStopping: 0",
                self.script.version
            ),
            "show ssl cert" if self.transaction => {
                format!("# transaction\n*{STORE}\n# filename\n{STORE}")
            }
            "show ssl cert" => format!("# filename\n{STORE}"),
            "show pools match buffer 9" => {
                "Dumping pools usage. Use SIGQUIT to flush them.\n  - Pool buffer (16384 bytes) : 16 allocated (262144 bytes), 16 used".into()
            }
            other => unknown(other),
        }
    }
}

fn unknown(command: &str) -> String {
    format!(
        "Unknown command: '{command}', but maybe one of the following ones is a better match:\n  quit : disconnect"
    )
}
