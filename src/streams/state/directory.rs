//! One installation's directory: who owns it, who it is, and where its parts lie.
//!
//! | path | |
//! |---|---|
//! | `LOCK` | locked (`flock`) by the owner, whose process id and command it names |
//! | `instance-id` | 128 random bits in hexadecimal, made once; identifies the instance to the group and to its transactions |
//! | `log/` | the embedded log: the data |
//! | `state/<task>/` | a cache of the topology's changelogs; may be deleted |
//! | `sender/<task>/` | the same of the sender's |
//! | `socket` | where the owner answers other commands |
//!
//! The kernel drops the lock with the process, however it ends; what the file says is only believed while it is locked.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

/// Attempts to tell an owner from somebody who only looks; looking takes microseconds.
const ATTEMPTS: usize = 10_000;

/// Length of an instance id: 128 bits in hexadecimal.
const INSTANCE_ID_LENGTH: usize = 32;

/// Whose state it is, by the name of the directory: that of the topology.
pub const TOPOLOGY: &str = "state";

/// That of the sender.
pub const SENDER: &str = "sender";

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else owns it.
    #[error("state directory {} is in use by {holder}", path.display())]
    Held {
        /// The directory.
        path: PathBuf,
        /// Process id and command of the owner.
        holder: String,
    },
    /// The path, or a file of the directory, is a symbolic link: it could lead into a directory that somebody else owns.
    #[error("{} is a symbolic link; name the directory itself", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// The path exists and is something else.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Anybody could replace what is in it.
    #[error("state directory {} may be written by everybody (mode {mode:04o}); run `chmod o-w` on it", path.display())]
    Permissions {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold what was written there.
    #[error("{} is not an instance id; put back the one that was there, or delete the file to become another instance", path.display())]
    InstanceId {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The result of a call on a directory.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One installation's directory, owned until it is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    lock: File,
    instance_id: String,
}

impl StateDirectory {
    /// Takes a directory, made with mode 0700 where there is none. `holder` says what this process does; others read it
    /// together with the process id while the directory is taken.
    pub fn open(path: &Path, holder: &str) -> Result<Self> {
        make(path)?;
        let mut lock = open_file(&path.join("LOCK"), OFlags::RDWR | OFlags::CREATE)?;
        take(&lock, path)?;
        let text = format!("process {}, {}\n", std::process::id(), holder.replace('\n', " "));
        let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(text.as_bytes()));
        written.map_err(|source| Error::Io { action: "write", path: path.join("LOCK"), source })?;
        let instance_id = instance_id(path)?;
        make_private(&path.join(TOPOLOGY))?;
        Ok(Self { path: path.to_owned(), lock, instance_id })
    }

    /// Who owns a directory, without taking it. None where nobody does, or it cannot be read.
    pub fn holder(path: &Path) -> Option<String> {
        let lock = open_file(&path.join("LOCK"), OFlags::RDONLY).ok()?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => Some(said(&path.join("LOCK"))),
            // Closing the file gives up the shared lock.
            _ => None,
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of this installation; the same after every restart.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// Where the embedded log lies.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the tasks' states lie; exists.
    pub fn state_path(&self, whose: &str) -> PathBuf {
        self.path.join(whose)
    }

    /// Where the state of a task lies; may not exist yet.
    pub fn task_path(&self, whose: &str, task: &str) -> PathBuf {
        self.state_path(whose).join(task)
    }

    /// Where the owner answers other commands.
    pub fn socket_path(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// The tasks that have a state here, sorted.
    pub fn tasks(&self, whose: &str) -> Result<Vec<String>> {
        let path = self.state_path(whose);
        let failed = |source| Error::Io { action: "list", path: path.clone(), source };
        let mut tasks = Vec::new();
        let entries = match fs::read_dir(&path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(tasks),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            tasks.extend(entry.map_err(failed)?.file_name().into_string());
        }
        tasks.sort_unstable();
        Ok(tasks)
    }

    /// Deletes the state of a task, which must be closed. It is restored from the changelogs.
    pub fn remove_task(&self, whose: &str, task: &str) -> Result<()> {
        let path = self.task_path(whose, task);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io { action: "delete", path, source }),
            _ => Ok(()),
        }
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // Only so that nobody who looks at the file by hand is misled; the lock itself goes with the file handle.
        drop(self.lock.set_len(0));
    }
}

/// Makes the directory or checks the one that is there.
fn make(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make_private(path),
        Err(source) => return Err(Error::Io { action: "read", path: path.to_owned(), source }),
    };
    if metadata.is_symlink() {
        return Err(Error::Symlink { path: path.to_owned() });
    }
    if !metadata.is_dir() {
        return Err(Error::NotADirectory { path: path.to_owned() });
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(Error::Permissions { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

fn make_private(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::Io { action: "create directory", path: path.to_owned(), source })
}

fn open_file(path: &Path, flags: OFlags) -> Result<File> {
    match rustix::fs::open(path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(File::from(file)),
        Err(Errno::LOOP) => Err(Error::Symlink { path: path.to_owned() }),
        Err(error) => Err(Error::Io { action: "open", path: path.to_owned(), source: error.into() }),
    }
}

/// Takes the lock or says who has it.
fn take(lock: &File, path: &Path) -> Result<()> {
    let failed = |error: Errno| Error::Io { action: "lock", path: path.join("LOCK"), source: error.into() };
    for _ in 0..ATTEMPTS {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(failed(error)),
        }
        // An owner excludes a shared lock too; somebody in `holder` (or another one in this loop) does not.
        match flock(lock, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => break,
            Ok(()) => flock(lock, FlockOperation::Unlock).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        }
        std::thread::yield_now();
    }
    Err(Error::Held { path: path.to_owned(), holder: said(&path.join("LOCK")) })
}

fn said(lock: &Path) -> String {
    let text = fs::read_to_string(lock).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() { "a process that has just taken it".to_owned() } else { text.to_owned() }
}

/// Reads the instance id, or makes it where there is none.
fn instance_id(directory: &Path) -> Result<String> {
    let path = directory.join("instance-id");
    let mut file = match open_file(&path, OFlags::RDONLY) {
        Ok(file) => file,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return make_instance_id(directory, &path),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|source| Error::Io { action: "read", path: path.clone(), source })?;
    let id = text.trim_end();
    let is_id = id.len() == INSTANCE_ID_LENGTH && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Ok(id.to_owned()) } else { Err(Error::InstanceId { path }) }
}

