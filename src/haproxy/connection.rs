//! One connection to a control socket: connect, greet, exchange commands for replies.
//!
//! It knows the codec and the deadlines, not what is to be done. After any error the connection
//! must be dropped, since a late reply could be taken for the answer to the next command. Nothing
//! here waits longer than the named constants; HAProxy's own idle limit is `stats timeout` (10 s
//! by default), below which a session's regular questions stay.

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::rand;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::bytes::BytesMut;

use super::address::{Address, Cli, Endpoint};
use super::codec::{Codec, CodecError, MAX_REPLY_BYTES};
use super::command::{self, Command, CommandReply};
use super::error::Error;
use super::process::Process;
use super::reply;
use super::sentinel::{self, Guard, Sentinel};
use crate::time::Timestamp;

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long HAProxy may take to accept the bytes of one command.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long HAProxy may take to answer one command completely.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a second connection may take to be answered.
const SECOND_CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// At most this many questions are sent before the first is answered. Together they stay far below
/// what a socket buffers, so that neither side waits for the other to read.
pub const QUESTIONS_AT_ONCE: usize = 32;

/// Bytes asked of the system in one read.
const READ_BYTES: usize = 16 * 1024;

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A greeted connection.
pub struct Connection {
    transport: Box<dyn Transport>,
    codec: Codec,
    /// Known once the greeting is over: nothing whose answer others choose is asked before.
    sentinel: Option<Sentinel>,
    buffer_size: usize,
    /// How many replies to the last questions have come.
    answered: usize,
    input: BytesMut,
    output: BytesMut,
}

/// Connects to `address` and finds out who answers.
///
/// # Errors
/// Every [`Error`] that keeps a conversation from starting.
pub async fn connect(address: &Address) -> Result<(Connection, Process), Error> {
    let transport = timeout(CONNECT_TIMEOUT, open(address.endpoint()))
        .await
        .map_err(|_| Error::ConnectTimedOut(CONNECT_TIMEOUT))?
        .map_err(|error| {
            what_is_there(address.endpoint()).unwrap_or_else(|| connect_error(error))
        })?;
    let mut connection = Connection {
        transport,
        codec: Codec::new(address.cli()),
        sentinel: None,
        buffer_size: reply::SMALLEST_BUFFER,
        answered: 0,
        input: BytesMut::new(),
        output: BytesMut::new(),
    };
    let process = connection.greet(address.cli()).await?;
    Ok((connection, process))
}

/// Whether another connection to `address` is answered, too, while one is open. Where a master
/// listens that says nothing about its workers, and is not asked.
pub async fn answers_another(address: &Address) -> bool {
    if address.cli() == Cli::Master {
        return true;
    }
    let answered = async {
        let mut transport = open(address.endpoint()).await?;
        let question = format!("{}\n", command::show_cli_level().line());
        transport.write_all(question.as_bytes()).await?;
        transport.read(&mut [0; 1]).await
    };
    // Bytes and an end are answers; a connection that waits for its turn is silent.
    timeout(SECOND_CONNECTION_TIMEOUT, answered).await.is_ok()
}

impl Connection {
    /// Sends `command` and waits for its reply.
    ///
    /// # Errors
    /// Every error that ends the connection, which must be dropped then.
    pub async fn exchange(&mut self, command: Command) -> Result<String, Error> {
        let replies = self.exchange_all(vec![command]).await?;
        // As many replies as commands, or an error.
        let reply = replies.into_iter().next();
        Ok(reply.map(|reply| reply.text).unwrap_or_default())
    }

    /// Sends these commands at once, and waits for their replies for as long as some of them comes
    /// within `silence`. They are few and short.
    ///
    /// # Errors
    /// Every error that ends the connection, which must be dropped then.
    pub async fn exchange_patiently(
        &mut self,
        commands: Vec<Command>,
        silence: Duration,
    ) -> Result<Vec<CommandReply>, Error> {
        self.refuse_unasked().await?;
        let name = commands.first().map(Command::name).unwrap_or_default();
        for command in &commands {
            self.codec.ask(command, self.guard()?, &mut self.output);
        }
        self.send(&name).await?;
        let mut replies = Vec::with_capacity(commands.len());
        for _ in &commands {
            let reply = self.read_reply(silence).await;
            replies.push(reply.map_err(|error| unanswered(error, &name))?);
        }
        Ok(replies)
    }

