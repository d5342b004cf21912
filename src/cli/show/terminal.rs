//! Questions on the user's terminal: a line, or a secret that is typed without echo.
//!
//! ```text
//!  echo off --> question --> bytes up to Enter --> terminal as it was
//! ```
//!
//! The echo ends before the question is seen, so that a program that answers at once (`expect`) is
//! not echoed either, and Ctrl-C is read like any key, so that it cannot leave the terminal mute.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::secret::{LONGEST, Secret};
use crate::text;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// The terminal of this session, wherever stdout and stderr go.
pub struct Terminal(File);

/// Without echo for as long as this lives.
struct Mute<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Drop for Mute<'_> {
    fn drop(&mut self) {
        // a terminal that is gone needs no echo
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

impl Terminal {
    /// The controlling terminal.
    ///
    /// # Errors
    /// When this process has none.
    pub fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").map(Self)
    }

    /// A line, with echo; empty at its end of file.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub fn line(&mut self, question: &str) -> io::Result<String> {
        self.say(question)?;
        let mut line = Vec::new();
        // byte by byte: what comes behind the line is the answer to the next question
        while let Some(byte) = self.byte()?.filter(|byte| *byte != b'\n' && line.len() < LONGEST) {
            line.push(byte);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// A secret, without echo. Ctrl-C ends this process as it would at any other moment.
    ///
    /// # Errors
    /// When the terminal cannot be used, or ends before the answer does.
    pub fn secret(&mut self, question: &str) -> io::Result<Secret> {
        let answer = {
            let terminal = self.0.try_clone()?;
            let _mute = mute(&terminal)?;
            self.say(question)?;
            self.typed()
        };
        // the Enter was not echoed
        self.say("\n")?;
        match answer {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                kill_process(getpid(), Signal::INT)?;
                Err(error)
            }
            other => other,
        }
    }

    fn typed(&mut self) -> io::Result<Secret> {
        // never moved while it grows: no copy of a part stays behind
        let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST));
        loop {
            let Some(byte) = self.byte()? else { return Err(ended()) };
            match byte {
                b'\n' | b'\r' => break,
                CTRL_C => return Err(io::ErrorKind::Interrupted.into()),
                CTRL_D if typed.is_empty() => return Err(ended()),
                CTRL_U => typed.clear(),
                // a character of several bytes goes as a whole
                BACKSPACE | DELETE => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
                ESCAPE => self.skip_key()?,
                byte if byte.is_ascii_control() => {}
                byte if typed.len() < LONGEST => typed.push(byte),
                _ => return Err(io::Error::other(format!("more than {LONGEST} bytes"))),
            }
        }
        let text = std::str::from_utf8(&typed).map_err(io::Error::other)?;
        Ok(Secret::new(text.to_owned()))
    }

    /// The rest of an arrow or function key: `ESC [ ... LETTER`, `ESC O LETTER`.
    fn skip_key(&mut self) -> io::Result<()> {
        if matches!(self.byte()?, Some(b'[' | b'O')) {
            while self.byte()?.is_some_and(|byte| !(0x40..=0x7e).contains(&byte)) {}
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        // a name of a registry may be in it
        self.0.write_all(text::lines(text).as_bytes())?;
        self.0.flush()
    }
}

fn mute(terminal: &File) -> io::Result<Mute<'_>> {
    let before = tcgetattr(terminal)?;
    let mut modes = before.clone();
    modes.local_modes -=
        LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(terminal, OptionalActions::Now, &modes)?;
    Ok(Mute { terminal, before })
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before an answer came")
}
