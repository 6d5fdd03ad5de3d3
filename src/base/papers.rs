//! Certificates for tests: an authority, a server `localhost` and a client `device-1`, new each time.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SignatureAlgorithm, date_time_ymd,
};

/// All in PEM.
pub struct Papers {
    /// The authority that signed both.
    pub ca: String,
    /// Of `localhost`.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// Of `device-1`.
    pub client_cert: String,
    /// Its key.
    pub client_key: String,
}

/// Long after these tests.
const FOR_EVER: i32 = 4000;

impl Papers {
    /// With EC keys.
    pub fn fresh() -> Self {
        Self::until(FOR_EVER)
    }

    /// Valid until the begin of a year.
    pub fn until(year: i32) -> Self {
        Self::made(KeyPair::generate().unwrap(), year)
    }

    /// The server has a key of this kind.
    pub fn of(kind: &'static SignatureAlgorithm) -> Self {
        Self::made(KeyPair::generate_for(kind).unwrap(), FOR_EVER)
    }

    /// The server has this key.
    pub fn with_key(pem: &str) -> Self {
        Self::made(KeyPair::from_pem(pem).unwrap(), FOR_EVER)
    }

    fn made(key: KeyPair, year: i32) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();

        let mut server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        server.not_after = date_time_ymd(year, 1, 1);
        let cert = server.signed_by(&key, &ca).unwrap();

        let client_key = KeyPair::generate().unwrap();
        let mut client = CertificateParams::new(vec!["device-1.example".to_owned()]).unwrap();
        client.distinguished_name.push(DnType::CommonName, "device-1");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = client.signed_by(&client_key, &ca).unwrap();
        Self {
            ca: ca.pem(),
            cert: cert.pem(),
            key: key.serialize_pem(),
            client_cert: client.pem(),
            client_key: client_key.serialize_pem(),
        }
    }
}
