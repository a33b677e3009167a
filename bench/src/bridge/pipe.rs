//! The owner of the pipe.

use std::ops::Range;

use anyhow::{Context, Result};
use bytes::Bytes;
use memchr::memchr_iter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};

use super::id;

/// Lines taken from the queue at once.
const BATCH_LEN: usize = 64;
/// Room for one read: what a pipe holds.
const READ_LEN: usize = 64 * 1024;

/// A line to be sent.
#[derive(Debug)]
pub struct Send {
    /// The message, without a newline.
    pub line: Bytes,
    /// Where its id stands, and who waits for the reply; `None` for notifications.
    pub id: Option<(Range<usize>, oneshot::Sender<Bytes>)>,
}

/// Who waits for a reply, and the id the client knows it by.
#[derive(Debug)]
struct Waiting {
    id: Bytes,
    reply_to: oneshot::Sender<Bytes>,
}

/// A running process, its unanswered calls and the bytes on their way.
#[derive(Debug)]
pub struct Pipe {
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// Unanswered calls; the place in here is the id the process knows.
    waiting: Vec<Option<Waiting>>,
    free: Vec<usize>,
    out: Vec<u8>,
    incoming: Vec<u8>,
}

impl Pipe {
    /// Takes the pipes of a process.
    pub fn new(child: &mut Child) -> Result<Self> {
        let stdin = child.stdin.take().context("the process has no stdin")?;
        let stdout = child.stdout.take().context("the process has no stdout")?;
        Ok(Self {
            stdin,
            stdout,
            waiting: Vec::new(),
            free: Vec::new(),
            out: Vec::new(),
            incoming: Vec::new(),
        })
    }

    /// Moves lines until either side ends.
    pub async fn run(mut self, mut lines: mpsc::Receiver<Send>) {
        let mut batch = Vec::with_capacity(BATCH_LEN);
        loop {
            self.incoming.reserve(READ_LEN);
            tokio::select! {
                taken = lines.recv_many(&mut batch, BATCH_LEN), if self.out.is_empty() => {
                    if taken == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|line| self.queue(line));
                }
                written = self.stdin.write(&self.out), if !self.out.is_empty() => match written {
                    Ok(len) => drop(self.out.drain(..len)),
                    Err(_) => return,
                },
                read = self.stdout.read_buf(&mut self.incoming) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => self.dispatch(),
                },
            }
        }
    }

    fn queue(&mut self, Send { line, id }: Send) {
        match id {
            None => self.out.extend_from_slice(&line),
            Some((at, reply_to)) => {
                let number = self.wait(Waiting { id: line.slice(at.clone()), reply_to });
                id::replace(&line, at, number.to_string().as_bytes(), &mut self.out);
            }
        }
        self.out.push(b'\n');
    }

    fn wait(&mut self, waiting: Waiting) -> usize {
        match self.free.pop() {
            Some(number) => {
                self.waiting[number] = Some(waiting);
                number
            }
            None => {
                self.waiting.push(Some(waiting));
                self.waiting.len() - 1
            }
        }
    }

    /// Hands out every whole line and keeps the rest.
    fn dispatch(&mut self) {
        let incoming = std::mem::take(&mut self.incoming);
        let mut start = 0;
        for end in memchr_iter(b'\n', &incoming) {
            self.reply(&incoming[start..end]);
            start = end + 1;
        }
        self.incoming = incoming;
        self.incoming.drain(..start);
    }

    fn reply(&mut self, line: &[u8]) -> Option<()> {
        let at = id::find(line)?;
        let number: usize = std::str::from_utf8(&line[at.clone()]).ok()?.parse().ok()?;
        let waiting = self.waiting.get_mut(number)?.take()?;
        self.free.push(number);
        let mut reply = Vec::with_capacity(line.len() + waiting.id.len());
        id::replace(line, at, &waiting.id, &mut reply);
        waiting.reply_to.send(reply.into()).ok()
    }
}
