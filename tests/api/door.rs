//! The API as the server's configuration says: TLS, certificates of callers, tokens, the Unix socket.

use std::fs;
use std::path::Path;
use std::process::Command;

use meridian::cli::api_door::{ApiDoor, Behind};
use meridian::config::{self, SourceFile};
use meridian::telemetry::Registry;
use rcgen::{CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::house::House;

fn server(text: &str) -> config::Server {
    let (server, found) = config::load_server(&SourceFile::new("meridian.yaml", text));
    assert_eq!(found, [], "{text}");
    server
}

fn params(names: &[(DnType, &str)], alternative: &[&str]) -> CertificateParams {
    let mut params =
        CertificateParams::new(alternative.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind.clone(), *name);
    }
    params
}

/// An authority, a server's certificate and those of callers, as files.
fn certificates(dir: &Path) {
    let mut ca = params(&[(DnType::CommonName, "an authority")], &[]);
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    for (file, names, alternative) in [
        ("server", vec![(DnType::CommonName, "gtm1")], vec!["127.0.0.1"]),
        ("kim", vec![(DnType::CommonName, "kim"), (DnType::OrganizationalUnitName, "operator")], vec![]),
        ("lee", vec![(DnType::CommonName, "lee"), (DnType::OrganizationalUnitName, "viewer")], vec![]),
        ("max", vec![(DnType::CommonName, "max"), (DnType::OrganizationalUnitName, "accounting")], vec![]),
    ] {
        let key = KeyPair::generate().unwrap();
        let certificate = params(&names, &alternative).signed_by(&key, &ca).unwrap();
        fs::write(dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

struct Opened {
    door: ApiDoor,
    runtime: tokio::runtime::Runtime,
    dir: TempDir,
    _house: House,
}

fn open(text: &str) -> Result<Opened, String> {
    let house = House::open();
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let server = server(&text.replace("$DIR", dir.path().to_str().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let behind = Behind {
        control: house.control.clone(),
        sightings: None,
        demo: None,
        audit: None,
        files: None,
        registry: Registry::new(),
    };
    let door = ApiDoor::open(&server, behind, runtime.handle()).map_err(|error| error.to_string())?;
    Ok(Opened { door, runtime, dir, _house: house })
}

impl Opened {
    /// The status that curl is answered with; 000: none.
    fn curl(&self, arguments: &[&str], path: &str) -> String {
        let at = |file: &str| self.dir.path().join(file).to_str().unwrap().to_owned();
        let url = format!("https://{}{path}", self.door.local_addresses()[0]);
        let arguments: Vec<String> =
            arguments.iter().map(|word| word.strip_prefix('@').map_or_else(|| (*word).to_owned(), at)).collect();
        let output = Command::new("curl")
            .args(["-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &at("ca.pem"), &url])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

const MUTUAL: &str =
    "api:\n  listen: 127.0.0.1:0\n  tls: {cert: $DIR/server.pem, key: $DIR/server.key, client_ca: $DIR/ca.pem}\n";

#[test]
fn a_caller_has_the_role_that_the_certificate_names() {
    let opened = open(MUTUAL).unwrap();
    let by = |who: &str, method: &str, path: &str| {
        let (certificate, key) = (format!("@{who}.pem"), format!("@{who}.key"));
        opened.curl(&["--cert", &certificate, "--key", &key, "-X", method], path)
    };
    assert_eq!(by("kim", "GET", "/api/status"), "200");
    assert_eq!(by("kim", "POST", "/api/datacenters/dc1/failback"), "200");
    assert_eq!(by("lee", "GET", "/api/status"), "200");
    assert_eq!(by("lee", "POST", "/api/datacenters/dc1/failback"), "403");
    assert_eq!(by("max", "GET", "/api/status"), "401", "no role");
    assert_eq!(opened.curl(&[], "/api/status"), "401", "loopback is no credential once there are some");
    assert_eq!(opened.curl(&[], "/livez"), "200");
}

#[test]
fn a_stranger_s_certificate_ends_the_handshake() {
    let opened = open(MUTUAL).unwrap();
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let at = |file: &str| other.path().join(file).to_str().unwrap().to_owned();
    assert_eq!(opened.curl(&["--cert", &at("kim.pem"), "--key", &at("kim.key")], "/api/status"), "000");
}

#[test]
fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let opened = open(MUTUAL).unwrap();
    assert_eq!(opened.curl(&[], "/livez"), "200");
    certificates(opened.dir.path());
    assert_eq!(opened.curl(&[], "/livez"), "000", "signed by the old authority");
    opened.door.certificate().unwrap().reload().unwrap();
    assert_eq!(opened.curl(&[], "/livez"), "200");
    fs::write(opened.dir.path().join("server.key"), "").unwrap();
    assert!(opened.door.certificate().unwrap().reload().is_err());
    assert_eq!(opened.curl(&[], "/livez"), "200", "the one before goes on serving");
}

#[test]
fn readiness_is_said_by_whoever_opens_the_other_doors() {
    let opened = open(MUTUAL).unwrap();
    assert_eq!(opened.curl(&[], "/readyz"), "503");
    opened.door.set_ready(true);
    assert_eq!(opened.curl(&[], "/readyz"), "200");
    assert!(opened.runtime.block_on(opened.door.close()));
}

#[test]
fn what_can_not_be_served_is_refused_with_the_reason() {
    let why = |text: &str| open(text).err().unwrap();
    let missing = why("api: {listen: '127.0.0.1:0', tls: {cert: $DIR/nothing.pem, key: $DIR/server.key}}\n");
    assert!(missing.contains("TLS of the API: can not read"), "{missing}");
    let authority =
        "api: {listen: '127.0.0.1:0', tls: {cert: $DIR/server.pem, key: $DIR/server.key, client_ca: $DIR/kim.key}}\n";
    assert!(why(authority).contains("kim.key holds no certificate"), "{}", why(authority));
    let tokens = why("api: {listen: '127.0.0.1:0', tokens: $DIR/server.pem}\n");
    assert!(tokens.starts_with("the API's tokens: ") && tokens.contains("server.pem:1"), "{tokens}");
}
