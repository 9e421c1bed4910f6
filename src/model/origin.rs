//! Where in a file a thing was written.

use std::sync::Arc;

/// A position in a source file, for messages. Lines and columns count from 1; columns are characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file as it was named on load.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Origin {
    /// The first character of `file`.
    pub fn file(file: &str) -> Origin {
        Origin { file: file.into(), line: 1, column: 1 }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
