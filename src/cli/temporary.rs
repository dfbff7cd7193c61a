//! A directory that is gone when the command is.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config;

/// Names that are tried; another one with this process's id was left behind by a process that was killed.
const TRIES: u32 = 1_000;

/// A private directory, removed with all that is in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    pub(crate) fn new() -> io::Result<Self> {
        let folder = config::env_var("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        for number in 0..TRIES {
            let path = folder.join(format!("tidewatch-demo-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary directory is left behind");
        }
    }
}
