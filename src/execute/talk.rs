//! What worker, session leader and starter say to each other: JSON lines on a socket pair that only
//! these processes have. No path leads to it, so another job of the same user cannot write into it.
//!
//! ```text
//! worker  --Errand + the program's standard input-->  leader  --Start + standard input-->  starter
//!         --Request-->                                        <--Line (only a refusal)--
//!         <--Line--                                           <--end of file: the program runs--
//! ```

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the worker asks of the leader, one JSON text a line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(super) enum Request {
    /// Pass a signal on to the program, unless it has it already. `alone`: the worker knows that
    /// nobody else was told.
    Pass { signal: i32, alone: bool },
    /// End everything at once.
    Kill,
}

/// What the leader tells the worker, and the starter the leader.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "it", rename_all = "lowercase")]
pub(super) enum Line {
    /// The program was not started.
    Refused { why: String },
    /// Nor was it, because the image cannot be mounted by FUSE.
    Unserved { why: String },
    /// It was; `keys` are kernel keys that it got.
    Started { at: jiff::Timestamp, keys: Vec<String> },
    /// The starter is there: it has loaded its libraries and needs the machine's files no more.
    Ready,
    /// The starter is told next. Who hears no more than this does not know whether the program began.
    Starting { at: jiff::Timestamp },
    /// It was stopped by a signal.
    Stopped,
    /// It ended, as a shell would say it; `signal` when one ended it.
    Ended { code: i32, signal: Option<i32> },
}

/// One end.
pub(super) struct Talk {
    stream: UnixStream,
    /// What came of the next line.
    rest: Vec<u8>,
}

impl Talk {
    /// An end, and the other one for a child's standard input.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (mine, other) = UnixStream::pair()?;
        Ok((Self { stream: mine, rest: vec![] }, other.into()))
    }

    /// The end that this process has as its standard input. What it starts must get another one.
    pub(super) fn from_stdin() -> io::Result<Self> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { stream, rest: vec![] })
    }

    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Says one thing.
    pub(super) fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(what)?;
        text.push(b'\n');
        self.stream.write_all(&text)
    }

    /// Says one thing and hands a file over.
    pub(super) fn hand(&mut self, file: BorrowedFd<'_>, what: &impl Serialize) -> io::Result<()> {
        self.give(file)?;
        self.say(what)
    }

    /// Hands a file over and says nothing.
    pub(super) fn give(&mut self, file: BorrowedFd<'_>) -> io::Result<()> {
        let files = [file];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::Error::other("no room for a handle"));
        }
        let byte = [IoSlice::new(b"\n")];
        rustix::net::sendmsg(&self.stream, &byte, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for what [`Self::give`] sends; `None` when something else came, which is then heard as usual, or the
    /// other end is gone.
    pub(super) fn taken(&mut self) -> io::Result<Option<OwnedFd>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut room = [IoSliceMut::new(&mut byte)];
        let came =
            rustix::net::recvmsg(&self.stream, &mut room, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        if file.is_none() && came.bytes > 0 {
            self.rest.extend(byte);
        }
        Ok(file)
    }

    /// Waits for what [`Self::hand`] sends.
    pub(super) fn take<T: DeserializeOwned>(&mut self) -> io::Result<(OwnedFd, T)> {
        let file = self.taken()?.ok_or_else(|| io::Error::other("no handle came"))?;
        let what = self.wait()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((file, what))
    }

    /// Waits for the next thing; `None` at the end.
    pub(super) fn wait<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(line) = self.line() {
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// What has come, for one who polls: reads once, which does not block when there is something.
    /// The flag is false at the end.
    pub(super) fn arrived<T: DeserializeOwned>(&mut self) -> io::Result<(Vec<T>, bool)> {
        let open = self.fill()?;
        let mut all = vec![];
        while let Some(line) = self.line() {
            all.push(serde_json::from_slice(&line)?);
        }
        Ok((all, open))
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.iter().position(|b| *b == b'\n')?;
        let mut line: Vec<u8> = self.rest.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 8192];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.rest.extend_from_slice(&bytes[..count]);
                    return Ok(count > 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // the other end is gone with something unread
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(e) => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_a_handle_arrive() {
        let (mut worker, other) = Talk::pair().unwrap();
        let mut leader = Talk { stream: other.into(), rest: vec![] };
        let file = tempfile::tempfile().unwrap();
        let long = "x".repeat(20_000);
        worker.hand(file.as_fd(), &long).unwrap();
        worker.say(&Request::Pass { signal: 15, alone: true }).unwrap();
        worker.say(&Request::Kill).unwrap();
        let (handle, text): (_, String) = leader.take().unwrap();
        assert_eq!(text, long);
        let (sent, got) = (file.metadata().unwrap(), std::fs::File::from(handle));
        assert_eq!(
            std::os::unix::fs::MetadataExt::ino(&sent),
            std::os::unix::fs::MetadataExt::ino(&got.metadata().unwrap())
        );
        assert_eq!(leader.wait().unwrap(), Some(Request::Pass { signal: 15, alone: true }));
        // a handle alone, and none where a line comes in its place
        leader.give(file.as_fd()).unwrap();
        leader.say(&Line::Ready).unwrap();
        assert!(worker.taken().unwrap().is_some() && worker.taken().unwrap().is_none());
        assert_eq!(worker.wait().unwrap(), Some(Line::Ready));
        drop(worker);
        assert_eq!(leader.arrived().unwrap(), (vec![Request::Kill], false));
    }
}
