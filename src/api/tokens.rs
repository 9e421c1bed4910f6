//! Bearer tokens: a file with one a line, hashed.
//!
//! ```text
//! # id       hash            role      then, as needed
//! ci-deploy  sha256:1f3a…    operator  services=api.example.com created=2026-01-02T03:04:05Z expires=…
//! ```
//!
//! A secret is 256 random bits, so its plain SHA-256 can not be guessed and needs no salt. It is printed once
//! when it is made and stands nowhere. A presented secret is hashed and compared with *every* line by a keyed
//! MAC, in constant time, so neither its octets nor its place in the file shows in the time taken.
//!
//! The file is read again when it changes. With an error in it, what was read before stays in force, and the
//! log says so: a half-written file locks nobody out. (A token that is to be revoked is therefore out only
//! once the file reads well; `meridian token revoke` replaces it whole.)

use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};

use crate::limits::{ID_LEN_MAX, TOKEN_FILE_LEN_MAX, TOKENS_MAX};
use crate::model::{Name, Role};

/// What a secret begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "mrd_";

/// The file is looked at again at most so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name, in logs and in the audit of orders.
    pub id: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// What it may do.
    pub role: Role,
    /// Only for these services; `None`: all.
    pub services: Option<Vec<Name>>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// Why a token file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It can not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is far too long for what it should be.
    #[error("{} has more than {TOKEN_FILE_LEN_MAX} octets or {TOKENS_MAX} tokens", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// A line is not as it should be.
    #[error("{}:{line}: {why}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// There is one of that id, or there is none.
    #[error("{0}")]
    Id(String),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Token {
    /// A new one, and its secret.
    pub fn create(id: &str, role: Role, services: Option<Vec<Name>>) -> Result<(Token, String), TokenError> {
        if id.is_empty() || id.len() > ID_LEN_MAX || !id.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c)) {
            return Err(TokenError::Id(format!("{id:?} is no id: letters, digits, `-`, `_`, `.` and `@`")));
        }
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| TokenError::Random)?;
        let secret = format!("{PREFIX}{}", hex(&random));
        let token =
            Token { id: id.to_owned(), hash: hash(&secret), role, services, created: Some(now()), expires: None };
        Ok((token, secret))
    }

    /// True when its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn line(&self) -> String {
        let mut line = format!("{} sha256:{} {}", self.id, hex(&self.hash), self.role.as_str());
        if let Some(services) = &self.services {
            let names: Vec<String> = services.iter().map(ToString::to_string).collect();
            let _ = write!(line, " services={}", names.join(","));
        }
        for (name, time) in [("created", self.created), ("expires", self.expires)] {
            if let Some(time) = time {
                let _ = write!(line, " {name}={time}");
            }
        }
        line
    }

    fn parse(line: &str) -> Result<Token, String> {
        let mut words = line.split_whitespace();
        let (Some(id), Some(hash), Some(role)) = (words.next(), words.next(), words.next()) else {
            return Err("expected an id, a hash and a role".to_owned());
        };
        let hash = hash.strip_prefix("sha256:").and_then(unhex).ok_or("the hash must be `sha256:` and 64 digits")?;
        let role = Role::parse(role).ok_or_else(|| format!("{role:?} is no role: viewer, operator or admin"))?;
        let mut token = Token { id: id.to_owned(), hash, role, services: None, created: None, expires: None };
        for word in words {
            match word.split_once('=') {
                Some(("services", names)) => {
                    let names: Result<Vec<Name>, _> = names.split(',').map(Name::parse).collect();
                    token.services = Some(names.map_err(|error| format!("{word:?}: {error}"))?);
                }
                Some(("created", time)) => token.created = Some(timestamp(time)?),
                Some(("expires", time)) => token.expires = Some(timestamp(time)?),
                Some(_) | None => return Err(format!("{word:?} is not known: services=, created= or expires=")),
            }
        }
        Ok(token)
    }
}

fn timestamp(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("{text:?} is no time such as 2026-01-02T03:04:05Z"))
}

fn now() -> Timestamp {
    // Whole seconds are enough for a file that people read.
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (octet, digits) in octets.iter_mut().zip(text.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(octets)
}

/// Everything in `path`.
pub fn read(path: &Path) -> Result<Vec<Token>, TokenError> {
    let io = |source| TokenError::Io { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(TOKEN_FILE_LEN_MAX + 1).read_to_string(&mut text)).map_err(io)?;
    let mut tokens: Vec<Token> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let wrong = |why| TokenError::Line { path: path.to_owned(), line: at + 1, why };
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let token = Token::parse(line).map_err(wrong)?;
        if tokens.iter().any(|other| other.id == token.id) {
            return Err(wrong(format!("there is another token {:?}", token.id)));
        }
        tokens.push(token);
        if tokens.len() > TOKENS_MAX {
            return Err(TokenError::TooLong { path: path.to_owned() });
        }
    }
    if text.len() as u64 > TOKEN_FILE_LEN_MAX {
        return Err(TokenError::TooLong { path: path.to_owned() });
    }
    Ok(tokens)
}

