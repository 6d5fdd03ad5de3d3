//! Callers whom TLS, the kernel or somebody else vouches for, over real sockets.

use super::*;
use crate::admission::{Pattern, PeerRule, SubjectField, SubjectRule};

fn rule(field: SubjectField, pattern: &str, name: Option<&str>) -> SubjectRule {
    SubjectRule { field, pattern: Pattern::new(pattern, None), name: name.map(str::to_owned) }
}

/// The status of a request over the unix socket, where this process is its own peer.
async fn over_unix(rules: Vec<PeerRule>) -> (u16, Open) {
    let auth = vec![("local", AuthKind::Peer { callers: rules })];
    let open = Wanted { auth, ..Wanted::default() }.open().await;
    let target = open.addresses[1].clone();
    let reply = call(&target, Call::new(Method::POST, PATH, "x")).await.unwrap();
    (reply.status, open)
}

#[tokio::test]
async fn a_process_is_known_by_its_user_and_group_on_unix_sockets_alone() {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let rule = |uid, gid| PeerRule { uid, gid, name: "nginx".into() };

    let (status, open) = over_unix(vec![rule(Some(uid + 1), None), rule(Some(uid), None)]).await;
    assert_eq!(status, 202);
    check_problem(&open.post(&[], "x").await, 401, "unknown-caller");
    assert!(open.metrics.encode().contains("weir_caller_records_total{caller=\"nginx\""));
    for (rules, expected) in [
        (vec![rule(None, Some(gid))], 202),
        (vec![rule(Some(uid), Some(gid))], 202),
        (vec![rule(Some(uid), Some(gid + 1))], 401),
        (vec![rule(Some(uid + 1), None)], 401),
        (Vec::new(), 401),
    ] {
        assert_eq!(over_unix(rules.clone()).await.0, expected, "{rules:?}");
    }
}

#[tokio::test]
async fn a_certificate_becomes_a_caller_by_the_first_rule_that_fits() {
    let papers = crate::base::papers::Papers::fresh();
    for (rules, expected) in [
        (vec![rule(SubjectField::CommonName, "device-*", None)], Some("device-1")),
        (vec![rule(SubjectField::CommonName, "device-1", Some("hall"))], Some("hall")),
        (vec![rule(SubjectField::Dns, "device-1.example", None)], Some("device-1.example")),
        (
            vec![rule(SubjectField::Dns, "x", None), rule(SubjectField::CommonName, "*", None)],
            Some("device-1"),
        ),
        (vec![rule(SubjectField::CommonName, "device-", None)], None),
        (vec![rule(SubjectField::Uri, "*", None)], None),
        (vec![rule(SubjectField::Email, "*", None)], None),
        (vec![rule(SubjectField::Unit, "*", None)], None),
    ] {
        let scratch = Scratch::new();
        let put = |name: &str, pem: &str| {
            std::fs::write(scratch.join(name), pem).unwrap();
            scratch.join(name)
        };
        let tls = TlsSettings {
            cert: put("cert", &papers.cert),
            key: put("key", &papers.key),
            client_ca: Some(put("ca", &papers.ca)),
            client_cert_optional: true,
            tls12: true,
        };
        let auth = vec![("devices", AuthKind::Mtls { callers: rules.clone() })];
        let open = Wanted { auth, tls: Some(tls), ..Wanted::default() }.open().await;

        let (with, without) =
            (secured(&open, &papers, true).await, secured(&open, &papers, false).await);

        let status = if expected.is_some() { "202" } else { "401" };
        assert_eq!((with.as_str(), without.as_str()), (status, "401"), "{rules:?}");
        if let Some(name) = expected {
            let label = format!("weir_caller_records_total{{caller=\"{name}\"");
            assert!(open.metrics.encode().contains(&label), "{rules:?}");
        }
    }
}

/// The status of a request over TLS, with the certificate of `device-1` or without.
async fn secured(open: &Open, papers: &crate::base::papers::Papers, shown: bool) -> String {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(papers.ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if shown {
        let cert = CertificateDer::from_pem_slice(papers.client_cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(papers.client_key.as_bytes()).unwrap();
        config.with_client_auth_cert(vec![cert], key).unwrap()
    } else {
        config.with_no_client_auth()
    };
    let tcp = TcpStream::connect(&open.addresses[0]).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, tcp).await.unwrap();
    let said = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx"
    );
    stream.write_all(said.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.ok();
    String::from_utf8_lossy(&heard).get(9..12).unwrap_or_default().to_owned()
}
