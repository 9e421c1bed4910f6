//! `meridian token`: the file of bearer tokens.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::show;
use crate::api::tokens::{self, Token, TokenError};
use crate::limits;
use crate::model::{Name, Role};

/// Arguments of `meridian token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token and print it, once: only its hash is kept.
    Create(CreateArgs),
    /// List the tokens of a file.
    List(FileArg),
    /// Take a token out of a file; a running server heeds it within a second or two.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct FileArg {
    /// The token file.
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Its name: in logs, and beside every order that it gives.
    id: String,
    /// What it may do.
    #[arg(long, value_enum, default_value_t = RoleArg::Viewer)]
    role: RoleArg,
    /// Orders for this service only; repeat it for several [default: all].
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// For how long it is good, such as 90d or 12h [default: until it is revoked].
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its name.
    id: String,
    #[command(flatten)]
    file: FileArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    /// Look.
    Viewer,
    /// Look, and give orders.
    Operator,
    /// Everything.
    Admin,
}

/// 0 done, 1 refused, 2 wrong usage.
pub fn run(args: &TokenArgs) -> ExitCode {
    let done = match &args.command {
        Command::Create(args) => match create(args) {
            Ok(done) => done,
            Err(message) => return super::client::usage(&message),
        },
        Command::List(file) => tokens::read(&file.tokens).map(|all| list(&all, Timestamp::now())),
        Command::Revoke(args) => {
            tokens::revoke(&args.file.tokens, &args.id).map(|()| format!("{} is revoked\n", args.id))
        }
    };
    match done {
        Ok(text) => {
            show::out(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            show::err(&format!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The outer error is wrong usage.
fn create(args: &CreateArgs) -> Result<Result<String, TokenError>, String> {
    let services = args
        .service
        .iter()
        .map(|name| Name::parse(name).map_err(|error| format!("{name:?} is no domain name: {error}")))
        .collect::<Result<Vec<Name>, String>>()?;
    let expires = match &args.expires {
        None => None,
        Some(text) => Some(expiry(text).ok_or_else(|| format!("{text:?} is no duration such as 90d or 12h"))?),
    };
    let role = match args.role {
        RoleArg::Viewer => Role::Viewer,
        RoleArg::Operator => Role::Operator,
        RoleArg::Admin => Role::Admin,
    };
    let make = || {
        let (mut token, secret) = Token::create(&args.id, role, Some(services).filter(|names| !names.is_empty()))?;
        token.expires = expires;
        tokens::add(&args.file.tokens, &token)?;
        show::err(&format!("the token {:?} is in {}; it is shown only now:\n", args.id, args.file.tokens.display()));
        Ok(format!("{secret}\n"))
    };
    Ok(make())
}

fn expiry(text: &str) -> Option<Timestamp> {
    let lasting = crate::api::duration(text).filter(|lasting| !lasting.is_zero())?;
    let lasting = SignedDuration::try_from(lasting).ok()?;
    let at = Timestamp::now().checked_add(lasting).ok()?;
    Timestamp::from_second(at.as_second()).ok()
}

fn list(all: &[Token], now: Timestamp) -> String {
    let mut rows = vec![["ID", "ROLE", "SERVICES", "CREATED", "EXPIRES"].map(str::to_owned).to_vec()];
    for token in all.iter().take(limits::TOKENS_MAX) {
        let services = token.services.as_ref().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
        let expired = if token.is_expired(now) { " (over)" } else { "" };
        rows.push(vec![
            token.id.clone(),
            token.role.as_str().to_owned(),
            services.map_or_else(|| "all".to_owned(), |names| names.join(",")),
            time(token.created),
            format!("{}{expired}", time(token.expires)),
        ]);
    }
    show::table(&rows)
}
