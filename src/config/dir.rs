//! The edge: files of a directory as [`SourceFile`]s.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::source::SourceFile;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::Origin;

/// What a directory of policies and master files holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Policy files (`*.yaml`, `*.yml`), by name.
    pub policies: Vec<SourceFile>,
    /// Master files (`*.zone`), by name. They may be large, so whoever reads them reads them piece by
    /// piece.
    pub zones: Vec<PathBuf>,
    /// Files that could not be read (errors), and files that nobody reads (warnings).
    pub diagnostics: Vec<Diagnostic>,
}

/// What a name says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Policy,
    Zone,
    /// Hidden, or left behind by an editor.
    Skipped,
    Other,
}

fn kind(name: &str) -> Kind {
    let leftover = name.starts_with('.')
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || [".swp", ".swo", ".bak", ".orig", ".rej", ".tmp"].iter().any(|suffix| name.ends_with(suffix));
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        _ if leftover => Kind::Skipped,
        Some("yaml" | "yml") => Kind::Policy,
        Some("zone") => Kind::Zone,
        Some(_) | None => Kind::Other,
    }
}

/// Lists `path` and reads its policy files, in the order of their names. Directories in it are not
/// entered. Nothing here fails as a whole: what cannot be read is among the diagnostics.
pub fn read_dir(path: &Path) -> Listing {
    let mut found = Listing::default();
    let names = match names(path) {
        Ok(names) => names,
        Err(error) => {
            found.diagnostics.push(unreadable(path, &error));
            return found;
        }
    };
    let mut left = limits::DIRECTORY_LEN_MAX;
    for (count, name) in names.iter().enumerate() {
        let file = path.join(name);
        if count >= limits::DIRECTORY_FILES_MAX {
            let message = format!("{} holds more than {} files", path.display(), limits::DIRECTORY_FILES_MAX);
            found.diagnostics.push(Diagnostic::error("too-many", message));
            break;
        }
        match kind(&name.to_string_lossy()) {
            Kind::Skipped => {}
            Kind::Policy | Kind::Zone if file.is_dir() => {
                found.diagnostics.push(Diagnostic::warning("not-a-file", format!("{} is a directory", file.display())));
            }
            Kind::Other if file.is_dir() => {}
            Kind::Policy => match read_file(&file, limits::POLICY_FILE_LEN_MAX.min(left)) {
                Ok(source) => {
                    left -= source.bytes.len() as u64;
                    found.policies.push(source);
                }
                Err(diagnostic) => found.diagnostics.push(*diagnostic),
            },
            Kind::Zone => found.zones.push(file),
            Kind::Other => {
                let message = format!("{} is neither a policy (.yaml) nor a master file (.zone)", file.display());
                let warning = Diagnostic::warning("unknown-file", message).at(&Origin::file(&file.to_string_lossy()));
                found.diagnostics.push(warning.help("it is not read; rename it, or move it elsewhere"));
            }
        }
    }
    found
}

fn names(path: &Path) -> std::io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)?.take(limits::DIRECTORY_FILES_MAX + 1) {
        names.push(entry?.file_name());
    }
    names.sort();
    Ok(names)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error("unreadable", format!("{} cannot be read: {error}", path.display()))
}

/// Reads one file of at most `len_max` octets. The error is boxed because it is large and rare.
pub fn read_file(path: &Path, len_max: u64) -> Result<SourceFile, Box<Diagnostic>> {
    let io = |error: std::io::Error| Box::new(unreadable(path, &error));
    // A pipe or a device would hold the load up for ever.
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        let message = format!("{} is not a regular file", path.display());
        return Err(Box::new(Diagnostic::error("not-a-file", message)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(len_max)).unwrap_or(0));
    // The file may grow while it is read: the length that counts is that of what came.
    fs::File::open(path).map_err(io)?.take(len_max + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > len_max {
        let message = format!("{} has more than {len_max} octets", path.display());
        return Err(Box::new(Diagnostic::error("file-too-large", message)));
    }
    Ok(SourceFile { name: path.to_string_lossy().as_ref().into(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_skipped_and_strangers_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["b.yaml", "a.yml", "z.zone", ".hidden.yaml", "a.yaml~", "a.yaml.swp", "#a.yaml#", "x.bak", "notes.txt"]
        {
            fs::write(dir.path().join(name), "version: 1\n").unwrap();
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::create_dir(dir.path().join("dir.yaml")).unwrap();
        let found = read_dir(dir.path());
        let names: Vec<&str> = found.policies.iter().map(|file| file.name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["a.yml", "b.yaml"]);
        assert_eq!(found.zones, [dir.path().join("z.zone")]);
        let codes: Vec<&str> = found.diagnostics.iter().map(|found| found.code).collect();
        assert_eq!(codes, ["not-a-file", "unknown-file"]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_dir(&dir.path().join("absent")).diagnostics[0].code, "unreadable");
        fs::write(dir.path().join("a.yaml"), "0123456789").unwrap();
        assert_eq!(read_file(&dir.path().join("a.yaml"), 9).unwrap_err().code, "file-too-large");
        assert_eq!(read_file(&dir.path().join("a.yaml"), 10).unwrap().bytes.len(), 10);
        std::os::unix::fs::symlink("nowhere", dir.path().join("b.yaml")).unwrap();
        assert_eq!(read_dir(dir.path()).diagnostics[0].code, "unreadable");
    }
}