fn make_instance_id(directory: &Path, path: &Path) -> Result<String> {
    let mut random = [0; INSTANCE_ID_LENGTH / 2];
    let source = Path::new("/dev/urandom");
    let read = File::open(source).and_then(|mut file| file.read_exact(&mut random));
    read.map_err(|error| Error::Io { action: "read", path: source.to_owned(), source: error })?;
    let id = format!("{:0width$x}", u128::from_be_bytes(random), width = INSTANCE_ID_LENGTH);
    // Order: content, then name, so that a kill or a power cut leaves no half an id.
    let fresh = directory.join("instance-id.new");
    let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).and_then(|mut file| {
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Error::Io { action: "write", path: fresh.clone(), source: error })?;
    let renamed = fs::rename(&fresh, path).and_then(|()| File::open(directory)?.sync_all());
    renamed.map_err(|error| Error::Io { action: "create", path: path.to_owned(), source: error })?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_told_who_is_the_first() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state");
        assert_eq!(StateDirectory::holder(&path), None);
        let first = StateDirectory::open(&path, "tidewatch run").unwrap();
        let holder = format!("process {}, tidewatch run", std::process::id());
        assert_eq!(StateDirectory::holder(&path), Some(holder.clone()));
        let message = StateDirectory::open(&path, "another").unwrap_err().to_string();
        assert_eq!(message, format!("state directory {} is in use by {holder}", path.display()));
        drop(first);
        assert_eq!(StateDirectory::holder(&path), None);
        StateDirectory::open(&path, "another").unwrap();
    }

    #[test]
    fn what_a_killed_owner_left_in_the_lock_file_is_not_believed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("LOCK"), "process 1, tidewatch run\n").unwrap();
        assert_eq!(StateDirectory::holder(root.path()), None);
        StateDirectory::open(root.path(), "next").unwrap();
    }

    #[test]
    fn somebody_who_only_looks_is_not_an_owner() {
        let root = tempfile::tempdir().unwrap();
        drop(StateDirectory::open(root.path(), "first").unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    StateDirectory::holder(root.path());
                }
            });
            for _ in 0..50 {
                drop(StateDirectory::open(root.path(), "next").unwrap());
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn the_instance_id_survives_and_is_its_own() {
        let root = tempfile::tempdir().unwrap();
        let id = StateDirectory::open(&root.path().join("a"), "x").unwrap().instance_id().to_owned();
        assert_eq!(id.len(), 32);
        assert_eq!(StateDirectory::open(&root.path().join("a"), "x").unwrap().instance_id(), id);
        assert_ne!(StateDirectory::open(&root.path().join("b"), "x").unwrap().instance_id(), id);
    }

    #[test]
    fn a_damaged_instance_id_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("instance-id"), "").unwrap();
        let message = StateDirectory::open(root.path(), "x").unwrap_err().to_string();
        assert!(message.ends_with(
            "instance-id is not an instance id; put back the one that was there, or delete the file to become another instance"
        ));
    }

    #[test]
    fn directories_are_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/state");
        let directory = StateDirectory::open(&path, "x").unwrap();
        for private in [path.clone(), directory.state_path(TOPOLOGY)] {
            assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert_eq!(fs::metadata(path.join("LOCK")).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn a_directory_that_everybody_may_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let message = StateDirectory::open(root.path(), "x").unwrap_err().to_string();
        assert!(message.ends_with("may be written by everybody (mode 0777); run `chmod o-w` on it"), "{message}");
    }

    #[test]
    fn links_and_files_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let (link, file, held) = (root.path().join("link"), root.path().join("file"), root.path().join("held"));
        symlink(root.path(), &link).unwrap();
        fs::write(&file, "").unwrap();
        fs::create_dir(&held).unwrap();
        symlink(&file, held.join("LOCK")).unwrap();
        assert!(StateDirectory::open(&link, "x").unwrap_err().to_string().ends_with("link is a symbolic link; name the directory itself"));
        assert!(StateDirectory::open(&file, "x").unwrap_err().to_string().ends_with("file is not a directory"));
        assert!(StateDirectory::open(&held, "x").unwrap_err().to_string().ends_with("LOCK is a symbolic link; name the directory itself"));
    }

    #[test]
    fn tasks_are_listed_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(root.path(), "x").unwrap();
        for task in ["0_1", "0_0"] {
            fs::create_dir_all(directory.task_path(SENDER, task)).unwrap();
        }
        directory.remove_task(SENDER, "0_1").unwrap();
        directory.remove_task(SENDER, "0_7").unwrap();
        directory.remove_task(TOPOLOGY, "0_0").unwrap();
        assert_eq!(directory.tasks(SENDER).unwrap(), ["0_0"]);
        assert_eq!(directory.tasks(TOPOLOGY).unwrap(), Vec::<String>::new());
        assert_eq!(directory.tasks("nobody").unwrap(), Vec::<String>::new());
        assert_eq!(directory.log_path(), root.path().join("log"));
        assert_eq!(directory.socket_path(), root.path().join("socket"));
    }
}
