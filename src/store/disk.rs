//! The system calls that a write consists of, so that tests can put faults in their place.
//!
//! Everything happens relative to an open directory: what a path means cannot change between two
//! steps of one write.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, Gid, Mode, OFlags};

/// What the store asks of the system.
pub(super) trait Disk {
    /// Makes a file that only this user may open yet; an existing one or a link is an error.
    fn create(&self, directory: &File, name: &OsStr) -> io::Result<File>;
    /// Writes some of the bytes and says how many.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize>;
    /// Gives a file to a group (open(2) has chosen one already where there is none).
    fn set_group(&self, file: &File, group: u32) -> io::Result<()>;
    /// Sets a file's permissions, independently of the umask.
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()>;
    /// Flushes one file's data.
    fn flush(&self, file: &File) -> io::Result<()>;
    /// Flushes the file system that a directory lies on.
    fn flush_file_system(&self, directory: &File) -> io::Result<()>;
    /// Gives a file the name `to`, in place of a file or link of that name, which is not followed.
    fn rename(&self, directory: &File, from: &OsStr, to: &OsStr) -> io::Result<()>;
    /// Flushes the names in a directory.
    fn flush_directory(&self, directory: &File) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, directory: &File, name: &OsStr) -> io::Result<()>;
}

/// The system itself.
pub(super) struct System;

impl Disk for System {
    fn create(&self, directory: &File, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(file.into())
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut file, bytes)
    }

    fn set_group(&self, file: &File, group: u32) -> io::Result<()> {
        Ok(rustix::fs::fchown(file, None, Some(Gid::from_raw(group)))?)
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn flush_file_system(&self, directory: &File) -> io::Result<()> {
        Ok(rustix::fs::syncfs(directory)?)
    }

    fn rename(&self, directory: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(directory, from, directory, to)?)
    }

    fn flush_directory(&self, directory: &File) -> io::Result<()> {
        directory.sync_all()
    }

    fn remove(&self, directory: &File, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
    }
}