    /// Sends `questions` at once and waits for the reply to each, in their order. There may be at
    /// most [`QUESTIONS_AT_ONCE`], and only such as change nothing: if one is not answered, the
    /// fate of the others is unknown.
    ///
    /// # Errors
    /// Every error that ends the connection, which must be dropped then. How many questions were
    /// answered before, [`answered`](Self::answered) tells.
    pub async fn exchange_all(
        &mut self,
        questions: Vec<Command>,
    ) -> Result<Vec<CommandReply>, Error> {
        self.answered = 0;
        self.refuse_unasked().await?;
        let mut replies = Vec::with_capacity(questions.len());
        let mut questions = questions.into_iter();
        while let Some(first) = questions.next() {
            let name = first.name();
            let mut count = 1;
            self.codec.ask(&first, self.guard()?, &mut self.output);
            // The master CLI of 2.2 comes to a halt over more than its buffer takes.
            while self.output.len() < self.buffer_size / 4
                && let Some(next) = questions.next()
            {
                self.codec.ask(&next, self.guard()?, &mut self.output);
                count += 1;
            }
            self.send(&name).await?;
            replies.extend(self.replies(count, &name).await?);
        }
        Ok(replies)
    }

    /// How many of the questions that were sent last have been answered.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// How many bytes a buffer of HAProxy's has (`tune.bufsize`): most replies are cut there.
    pub fn buffer_size(&self) -> usize {
        self.buffer_size
    }

    async fn replies(&mut self, count: usize, name: &str) -> Result<Vec<CommandReply>, Error> {
        let mut replies = Vec::with_capacity(count);
        for _ in 0..count {
            let reply = self.reply().await;
            replies.push(reply.map_err(|error| unanswered(error, name))?);
            self.answered += 1;
        }
        Ok(replies)
    }

    /// A sentinel that could not be known before.
    fn guard(&self) -> Result<Guard, Error> {
        let random = random_number()?;
        let sentinel = self.sentinel.as_ref().ok_or(Error::OutOfStep)?;
        Ok(sentinel.draw(random))
    }

    /// Waits for the end of a connection on which nothing is being said.
    pub async fn idle(&mut self) -> Error {
        loop {
            if let Err(error) = self.codec.decode(&mut self.input) {
                return self.codec_error(error);
            }
            self.input.reserve(READ_BYTES);
            match self.transport.read_buf(&mut self.input).await {
                Ok(0) => return Error::Closed,
                Ok(_) => {}
                Err(error) => return transport_error(error),
            }
        }
    }

    async fn greet(&mut self, cli: Cli) -> Result<Process, Error> {
        self.codec.greet(&mut self.output);
        self.send("prompt i").await?;
        self.reply().await?;
        let level = self.reply().await?.text;
        let level =
            reply::cli_level(&level).ok_or_else(|| Error::NotHaproxy(reply::first_line(&level)))?;
        if cli == Cli::Worker {
            // The master CLI speaks to the worker over a new connection for every command, so there
            // the setting would be lost again.
            self.ask_plainly(vec![command::without_severity()]).await?;
        }
        self.sentinel = Some(self.find_sentinel().await?);
        let buffers = self.exchange(command::show_buffers()).await?;
        self.buffer_size = reply::buffer_size(&buffers).unwrap_or(reply::SMALLEST_BUFFER);
        let info = self.exchange(command::show_info()).await?;
        let info = reply::info(&info).ok_or_else(|| Error::NotHaproxy(reply::first_line(&info)))?;
        if info.stopping {
            return Err(Error::Stopping);
        }
        let start = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        Ok(Process {
            version: info.release.version(),
            release: info.release,
            pid: info.pid,
            started: info.started.and_then(start).map(Timestamp::from),
            uptime: info.uptime,
            node: info.node,
            threads: info.threads,
            processes: info.processes,
            level,
        })
    }

    /// Finds out what can be asked whose answer is known.
    async fn find_sentinel(&mut self) -> Result<Sentinel, Error> {
        let nonce = random_number()?;
        let echo = command::echo(&sentinel::word(nonce));
        let echoed = self.ask_plainly(vec![echo]).await?;
        let echoing = echoed
            .first()
            .and_then(|reply| Sentinel::from_echo(nonce, reply));
        if let Some(sentinel) = echoing {
            return Ok(sentinel);
        }
        let questions = command::constant_questions();
        let answers = self.ask_plainly(questions).await?;
        let said = answers.first().map(|reply| reply::first_line(&reply.text));
        Sentinel::from_answers(answers).ok_or(Error::NotHaproxy(said.unwrap_or_default()))
    }

    /// Asks what is part of the greeting.
    async fn ask_plainly(&mut self, questions: Vec<Command>) -> Result<Vec<CommandReply>, Error> {
        let name = questions.first().map(Command::name).unwrap_or_default();
        for question in &questions {
            self.codec.ask_plainly(question, &mut self.output);
        }
        self.send(&name).await?;
        self.replies(questions.len(), &name).await
    }

