//! Writing a file whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Puts `octets` in place of the file at `path`, or leaves everything as it was.
///
/// Written under another name in the same directory, synced, renamed; then the directory is synced. A
/// link is followed: the file that it names is replaced.
pub(super) fn replace(path: &Path, octets: &[u8]) -> Result<(), String> {
    replace_with(path, |file| file.write_all(octets))
}

fn replace_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), String> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |what: &str, error: &io::Error| format!("{} was not written: {what}: {error}", path.display());
    if path.is_dir() {
        return Err(format!("{} was not written: it is a directory", path.display()));
    }
    let Some(beside) = beside(&path) else {
        return Err(format!("{} was not written: it names no file", path.display()));
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)
        .map_err(|error| failed(&format!("can not create {}", beside.display()), &error))?;
    let done = write(&mut file)
        .and_then(|()| file.sync_all())
        .map_err(|error| failed("can not fill it", &error))
        .and_then(|()| fs::rename(&beside, &path).map_err(|error| failed("can not rename it into place", &error)));
    if done.is_err() {
        // What went wrong is said already; a leftover is only untidy.
        let _ = fs::remove_file(&beside);
        return done;
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| format!("{} is in place, but its directory did not sync: {error}", path.display()))
}

/// A hidden name of this process beside `path`.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{}.new", std::process::id()));
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.mmdb");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(directory.path()), ["a.mmdb"]);
    }

    #[test]
    fn a_disk_that_fills_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.mmdb");
        fs::write(&path, b"old").unwrap();
        let full = replace_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(full.unwrap_err().contains("a.mmdb was not written"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["a.mmdb"]);
    }

    #[test]
    fn a_place_that_can_not_be_written_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing/a.mmdb");
        assert!(replace(&missing, b"x").unwrap_err().contains("can not create"));
        assert!(replace(directory.path(), b"x").unwrap_err().contains("it is a directory"));
        assert!(replace(Path::new("/"), b"x").is_err());
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }

    #[test]
    fn a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}
