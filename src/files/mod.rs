//! The one way to open files: strangers may have put anything in their places.
//!
//! In the place of a certificate, a staple or a configuration there may be a FIFO without a writer,
//! a device, a socket, a directory, a file without end, or a link to somewhere else. So what is
//! read is first seen to be a regular file, then opened without waiting and without taking a
//! terminal, and seen once more (between the two it may have been replaced); and no more is read
//! than was asked for. How far links may lead is said by a [`Reach`].
//!
//! Decides nothing about what is in a file. What is written beside a certificate is the room
//! `store`'s business, which writes relative to directories that are opened here.

mod links;
mod tree;

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use zeroize::Zeroizing;

pub use links::on_the_way;
pub use tree::leads_out;

/// What every opening has in common: it never waits, and no terminal becomes ours.
const FLAGS: OFlags = OFlags::NONBLOCK
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// The most room that is made before anything is read: a file says what size it likes.
const LARGEST_RESERVE: u64 = 64 * 1024 * 1024;

/// How far the links on the way to a file may lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach<'a> {
    /// Anywhere: the operator has named the file, or the directory it lies in.
    Anywhere,
    /// Not out of this directory, in whose folders strangers may have put them. A link to a file
    /// may all the same if none but root, the directory's owner or this user can have made it.
    Tree(&'a Path),
}

/// Opens a regular file for reading.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for anything that is no regular file, and one that
/// [`leads_out`] knows for a link that leads out of the tree.
pub fn open(path: &Path, reach: Reach<'_>) -> io::Result<File> {
    regular(tree::open(path, reach, OFlags::PATH | OFlags::CLOEXEC)?)?;
    regular(tree::open(path, reach, OFlags::RDONLY | FLAGS)?)
}

