//! Who may read a staple's file: its permissions and its group.
//!
//! Unless the operator says otherwise every user may read them, because HAProxy does not start if
//! it may read a certificate but not its staple. The mode and group of a certificate do not say
//! alone who may read it: its owner, access control lists and the folders on the way count, too. A
//! response is no secret: HAProxy shows it to every client.

use std::path::Path;

use crate::files::{self, Reach};

/// Readable for everyone who may look into the directory.
pub const DEFAULT_MODE: u32 = 0o644;
/// The permissions of a file's owner that staplerd itself needs.
const OWNER_READ_WRITE: u32 = 0o600;
/// Writing and executing for others: no other user writes staples, and no user runs them.
const REFUSED: u32 = 0o133;
/// Where the names of groups are looked up.
const GROUPS: &str = "/etc/group";
/// The most that is read of it, in bytes.
const LARGEST_GROUPS: u64 = 64 * 1024 * 1024;

/// What a staple's file is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ownership {
    mode: u32,
    group: Option<u32>,
}

/// Permissions that a staple's file cannot have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}': expected permissions in octal between 0600 and 0644, such as 0640")]
pub struct InvalidMode(String);

/// A group that does not exist.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("file_group '{0}': there is no such group in {GROUPS}; a number is taken as it is")]
pub struct UnknownGroup(String);

/// Reads permissions in octal, such as `0640`.
///
/// # Errors
/// [`InvalidMode`] for anything that is not such a number, shuts staplerd itself out, or lets
/// others write.
pub fn parse_mode(text: &str) -> Result<u32, InvalidMode> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| mode & !0o777 == 0)
        .filter(|mode| mode & OWNER_READ_WRITE == OWNER_READ_WRITE && mode & REFUSED == 0)
        .ok_or_else(|| InvalidMode(text.to_owned()))
}

impl Ownership {
    /// These permissions, and this group (a name or a number); the directory's where it is none.
    ///
    /// # Errors
    /// [`UnknownGroup`] for a name that the system does not know.
    pub fn new(mode: u32, group: Option<&str>) -> Result<Self, UnknownGroup> {
        let group = match group {
            None => None,
            Some(name) => match name.parse() {
                Ok(number) => Some(number),
                Err(_) => Some(number_of(name).ok_or_else(|| UnknownGroup(name.to_owned()))?),
            },
        };
        Ok(Ownership { mode, group })
    }

    /// Whether a file of these permissions and this group is as it should be.
    pub fn fits(self, mode: u32, group: u32) -> bool {
        mode == self.mode && self.group.is_none_or(|wanted| wanted == group)
    }

    /// The permissions.
    pub(super) fn mode(self) -> u32 {
        self.mode
    }

    /// The group that was configured.
    pub fn group(self) -> Option<u32> {
        self.group
    }
}

impl Default for Ownership {
    fn default() -> Self {
        Ownership {
            mode: DEFAULT_MODE,
            group: None,
        }
    }
}

/// A group's number, from `name:password:number:members` (group(5)).
fn number_of(name: &str) -> Option<u32> {
    let groups = files::read_text(Path::new(GROUPS), LARGEST_GROUPS, Reach::Anywhere);
    groups.ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}
