//! The rules of writing files that survive a kill or a power cut, and of reading them safely.
//!
//! A file appears under its name only when it is whole and on the disk: it is written to a
//! temporary neighbour, synced, renamed, and its directory is synced. Reads name the file and the
//! operation in every error. A lock is the kernel's, so a killed process leaves none behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Suffix of files that are not finished.
pub const TEMPORARY: &str = ".tmp";

/// A file that gets its name only when it is complete.
pub struct AtomicFile {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// Opens `path.tmp` for writing; an unfinished one from before is replaced.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(TEMPORARY);
        let temporary = PathBuf::from(temporary);
        // One from before may be read-only already, and could not be opened for writing.
        remove_if_there(&temporary)?;
        let file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 18, file),
            temporary,
            path: path.into(),
        })
    }

    /// The final path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name: flush, sync, read-only, rename, sync the directory.
    ///
    /// # Errors
    /// The operating system refuses; the name is then not taken.
    pub fn commit(self) -> Result<()> {
        let path = self.path.clone();
        self.commit_as(&path)
    }

    /// As [`AtomicFile::commit`], under a name in the same directory that was not known before.
    ///
    /// # Errors
    /// The operating system refuses; the name is then not taken.
    pub fn commit_as(self, path: &Path) -> Result<()> {
        let file = self
            .file
            .into_inner()
            .map_err(|e| Error::io("write", &self.temporary)(e.into_error()))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o444))
            .map_err(Error::io("change the mode of", &self.temporary))?;
        file.sync_all().map_err(Error::io("sync", &self.temporary))?;
        drop(file);
        std::fs::rename(&self.temporary, path).map_err(Error::io("rename to", path))?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens or creates a file that only ever grows, and reads at most `max_bytes` of it; what comes next is
/// [`keep_whole`].
///
/// # Errors
/// The operating system refuses.
pub fn open_growing(path: &Path, max_bytes: u64) -> Result<(File, Vec<u8>)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    (&file)
        .take(max_bytes)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    Ok((file, bytes))
}

/// Drops what a killed run left behind the first `n_bytes` of a growing file, and goes to their end.
///
/// # Errors
/// The operating system refuses.
pub fn keep_whole(mut file: &File, path: &Path, n_bytes: usize) -> Result<()> {
    file.set_len(n_bytes as u64).map_err(Error::io("shorten", path))?;
    file.seek(io::SeekFrom::End(0)).map_err(Error::io("read", path))?;
    Ok(())
}

/// Writes a small file atomically.
///
/// # Errors
/// The operating system refuses.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// Writes a file for people to look at: whole or not at all, writable as usual, not synced.
///
/// # Errors
/// The operating system refuses.
pub fn write_report(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY);
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| {
            std::fs::remove_file(&temporary).ok();
            Error::io("write", path)(error)
        })
}

/// Makes renames and removals in `directory` durable.
///
/// # Errors
/// The operating system refuses.
pub fn sync_directory(directory: &Path) -> Result<()> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    File::open(directory)
        .and_then(|d| d.sync_all())
        .map_err(Error::io("sync", directory))
}

/// Creates a directory and its parents.
///
/// # Errors
/// The operating system refuses, or something else has the name.
pub fn create_directory(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(Error::io("create directory", directory))
}

/// A file opened for positioned reads; its length was taken once.
#[derive(Debug)]
pub struct ReadFile {
    file: File,
    path: PathBuf,
    n_bytes: u64,
}

impl ReadFile {
    /// Opens a regular file; links are not followed.
    ///
    /// # Errors
    /// It does not exist, or is not a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if !metadata.is_file() {
            return Err(Error::damaged("file", path, "not a regular file"));
        }
        Ok(Self {
            file,
            path: path.into(),
            n_bytes: metadata.len(),
        })
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The underlying file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Length in bytes when it was opened.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// BLAKE3 of all bytes, hexadecimal. Reads from the start, so a file is hashed once per opening.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn blake3(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update_reader(&self.file)
            .map_err(Error::io("read", &self.path))?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Fills `buffer` from byte `offset`.
    ///
    /// # Errors
    /// The file ends before, or the operating system refuses.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(Error::io("read", &self.path))
    }
}

/// Reads a small file whole, refusing more than `max_bytes`.
///
/// # Errors
/// The file is larger, is not a regular file, or cannot be read.
pub fn read_small(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let file = ReadFile::open(path)?;
    if file.n_bytes() > max_bytes {
        return Err(Error::damaged(
            "file",
            path,
            format!("{} bytes, more than {max_bytes}", file.n_bytes()),
        ));
    }
    let mut bytes = Vec::with_capacity(file.n_bytes() as usize);
    file.file()
        .take(max_bytes)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// An exclusive lock on a directory, released when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Name of the lock file in a directory.
pub const LOCK: &str = "LOCK";

impl Lock {
    /// Takes the lock without waiting.
    ///
    /// # Errors
    /// [`Error::Locked`] with what the holder wrote about itself.
    pub fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.take(200).read_to_string(&mut holder).ok();
                let holder = if holder.is_empty() {
                    "another process".into()
                } else {
                    holder.trim().to_owned()
                };
                return Err(Error::Locked {
                    path: directory.into(),
                    holder,
                });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
        file.set_len(0).map_err(Error::io("write", &path))?;
        let host = rustix::system::uname();
        let holder = format!(
            "process {} on {}\n",
            std::process::id(),
            host.nodename().to_string_lossy()
        );
        file.write_all(holder.as_bytes())
            .map_err(Error::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Free bytes on the file system that holds `path`.
///
/// # Errors
/// The operating system refuses.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path).map_err(|e| Error::io("examine", path)(e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Removes what an interrupted run left behind: files and directories that end in [`TEMPORARY`].
///
/// # Errors
/// The operating system refuses.
pub fn remove_temporaries(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let entry = entry.map_err(Error::io("list", directory))?;
        let path = entry.path();
        if !path.to_string_lossy().ends_with(TEMPORARY) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        } else {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// Removes a file; that it is not there is no error.
///
/// # Errors
/// The operating system refuses.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_after_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"text").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(read_small(&path, 10).unwrap(), b"text");
        assert!(read_small(&path, 3).is_err());
    }

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path()).unwrap();
        let error = Lock::take(directory.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        Lock::take(directory.path()).unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("link")).unwrap();
        assert!(ReadFile::open(&directory.path().join("link")).is_err());
    }
}
