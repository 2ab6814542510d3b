//! Whose a file is. Users and groups go by name: their numbers differ from machine to machine (passwd(5), group(5)).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

use crate::backup::BackupError;

/// The names of a machine's users and groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Owners {
    /// Those of this machine that stand in its files.
    pub(super) fn of_this_machine() -> io::Result<Self> {
        Ok(Self {
            users: parse(&fs::read_to_string("/etc/passwd")?),
            groups: parse(&fs::read_to_string("/etc/group")?),
        })
    }

    /// What user and group are called.
    pub(super) fn names(&self, user: u32, group: u32) -> (Option<&str>, Option<&str>) {
        (named(&self.users, user), named(&self.groups, group))
    }

    /// The number of the user called `name`.
    pub(super) fn user(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    /// The number of the group called `name`.
    pub(super) fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }
}

fn named(all: &BTreeMap<String, u32>, number: u32) -> Option<&str> {
    all.iter().find(|(_, known)| **known == number).map(|(name, _)| name.as_str())
}

/// Lines of `name:password:number:…`; others are passed over.
fn parse(text: &str) -> BTreeMap<String, u32> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// Gives a file or folder owner and mode, and makes it durable with them.
pub(super) fn give(path: &Path, (user, group): (u32, u32), mode: u32) -> Result<(), BackupError> {
    // Opened before: its mode may keep us from it afterwards. And the mode after the owner, since giving away takes bits from it.
    let file = File::open(path).map_err(BackupError::io("open", path))?;
    fchown(&file, Some(user), Some(group)).map_err(BackupError::io("give away", path))?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(BackupError::io("set the mode of", path))?;
    file.sync_all().map_err(BackupError::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_number_and_numbers_by_name() {
        let text = "root:x:0:0:root:/root:/bin/sh\n# no line\nsealock:x:998:997::/:/bin/false\n::1\nx:y:z\n";
        let owners = Owners { users: parse(text), groups: parse("root:x:0:\nsealock:x:997:\n") };
        assert_eq!(owners.names(998, 997), (Some("sealock"), Some("sealock")));
        assert_eq!(owners.names(5, 0), (None, Some("root")));
        assert_eq!((owners.user("sealock"), owners.group("sealock")), (Some(998), Some(997)));
        assert_eq!(owners.user("x"), None);
    }
}
