//! Which databases a path of the configuration stands for.

use std::io;
use std::path::{Path, PathBuf};

/// The databases at `path`, in the order in which they are layered: the path itself, or if it is a directory
/// its `.mmdb` files by name. What begins with a dot is passed over: hidden files, and what editors and copying
/// tools have not finished.
///
/// # Errors
/// When the directory can not be read to its end: a layer that is missing changes answers.
pub fn database_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = path.read_dir()?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().filter(|file| is_database(file)).collect();
    files.sort();
    Ok(files)
}

/// A link whose target is gone counts: that it can not be read shall be told.
fn is_database(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "mmdb") && !path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_databases_by_name_and_nothing_hidden() {
        let directory = tempfile::tempdir().unwrap();
        assert!(database_files(directory.path()).unwrap().is_empty());
        for name in ["20-b.mmdb", "10-a.mmdb", ".hidden.mmdb", ".#10-a.mmdb", "notes.txt"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        std::fs::create_dir(directory.path().join("old.mmdb")).unwrap();
        let expected = [directory.path().join("10-a.mmdb"), directory.path().join("20-b.mmdb")];
        assert_eq!(database_files(directory.path()).unwrap(), expected);
        assert_eq!(database_files(Path::new("z.mmdb")).unwrap(), [PathBuf::from("z.mmdb")]);
    }
}