/// Reads a regular file of at most `most` bytes; the buffer is wiped when it is dropped, because it
/// may hold a key.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::FileTooLarge`] for a larger file.
pub fn read(path: &Path, most: u64, reach: Reach<'_>) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open(path, reach)?;
    let length = file.metadata()?.len();
    if length > most {
        return Err(too_large(length, most));
    }
    // A file without a size that has contents all the same (`/proc`) is the kernel's, and reading
    // it may do something.
    if length == 0 {
        return Ok(Zeroizing::default());
    }
    // Room for all of it from the start: growing would leave copies of a key behind.
    let room = usize::try_from(length.min(LARGEST_RESERVE)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(most + 1).read_to_end(&mut bytes)?;
    // It may have grown meanwhile, or have said less than the truth.
    match u64::try_from(bytes.len()) {
        Ok(read) if read <= most => Ok(bytes),
        _ => Err(too_large(most + 1, most)),
    }
}

/// Reads the text of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`read`]; [`io::ErrorKind::InvalidData`] where it is not UTF-8.
pub fn read_text(path: &Path, most: u64, reach: Reach<'_>) -> io::Result<String> {
    let bytes = read(path, most, reach)?;
    let text = std::str::from_utf8(&bytes);
    text.map(str::to_owned)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Opens a directory.
///
/// # Errors
/// The system's; one that [`leads_out`] knows for a link that leads out of the tree.
pub fn open_directory(path: &Path, reach: Reach<'_>) -> io::Result<File> {
    tree::open(path, reach, OFlags::RDONLY | OFlags::DIRECTORY | FLAGS)
}

/// Opens a log file to append to, which is made with these permissions (less the umask's) where
/// there is none. The operator has named the folder; what lies in it under this name need not be
/// his: no link is followed, and nothing but a regular file with one name is written to.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for anything else.
pub fn append(path: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | FLAGS;
    let opened = rustix::fs::open(path, flags, Mode::from_raw_mode(mode));
    with_one_name(regular(opened.map_err(of_link)?.into())?)
}

/// Begins a log file anew, made with these permissions (less the umask's) where there is none. As
/// with [`append`], and another user's file is not emptied. `/dev/null` stays what it is.
///
/// # Errors
/// As [`append`]; [`io::ErrorKind::PermissionDenied`] for another user's file.
pub fn begin(path: &Path, mode: u32) -> io::Result<File> {
    if path == Path::new("/dev/null") {
        return File::options().write(true).open(path);
    }
    let file = append(path, mode)?;
    if file.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        let message = "a file of another user's, which is not written over";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    file.set_len(0)?;
    Ok(file)
}

/// Opens a file that only root and its owner may open, and makes it if there is none. If root makes
/// it, it belongs to `owner`.
///
/// # Errors
/// As [`append`].
pub fn private(path: &Path, owner: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | FLAGS;
    let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let file = with_one_name(regular(opened.map_err(of_link)?.into())?)?;
    let metadata = file.metadata()?;
    if metadata.uid() != owner && rustix::process::geteuid().is_root() {
        rustix::fs::fchown(&file, Some(Uid::from_raw(owner)), None)?;
    }
    if metadata.mode() & 0o077 != 0 {
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    }
    Ok(file)
}

/// Gives a socket that this process has just bound a group, where it may, and permissions. No link
/// is followed, and a file that is not a socket of this user's with one name is left alone: another
/// user who may write to the directory may have put something in its place.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for anything else in its place.
pub fn give_socket(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = socket.metadata()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.nlink() == 1;
    if !metadata.file_type().is_socket() || !is_ours {
        let message = "something else was put in the place of the socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    // A group that this user is not in cannot be given: then its own group has to do.
    let group = Some(Gid::from_raw(group));
    let _ = rustix::fs::chownat(&socket, "", None, group, AtFlags::EMPTY_PATH);
    // Linux has no other way before 6.6.
    let itself = format!("/proc/self/fd/{}", socket.as_raw_fd());
    Ok(rustix::fs::chmod(itself, Mode::from_raw_mode(mode))?)
}

/// Opens the regular file of this name in an open directory for reading; links are not followed.
///
/// # Errors
/// As [`open`].
pub fn open_at(directory: &File, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | FLAGS;
    let opened = rustix::fs::openat(directory, name, flags, Mode::empty());
    regular(opened.map_err(of_link)?.into())
}

/// Whether only root and this user can have put this file there, or written to it.
///
/// # Errors
/// The system's; [`io::ErrorKind::PermissionDenied`] with the other users who can.
pub fn check_owner(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = fs::metadata(folder.unwrap_or(Path::new(".")))?;
    let is_sticky = folder.mode() & 0o1000 != 0;
    check_ours("the folder", &folder)?;
    if !is_sticky {
        check_unwritable("the folder", &folder)?;
    }
    check_ours("the link", &fs::symlink_metadata(path)?)?;
    let file = fs::metadata(path)?;
    check_ours("the file", &file)?;
    check_unwritable("the file", &file)
}

fn check_ours(what: &str, metadata: &Metadata) -> io::Result<()> {
    let owner = metadata.uid();
    if [0, rustix::process::geteuid().as_raw()].contains(&owner) {
        return Ok(());
    }
    let message = format!("{what} is that of the user {owner}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn check_unwritable(what: &str, metadata: &Metadata) -> io::Result<()> {
    // A group of the user's own, as some systems give each.
    let is_own_group = metadata.gid() == rustix::process::getegid().as_raw();
    let others = if is_own_group { 0o002 } else { 0o022 };
    if metadata.mode() & others == 0 {
        return Ok(());
    }
    let message = format!("others may write to {what}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn with_one_name(file: File) -> io::Result<File> {
    match file.metadata()?.nlink() {
        1 => Ok(file),
        _ => Err(invalid("a file with several names")),
    }
}

fn of_link(error: rustix::io::Errno) -> io::Error {
    match error {
        rustix::io::Errno::LOOP => invalid("a link"),
        error => error.into(),
    }
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()? {
        metadata if metadata.is_file() => Ok(file),
        metadata if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        metadata => Err(invalid(kind_of(&metadata))),
    }
}

fn kind_of(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

fn invalid(what: &str) -> io::Error {
    let message = format!("{what}, where a regular file is expected");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn too_large(size: u64, most: u64) -> io::Error {
    let message = match size > most + 1 {
        true => format!("{size} bytes, more than the {most} that are read"),
        false => format!("more than the {most} bytes that are read"),
    };
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

#[cfg(test)]
mod tests;