/// Adds `token` to the file, which need not exist; replaces it whole. Comments are kept.
pub fn add(path: &Path, token: &Token) -> Result<(), TokenError> {
    let known = if path.exists() { read(path)? } else { Vec::new() };
    if known.iter().any(|other| other.id == token.id) {
        return Err(TokenError::Id(format!("there is a token {:?}; revoke it first, or choose another id", token.id)));
    }
    rewrite(path, |lines| lines.push(token.line()))
}

/// Takes the token of that id out.
pub fn revoke(path: &Path, id: &str) -> Result<(), TokenError> {
    if !read(path)?.iter().any(|token| token.id == id) {
        return Err(TokenError::Id(format!("there is no token {id:?}")));
    }
    rewrite(path, |lines| lines.retain(|line| line.split_whitespace().next() != Some(id)))
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<String>)) -> Result<(), TokenError> {
    let io = |source| TokenError::Io { path: path.to_owned(), source };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io(error)),
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    // Left behind by a writer that was killed.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(io)?;
    for line in lines {
        writeln!(file, "{line}").map_err(io)?;
    }
    file.sync_all().and_then(|()| fs::rename(&beside, path)).map_err(io)
}

/// What tells one state of a file from another.
type Stamp = (u64, u64, i64, i64);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// The tokens of a file, read again when it changes.
pub(super) struct Tokens {
    path: PathBuf,
    key: hmac::Key,
    state: Mutex<State>,
}

struct State {
    tokens: Arc<[Token]>,
    stamp: Option<Stamp>,
    looked: Instant,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Those of `path`, which must read well.
    pub(super) fn open(path: &Path) -> Result<Tokens, TokenError> {
        let stamp = fs::metadata(path).ok().as_ref().map(stamp);
        let tokens = read(path)?.into();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| TokenError::Random)?;
        let state = Mutex::new(State { tokens, stamp, looked: Instant::now() });
        Ok(Tokens { path: path.to_owned(), key, state })
    }

    /// The token with that secret, expired or not.
    pub(super) fn find(&self, secret: &str) -> Option<Token> {
        let tokens = self.current();
        let shown = hmac::sign(&self.key, &hash(secret));
        // Every line is compared, each in constant time.
        let mut found = None;
        for token in tokens.iter() {
            if hmac::verify(&self.key, &token.hash, shown.as_ref()).is_ok() {
                found = Some(token);
            }
        }
        found.cloned()
    }

    fn current(&self) -> Arc<[Token]> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            self.look(&mut state);
        }
        Arc::clone(&state.tokens)
    }

    fn look(&self, state: &mut State) {
        state.looked = Instant::now();
        let stamp = fs::metadata(&self.path).ok().as_ref().map(stamp);
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        match read(&self.path) {
            Ok(tokens) => {
                tracing::info!(tokens = tokens.len(), "the token file is read again");
                state.tokens = tokens.into();
            }
            Err(error) => tracing::error!("the tokens read before stay in force: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_found_and_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let services = Some(vec![Name::parse("api.example.com").unwrap()]);
        let (mut token, secret) = Token::create("ci", Role::Operator, services).unwrap();
        token.expires = Some("2030-01-01T00:00:00Z".parse().unwrap());
        add(&path, &token).unwrap();
        assert!(matches!(add(&path, &token), Err(TokenError::Id(_))), "an id is used once");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains(&secret));

        let tokens = Tokens::open(&path).unwrap();
        assert_eq!(tokens.find(&secret), Some(token.clone()));
        assert_eq!(tokens.find("mrd_"), None);
        assert!(token.is_expired("2030-01-01T00:00:00Z".parse().unwrap()));
        assert!(!token.is_expired("2029-12-31T23:59:59Z".parse().unwrap()));

        revoke(&path, "ci").unwrap();
        tokens.look(&mut tokens.state.lock().unwrap());
        assert_eq!(tokens.find(&secret), None);
        fs::write(&path, "half a li").unwrap();
        tokens.look(&mut tokens.state.lock().unwrap());
        assert!(matches!(revoke(&path, "ci"), Err(TokenError::Line { line: 1, .. })));
    }

    #[test]
    fn a_file_that_no_longer_reads_well_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let (token, secret) = Token::create("ci", Role::Viewer, None).unwrap();
        add(&path, &token).unwrap();
        let tokens = Tokens::open(&path).unwrap();
        fs::write(&path, "ci sha256:12 viewer\n").unwrap();
        tokens.look(&mut tokens.state.lock().unwrap());
        assert!(tokens.find(&secret).is_some());
    }

    #[test]
    fn lines_that_are_wrong_are_told_with_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let hash = "0".repeat(64);
        for (line, why) in [
            ("a".to_owned(), "expected an id"),
            ("a sha256:zz viewer".to_owned(), "64 digits"),
            (format!("a sha256:{hash} root"), "no role"),
            (format!("a sha256:{hash} viewer expires=tomorrow"), "no time"),
            (format!("a sha256:{hash} viewer scope=x"), "not known"),
            (format!("a sha256:{hash} viewer\na sha256:{hash} admin"), "another token"),
        ] {
            fs::write(&path, format!("# tokens\n{line}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("tokens:"), "{error}");
        }
    }
}