    /// Sends what was asked.
    async fn send(&mut self, name: &str) -> Result<(), Error> {
        let sent = timeout(WRITE_TIMEOUT, self.transport.write_all(&self.output)).await;
        self.output.clear();
        sent.map_err(|_| Error::WriteTimedOut {
            command: name.to_owned(),
            after: WRITE_TIMEOUT,
        })?
        .map_err(transport_error)
    }

    async fn reply(&mut self) -> Result<CommandReply, Error> {
        timeout(REPLY_TIMEOUT, self.read_reply(REPLY_TIMEOUT))
            .await
            .unwrap_or(Err(Error::NoAnswer(REPLY_TIMEOUT)))
    }

    async fn read_reply(&mut self, silence: Duration) -> Result<CommandReply, Error> {
        loop {
            match self.codec.decode(&mut self.input) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error) => return Err(self.codec_error(error)),
            }
            self.input.reserve(READ_BYTES);
            let read = timeout(silence, self.transport.read_buf(&mut self.input)).await;
            let read = read.map_err(|_| Error::NoAnswer(silence))?;
            if read.map_err(transport_error)? == 0 {
                return match self.codec.decode_eof(&mut self.input) {
                    Ok(Some(reply)) => Ok(reply),
                    Ok(None) => Err(Error::Closed),
                    Err(error) => Err(self.codec_error(error)),
                };
            }
        }
    }

    /// Bytes that lie on the connection before a command is sent cannot be its answer.
    async fn refuse_unasked(&mut self) -> Result<(), Error> {
        loop {
            if let Err(error) = self.codec.decode(&mut self.input) {
                return Err(self.codec_error(error));
            }
            let mut bytes = [0; 1];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = poll_fn(|context| {
                Poll::Ready(self.transport_mut().poll_read(context, &mut buffer))
            })
            .await;
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(transport_error(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Err(Error::Closed),
                Poll::Ready(Ok(())) => self.input.extend_from_slice(buffer.filled()),
            }
        }
    }

    fn transport_mut(&mut self) -> Pin<&mut dyn Transport> {
        Pin::new(&mut *self.transport)
    }

    fn codec_error(&self, error: CodecError) -> Error {
        match error {
            CodecError::OutOfStep => Error::OutOfStep,
            CodecError::NotHaproxy => {
                Error::NotHaproxy(reply::first_line(&String::from_utf8_lossy(&self.input)))
            }
            CodecError::ReplyTooLarge => Error::ReplyTooLarge(MAX_REPLY_BYTES),
            CodecError::ClosedInReply => Error::Closed,
        }
    }
}

/// Names the command that was not answered.
fn unanswered(error: Error, name: &str) -> Error {
    match error {
        Error::NoAnswer(after) => Error::ReplyTimedOut {
            command: name.to_owned(),
            after,
        },
        other => other,
    }
}

fn random_number() -> Result<u64, Error> {
    let mut octets = [0; 8];
    let filled = rand::fill(&mut octets);
    filled.map_err(|_| Error::Transport("the system has no random numbers".to_owned()))?;
    Ok(u64::from_ne_bytes(octets))
}

async fn open(endpoint: &Endpoint) -> io::Result<Box<dyn Transport>> {
    Ok(match endpoint {
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Endpoint::Abstract(name) => {
            let mut path = vec![0];
            path.extend_from_slice(name);
            let path = PathBuf::from(
                <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(path),
            );
            Box::new(UnixStream::connect(path).await?)
        }
        Endpoint::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}

/// Something else than a socket, if that is why connecting fails.
fn what_is_there(endpoint: &Endpoint) -> Option<Error> {
    let Endpoint::Unix(path) = endpoint else {
        return None;
    };
    let kind = std::fs::metadata(path).ok()?.file_type();
    match (kind.is_socket(), kind.is_dir()) {
        (true, _) => None,
        (false, true) => Some(Error::NotASocket("a directory")),
        (false, false) => Some(Error::NotASocket("a file")),
    }
}

fn connect_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NoSuchSocket,
        io::ErrorKind::ConnectionRefused => Error::Refused,
        io::ErrorKind::PermissionDenied => Error::AccessDenied,
        // A unix socket whose queue of waiting connections is full.
        io::ErrorKind::WouldBlock => Error::NoAnswer(Duration::ZERO),
        _ => Error::Connect(error.to_string()),
    }
}

fn transport_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Error::Closed,
        _ => Error::Transport(error.to_string()),
    }
}
