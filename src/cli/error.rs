//! The one error of the command line, and the one function that prints it.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

use super::redaction;
use crate::streams::log::{self, Class};

/// Who can do something about an error; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command was asked for something that cannot be.
    User,
    /// The configuration is wrong.
    Config,
    /// Something that is needed is out of reach now.
    Unavailable,
    /// Anything else.
    Internal,
}

/// Why a command failed, with what to do about it.
#[derive(Debug)]
pub struct Error {
    /// Who can do something about it.
    pub kind: Kind,
    /// What happened, with its causes.
    pub source: Box<dyn StdError + Send + Sync>,
    /// What to do, each one sentence.
    pub hints: Vec<String>,
}

/// The result of a command.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Nobody reads standard output any more: not an error of ours.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct OutputClosed;

impl Error {
    /// The command was asked for something that cannot be.
    pub fn user(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(Kind::User, source)
    }

    /// The configuration is wrong.
    pub fn config(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(Kind::Config, source)
    }

    /// Something that is needed is out of reach now.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(Kind::Unavailable, source)
    }

    /// Anything else.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(Kind::Internal, source)
    }

    fn of(kind: Kind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: source.into(), hints: Vec::new() }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a hint where there is one.
    #[must_use]
    pub fn hinted_if(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hinted(hint),
            None => self,
        }
    }

    /// Reads standard output's end: a reader that went away ends the command without a fuss.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::internal(OutputClosed),
            _ => Self::unavailable(error).hinted("Standard output could not be written."),
        }
    }

    /// 0 where only the reader went away, 2 where a restart will not help, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            _ if self.source.is::<OutputClosed>() => 0,
            Kind::User | Kind::Config => 2,
            // Whoever is not let in is not let in the next time either.
            Kind::Unavailable | Kind::Internal if self.is_denied() => 2,
            Kind::Unavailable | Kind::Internal => 1,
        }
    }

    /// Whether a cluster does not know the user, or does not let them.
    fn is_denied(&self) -> bool {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*self.source);
        while let Some(error) = cause {
            if error.downcast_ref::<log::Error>().is_some_and(|error| error.class == Class::Denied) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Prints the error, its causes and its hints; the only place that does.
    pub(crate) fn report(&self, to: &mut dyn Write) -> io::Result<()> {
        if self.source.is::<OutputClosed>() {
            return Ok(());
        }
        writeln!(to, "error: {}", self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            writeln!(to, "caused by: {error}")?;
            cause = error.source();
        }
        for hint in &self.hints {
            writeln!(to, "hint: {hint}")?;
        }
        Ok(())
    }
}

/// The exit code of a command; prints its error.
pub(crate) fn conclude(result: Result) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Nothing is left to tell it to where standard error is closed as well.
    error.report(&mut redaction::stderr()).unwrap_or_default();
    ExitCode::from(error.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file cannot be read")]
    struct Outer(#[source] io::Error);

    #[test]
    fn is_printed_with_its_causes_and_hints() {
        let error = Error::user(Outer(io::Error::other("no such file"))).hinted("Look again.").hinted("Or do not.");
        let mut text = Vec::new();
        error.report(&mut text).unwrap();
        let expected = "error: the file cannot be read\ncaused by: no such file\nhint: Look again.\nhint: Or do not.\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn exit_codes_say_whether_a_restart_may_help() {
        assert_eq!(Error::user("x").exit_code(), 2);
        assert_eq!(Error::config("x").exit_code(), 2);
        assert_eq!(Error::unavailable("x").exit_code(), 1);
        assert_eq!(Error::internal("x").exit_code(), 1);
        let of = |class| crate::streams::runtime::Error::Log(log::Error::new(class, "listing the topics", "no"));
        assert_eq!(Error::unavailable(of(Class::Retriable)).exit_code(), 1);
        assert_eq!(Error::unavailable(of(Class::Denied)).exit_code(), 2, "at whatever depth");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let error = Error::output(io::ErrorKind::BrokenPipe.into());
        let mut text = Vec::new();
        error.report(&mut text).unwrap();
        assert_eq!((error.exit_code(), text.len()), (0, 0));
    }
}
