//! User instructions for each answer, counted by callgrind (Debian's package `valgrind`).
//!
//! Instruction counts hardly depend on the machine's load, so they are what changes are judged by; wall time
//! is for `answers`. The program runs itself under valgrind, which counts only inside of [`measured`] and
//! writes one profile each time that ends. Only the first of a run tells functions apart, so for the hot
//! spots of a case run that case alone:
//!
//! ```text
//! cargo bench --bench instructions -- NXDOMAIN && callgrind_annotate --auto=yes target/callgrind/profile.1
//! ```
//!
//! gungraun does the same and more, and wants a runner of its very version installed, which a fresh machine would have
//! to build first; what is needed of it are these few lines.
//!
//! With `--check` it fails where there are more than [`world::Case::instructions_max`]: `tests/instructions.sh`.

mod world;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use meridian::answer::answer_tallying;
use meridian::limits::UDP_RESPONSE_LEN_MAX;
use meridian::model::Moment;
use meridian::table::{Publisher, Reader};
use world::{Ask, CASES, Case};

/// Asks the program to be the one that is measured.
const MEASURED: &str = "--measured";

/// Asks it to fail where there are too many.
const CHECK: &str = "--check";

/// Queries of each case, each of another client.
const QUERIES: usize = 1000;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted = arguments.iter().find(|argument| !argument.starts_with("--")).map_or("", String::as_str);
    let cases = || CASES.iter().filter(|case| case.name.contains(wanted));
    if arguments.first().is_some_and(|first| first == MEASURED) {
        let publisher = Publisher::new(world::table());
        let mut reader = publisher.subscription().reader().expect("the first reader");
        for case in cases() {
            case.check(&publisher.current());
            measured(&mut reader, &case.asks(QUERIES));
        }
        return ExitCode::SUCCESS;
    }
    match count(wanted, cases()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(over) if arguments.first().is_some_and(|first| first == CHECK) => {
            eprintln!("{over} of the answers take more instructions than benches/world.rs allows");
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("instructions were not counted: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What is counted: the answers with their tallies, and some ten instructions of the loop for each.
#[inline(never)]
fn measured(reader: &mut Reader, asks: &[Ask]) {
    let mut out = [0; UDP_RESPONSE_LEN_MAX];
    let (table, mut tallier) = reader.answering(Moment::default(), asks.len());
    for ask in asks {
        black_box(answer_tallying(&ask.query, &ask.asked, table, &mut tallier, &mut out));
    }
}

/// Counts, prints, and says how many cases are over their bounds.
fn count<'c>(wanted: &str, cases: impl Iterator<Item = &'c Case>) -> Result<usize, Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/callgrind");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    let profile = directory.join("profile");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=instructions::measured", "--dump-after=instructions::measured"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe()?)
        .arg(MEASURED)
        .args(Some(wanted).filter(|wanted| !wanted.is_empty()))
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).into());
    }
    println!("{:<24} {:>12} {:>8}", "case", "instructions", "at most");
    let mut over = 0;
    for (number, case) in cases.enumerate() {
        let text = fs::read_to_string(format!("{}.{}", profile.display(), number + 1))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("a profile without totals")?;
        let each = total.trim().parse::<usize>()? / QUERIES;
        let is_over = each > case.instructions_max;
        over += usize::from(is_over);
        let remark = if is_over { "  too many" } else { "" };
        println!("{:<24} {each:>12} {:>8}{remark}", case.name, case.instructions_max);
    }
    Ok(over)
}
