//! `meridian geo lookup`: where an address is, and who says so.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::geo::{self, Atlas, Database};
use crate::model::Place;

#[derive(Debug, Args)]
pub(super) struct LookupArgs {
    /// Addresses, IPv4 or IPv6.
    #[arg(value_name = "IP", required = true)]
    addresses: Vec<IpAddr>,
    /// A database, or a directory of them, which are layered in the order of their names. The first that
    /// has a field wins.
    #[arg(long, value_name = "FILE", default_value = "geoip")]
    geoip: Vec<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// An address, what each layer says of it, and what it comes to.
struct Found {
    address: IpAddr,
    layers: Vec<(String, Place)>,
    merged: Place,
}

pub(super) fn run(args: &LookupArgs) -> Result<(), String> {
    let mut databases = Vec::new();
    for path in files(&args.geoip)? {
        databases.push(Database::read(&path).map_err(|error| error.to_string())?);
    }
    let found = look_up(&args.addresses, databases);
    let text = match args.output {
        Output::Text => found.iter().map(text).collect(),
        Output::Json => format!("{:#}\n", Value::Array(found.iter().map(to_json).collect())),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| format!("standard output: {error}")),
    }
}

/// The databases that arguments name: files as they stand, directories as their `.mmdb` files by name.
fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for argument in arguments {
        let named = geo::database_files(argument).map_err(|error| format!("{}: {error}", argument.display()))?;
        if named.is_empty() {
            return Err(format!("{}: holds no .mmdb file", argument.display()));
        }
        files.extend(named);
    }
    Ok(files)
}

fn look_up(addresses: &[IpAddr], databases: Vec<Database>) -> Vec<Found> {
    let mut found: Vec<Found> = addresses
        .iter()
        .map(|&address| {
            let layers = databases.iter().map(|layer| (layer.file().to_owned(), layer.says(address).clone())).collect();
            Found { address, layers, merged: Place::default() }
        })
        .collect();
    let (atlas, notes) = Atlas::load(databases, &[]);
    for note in notes {
        eprintln!("warning: {note} [{}]", note.code());
    }
    for found in &mut found {
        found.merged = atlas.lookup(found.address).clone();
    }
    found
}

fn text(found: &Found) -> String {
    let widest = found.layers.iter().map(|(file, _)| file.chars().count()).max().unwrap_or(0).max("together".len());
    let mut out = format!("{}\n", found.address);
    for (file, place) in &found.layers {
        let _ = writeln!(out, "  {file:widest$}  {}", describe(place));
    }
    let _ = writeln!(out, "  {:widest$}  {}", "together", describe(&found.merged));
    out
}

/// A place on one line, from wide to narrow, then the provider.
fn describe(place: &Place) -> String {
    if place.is_unknown() {
        return "unknown".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    parts.extend(place.continent.map(|continent| continent.code().to_owned()));
    parts.extend(place.country.map(|country| country.to_string()));
    parts.extend(place.subdivision.as_deref().map(str::to_owned));
    parts.extend(place.city.as_deref().map(str::to_owned));
    parts.extend(place.asn.map(|asn| format!("AS{asn}")));
    parts.extend(place.isp.as_deref().map(str::to_owned));
    parts.extend(place.coordinates.map(|at| {
        format!("({:.2}, {:.2})", f64::from(at.latitude_centideg) / 100.0, f64::from(at.longitude_centideg) / 100.0)
    }));
    parts.join(" · ")
}

fn to_json(found: &Found) -> Value {
    let layers: Vec<Value> =
        found.layers.iter().map(|(file, place)| json!({ "file": file, "place": place_json(place) })).collect();
    json!({ "address": found.address.to_string(), "place": place_json(&found.merged), "layers": layers })
}

/// What is not known is not there; `null` when nothing is.
fn place_json(place: &Place) -> Value {
    if place.is_unknown() {
        return Value::Null;
    }
    let fields = [
        ("continent", place.continent.map(|continent| continent.code().into())),
        ("country", place.country.map(|country| country.as_str().into())),
        ("subdivision", place.subdivision.as_deref().map(Value::from)),
        ("city", place.city.as_deref().map(Value::from)),
        ("asn", place.asn.map(Value::from)),
        ("isp", place.isp.as_deref().map(Value::from)),
        ("latitude", place.coordinates.map(|at| (f64::from(at.latitude_centideg) / 100.0).into())),
        ("longitude", place.coordinates.map(|at| (f64::from(at.longitude_centideg) / 100.0).into())),
    ];
    let known = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.collect::<Map<String, Value>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::import;

    fn layer(file: &str, csv: &str) -> Database {
        let octets = import::csv(csv, 0, &mut |_, _| ()).unwrap().octets.unwrap();
        Database::from_octets(file, octets).unwrap()
    }

    fn found() -> Vec<Found> {
        let front = layer("a.mmdb", "cidr,country,subdivision,isp\n192.0.2.0/24,CN,,电信\n");
        let back = layer("b.mmdb", "cidr,country,subdivision,city,isp\n192.0.2.0/24,CN,BJ,Beijing,Other\n");
        look_up(&["192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap()], vec![front, back])
    }

    #[test]
    fn every_layer_speaks_for_itself_and_the_first_that_has_a_field_wins() {
        let text: String = found().iter().map(text).collect();
        let expected = "192.0.2.1\n\
            \x20 a.mmdb    AS · CN · China Telecom\n\
            \x20 b.mmdb    AS · CN · CN-BJ · Beijing · Other\n\
            \x20 together  AS · CN · CN-BJ · Beijing · China Telecom · (39.90, 116.41)\n\
            198.51.100.1\n\
            \x20 a.mmdb    unknown\n\
            \x20 b.mmdb    unknown\n\
            \x20 together  unknown\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_leaves_out_what_is_not_known() {
        let found = found();
        let json = to_json(&found[0]);
        assert_eq!(json["place"]["subdivision"], "CN-BJ");
        assert_eq!(json["layers"][0]["place"], json!({"continent": "AS", "country": "CN", "isp": "China Telecom"}));
        assert_eq!(to_json(&found[1])["place"], Value::Null);
    }

    #[test]
    fn a_directory_is_its_databases_by_name() {
        let directory = tempfile::tempdir().unwrap();
        assert!(files(&[directory.path().to_owned()]).unwrap_err().contains("no .mmdb"));
        for name in ["20-b.mmdb", "10-a.mmdb", ".hidden.mmdb", "notes.txt"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let names: Vec<_> = files(&[directory.path().to_owned(), "z.mmdb".into()]).unwrap();
        let expected = [directory.path().join("10-a.mmdb"), directory.path().join("20-b.mmdb"), "z.mmdb".into()];
        assert_eq!(names, expected);
    }
}
