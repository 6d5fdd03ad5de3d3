//! `tls = { … }` of a listener.

use std::path::{Path, PathBuf};

use crate::base::clock::{Clock, rfc3339};
use crate::base::serve::{TlsSettings, inspect};

use super::super::super::document::{At, Section, hint};
use super::super::super::finding::Fault;
use super::super::super::key::{DAY, Default, Key, Kind};
use super::super::super::value::{Purpose, Reading};
use super::super::super::written::Place;
use super::tls_key;

pub(super) const ROWS: Key =
    Key::new("tls", Kind::Rows(&[CERT, KEY, CLIENT_CA, CLIENT_CERT, MIN_VERSION]), Default::Rows)
        .says("TLS on the TCP sockets of this listener.");

const CERT: Key = Key::new(
    "cert",
    Kind::Path,
    Default::Otherwise { example: "\"/etc/weir/tls.crt\"", then: "clear text" },
)
.says(
    "The certificate and its chain, PEM: a path, or `\"credential:NAME\"`. When the files change, new \
     connections get the new certificate; unless the new files are at fault, which the log says.",
);
const KEY: Key = Key::new(
    "key",
    Kind::Path,
    Default::Otherwise { example: "\"credential:tls.key\"", then: "clear text" },
)
.says("Its private key, PEM, RSA, EC or Ed25519: a path, or `\"credential:NAME\"`.");
const CLIENT_CA: Key = Key::new(
    "client_ca",
    Kind::Path,
    Default::Otherwise {
        example: "\"/etc/weir/devices-ca.pem\"",
        then: "clients need no certificate",
    },
)
.says("The authorities that sign the certificates of clients, PEM (mTLS).");
const CLIENT_CERT: Key = Key::new(
    "client_cert",
    Kind::Choice(&["required", "optional"]),
    Default::Otherwise { example: "\"required\"", then: "required if there is a `client_ca`" },
)
.says("Whether a client without a certificate is let in.");
const MIN_VERSION: Key = Key::new(
    "min_version",
    Kind::Choice(&["1.2", "1.3"]),
    Default::Otherwise { example: "\"1.2\"", then: "1.2" },
)
.says("The oldest TLS that is spoken; 1.3 is the newest.");

/// A certificate that ends so soon is worth a word.
const SOON_MS: u64 = 14 * DAY;

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<TlsSettings> {
    let mut rows = section.nested(reading, &ROWS);
    let is_there = !rows.is_empty();
    let cert = file(&mut rows, &CERT, reading);
    let key = file(&mut rows, &KEY, reading);
    let client_ca = file(&mut rows, &CLIENT_CA, reading);
    let client_cert = rows.choice(reading, &CLIENT_CERT);
    let min_version = rows.choice(reading, &MIN_VERSION);
    let (title, place) = (rows.title.clone(), rows.place.clone());
    rows.finish(&mut reading.faults);
    if !is_there {
        return None;
    }
    for (part, row) in [(&cert, &CERT), (&key, &KEY)] {
        if *part == File::Absent {
            let message = format!("{title} has no `{}`", row.name);
            let fault = Fault::new(place.clone(), message);
            let label = format!("`{}` is missing", row.name);
            reading.faults.push(fault.label(label).hint(hint(row)));
        }
    }
    if let (Some((word, place)), File::Absent) = (client_cert.written(), &client_ca) {
        let message = format!("`client_cert` is \"{word}\", but nobody could check a certificate");
        let fault = Fault::new(place.clone(), message).label("without `client_ca`");
        reading.faults.push(fault.hint(hint(&CLIENT_CA)));
    }
    let (File::At(cert), File::At(key)) = (cert, key) else { return None };
    let places = [Some(cert.place), Some(key.place), client_ca.place()];
    let settings = TlsSettings {
        cert: cert.value,
        key: key.value,
        client_ca: client_ca.path(),
        client_cert_optional: client_cert.value == "optional",
        tls12: min_version.value != "1.3",
    };
    check(&settings, &places, reading);
    Some(settings)
}

/// A file as it was named.
#[derive(Debug, PartialEq)]
enum File {
    Absent,
    Faulty,
    At(At<PathBuf>),
}

impl File {
    fn place(&self) -> Option<Place> {
        if let Self::At(at) = self { Some(at.place.clone()) } else { None }
    }

    fn path(self) -> Option<PathBuf> {
        if let Self::At(at) = self { Some(at.value) } else { None }
    }
}

/// A path, as it is or in the folder of credentials.
fn file(rows: &mut Section<'_>, key: &Key, reading: &mut Reading<'_>) -> File {
    let setting = rows.text(reading, key);
    let Some(place) = setting.place else { return File::Absent };
    if !setting.is_sound {
        return File::Faulty;
    }
    let Some(name) = setting.value.strip_prefix("credential:") else {
        let path = reading.absolute(Path::new(&setting.value));
        return File::At(At { value: path, place });
    };
    match (reading.environment)("CREDENTIALS_DIRECTORY") {
        Some(folder) => File::At(At { value: Path::new(&folder).join(name), place }),
        None => {
            let message = format!(
                "`{}` cannot be had: no credentials were passed by systemd (CREDENTIALS_DIRECTORY is not set)",
                key.name
            );
            let fault = Fault::new(place, message).label("leads nowhere");
            reading.faults.push(fault.hint("name a path, or start weir by systemd"));
            File::Faulty
        }
    }
}

fn check(settings: &TlsSettings, places: &[Option<Place>; 3], reading: &mut Reading<'_>) {
    let [cert, ..] = places;
    if reading.purpose == Purpose::Trial {
        return;
    }
    let until = match inspect(reading.disk, settings) {
        Ok(until) => u64::try_from(until).unwrap_or_default().saturating_mul(1_000),
        Err(fault) => {
            let name = tls_key(fault.part);
            let place = places.get(fault.part as usize).cloned().flatten().unwrap_or_default();
            let message = format!("`{name}` of TLS: {fault}");
            reading.faults.push(Fault::new(place, message).label("cannot be used"));
            return;
        }
    };
    let now = Clock::real().unix_ms();
    if until < now.saturating_add(SOON_MS) {
        let what = if until < now { "expired" } else { "expires soon" };
        let message = format!("the certificate {what}: it is valid until {}", rfc3339(until));
        let fault = Fault::warning(cert.clone().unwrap_or_default(), message);
        reading
            .faults
            .push(fault.label(what).hint("renew it; weir notices the new file by itself"));
    }
}
